"""The second AWS: LocalStack in Docker, for the lane `make test-docker`.

The same suites run against it, to catch what one emulator alone would let pass. Its newest images want an account;
4.14.0 is the last tag that does not. testcontainers is imported only here and only when asked for: it is in
`requirements/docker.txt`, not in what a developer needs.
"""

from __future__ import annotations

import contextlib
import gc
import warnings
from collections.abc import Iterator

from quarry_local.clients import Clients

IMAGE = "localstack/localstack:4.14.0"
SERVICES = ("s3", "sqs", "dynamodb", "events", "iam", "sts")


class DockerUnavailable(Exception):
    """No Docker engine can be used here; the message says why."""


def why_not() -> str | None:
    """Why LocalStack cannot be run here, or None if a Docker engine answers."""
    try:
        import docker  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415 - lane only
        import testcontainers.community.localstack  # noqa: F401, PLC0415 - installed for this lane only
    except ImportError as missing:
        return f"{missing.name} is not installed (pip install --require-hashes -r requirements/docker.txt)"
    refusal = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            with contextlib.closing(docker.from_env(timeout=10)) as client:
                client.ping()
        except docker.errors.DockerException as error:
            refusal = f"no Docker engine answers: {error}"
        gc.collect()  # docker leaves the socket of a refused connection to the collector, which would warn later
    return refusal


@contextlib.contextmanager
def running(region: str = "us-east-1") -> Iterator[Clients]:
    """LocalStack for the length of a `with` block, with the face of `emulator.running`.

    Raises:
        DockerUnavailable: no engine answers, or testcontainers is not installed.
    """
    if reason := why_not():
        raise DockerUnavailable(reason)
    from testcontainers.community.localstack import LocalStackContainer  # noqa: PLC0415 - installed for this lane only

    container = LocalStackContainer(IMAGE, region_name=region).with_services(*SERVICES)
    # Queue URLs that name the address they were requested through: the container's own port is not the one mapped outside.
    with container.with_env("SQS_ENDPOINT_STRATEGY", "dynamic") as started:
        # By number: botocore puts the bucket into the host name of anything else.
        yield Clients(started.get_url().replace("//localhost:", "//127.0.0.1:"), region)
