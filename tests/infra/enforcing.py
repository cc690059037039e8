"""The embedded AWS with IAM enforced, and clients that call it as a role.

Started with `AUTH=true`, the emulator checks signatures, identity policies, bucket and queue policies and trust policies
(what exactly, `test_iam_of_the_emulator.py` says). Access key `test`, or twelve digits as an account's number, is the
root of an account: its secret is not looked at, and no identity policy binds it. Every other key must have been given
out by the emulator. It speaks plain HTTP and believes a header about what lies before it: a caller here says `https`, as
AWS's own endpoints would, unless told otherwise.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.loaders import create_loader

from quarry_local import emulator, launch, loopback, processes
from quarry_local.clients import Clients

SWITCH = {"AUTH": "true"}
TRANSPORT_HEADER = "x-forwarded-proto"
SESSION_NAME = "infra-test"
MODELS = create_loader()  # AWS's service models are most of the cost of a client: read once for all callers


@contextlib.contextmanager
def running(home: Path, region: str = "us-east-1") -> Iterator[Clients]:
    """An emulator that enforces IAM; the clients are root's, over plain HTTP.

    Raises:
        EmulatorUnavailable, NotReady: as `quarry_local.emulator.running`.
    """
    plain = emulator.program(home, home / f"{emulator.NAME}.log")
    what = dataclasses.replace(plain, environment=lambda port: {**plain.environment(port), **SWITCH})
    process = begun = launch.begin(what)
    try:
        process = launch.finish(what, begun, emulator.READY_WITHIN_S, again=lambda _: None)
        yield Clients(f"http://{loopback.LOOPBACK}:{process.port}", region)
    finally:
        processes.stop([process], emulator.STOP_GRACE_S)


@dataclasses.dataclass(frozen=True)
class Caller:
    """Somebody with keys. `transport` is what the emulator is told that the call came over."""

    endpoint_url: str
    region: str
    keys: Mapping[str, str]
    transport: str = "https"

    def client(self, service: str) -> Any:
        below = botocore.session.Session()
        below.register_component("data_loader", MODELS)
        session = boto3.Session(
            botocore_session=below,
            aws_access_key_id=self.keys["AccessKeyId"],
            aws_secret_access_key=self.keys["SecretAccessKey"],
            aws_session_token=self.keys.get("SessionToken"),
            region_name=self.region,
        )
        config = Config(
            proxies={}, retries={"mode": "standard", "total_max_attempts": 1}, s3={"addressing_style": "path"}
        )
        client = session.client(service, endpoint_url=self.endpoint_url, config=config)
        client.meta.events.register("before-send", self._say_transport)
        return client

    def over(self, transport: str) -> Caller:
        return dataclasses.replace(self, transport=transport)

    def at(self, endpoint_url: str) -> Caller:
        return dataclasses.replace(self, endpoint_url=endpoint_url)

    def _say_transport(self, request: Any, **_: Any) -> None:
        request.headers[TRANSPORT_HEADER] = self.transport


def root(clients: Clients, account: str = "test") -> Caller:
    """The root of the emulator's account, or of another one by its number."""
    return Caller(clients.endpoint_url, clients.region, {"AccessKeyId": account, "SecretAccessKey": "unread"})


def assume(caller: Caller, role_arn: str, **request: Any) -> Caller:
    """The same caller under a role.

    Raises:
        ClientError: AccessDenied, if the role's trust policy does not name the caller.
    """
    answer = caller.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=SESSION_NAME, **request)
    return dataclasses.replace(caller, keys=answer["Credentials"])
