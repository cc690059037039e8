"""What this environment has seen of a model in a week: sums over the jobs and shards of a pool."""

from __future__ import annotations

from dataclasses import fields

from quarry_core.planning.history import History
from quarry_core.ports import Item


def read_history(item: Item) -> History:
    return History(**{each.name: item[each.name] for each in fields(History) if each.name in item})
