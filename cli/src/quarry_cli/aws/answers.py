"""What an answer of AWS means to a person, and what to do about it: one sentence, at once.

Pure but for the settings that are handed in. A service waits for credentials to be renewed and for an endpoint to come
back; a person at a terminal would only wait for nothing.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from quarry_cli.errors import NoConnection, NotConfigured, QuarryError
from quarry_cli.settings import ClientSettings
from quarry_core.errors import (
    PortError,
    Refused,
    Resource,
    credentials_fault,
    missing_resource,
    unreachable_endpoint,
)

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
LOCAL_ENV = 'eval "$(quarry local env)"'
_CREDENTIALS = {
    "missing": "no AWS credentials found: sign in (`aws sso login` or `aws configure`) or set AWS_PROFILE; "
    f"for a local stack run  {LOCAL_ENV}",
    "expired": "the AWS credentials have expired: sign in again (`aws sso login`), or renew the AWS_* variables",
    "invalid": "AWS does not accept these credentials: check AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
    f"for a local stack run  {LOCAL_ENV}",
    "profile": "AWS_PROFILE names a profile that is not configured: `aws configure list-profiles` lists those that "
    f"are; for a local stack run  {LOCAL_ENV}",
}
_VARIABLES: dict[Resource, tuple[str, str]] = {
    "table": ("QUARRY_TABLE", "table"),
    "bucket": ("QUARRY_BUCKET", "bucket"),
    "queue": ("QUARRY_MANIFEST_QUEUE_URL", "manifest_queue_url"),
}


def for_people(error: PortError, settings: ClientSettings, queue: str = "") -> QuarryError | None:
    """The error in a person's words; None where the port's own text says it best.

    Args:
        error: as a port raised it, with the SDK's exception as its cause.
        settings: what the environment's variables say, to name them.
        queue: the variable of the queue that was asked for, where it is another than the manifests'.
    """
    fault = credentials_fault(error)
    if fault is not None:
        return NoConnection(_CREDENTIALS[fault])
    endpoint = unreachable_endpoint(error)
    if endpoint is not None:
        return NoConnection(_unreachable(endpoint, settings.region))
    resource = missing_resource(error)
    if resource is not None:
        return NotConfigured(_missing(resource, settings, queue))
    if isinstance(error, Refused) and error.denied:
        return NoConnection(f"AWS does not allow it: {error}; `quarry doctor` names the missing statement")
    return None


def out_of_reach(error: PortError) -> bool:
    """Whether AWS cannot be asked at all, be it for credentials or for the network: the next question fails alike."""
    return credentials_fault(error) is not None or unreachable_endpoint(error) is not None


def _unreachable(endpoint: str, region: str) -> str:
    if urlsplit(endpoint).hostname in LOCAL_HOSTS:
        return (
            f"nothing answers at {endpoint}: a restarted local stack has other "
            f"ports; run `quarry local up`, then  {LOCAL_ENV}"
        )
    return f"no connection to {endpoint}: check the network, and the region {region!r} (QUARRY_REGION)"


def _missing(resource: Resource, settings: ClientSettings, queue: str) -> str:
    variable, field = _VARIABLES[resource]
    named = f"{queue} is set" if queue else f"{variable} is {getattr(settings, field)!r}"
    return (
        f"{named}, but there is no such {resource} in {settings.region}: take the values of one environment together "
        f"(`terraform output`, or  {LOCAL_ENV}  for a local stack); `quarry doctor` checks them"
    )
