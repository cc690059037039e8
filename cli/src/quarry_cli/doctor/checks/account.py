"""The clock: AWS takes no signature that is five minutes old."""

from __future__ import annotations

from collections.abc import Sequence

from quarry_cli.aws.environment import Environment
from quarry_cli.aws.finding import Fault, Fix, NotKnown

# AWS refuses a request that is more than 5 minutes off; a clock that is kept by NTP is never one minute off.
SKEW_MAX_S = 60


async def clock(environment: Environment) -> str | Sequence[Fault]:
    if environment.skew_s is None:
        raise NotKnown("AWS's answer has no Date")
    return judge_skew(environment.skew_s)


def judge_skew(skew_s: float) -> str | Sequence[Fault]:
    if abs(skew_s) <= SKEW_MAX_S:
        return f"the clock here agrees with AWS's within {max(1, round(abs(skew_s)))} s"
    way = "ahead of" if skew_s > 0 else "behind"
    return [
        Fault(
            message=f"the clock here is {abs(skew_s):.0f} s {way} AWS's",
            remedy="Set the clock by NTP: AWS refuses requests whose signature is 5 minutes off.",
            fix=Fix(kind="command", value="timedatectl set-ntp true"),
        )
    ]
