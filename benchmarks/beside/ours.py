"""Quarry's way of joining, and of reading one large row group: the services' own functions, without queue and ledger."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from beside.folder import Folder
from beside.prepare import pins_of, write_shards
from beside.work import EMBEDDER, MODEL, SHARD, Size
from quarry_collector.datasets import Datasets
from quarry_collector.decode import read_blocks
from quarry_collector.parts import Identity, write_outcome, write_part
from quarry_collector.salvage import Salvage, copied_rows
from quarry_collector.settle import Ended, Settle, decide
from quarry_collector.spool import Spool
from quarry_core.contract.names import rows_key, shard_id
from quarry_core.contract.run import Pins
from quarry_core.contract.states import ShardState
from quarry_core.ledger.rows import Shard
from quarry_core.models import family_of
from quarry_core.planning.plan import ShardRange
from quarry_core.ports import ObjectRef
from quarry_core.tabular.dataset import Dataset, open_dataset
from quarry_core.tabular.reader import RowReader


def join(folder: Path, out: Path, size: Size, kind: str) -> None:
    """Settle a shard of which every row was answered, and write its part, as the collector does."""
    family = family_of(MODEL if kind == "text" else EMBEDDER)
    objects: Any = Folder(out)
    identity = Identity("run", SHARD, 1, "plan")
    with (
        Spool(SHARD, size.joined, family.answer_column) as spool,
        (folder / f"{kind}.jsonl.out").open("rb", 0) as output,
    ):
        seen = spool.place_blocks(
            read_blocks(output, family.output_type, vectors=family.answer_column == "embedding"), family
        )
        decision = decide(Ended(attempt=1, rows=size.joined, reported=spool.reported, status="Completed"))
        assert isinstance(decision, Settle)
        outcome = spool.settle(decision, seen)
        if not outcome.settlement.plain:
            write_outcome(objects, identity, outcome)
        prepared: Any = Folder(folder / "prepared")
        with copied_rows(prepared, ObjectRef(rows_key("run", SHARD))) as rows:
            write_part(objects, identity, rows.source.schema, rows, outcome)


def copy_rows(folder: Path, out: Path, size: Size) -> None:
    """What the preprocessor has left of the rows that are joined, as of any CSV file; charged where rows are prepared."""
    (out / "source.csv").symlink_to(folder / "source.csv")
    objects: Any = Folder(out)
    write_shards(objects, pins_of(objects, "source.csv", "csv", size.joined, "{body}"), 1)


# --------------------------------------------------------------------------- one large row group


def read_once(folder: Path, out: Path, size: Size) -> dict[str, int]:
    """All rows in one pass."""
    dataset, _, objects = _grouped(folder, out, size)
    _count(dataset.read(0, size.grouped), size.grouped)
    return dict(objects.asked)


def read_by_preprocessor(folder: Path, out: Path, size: Size) -> dict[str, int]:
    """All rows shard by shard, as the preprocessor reads them."""
    dataset, _, objects = _grouped(folder, out, size)
    reader = RowReader(dataset)
    for shard in _shards(size):
        _count(reader.read(shard.first_row, shard.rows), shard.rows)
    return dict(objects.asked)


def read_by_collector(folder: Path, out: Path, size: Size) -> dict[str, int]:
    """The rows of each shard, as the collector reads them: each by itself, for they end in any order."""
    _, pins, objects = _grouped(folder, out, size)
    datasets = Datasets(objects)
    salvage = Salvage(objects, "run", "plan", pins, datasets)
    for shard in _shards(size):
        row = Shard(
            run_id="run", shard=shard_id(shard.number), state=ShardState.SETTLED, attempt=1, version=1, pool="pool",
            first_row=shard.first_row, rows=shard.rows, sendable=shard.rows, bytes=1,
        )  # fmt: skip
        with datasets.open("run", pins.source) as dataset, salvage.source_rows(dataset, row) as rows:
            _count(rows, shard.rows)
    return dict(objects.asked)


def prepare_grouped(folder: Path, out: Path, size: Size) -> None:
    """What the preprocessor leaves behind for these shards; not measured."""
    (out / "grouped.parquet").symlink_to(folder / "grouped.parquet")
    objects: Any = Folder(out)
    pins = pins_of(objects, "grouped.parquet", "parquet", size.grouped // size.grouped_shards)
    write_shards(objects, pins, size.grouped_shards)


def _grouped(folder: Path, out: Path, size: Size) -> tuple[Dataset, Pins, Folder]:
    del folder
    objects: Any = Folder(out)
    pins = pins_of(objects, "grouped.parquet", "parquet", size.grouped // size.grouped_shards)
    dataset = open_dataset(objects, "run", pins.source)
    objects.asked.clear()
    return dataset, pins, objects


def _shards(size: Size) -> list[ShardRange]:
    rows = size.grouped // size.grouped_shards
    return [ShardRange(2 * number, number * rows, rows) for number in range(size.grouped_shards)]


def _count(batches: Iterable[Any], rows: int) -> None:
    assert sum(batch.num_rows for batch in batches) == rows
