"""Who may reach what: the simulator's own pages are for this machine, and requests are for its own region. Pure.

The pages under `/_quarry` change what the simulator does and ask for no credentials. It listens on loopback, but a web
page that somebody opens on this machine reaches loopback too: under a name of its own that resolves to it (the Host then
is that name), or with a form's content type, which a browser sends without asking first. Neither gets through.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import NamedTuple

from quarry_local.bedrock.errors import ApiError

OWN_PAGES = "/_quarry"
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]/@]+))(?::\d{1,5})?")
_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/(?P<region>[^/,\s]+)/[^/,\s]+/aws4_request")


class Refusal(NamedTuple):
    status: int
    message: str


def refusal_of(method: str, headers: Mapping[str, str]) -> Refusal | None:
    """Why a request to one of the simulator's own pages is refused; None when it is not."""
    host = headers.get("Host", "")
    if not is_loopback(host):
        return Refusal(403, f"The Host {host[:100]!r} is not a name of this machine: use 127.0.0.1 or localhost")
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if method in _WITH_BODY and kind != "application/json":
        return Refusal(415, "The body is JSON: declare it with the header Content-Type: application/json")
    return None


def is_loopback(host: str) -> bool:
    """Whether a Host header names loopback, with or without a port."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    if found["name"] is not None and found["name"].lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(found["six"] or found["name"]).is_loopback
    except ValueError:
        return False


def check_region(authorization: str, region: str) -> None:
    """Refuse what is signed for another region, as AWS does; nothing else of a signature is looked at.

    Raises:
        ApiError: InvalidSignatureException.
    """
    scope = _SCOPE.search(authorization)
    if scope is not None and scope["region"] != region:
        message = (
            f"Credential should be scoped to a valid region. (It is signed for {scope['region']}; here is {region}.)"
        )
        # In the body too, where the protocol of Service Quotas has it.
        raise ApiError("InvalidSignatureException", 403, message, {"__type": "InvalidSignatureException"})
