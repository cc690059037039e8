"""Requests to the Hugging Face Hub, and to the storage it points to: bounded, repeated, and careful with the token.

Owns a pool of connections, which threads may share. Every attempt has a timeout; what may pass (429, 5xx, a broken
connection) is tried again `ATTEMPTS_MAX` times in all, after the pause that the Hub asks for or one that doubles. A pause
that is longer than `PAUSE_MAX_S` is not waited for: the answer is `Throttled`, and the message comes back later.

The token goes to the Hub's own origin (scheme, host and port) and nowhere else. It is in no message and in no log.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError

from quarry_core import __version__
from quarry_core.errors import Missing, PortError, Refused, Throttled, Unknown
from quarry_core.settings import HUB_ENDPOINT

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0
ATTEMPTS_MAX = 5
PAUSE_S = 0.5
PAUSE_MAX_S = 30.0
CONNECTIONS_MAX = 16
ERROR_BYTES_MAX = 2_000
REDIRECT = frozenset({301, 302, 303, 307, 308})
_PASSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_TOO_MANY = 429
_UNAVAILABLE = 503
_NOT_FOUND = 404
_PORTS = {"http": 80, "https": 443}
_RATE_LIMIT = re.compile(r'"\w+"\s*;\s*r\s*=\s*(\d+)\s*;\s*t\s*=\s*(\d+)')

Observe = Callable[[str, str, str, float], None]
Origin = tuple[str, str, int]


def origin_of(url: str) -> Origin:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0)


class HubHttp:
    """Args:
    endpoint: the Hub's URL.
    token: an access token; empty for none.
    pause: waits that many seconds between attempts.
    observe: is called after each request with (`hub`, operation, outcome, seconds), from whichever thread makes it.
    """

    def __init__(
        self,
        endpoint: str = HUB_ENDPOINT,
        token: str = "",
        *,
        pause: Callable[[float], None] = time.sleep,
        observe: Observe | None = None,
    ) -> None:
        self.endpoint = endpoint.rstrip("/")
        self.origin = origin_of(self.endpoint)
        self._token = token
        self._pause = pause
        self._observe = observe
        self._pools: dict[str, Any] = {}
        self._timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S)

    def __repr__(self) -> str:
        return f"HubHttp({self.endpoint!r})"

    @property
    def token(self) -> str:
        return self._token

    def get(self, url: str, operation: str, headers: Mapping[str, str] | None = None) -> Any:
        """GET, without following a redirect; the answer of urllib3, its body not read yet.

        Answers below 400 are given, and those to a range behind the end (416) and of storage that refuses (401, 403
        from another origin): what they mean is the caller's business.

        Raises:
            Throttled, Missing, Refused, Unknown: see the port.
        """
        doing = f"read {self._shown(url)}"
        return self.repeated(lambda: self._once(url, operation, doing, headers or {}), doing)

    def repeated(self, attempt: Callable[[], Any], doing: str) -> Any:
        """Attempts until one is answered, or is not to be repeated. It raises `_Later` for what may pass."""
        for number in range(1, ATTEMPTS_MAX + 1):
            try:
                return attempt()
            except Later as later:
                wait_s = later.wait_s if later.wait_s is not None else PAUSE_S * 2 ** (number - 1)
                if number == ATTEMPTS_MAX:
                    raise later.meaning from later
                if wait_s > PAUSE_MAX_S:
                    raise Throttled(f"{doing}: the Hub asks for a pause of {wait_s:.0f} s") from later
                self._pause(wait_s)
        raise AssertionError  # the last attempt returned or raised

    def _once(self, url: str, operation: str, doing: str, headers: Mapping[str, str]) -> Any:
        own = origin_of(url) == self.origin
        sent = {
            "User-Agent": f"quarry/{__version__}",
            # The bytes that are pinned are the file's own.
            "Accept-Encoding": "identity",
            **headers,
            **({"Authorization": f"Bearer {self._token}"} if own and self._token else {}),
        }
        begun = time.perf_counter()
        try:
            answer = self._pool(url).request(
                "GET",
                url,
                headers=sent,
                timeout=self._timeout,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, OSError) as error:
            self._seen(operation, "unknown", begun)
            # urllib3's own text may hold the URL, and a signed one lets whoever reads it read the file.
            raise Later(Unknown(f"{doing}: {type(error).__name__}")) from error
        failure = None if answer.status < 400 else self._failure(answer, doing, own)
        self._seen(operation, "ok" if failure is None else type(failure).__name__.lower(), begun)
        if failure is None or answer.status == 416 or (not own and answer.status in {401, 403}):
            return answer
        answer.close()
        if answer.status in _PASSES:
            raise Later(failure, asked_pause_s(answer.headers))
        raise failure

    def _seen(self, operation: str, outcome: str, begun: float) -> None:
        if self._observe is not None:
            self._observe("hub", operation, outcome, time.perf_counter() - begun)

    def _failure(self, answer: Any, doing: str, own: bool) -> PortError:
        said = str(answer.headers.get("X-Error-Message", "")) if own else ""
        return meaning_of(answer.status, str(answer.headers.get("X-Error-Code", "")), said, doing)

    def _pool(self, url: str) -> Any:
        scheme, host, _ = origin_of(url)
        proxy = "" if proxy_bypass(host) else getproxies().get(scheme, "")
        # Making a second one in a race costs nothing but its connections.
        if proxy not in self._pools:
            self._pools[proxy] = (
                urllib3.ProxyManager(proxy, maxsize=CONNECTIONS_MAX)
                if proxy
                else urllib3.PoolManager(maxsize=CONNECTIONS_MAX)
            )
        return self._pools[proxy]

    def _shown(self, url: str) -> str:
        """A URL for messages: without a query, which may be a signature."""
        return url.partition("?")[0]

    def target(self, url: str, location: str) -> str:
        """Where a redirect points to. Raises Refused for a way out of TLS."""
        target = urljoin(url, location)
        scheme = origin_of(target)[0]
        if scheme not in _PORTS or (self.origin[0] == "https" and scheme != "https"):
            raise Refused(f"read {self._shown(url)}: it is redirected to {scheme}, which is not read", "Redirect")
        return target

    def close(self) -> None:
        for pool in self._pools.values():
            pool.clear()


class Later(Exception):
    """What may pass: `meaning` is raised when it does not, `wait_s` is the pause that was asked for."""

    def __init__(self, meaning: PortError, wait_s: float | None = None) -> None:
        super().__init__(str(meaning))
        self.meaning = meaning
        self.wait_s = wait_s


def meaning_of(status: int, code: str, said: str, doing: str) -> PortError:
    """The port's error for an answer of the Hub.

    Args:
        status: of HTTP.
        code: of the header `X-Error-Code`.
        said: of the header `X-Error-Message`.
        doing: what was being done.
    """
    text = f"{doing}: {status}" + (f" {code}" if code else "") + (f": {said[:ERROR_BYTES_MAX]}" if said else "")
    if status in {_TOO_MANY, _UNAVAILABLE}:
        return Throttled(text)
    if status in _PASSES or status >= 500:
        return Unknown(text)
    if status == _NOT_FOUND and code != "GatedRepo":
        return Missing(text)
    return Refused(text, code or str(status))


def asked_pause_s(headers: Mapping[str, str]) -> float | None:
    """The seconds that the Hub asks to wait: `RateLimit` where it says that nothing is left, or `Retry-After`.

    The form of the first is that of draft-ietf-httpapi-ratelimit-headers-09, as `huggingface_hub` reads it. A date in
    the second is not read.
    """
    limit = _RATE_LIMIT.search(headers.get("RateLimit", ""))
    if limit is not None and int(limit[1]) == 0:
        return float(limit[2])
    after = headers.get("Retry-After", "").strip()
    return float(after) if after.isdecimal() else None
