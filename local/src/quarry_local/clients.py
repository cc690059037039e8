"""AWS clients that can reach only the endpoint they are given.

Whatever profile, credentials, endpoint or proxy the developer's shell holds is left unread: a local stack that wrote to
a real account because of a forgotten variable would be the worst bug it could have.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from quarry_core.aws.retries import pin, retries

ACCESS_KEY_ID = "test"
ATTEMPTS_MAX = 5  # an emulator on a busy machine may leave one without an answer
SECRET_ACCESS_KEY = "test"  # noqa: S105 - emulators take any key; this one opens nothing anywhere


@dataclass(frozen=True, slots=True)
class Clients:
    """Makes boto3 clients for one endpoint and region."""

    endpoint_url: str
    region: str

    def client(self, service: str, attempts_max: int = ATTEMPTS_MAX, **config: Any) -> Any:
        """A new client, which sends a request `attempts_max` times at most; `config` goes to botocore's Config."""
        settings = {
            "connect_timeout": 5,
            "read_timeout": 60,
            "s3": {"addressing_style": "path"},
            # Whatever Bedrock API key the shell holds: with one, botocore refuses an address without TLS.
            "auth_scheme_preference": "sigv4",
            **config,
        }
        made = Config(proxies={}, retries=retries(attempts_max), **settings)
        return _session(self.region).client(service, endpoint_url=self.endpoint_url, config=made)


@functools.lru_cache
def _session(region: str) -> boto3.Session:
    """One per region: what a session loads of AWS's models is most of the cost of a client."""
    unread: Any = {
        "profile": (None, None, None, None),
        "config_file": (None, None, "/dev/null", None),
        "credentials_file": (None, None, "/dev/null", None),
    }
    return boto3.Session(
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        region_name=region,
        botocore_session=pin(botocore.session.Session(session_vars=unread)),
    )
