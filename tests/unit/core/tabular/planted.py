"""Sources of several files, planted as their owner has them, and counted."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from quarry_core.contract.listing import Listing, SourceFile, digest_of
from quarry_core.contract.names import listing_key
from quarry_core.contract.prompts import Prompt
from quarry_core.contract.run import Pins, Source
from quarry_core.contract.splits import SplitSlice
from quarry_core.planning.counting import Counted, count_source
from quarry_core.ports import ObjectRef
from quarry_core.tabular.dataset import Dataset
from tests.world.objects import FakeObjects

RUN = "run"
MODEL = "anthropic.claude-3-haiku-20240307-v1:0"


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def pinned(
    objects: FakeObjects,
    form: Any,
    files: Mapping[str, bytes],
    *,
    template: str = "{text}",
    partitions: Mapping[str, Sequence[str | None]] | None = None,
    slices: Sequence[SplitSlice] = (),
    **pins: Any,
) -> Pins:
    """Files by key, in the order of their rows. `partitions`: by name, the value of each file; `slices`: of a split."""
    pinned_files = []
    for place, (key, body) in enumerate(files.items()):
        objects.plant(key, body)
        info = objects.head(ObjectRef(key))
        values = tuple(values[place] for values in (partitions or {}).values())
        pinned_files.append(
            SourceFile(key=key, size_bytes=info.size_bytes, etag=info.etag, version_id=info.version_id, values=values)
        )
    listing = Listing(files=tuple(pinned_files), partitions=tuple(partitions or {}), slices=tuple(slices)).to_json()
    objects.put_once(listing_key(RUN), listing, {"run": RUN})
    source = Source(
        format=form,
        bucket="",
        key="in/",
        size_bytes=sum(file.size_bytes for file in pinned_files),
        files=len(pinned_files),
        listing=digest_of(listing),
    )
    return Pins(
        job_name_prefix="jokes",
        model_id=MODEL,
        pool="pool",
        family="anthropic",
        family_version="1",
        source=source,
        prompt=Prompt(template=template),
        timeout_hours=24,
        **pins,
    )


def counted(form: Any, files: Mapping[str, bytes], **options: Any) -> Counted:
    objects = FakeObjects()
    return count_source(objects, RUN, pinned(objects, form, files, **options))


def rows_of(dataset: Dataset, first: int = 0, rows: int | None = None, columns: Any = None) -> list[dict[str, Any]]:
    taken = dataset.count.rows - first if rows is None else rows
    return [row for batch in dataset.read(first, taken, columns) for row in batch.to_pylist()]
