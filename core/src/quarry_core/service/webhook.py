"""One HTTPS POST to a host of the environment's choosing, which is not trusted to be where it says.

Theory of operation. The URL is a setting, but names resolve to what their owner likes: to the address of the instance's
credentials, say (server-side request forgery). So the name is resolved here, once; every address that comes of it must be
a public one; and the connection goes to that very address, with the name for TLS and `Host`. A redirect is not followed
and no proxy is asked, for either would choose another address. Everything is bounded: connect, read, and what is read.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from quarry_core import __version__
from quarry_core.errors import Refused, Throttled, Unknown

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 2_000
BODY_BYTES_MAX = 64 * 1024
ADDRESSES_MAX = 2  # of one name; each may take the connect timeout
HTTPS_PORT = 443
_OK = range(200, 300)
_TOO_MANY = frozenset({429, 503})
_PASSES = frozenset({408, 425})
# Addresses in which an IPv4 address is wrapped: a gateway on the way may unwrap it.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]
Observe = Callable[[str, str, str, float], None]


def resolved(host: str, port: int) -> list[str]:
    """The addresses of a name, in the resolver's order. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def is_public(address: Address) -> bool:
    """Whether an address is one of the internet's, and wraps none that is not."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


class HttpsWebhook:
    """Args:
    url: `https://host[:port]/path`; the host is on the list that the settings allow.
    private: whether it may have a private address.
    resolve: the addresses of a host; it may raise OSError.
    observe: is called after each request with (`webhook`, `post`, outcome, seconds).
    """

    def __init__(
        self, url: str, *, private: bool = False, resolve: Resolve = resolved, observe: Observe | None = None
    ) -> None:
        parts = urlsplit(url)
        self._host = (parts.hostname or "").lower()
        self._port = parts.port or HTTPS_PORT
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._private = private
        self._resolve = resolve
        self._observe = observe

    def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Send it, once. Blocking, for at most a few times the timeouts.

        Raises:
            Refused: the host is not one that may be asked, or does not take it.
            Throttled, Unknown: it may be tried again.
        """
        if len(body) > BODY_BYTES_MAX:
            raise Refused(f"webhook: a body of {len(body)} bytes; at most {BODY_BYTES_MAX} are sent", "BodyTooLarge")
        begun, outcome = time.perf_counter(), "unknown"
        try:
            self._post(body, headers)
            outcome = "ok"
        except (Refused, Throttled) as error:
            outcome = type(error).__name__.lower()
            raise
        finally:
            if self._observe is not None:
                self._observe("webhook", "post", outcome, time.perf_counter() - begun)

    def _post(self, body: bytes, headers: Mapping[str, str]) -> None:
        sent = {"Content-Type": "application/json", "User-Agent": f"quarry/{__version__}", **headers}
        failed: Unknown | None = None
        for address in self._addresses()[:ADDRESSES_MAX]:
            try:
                status = self._status(address, body, sent)
            except (HTTPError, OSError) as error:
                # urllib3's own text may hold the URL, whose query may be a secret.
                failed = Unknown(f"webhook {self._host}: {type(error).__name__}")
                failed.__cause__ = error
                continue
            return self._judge(status)
        raise failed or Unknown(f"webhook {self._host}: it has no address")

    def _addresses(self) -> list[str]:
        try:
            found = list(self._resolve(self._host, self._port))
        except OSError as error:
            raise Unknown(f"webhook {self._host}: its name is not resolved ({type(error).__name__})") from error
        # One that is private beside one that is not is how a check is got around.
        if not self._private and not all(is_public(ipaddress.ip_address(each.partition("%")[0])) for each in found):
            raise Refused(
                f"webhook {self._host}: it has a private address; set QUARRY_WEBHOOK_PRIVATE=true if it may", "Private"
            )
        return found

    def _status(self, address: str, body: bytes, headers: Mapping[str, str]) -> int:
        pool: Any = urllib3.HTTPSConnectionPool(
            address, self._port, maxsize=1, server_hostname=self._host, assert_hostname=self._host
        )
        host = self._host if self._port == HTTPS_PORT else f"{self._host}:{self._port}"
        with contextlib.closing(pool):
            answer = pool.urlopen(
                "POST",
                self._target,
                body=body,
                headers={**headers, "Host": host},
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
                assert_same_host=False,
            )
            try:
                answer.read(ANSWER_BYTES_MAX)  # so that it may end its answer; nothing of it is used
            finally:
                answer.close()
            return int(answer.status)

    def _judge(self, status: int) -> None:
        if status in _OK:
            return
        text = f"webhook {self._host}: it answers {status}"
        if status in _TOO_MANY:
            raise Throttled(text)
        if status >= 500 or status in _PASSES:
            raise Unknown(text)
        raise Refused(f"{text}, and no redirect is followed" if 300 <= status < 400 else text, str(status))
