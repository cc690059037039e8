"""Quarry's way of preparing: the preprocessor's own functions, without queue and ledger.

Apart from the collector's, of which a preprocessor imports nothing: what it imports counts in its memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from beside.folder import Folder
from beside.work import INFERENCE, MODEL, TEMPLATE, Size
from quarry_core.contract.prompts import Prompt
from quarry_core.contract.run import Pins, Source
from quarry_core.models import family_of
from quarry_core.planning.counting import write_count
from quarry_core.planning.plan_source import plan_source
from quarry_core.ports import ObjectRef
from quarry_core.rendering.encoders import encoder_of
from quarry_core.tabular.dataset import open_dataset
from quarry_core.tabular.memory import choose_arrow_allocator, keep_freed_memory
from quarry_core.tabular.reader import RowReader
from quarry_preprocessor.write import ShardWriter

keep_freed_memory()
choose_arrow_allocator()


def prepare(folder: Path, out: Path, size: Size, form: Any) -> None:
    """Count, plan, and write every shard, as the preprocessor does."""
    (out / f"rows.{form}").symlink_to(folder / f"rows.{form}")
    objects: Any = Folder(out)
    write_shards(objects, pins_of(objects, f"rows.{form}", form, size.shard_rows), size.rows // size.shard_rows)


def write_shards(objects: Any, pins: Pins, slots: int) -> None:
    planned = plan_source(objects, "run", pins, slots)
    write_count(planned.counted.dataset, "run")
    dataset = open_dataset(objects, "run", pins.source)
    reader = RowReader(dataset)
    encoder = encoder_of(pins, sound=dataset.count.sound)
    writer = ShardWriter(objects, "run", "plan", pins, dataset, encoder, 100, 1 << 30, reader)
    for number in range(planned.plan.shard_count):
        writer.write(planned.plan.shard_at(number))


def pins_of(objects: Folder, key: str, form: Any, shard_rows: int, template: str = TEMPLATE) -> Pins:
    info = objects.head(ObjectRef(key))
    return Pins(
        job_name_prefix="bench",
        model_id=MODEL,
        pool="pool",
        family=family_of(MODEL).name,
        family_version="1",
        source=Source(format=form, bucket="", key=key, size_bytes=info.size_bytes, etag=info.etag),
        prompt=Prompt(template=template),
        inference=INFERENCE,
        timeout_hours=24,
        max_records_per_job=shard_rows,
    )
