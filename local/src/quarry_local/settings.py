"""What a local stack is asked to be, and the waits that make hours into seconds on a laptop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# Production's waits (quarry_core.settings) suit jobs that take hours; the simulated ones take seconds.
LOCAL_WAITS: Mapping[str, str] = {
    "QUARRY_TICK_EVERY_S": "2",
    "QUARRY_SWEEP_EVERY_S": "3",
    "QUARRY_FINISH_AFTER_S": "3",
    "QUARRY_LIST_SETTLE_S": "3",
    "QUARRY_RING_AFTER_SLICES_S": "6",
    "QUARRY_RING_AFTER_ENDED_S": "4",
    "QUARRY_REPEAT_PAUSES_S": "1,2",
    "QUARRY_RETRY_AFTER_MAX_S": "5",
    "QUARRY_RECEIVE_WAIT_S": "2",
    "QUARRY_VISIBILITY_TIMEOUT_S": "20",
    "QUARRY_GAUGES_EVERY_S": "2",
}


@dataclass(frozen=True, slots=True)
class StackSettings:
    """Everything that can be asked of a stack.

    Attributes:
        env: the environment's name, `[a-z0-9]{1,8}`.
        quota: active jobs per pool: the simulator's quota and the services' own limit.
        region: of everything.
        services: whether the three services run; without them there is AWS and Bedrock alone.
        prometheus: whether a Prometheus scrapes them and judges by the rules that ship.
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
    prometheus: bool = False
    simulator: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    launch: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    aws_endpoint: str | None = None
    ready_within_s: float = 60.0
    drain_s: float = 30.0
