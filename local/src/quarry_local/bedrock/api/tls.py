"""The TLS endpoint: for clients that speak HTTPS only, or have no setting for an endpoint.

A certificate authority of this directory's own vouches for one server certificate, for loopback and for the names that
AWS gives Bedrock's endpoints in this region, so that a client may be led here by its resolver. The authority's key is
thrown away when it has signed: whoever trusts `ca.pem` trusts this one server and no other. The server's key lies
beside it, readable by its owner only. Both are made once and kept; delete the directory to have new ones.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from pathlib import Path

CA = "ca.pem"


class NoTls(Exception):
    """The TLS endpoint cannot be opened; the message says what would help."""


def context(directory: Path, region: str) -> ssl.SSLContext:
    """What the server speaks TLS with; `directory` takes `ca.pem` and the server's certificate.

    Raises:
        NoTls: the extra is not installed.
        OSError: the directory cannot be written.
    """
    server = directory / f"server-{region}.pem"
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with contextlib.suppress(OSError, ssl.SSLError):
        if (directory / CA).is_file():
            made.load_cert_chain(server)
            return made
    _make(directory, server, region)
    made.load_cert_chain(server)
    return made


def names(region: str) -> list[str]:
    """The names that the server goes by."""
    services = ("bedrock", "bedrock-runtime", "servicequotas")
    return ["localhost", "127.0.0.1", "::1", *(f"{service}.{region}.amazonaws.com" for service in services)]


def _make(directory: Path, server: Path, region: str) -> None:
    try:
        import trustme  # noqa: PLC0415 - an extra, and nothing else needs it
    except ImportError:
        raise NoTls("--tls needs trustme: run  pip install './local[tls]'  in the checkout") from None
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = trustme.CA(organization_name="Quarry's simulated Bedrock")
    issued = authority.issue_cert(*names(region))
    # Certificates of other regions were vouched for by an authority that is no more.
    for old in directory.glob("server-*.pem"):
        old.unlink()
    _write(server, issued.private_key_and_cert_chain_pem.bytes(), 0o600)
    _write(directory / CA, authority.cert_pem.bytes(), 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    """A new file that nobody else can have opened before it had its mode."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
