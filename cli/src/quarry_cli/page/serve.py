"""Serving the page: a socket, a token, and uvicorn until it is stopped."""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette

from quarry_cli.errors import NotConfigured
from quarry_cli.page.guard import LOGIN, TOKEN_CHARS_MIN, Access

REQUESTS_AT_ONCE_MAX = 100
KEEP_ALIVE_S = 30
# Longer than an action of the page takes: one that was begun is ended. A second signal does not wait.
STOP_S_MAX = 65
TOKEN_BYTES = 32
HTTP_PORT = 80
HTTPS_PORT = 443
# What an infrastructure-terminated connection looks like is said by nobody whom we could believe.
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the page listens, and what its readers call it: `names` beside this machine's own."""

    host: str
    port: int
    names: tuple[str, ...] = ()

    @property
    def loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def bind(address: Address) -> socket.socket:
    """A socket that listens. Raises NotConfigured where nothing may, or can, listen there."""
    if not address.loopback and not address.names:
        raise NotConfigured(
            f"--host {address.host} opens the page to others: say under which names they reach it, --allow-host NAME"
        )
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address.host, address.port))
    except OSError as error:
        listening.close()
        raise NotConfigured(
            f"nothing can listen at {address.host}:{address.port}: {error.strerror or error}"
        ) from error
    return listening


def access_of(
    address: Address, port: int, token: str = "", *, make: Callable[[int], str] = secrets.token_urlsafe
) -> Access:
    """Who may see the page. Raises NotConfigured for a token that could be guessed.

    Args:
        port: that the socket has.
        token: of whoever starts the page; empty makes one.
    """
    if token and (len(token) < TOKEN_CHARS_MIN or not token.isascii() or not token.isprintable()):
        raise NotConfigured(f"QUARRY_UI_TOKEN is to have at least {TOKEN_CHARS_MIN} characters of ASCII")
    hosts = {f"{name}:{port}" for name in LOOPBACK_NAMES}
    if port == HTTP_PORT:
        hosts |= set(LOOPBACK_NAMES)
    for name in address.names:
        named = name.strip().lower()
        if not named or any(each in named for each in "/*@ \t"):
            raise NotConfigured(f"--allow-host {name!r} is not a host name, or a host name and a port")
        # Behind a load balancer the port is the scheme's own, and not said.
        hosts |= {named} if ":" in named.rpartition("]")[2] else {named, f"{named}:{port}"}
    return Access(token or make(TOKEN_BYTES), frozenset(hosts), port, secure=not address.loopback)


def url_of(address: Address, port: int, access: Access | None = None) -> str:
    """Where to go; with `access`, signed in."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    if not address.loopback:
        host = "localhost"
    return f"http://{host}:{port}" + (f"{LOGIN}?token={access.token}" if access is not None else "/")


def serve(app: Starlette, sockets: Sequence[socket.socket]) -> None:
    """Until SIGINT or SIGTERM, and until what was asked by then is answered. Raises NotConfigured where the page cannot
    be opened.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # it would show the token
        server_header=False,
        proxy_headers=False,
        limit_concurrency=REQUESTS_AT_ONCE_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S_MAX,
        lifespan="on",
        ws="none",
    )
    server = uvicorn.Server(config)
    with _ending_well(server):
        server.run(list(sockets))
    if not server.started:
        raise NotConfigured("the page could not be opened: see above")


@contextlib.contextmanager
def _ending_well(server: uvicorn.Server) -> Iterator[None]:
    """Uvicorn hands a signal on to whoever had it before, and to nobody it would be a death by SIGTERM: a supervisor's own way
    to stop the page is no failure.
    """

    def stop(*_: object) -> None:
        server.should_exit = True

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
