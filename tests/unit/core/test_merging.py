"""Parts that are merged: every row once, in order, as it was; and what is not so is found out."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_core.tabular.parquet import merging
from quarry_core.tabular.parquet.footer import leaves_of
from quarry_core.tabular.parquet.merging import check_same_rows, merge_parts
from quarry_core.tabular.parquet.part_errors import PartDiffers
from quarry_core.tabular.parquet.row_groups import RowGroup
from tests.unit.core.test_part_file import batch_of, part_of
from tests.unit.writers.files import all_files

FILES = all_files()


def written(folder: Path, *parts: pa.RecordBatch, annotations=()) -> list[Path]:
    paths = []
    for number, batch in enumerate(parts):
        body, _ = part_of(batch, annotations=annotations)
        paths.append(folder / f"{number}.parquet")
        paths[-1].write_bytes(body.getvalue())
    return paths


def merged(*paths: Path) -> io.BytesIO:
    body = io.BytesIO()
    merge_parts(paths, body)
    return body


def test_rows_of_many_small_parts_stand_in_one_row_group_in_their_order(tmp_path):
    paths = written(tmp_path, *(batch_of(n=[number, None], t=[f"{number}", "ü"]) for number in range(40)))

    body = merged(*paths)

    part = pq.ParquetFile(body)
    assert part.num_row_groups == 1
    assert part.read().equals(pa.concat_tables([pq.read_table(path) for path in paths]))
    assert part.metadata.row_group(0).column(0).compression == "ZSTD"


def test_row_groups_end_at_their_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(merging, "MERGED_ROW_GROUP", RowGroup(rows_max=10, bytes_max=1 << 20))
    paths = written(tmp_path, *(batch_of(n=list(range(4))) for _ in range(9)))

    part = pq.ParquetFile(merged(*paths))

    assert [part.metadata.row_group(group).num_rows for group in range(part.num_row_groups)] == [8, 8, 8, 8, 4]


def test_metadata_of_file_and_columns_and_annotations_that_pyarrow_drops_are_kept(tmp_path):
    spans = pa.array([bytes(8) + b"\x01\0\0\0", None], pa.binary(12))
    batch = batch_of(span=spans)
    schema = batch.schema.with_metadata({b"geo": b"{}"}).set(
        0, batch.schema.field(0).with_metadata({b"unit": b"months"})
    )
    batch = pa.RecordBatch.from_arrays(batch.columns, schema=schema)
    interval = leaves_of(io.BytesIO(FILES["duckdb-interval"]()))[2].annotation(0)
    paths = written(tmp_path, batch, batch, annotations=[interval])

    body = merged(*paths)

    found = pq.ParquetFile(body).schema_arrow
    assert found.equals(schema, check_metadata=True) or found.field(0).metadata[b"unit"] == b"months"
    assert found.metadata[b"geo"] == b"{}"
    assert leaves_of(body)[0].kind == "INTERVAL"


def test_categories_of_each_part_stay_its_own(tmp_path):
    def levels(*words: str) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int8()), list(words), ordered=True)

    paths = written(tmp_path, *(batch_of(a=levels("low", "high", f"top {part // 2}")) for part in range(4)))

    part = pq.ParquetFile(merged(*paths))

    assert part.num_row_groups == 2
    for group in range(2):
        column = part.read_row_group(group).column("a")
        assert column.type.ordered
        assert column.chunk(0).dictionary.to_pylist() == ["low", "high", f"top {group}"]
        assert column.to_pylist() == ["high", "low"] * 2


@pytest.mark.parametrize(
    "other",
    [
        batch_of(n=pa.array([1], pa.int32())),
        batch_of(m=[1]),
        batch_of(n=[1], m=[1]),
    ],
)
def test_parts_of_another_schema_are_not_merged(tmp_path, other):
    with pytest.raises(PartDiffers):
        merged(*written(tmp_path, batch_of(n=[1]), other))


def test_parts_that_differ_in_an_annotation_alone_are_not_merged(tmp_path):
    batch = batch_of(span=pa.array([bytes(12)], pa.binary(12)))
    interval = leaves_of(io.BytesIO(FILES["duckdb-interval"]()))[2].annotation(0)
    (one,) = written(tmp_path, batch, annotations=[interval])
    (tmp_path / "plain").mkdir()
    (other,) = written(tmp_path / "plain", batch)

    with pytest.raises(PartDiffers, match="INTERVAL in one part"):
        merged(one, other)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([[1.0, 0.0, None]], "after 3 rows"),
        ([[1.0, 0.0], [None, 3.0, 4.0]], "there are more rows after 4"),
        ([[1.0, -0.0, None, 3.0]], "between rows 0 and 1"),
        ([[1.0], [None, 0.0, 3.0]], "between rows 1 and 1"),
        ([[1.0, 0.0, None, 3.5]], "'n'"),
        ([[]], "rows are missing after 0"),
    ],
)
def test_rows_that_are_missing_doubled_swapped_or_changed_are_found(found, said):
    def batches(*lists: list) -> list[pa.RecordBatch]:
        return [pa.RecordBatch.from_pydict({"n": pa.array(each, pa.float64())}) for each in lists]

    wanted = batches([1.0, 0.0], [], [None, 3.0])
    assert check_same_rows(iter(wanted), iter(batches([1.0], [0.0, None, 3.0]))) == 4
    with pytest.raises(PartDiffers, match=said):
        check_same_rows(iter(wanted), iter(batches(*found)))


def test_a_writer_that_loses_a_row_is_found_out(tmp_path, monkeypatch):
    write = merging.write_rows

    def losing(sink, schema, batches, **options):
        return write(sink, schema, (batch.slice(0, max(1, len(batch) - 1)) for batch in batches), **options)

    monkeypatch.setattr(merging, "write_rows", losing)
    with pytest.raises(PartDiffers):
        merged(*written(tmp_path, batch_of(n=[1, 2]), batch_of(n=[3, 4])))


def test_whoever_is_to_stop_stops_between_batches(tmp_path):
    class Stopped(Exception):
        pass

    def stop():
        raise Stopped

    with pytest.raises(Stopped):
        merge_parts(written(tmp_path, batch_of(n=[1])), io.BytesIO(), stop)
