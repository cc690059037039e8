"""Who may see the page, and what a browser may do with it.

Theory of operation. The page shows prompts, answers and costs, and with `--write` it stops runs, so whoever reaches its
port is not yet somebody who may. Each request passes, in this order:

1. its Host is one that the page is served under, so that a stranger's name that resolves to this machine (DNS
   rebinding) is answered nothing;
2. it bears the session cookie, which is given for the token alone: to programs of other users of this machine too;
3. what changes anything is a POST of the page's own origin, with a form token that no other origin can read.

Answers, prompts, names and errors are strangers' texts. Templates escape them; if one ever did not, the policy of the
headers lets a browser run and load nothing but the page's own files.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_CHARS_MIN = 32
HOST_BYTES_MAX = 300
PATH_BYTES_MAX = 2_000
SESSION_S_MAX = 12 * 3600
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Nothing to others. With `no-referrer` a browser calls the origin of the page's own forms `null`.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
HEALTH = "/healthz"
LOGIN = "/login"
STATIC = "/static/"


@dataclass(frozen=True, slots=True)
class Access:
    """Under which hosts the page is served, and for which token.

    Attributes:
        token: at least `TOKEN_CHARS_MIN` characters.
        hosts: values of Host, with the port where it is not the scheme's own, in lower case.
        port: in the cookie's name: a browser gives cookies of one port to all others of a host.
        secure: the cookie goes over HTTPS, or to localhost, alone.
    """

    token: str = field(repr=False)
    hosts: frozenset[str]
    port: int
    secure: bool = False

    @property
    def cookie(self) -> str:
        return f"quarry_ui_{self.port}"

    @property
    def session(self) -> str:
        """What the cookie holds: the token itself is not in it."""
        return self._derived("session")

    @property
    def form_token(self) -> str:
        """What each form sends back."""
        return self._derived("form")

    def is_token(self, text: str) -> bool:
        return _same(text, self.token)

    def is_form_token(self, text: str) -> bool:
        return _same(text, self.form_token)

    def _derived(self, purpose: str) -> str:
        return hmac.new(self.token.encode(), purpose.encode(), hashlib.sha256).hexdigest()


class Guard:
    """ASGI middleware in front of the whole page."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    # What never changes may be kept: the files of the page say so themselves.
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        await (self._app if refusal is None else refusal)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        path, method, headers = scope["path"], scope["method"], Headers(scope=scope)
        if path == HEALTH:
            return None  # asked by address, and says nothing
        if not self._known_host(headers):
            return PlainTextResponse("This page is not served under that name (--allow-host).\n", 421)
        if len(scope.get("raw_path") or b"") > PATH_BYTES_MAX:
            return PlainTextResponse("Too long.\n", 414)
        if method not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("Not allowed.\n", 405, headers={"allow": "GET, HEAD, POST"})
        if method == "POST" and not self._own_origin(headers):
            return PlainTextResponse("Sent from another page.\n", 403)
        if path == LOGIN or path.startswith(STATIC) or self._in_session(headers):
            return None
        if method == "GET" and "hx-request" not in headers:
            return Response(status_code=303, headers={"location": f"{LOGIN}?next={quote(_target(scope), safe='')}"})
        return PlainTextResponse("Sign in first.\n", 401)

    def _known_host(self, headers: Headers) -> bool:
        found = headers.getlist("host")
        return len(found) == 1 and len(found[0]) <= HOST_BYTES_MAX and found[0].lower() in self._access.hosts

    def _own_origin(self, headers: Headers) -> bool:
        """Every browser says where a POST comes from."""
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return False
        try:
            origin = urlsplit(headers.get("origin", ""))
        except ValueError:
            return False
        return origin.scheme in ("http", "https") and origin.netloc.lower() == headers["host"].lower()

    def _in_session(self, headers: Headers) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._access.cookie)
        except CookieError:
            return False
        return cookie is not None and _same(cookie.value, self._access.session)


def local_target(text: str) -> str:
    """Where to go after signing in: a place of this page, or its first one."""
    ok = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() and "\\" not in text
    return text if ok and not text.startswith(LOGIN) else "/"


def _target(scope: Scope) -> str:
    query = scope.get("query_string", b"").decode("latin-1")
    return str(scope["path"]) + (f"?{query}" if query else "")


def _same(text: str, known: str) -> bool:
    return hmac.compare_digest(text.encode("utf-8", "replace"), known.encode())
