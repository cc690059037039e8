"""How often a step has failed, and what was begun that may take its process down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quarry_core.ports import Item


@dataclass(frozen=True, slots=True)
class FailureRow:
    """How often a step failed at one thing of a run: `count` times in a row in the same way, `total` times in any.

    `token` is of the last failure that was counted, so that a write whose reply was lost is known again.
    """

    run_id: str
    step: str
    subject: str
    fingerprint: str
    count: int
    total: int
    sentence: str
    token: str
    first_at: str
    last_at: str


def read_failure(item: Item) -> FailureRow:
    return FailureRow(**{name: item[name] for name in FailureRow.__slots__})


# A message's work on a piece stands under this and the message's id, in the form of `pieces.Entry`.
BEGUN = "begun_"


@dataclass(frozen=True, slots=True)
class BegunRow:
    """A piece of work that may take its process down, and what each message's worker has said of it."""

    run_id: str
    step: str
    subject: str
    version: int
    begun: Mapping[str, str]  # by message id


def read_begun(item: Item) -> BegunRow:
    begun = {name.removeprefix(BEGUN): value for name, value in item.items() if name.startswith(BEGUN)}
    return BegunRow(item["run_id"], item["step"], item["subject"], item["version"], begun)
