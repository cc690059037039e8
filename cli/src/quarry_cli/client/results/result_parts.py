"""Which objects hold a run's rows: the parts of its shards, or the fewer, larger ones into which they were merged.

Both hold the same rows in the same order. A compacted result is taken only if as many of its parts stand as the ledger says.
"""

from __future__ import annotations

import re

from quarry_cli.client.runs.view.shown import RunView
from quarry_core.contract.names import COMPACT, compact_prefix, results_prefix
from quarry_core.ports import ObjectInfo, Objects

PARTS_MAX = 100_000
# Only such names become files: an object's name is not ours to trust with a path.
_PART = re.compile(r"part-([0-9]{5})\.parquet")


def parts_of(objects: Objects, run_id: str) -> list[ObjectInfo]:
    """The parts of a run's shards that stand, in row order."""
    return _parts(objects, results_prefix(run_id))


def compact_parts_of(objects: Objects, view: RunView) -> list[ObjectInfo]:
    """The parts of a compacted result, in row order; none if it was not compacted, or some are gone."""
    if view.compact is None:
        return []
    found = compact_parts_under(objects, view.run_id)
    return found if len(found) == view.compact.parts else []


def compact_parts_under(objects: Objects, run_id: str) -> list[ObjectInfo]:
    """Merged parts that stand, whether or not they are all."""
    return _parts(objects, compact_prefix(run_id))


def fewest_parts_of(objects: Objects, view: RunView) -> list[ObjectInfo]:
    """The compacted parts where they stand, else those of the shards; in row order."""
    return compact_parts_of(objects, view) or parts_of(objects, view.run_id)


def number_of(key: str) -> int:
    """The number in a part's name: of its shard, or of a compacted part."""
    match = _PART.fullmatch(key.rpartition("/")[2])
    assert match is not None, key
    return int(match[1])


def local_stem(key: str) -> str:
    """What a part is called on this machine, without its ending.

    Parts of shards are numbered anew without gaps: shards have even numbers, and the second half of one that was split the next
    odd one, which becomes `part-00007b`.
    """
    number = number_of(key)
    if not key.startswith(COMPACT):
        number, half = divmod(number, 2)
        return f"part-{number:05d}{'b' if half else ''}"
    return f"part-{number:05d}"


def _parts(objects: Objects, prefix: str) -> list[ObjectInfo]:
    return [info for info in objects.list(prefix) if _PART.fullmatch(info.key.removeprefix(prefix))][:PARTS_MAX]
