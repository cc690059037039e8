"""Parts whose source's columns are taken over from the copy of the rows: nobody sees it but who looks at the bytes."""

import datetime as dt
import decimal
import io
from functools import partial

import duckdb
import fastparquet
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_collector import spool
from quarry_collector.parts import write_part
from quarry_collector.settle import NotConserved
from quarry_core.contract.states import RunState
from quarry_core.tabular.parquet import copied as copies
from quarry_core.tabular.parquet.copied import CopiedRows
from quarry_core.tabular.parquet.footer import Annotation
from quarry_core.tabular.parquet.part_errors import PartDiffers, PartError
from quarry_core.tabular.parquet.row_groups import RowGroup, row_groups
from quarry_core.tabular.parquet.rows import ParquetSource
from tests.unit.collector.builders import CLAUDE, TITAN, answer, failure, rid, settled, vector
from tests.unit.collector.test_parts import IDENTITY, PART, source_of
from tests.world.objects import FakeObjects
from tests.world.world import SimulatedWorld

DAY = dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)


def copy_of(source, group_rows=100, **options):
    """A copy as the preprocessor writes it, with row groups of so many rows."""
    body = io.BytesIO()
    given = {"compression": "snappy", "use_dictionary": False, "write_statistics": False} | options
    with pq.ParquetWriter(body, source.schema, **given) as writer:
        for start in range(0, source.num_rows, group_rows):
            writer.write_table(source.slice(start, group_rows), row_group_size=group_rows)
    body.seek(0)
    return body


def part_of(rows, schema, outcome, **options):
    objects = FakeObjects()
    assert write_part(objects, IDENTITY, schema, rows, outcome, **options).created
    return objects.bodies[PART]


def both(source, outcome, group_rows=100, **options):
    """The part made from a copy, and the one made from the rows."""
    rows = CopiedRows(copy_of(source, group_rows), "rows/r1/00002.parquet")
    return (
        part_of(rows, source.schema, outcome, **options),
        part_of(source.to_batches(64), source.schema, outcome, **options),
    )


def codecs(body):
    groups = pq.read_metadata(io.BytesIO(body))
    group = groups.row_group(0)
    return {group.column(at).path_in_schema: group.column(at).compression for at in range(group.num_columns)}


def group_rows(body):
    about = pq.read_metadata(io.BytesIO(body))
    return [about.row_group(at).num_rows for at in range(about.num_row_groups)]


def lines_of(rows, family):
    """Answers in no order, and an error for every seventh row."""
    order = sorted(range(rows), key=lambda row: row * 7_919 % 1_009)
    if family is CLAUDE:
        return [failure(row) if row % 7 == 3 else answer(row, f"answer {row} " * (row % 5 + 1)) for row in order]
    return [failure(row) if row % 7 == 3 else vector(row, [row, 0.5, -1.25]) for row in order]


def flat(rows):
    """A column of every flat type that copies have."""
    return pa.table(
        {
            "text": [None if row % 11 == 5 else f"naïve 数据 {row}" for row in range(rows)],
            "large": pa.array([f"{row}" for row in range(rows)], pa.large_string()),
            "raw": pa.array([b"\x00\xff" * (row % 3) for row in range(rows)], pa.binary()),
            "number": pa.array(range(rows), pa.int64()),
            "small": pa.array([None if row % 2 else row % 256 for row in range(rows)], pa.uint8()),
            "share": pa.array([row / 7 for row in range(rows)], pa.float64()),
            "narrow": pa.array([-0.0 if row % 2 else float("nan") for row in range(rows)], pa.float32()),
            "yes": pa.array([row % 3 == 0 for row in range(rows)]),
            "day": pa.array([dt.date(2026, 1, 1 + row % 28) for row in range(rows)]),
            "when": pa.array([DAY] * rows, pa.timestamp("us", "UTC")),
            "nano": pa.array(range(rows), pa.timestamp("ns")),
            "price": pa.array([decimal.Decimal(row) / 100 for row in range(rows)], pa.decimal128(12, 2)),
            "nothing": pa.nulls(rows),
            "a.b": [f"dotted {row}" for row in range(rows)],
        }
    ).replace_schema_metadata({"origin": "unit test"})


@pytest.mark.promise("S3")
@pytest.mark.parametrize("family", [CLAUDE, TITAN], ids=["text", "embedding"])
def test_a_part_from_a_copy_is_the_part_from_the_rows(family):
    source = flat(750)
    with settled(lines_of(750, family), 750, family=family) as outcome:
        taken, encoded = both(source, outcome)

    one, other = (pq.read_table(io.BytesIO(body), page_checksum_verification=True) for body in (taken, encoded))
    assert one.schema.equals(other.schema, check_metadata=True)
    assert repr(one.to_pylist()) == repr(other.to_pylist())
    assert one.column("record_id").to_pylist() == [rid(row) for row in range(750)]
    assert {codecs(taken)[name] for name in source.schema.names} == {"SNAPPY"}
    assert codecs(taken)["record_id"] == "ZSTD"
    assert group_rows(taken) == [100] * 7 + [50]


