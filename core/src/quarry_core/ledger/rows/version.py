"""A version of a run's dataset."""

from __future__ import annotations

from dataclasses import dataclass

from quarry_core.ports import Item


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a run's dataset: the run `made_by` makes it of the rows of `base`. `at`: ISO 8601 in UTC; `by`: an ARN."""

    run_id: str
    number: int
    made_by: str
    base: str
    at: str
    by: str = ""


def read_version(item: Item) -> Version:
    return Version(**{name: item[name] for name in Version.__slots__ if name in item})
