"""What a check is: its name, its question, and how it looks at a environment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from quarry_cli.aws.environment import Environment
from quarry_cli.aws.finding import Fault

CheckAll = Callable[[Environment], Awaitable[str | Sequence[Fault]]]


@dataclass(frozen=True, slots=True)
class Check:
    """One row of `docs/doctor.md`.

    Attributes:
        name: its word in the output.
        asks: the question that it answers.
        finds: what it is like when this is wrong: an error of AWS, or what does not happen.
        reads: the IAM actions that looking takes.
        check: gives what is healthy in words, or the faults. Raises NotKnown, and any PortError.
    """

    name: str
    asks: str
    finds: str
    reads: Sequence[str]
    check_all: CheckAll