@pytest.mark.promise("S3")
@given(rows=st.integers(1, 700), cut=st.integers(1, 800), vectors=st.booleans())
def test_however_long_the_row_groups_of_a_copy_are_rows_stay_beside_their_outcomes(rows, cut, vectors):
    family = TITAN if vectors else CLAUDE
    source = source_of(rows)
    with settled(lines_of(rows, family)[: rows - rows // 3], rows, family=family) as outcome:
        taken, encoded = both(source, outcome, max(cut, rows // 20))

    assert pq.read_table(io.BytesIO(taken)).equals(pq.read_table(io.BytesIO(encoded)))


def test_chunks_of_the_copy_stand_in_the_part_byte_by_byte_and_are_not_decoded(monkeypatch):
    source = source_of(3_000, long=[f"{row} " * 300 for row in range(3_000)])
    copy = copy_of(source, 500)
    decoded = []
    read = ParquetSource.read_group

    def counted(self, group, begin, end, columns=None):
        for batch in read(self, group, begin, end, columns):
            decoded.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(ParquetSource, "read_group", counted)
    with settled([answer(row) for row in range(3_000)], 3_000) as outcome:
        body = part_of(CopiedRows(copy, "copy"), source.schema, outcome)

    assert sum(decoded) < 6 * 64
    before, after = pq.read_metadata(copy), pq.read_metadata(io.BytesIO(body))
    for group in range(6):
        for column in range(3):
            old, new = before.row_group(group).column(column), after.row_group(group).column(column)
            assert body[new.data_page_offset :][: new.total_compressed_size] == copy.getvalue()[old.data_page_offset :][: old.total_compressed_size]  # fmt: skip


@pytest.fixture(scope="module", params=[CLAUDE, TITAN], ids=["text", "embedding"])
def part(request, tmp_path_factory):
    """A part from a copy, on disk, and what is in it."""
    rows = 1_200
    source = source_of(rows, long=[f"{row} long " * 40 for row in range(rows)])
    path = tmp_path_factory.mktemp("part") / "part.parquet"
    with settled(lines_of(rows, request.param), rows, family=request.param) as outcome:
        taken, encoded = both(source, outcome, 500)
    path.write_bytes(taken)
    return path, pq.read_table(io.BytesIO(encoded))


def test_every_reader_reads_it(part):
    path, wanted = part
    columns = wanted.to_pydict()

    assert pd.read_parquet(path)["text"].tolist() == columns["text"]
    assert pl.read_parquet(path).to_dict(as_series=False) == columns
    assert pl.scan_parquet(path).filter(pl.col("number") > 1_100).collect().height == 99
    assert duckdb.sql(f"select * from read_parquet('{path}')").to_arrow_table().to_pydict() == columns
    assert duckdb.sql(f"select sum(number) from read_parquet('{path}') where status = 'ok'").fetchall() == [
        (sum(number for number, status in zip(columns["number"], columns["status"], strict=True) if status == "ok"),)
    ]
    frame = fastparquet.ParquetFile(io.BytesIO(path.read_bytes())).to_pandas(columns=["long", "record_id", "status"])
    assert frame["long"].tolist() == columns["long"]
    assert frame["record_id"].tolist() == columns["record_id"]
    for batch in pq.ParquetFile(path).iter_batches(batch_size=333, columns=["record_id", "long"]):
        assert batch.column("long")[0].as_py().startswith(f"{int(batch.column('record_id')[0].as_py()[5:])} long")


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (source_of(40, kind=pa.array(["a", "b"] * 20).dictionary_encode()), {}),
        (source_of(40, tags=[["x"], []] * 20), {}),
        (source_of(40, pair=[{"a": 1}] * 40), {}),
        (source_of(40), {"compression": "none"}),
    ],
    ids=["category", "list", "struct", "not compressed"],
)
def test_a_copy_that_may_not_stand_as_it_is_is_read(source, options):
    with settled([answer(row) for row in range(40)], 40) as outcome:
        rows = CopiedRows(copy_of(source, **options), "copy")
        schema = rows.source.schema
        body = part_of(rows, schema, outcome)

    found = pq.read_table(io.BytesIO(body))
    assert found.select(schema.names).equals(pq.read_table(copy_of(source)))
    assert set(codecs(body).values()) == {"ZSTD"}


def test_a_copy_of_another_type_than_was_accepted_is_no_part():
    source = source_of(4)
    accepted = pa.schema([pa.field("number", pa.int32()), source.schema.field("text")])

    with settled([answer(0)], 4) as outcome, pytest.raises(PartDiffers, match="it is int64 where int32 was accepted"):
        part_of(CopiedRows(copy_of(source), "copy"), accepted, outcome)


def test_a_row_group_whose_answers_are_too_much_becomes_several(monkeypatch):
    monkeypatch.setattr(copies, "OWN_BYTES_MAX", 40_000)
    monkeypatch.setattr(spool, "BATCH_ROWS_MAX", 16)
    monkeypatch.setattr(copies, "row_groups", partial(row_groups, most=RowGroup(bytes_max=50_000)))
    source = source_of(300)
    lines = [answer(row, "long " * 400 if 100 <= row < 200 else None) for row in range(300)]
    with settled(lines, 300) as outcome:
        taken, encoded = both(source, outcome)

    assert pq.read_table(io.BytesIO(taken)).equals(pq.read_table(io.BytesIO(encoded)))
    sizes = group_rows(taken)
    assert sizes[0] == sizes[-1] == 100
    assert len(sizes) > 3


def test_annotations_and_a_prefix_are_the_parts_as_ever():
    source = pa.table({"text": ["a", "b"], "interval": pa.array([b"x" * 12] * 2, pa.binary(12))})
    with settled([answer(0), answer(1)], 2) as outcome:
        taken, encoded = both(source, outcome, prefix="q_", annotations=[Annotation(leaf=1, converted=21)])

    for body in (taken, encoded):
        assert pq.read_metadata(io.BytesIO(body)).schema.column(1).converted_type == "INTERVAL"
        assert "q_status" in pq.read_schema(io.BytesIO(body)).names
    assert codecs(taken)["interval"] == "SNAPPY"


@pytest.mark.promise("S3")
@pytest.mark.parametrize("rows", [3, 5])
def test_a_copy_of_another_length_than_the_outcome_publishes_nothing(rows):
    objects = FakeObjects()
    copied = CopiedRows(copy_of(source_of(rows), 2), "copy")

    with settled([answer(0)], 4) as outcome, pytest.raises(NotConserved):
        write_part(objects, IDENTITY, source_of(rows).schema, copied, outcome)

    assert objects.bodies == {}


def test_outcomes_that_end_early_publish_nothing():
    class Short:
        def __init__(self, whole):
            self.settlement, self.schema, self.answer_column = whole.settlement, whole.schema, whole.answer_column
            self.batches = lambda: (batch.slice(0, 3) for batch in whole.batches())

    for family in (CLAUDE, TITAN):
        objects = FakeObjects()
        copied = CopiedRows(copy_of(source_of(4), 2), "copy")
        with settled([], 4, status="Stopped", family=family) as outcome, pytest.raises(PartDiffers, match="fewer"):
            write_part(objects, IDENTITY, source_of(4).schema, copied, Short(outcome))
        assert objects.bodies == {}


def test_a_copy_that_is_damaged_or_misplaced_is_no_part(monkeypatch):
    source = source_of(400, long=[f"{row} " * 100 for row in range(400)])
    body = bytearray(copy_of(source, 200).getvalue())
    column = pq.read_metadata(io.BytesIO(bytes(body))).row_group(0).column(2)
    body[column.data_page_offset + 60 : column.data_page_offset + 2_000] = b"\xff" * 1_940
    objects = FakeObjects()

    with settled([answer(row) for row in range(400)], 400) as outcome:
        with pytest.raises(Exception, match="cannot be decoded"):
            write_part(objects, IDENTITY, source.schema, CopiedRows(io.BytesIO(bytes(body)), "copy"), outcome)
        monkeypatch.setattr(
            copies, "pages_of", lambda file, chunk: [bytes(chunk.length)]
        )  # the bug of a copier: as long, and something else
        with pytest.raises(PartError):
            write_part(objects, IDENTITY, source.schema, CopiedRows(copy_of(source, 200), "copy"), outcome)

    assert objects.bodies == {}


@pytest.mark.promise("S3")
async def test_the_preprocessors_own_copies_are_taken_over():
    world = SimulatedWorld()

    run_id = world.send(world.joke(rows=120))
    totals = await world.run(run_id)

    assert totals.state is RunState.SUCCEEDED
    (body,) = (body for key, body in world.objects.bodies.items() if key.startswith(f"results/{run_id}/part-"))
    topic = pq.read_metadata(io.BytesIO(body)).row_group(0).column(0)
    assert (topic.path_in_schema, topic.compression) == ("topic", "ZSTD")
    assert not topic.is_stats_set, "a column that is encoded for the part has statistics"
    assert world.result(run_id).column("topic").to_pylist() == [f"topic number {row}" for row in range(120)]


async def test_numbers_and_times_of_copied_rows_have_statistics():
    world = SimulatedWorld()
    table = pa.table({"topic": [f"topic number {row}" for row in range(400)], "row": range(400), "day": [DAY] * 400})

    run_id = world.send(world.joke(s3_uri=world.parquet(table, row_group_size=400), max_records_per_job=100))

    assert (await world.run(run_id)).state is RunState.SUCCEEDED
    assert any(key.startswith(f"rows/{run_id}/") for key in world.objects.bodies)
    bodies = [body for key, body in world.objects.bodies.items() if key.startswith(f"results/{run_id}/part-")]
    groups = [pq.read_metadata(io.BytesIO(body)).row_group(0) for body in bodies]
    assert len(groups) > 1
    for group in groups:
        has = {group.column(at).path_in_schema: group.column(at).is_stats_set for at in range(3)}
        assert has == {"topic": False, "row": True, "day": True}
    assert min(group.column(1).statistics.min for group in groups) == 0
