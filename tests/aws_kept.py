"""What tests keep of AWS's SDK, for they make hundreds of sessions and clients: service models, and clients of the emulator.

Sessions of one search path share a loader of models, as the clients of one session do: whoever imports this module has
it so. A client holds nothing but connections; none of those kept here is closed. S3's are not kept: they remember in
which region they once found a bucket.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import botocore.session
from botocore.loaders import create_loader

from quarry_local.clients import ATTEMPTS_MAX, Clients

# What the services and the command ask.
SERVICES = ("bedrock", "bedrock-runtime", "dynamodb", "events", "s3", "sqs")

botocore.session.create_loader = functools.lru_cache(create_loader)  # type: ignore[attr-defined]


def read() -> None:
    """Read what a program that is forked from here would have to read."""
    loader = botocore.session.Session().get_component("data_loader")
    for name in ("endpoints", "partitions", "sdk-default-configuration", "_retry"):
        loader.load_data(name)
    for service in SERVICES:
        for kind in ("service-2", "endpoint-rule-set-1", "paginators-1"):
            loader.load_service_model(service, kind)


class KeptClients(Clients):
    """Clients of one endpoint, of which each is made once, however often it is asked for."""

    def client(self, service: str, attempts_max: int = ATTEMPTS_MAX, **config: Any) -> Any:
        if service == "s3" or any(isinstance(value, Mapping) for value in config.values()):
            return super().client(service, attempts_max, **config)
        return _kept(self.endpoint_url, self.region, service, attempts_max, tuple(sorted(config.items())))


@functools.cache
def _kept(endpoint_url: str, region: str, service: str, attempts_max: int, config: tuple[tuple[str, Any], ...]) -> Any:
    return Clients(endpoint_url, region).client(service, attempts_max, **dict(config))
