"""What a handler says of a message: a closed set, with exactly one clause each in the loop."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Done:
    """The effect is durable: ack."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Not now: hand the message back, to come again after `after_s`."""

    after_s: float
    why: str


@dataclass(frozen=True, slots=True)
class Poison:
    """Never: to the dead-letter queue, with the reason.

    Attributes:
        by_itself: the message is wrong, or the code is; not so where somebody outside refuses what it asks for.
    """

    why: str
    by_itself: bool = True


Verdict = Done | Retry | Poison
DONE = Done()
