"""Environments of processes: pure functions from what was made to variables.

A service of the local stack sees none of the shell's AWS or Quarry variables: one forgotten `AWS_ENDPOINT_URL_S3` or
`AWS_PROFILE` must not send it to a real account.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from quarry_local.clients import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from quarry_local.loopback import LOOPBACK

FOREIGN_PREFIXES = ("AWS_", "QUARRY_", "BOTO_")
# What speaks of the Hugging Face Hub: to a simulated one, the user's own token and cache mean nothing.
HUB_PREFIXES = ("HF_", "HUGGING_FACE_", "HUGGINGFACE_")
FOREIGN = frozenset({"MAX_RECORDS_PER_JOB", "MAX_TOTAL_RECORDS"})
# What would turn an AWS client away from the endpoints that `for_clients` names, were it set in the user's shell.
MISLEADING_PREFIX = "AWS_ENDPOINT_URL_"
MISLEADING = frozenset(
    {
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        # With a Bedrock API key botocore refuses an address without TLS, even when keys are given too.
        "AWS_BEARER_TOKEN_BEDROCK",
    }
)


def for_aws(endpoint: str, region: str, shell: Mapping[str, str]) -> dict[str, str]:
    """What any AWS client needs to reach the emulator, and nothing else."""
    unproxied = ",".join(dict.fromkeys([*_no_proxy(shell), LOOPBACK, "localhost"]))
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": unproxied,
        "no_proxy": unproxied,
    }


def for_clients(aws: Mapping[str, str], bedrock: str, quota: int, resources: Mapping[str, str]) -> dict[str, str]:
    """What any client of the stack needs: AWS SDKs, the CLI, Terraform, `quarry`."""
    return {
        **aws,
        "AWS_ENDPOINT_URL_BEDROCK": bedrock,
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock,
        # The emulator knows no quotas; the simulator tells those that it enforces.
        "AWS_ENDPOINT_URL_SERVICE_QUOTAS": bedrock,
        "QUARRY_JOB_QUOTA": str(quota),
        **resources,
    }


def for_hub(url: str) -> dict[str, str]:
    """What a client of the simulated Hub needs beside."""
    return {"HF_ENDPOINT": url, "HF_HUB_DISABLE_TELEMETRY": "1"}


def _no_proxy(shell: Mapping[str, str]) -> Iterable[str]:
    for name in ("NO_PROXY", "no_proxy"):
        yield from (host for host in shell.get(name, "").split(",") if host)


def inherited(shell: Mapping[str, str]) -> dict[str, str]:
    """The shell's variables without any that speak of AWS or Quarry; and no AWS configuration file is read."""
    kept = {
        name: value for name, value in shell.items() if not name.startswith(FOREIGN_PREFIXES) and name not in FOREIGN
    }
    return {
        **kept,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "PYTHONUNBUFFERED": "1",
    }


def for_service(
    shell: Mapping[str, str],
    clients: Mapping[str, str],
    waits: Mapping[str, str],
    overrides: Mapping[str, str],
    port: int,
) -> dict[str, str]:
    """A service's whole environment; the later argument wins."""
    address = {"QUARRY_METRICS_HOST": LOOPBACK, "QUARRY_METRICS_PORT": str(port)}
    return {**_without_hub(inherited(shell), clients), **clients, **waits, **overrides, **address}


def _without_hub(kept: Mapping[str, str], clients: Mapping[str, str]) -> dict[str, str]:
    """Without what the shell says of the real Hub, where the stack has one of its own."""
    if "HF_ENDPOINT" not in clients:
        return dict(kept)
    return {name: value for name, value in kept.items() if not name.startswith(HUB_PREFIXES)}


def misleading(shell: Mapping[str, str], given: Mapping[str, str]) -> list[str]:
    """Variables of the user's shell that must be unset for the given ones to hold."""
    own_hub = "HF_ENDPOINT" in given
    return sorted(
        name
        for name in shell
        if name not in given
        and (name in MISLEADING or name.startswith(MISLEADING_PREFIX) or (own_hub and name.startswith(HUB_PREFIXES)))
    )
