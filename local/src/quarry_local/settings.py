"""What a local stack is asked to be, and the waits that make hours into seconds on a laptop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

# Production's waits (quarry_core.settings) suit jobs that take hours; the simulated ones take seconds.
LOCAL_WAITS: Mapping[str, str] = {
    "QUARRY_TICK_EVERY_S": "2",
    "QUARRY_SWEEP_EVERY_S": "3",
    "QUARRY_FINISH_AFTER_S": "3",
    "QUARRY_LIST_SETTLE_S": "3",
    "QUARRY_LATE_CREATE_MAX_S": "6",
    "QUARRY_WAKE_AFTER_SLICES_S": "6",
    "QUARRY_WAKE_AFTER_ENDED_S": "4",
    "QUARRY_REPEAT_PAUSES_S": "1,2",
    "QUARRY_RETRY_AFTER_MAX_S": "5",
    "QUARRY_RECEIVE_WAIT_S": "2",
    "QUARRY_VISIBILITY_TIMEOUT_S": "20",
    "QUARRY_GAUGES_EVERY_S": "2",
    # Below the simulated Bedrock's limits: forty rows need not wait for an account's modest quota.
    "QUARRY_ON_DEMAND_REQUESTS_PER_MINUTE": "600",
    "QUARRY_ON_DEMAND_TOKENS_PER_MINUTE": "1200000",
}


@dataclass(frozen=True, slots=True)
class StackSettings:
    """Everything that can be asked of a stack.

    Attributes:
        env: the environment's name, `[a-z0-9]{1,8}`.
        quota: active jobs per pool: the simulator's quota and the services' own limit.
        region: of everything.
        services: whether the three services run; without them there is AWS and Bedrock alone.
        tls_port: where the simulated Bedrock listens with TLS too; 0: nowhere.
        prometheus: whether a Prometheus scrapes them and judges by the rules that ship.
        hub: the folder of datasets that a simulated Hugging Face Hub serves to the services; empty: none runs.
        hub_settings: that Hub's settings by name (`throttled_share`), given to it as flags.
        simulator: the simulated Bedrock's settings by name (`seconds_per_1000_records`), given to it as flags.
        overrides: environment variables of the services, stronger than `LOCAL_WAITS`.
        launch: by process, what stands behind `python` instead of the process's own module.
        aws_endpoint: an emulator that runs already; None starts one.
        ready_within_s: how long one process may take to become ready.
        drain_s: how long the services may take to finish what they have in hand.
    """

    env: str = "local"
    quota: int = 3
    region: str = "us-east-1"
    services: bool = True
    tls_port: int = 0
    prometheus: bool = False
    hub: str = ""
    hub_settings: Mapping[str, str] = field(default_factory=dict)
    simulator: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    launch: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    aws_endpoint: str | None = None
    ready_within_s: float = 60.0
    drain_s: float = 30.0


_OPTIONS = {"simulator": "--sim", "overrides": "--set", "hub": "--hub", "hub_settings": "--hub-set"}


def differences(standing: StackSettings, asked: StackSettings) -> list[str]:
    """What was asked for otherwise than it stands, a sentence each; a Prometheus more is none, for it can be added."""
    reported: list[str] = []
    for name in (one.name for one in fields(StackSettings)):
        here, wanted = getattr(standing, name), getattr(asked, name)
        if name == "prometheus" and wanted and not here:
            continue
        if name == "tls_port" and wanted and not here:
            reported.append("TLS is off, and a running stack cannot add it")
            continue
        if not isinstance(here, Mapping):
            reported += [_difference(_OPTIONS.get(name, name), here, wanted)] * (here != wanted)
            continue
        reported += [
            _difference(f"{_OPTIONS.get(name, name)} {key}", here.get(key), wanted.get(key))
            for key in sorted({*here, *wanted})
            if here.get(key) != wanted.get(key)
        ]
    return reported


def _difference(name: str, here: object, wanted: object) -> str:
    said = ("unset" if value in {None, ""} else str(value) for value in (here, wanted))
    return f"{name} is {' here, and asked for is '.join(said)}"
