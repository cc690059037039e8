"""AWS's service models, read once a process: each session of botocore reads them anew, and tests make hundreds of sessions.

Sessions of one search path share a loader, as the clients of one session do. Whoever imports this module has it so.
"""

from __future__ import annotations

import functools

import botocore.session
from botocore.loaders import create_loader

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
