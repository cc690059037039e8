import datetime as dt
import decimal
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_collector.parts import Identity, counts_of, read_outcome, write_outcome, write_part
from quarry_collector.settle import ErrorCode, NotConserved
from quarry_core.contract.result_names import ColumnTaken
from quarry_core.errors import Conflict, Missing
from quarry_core.ports import ObjectRef
from tests.unit.collector.builders import CLAUDE, SHARD, TITAN, answer, failure, rid, rows_of, settled, vector
from tests.world.objects import FakeObjects

IDENTITY = Identity("r1", SHARD, 1, "5ha")
OUTCOME = f"outcomes/r1/{SHARD}-1.parquet"
PART = f"results/r1/part-{SHARD}.parquet"


def source_of(rows, **columns):
    return pa.table({"number": pa.array(range(rows)), "text": [f"row {row}" for row in range(rows)], **columns})


def part_of(source, outcome, batch_rows=1_024, identity=IDENTITY):
    objects = FakeObjects()
    written = write_part(objects, identity, source.schema, source.to_batches(batch_rows), outcome)
    assert written.created
    return pq.read_table(io.BytesIO(objects.bodies[PART]))


@pytest.mark.promise("S3")
def test_the_part_is_the_source_in_its_order_with_the_outcome_beside_it():
    with settled([answer(2), failure(0), answer(3)], 4) as outcome:
        part = part_of(source_of(4), outcome)

    assert part.column("number").to_pylist() == [0, 1, 2, 3]
    assert part.column("record_id").to_pylist() == [rid(row) for row in range(4)]
    assert part.column("response").to_pylist() == [None, None, "answer 2", "answer 3"]
    assert part.column("error_code").to_pylist() == ["MODEL_ERROR", "MISSING", None, None]


def test_types_values_and_metadata_come_back_as_the_source_has_them():
    source = pa.table(
        {
            "when": pa.array([dt.datetime(2026, 1, 2, tzinfo=dt.UTC), None], pa.timestamp("us", "UTC")),
            "nano": pa.array([1, 2], pa.timestamp("ns")),
            "price": pa.array([decimal.Decimal("1.50"), None]),
            "kind": pa.array(["a", "b"]).dictionary_encode(),
            "large": pa.array(["x", None], pa.large_string()),
            "raw": pa.array([b"\x00\xff", b""]),
            "nested": pa.array([{"tags": ["x"]}, None], pa.struct([("tags", pa.list_(pa.field("item", pa.string())))])),
            "small": pa.array([1, None], pa.uint8()),
            "nothing": pa.nulls(2),
            "a.b": pa.array(["dotted", "name"]),
            "words": pa.array(["NA", "null"]),
        }
    ).replace_schema_metadata({"origin": "unit test"})
    stored = io.BytesIO()
    pq.write_table(source, stored, use_compliant_nested_type=False)
    source = pq.read_table(stored)

    with settled([answer(0), answer(1)], 2) as outcome:
        part = part_of(source, outcome)

    columns = part.select(source.schema.names)
    assert columns.equals(source)
    assert columns.schema.equals(source.schema, check_metadata=True)
    assert columns.schema.field("nested").type.field("tags").type.value_field.name == "item"


def test_parts_of_answers_of_errors_and_of_embeddings_have_one_schema_each():
    with settled([], 2, status="Stopped") as errors, settled([answer(0), answer(1)], 2) as answers:
        assert part_of(source_of(2), errors).schema.equals(part_of(source_of(2), answers).schema, check_metadata=True)
    with settled([], 2, status="Stopped", family=TITAN) as errors, settled([vector(0, [1])], 2, family=TITAN) as found:
        part = part_of(source_of(2), found)
        assert part_of(source_of(2), errors).schema.equals(part.schema, check_metadata=True)
    assert part.column("embedding").to_pylist() == [[1.0], None]
    assert part.column("embedding").type.value_type == pa.float32()


@pytest.mark.promise("S3")
@given(rows=st.integers(1, 2_500), batch_rows=st.integers(1, 2_500))
def test_however_the_source_is_cut_into_batches_the_rows_stay_beside_their_outcomes(rows, batch_rows):
    with settled([answer(row) for row in range(0, rows, 97)], rows) as outcome:
        part = part_of(source_of(rows), outcome, batch_rows=max(batch_rows, rows // 40))

    assert part.column("number").to_pylist() == list(range(rows))
    assert part.column("record_id").to_pylist() == [rid(row) for row in range(rows)]


@pytest.mark.promise("S3")
@pytest.mark.parametrize("rows", [3, 5])
def test_a_source_of_another_length_than_the_outcome_publishes_nothing(rows):
    objects = FakeObjects()

    with settled([answer(0)], 4) as outcome, pytest.raises(NotConserved):
        write_part(objects, IDENTITY, source_of(rows).schema, source_of(rows).to_batches(), outcome)

    assert objects.bodies == {}


def test_a_source_with_a_column_of_ours_publishes_nothing():
    objects = FakeObjects()
    source = source_of(1, status=["mine"])

    with settled([answer(0)], 1) as outcome, pytest.raises(ColumnTaken, match="status"):
        write_part(objects, IDENTITY, source.schema, source.to_batches(), outcome)

    assert objects.bodies == {}


def test_an_outcome_is_read_back_as_it_was_written():
    objects = FakeObjects()
    unsent = [(3, ErrorCode.NULL_INPUT, "null")]
    with settled([answer(2), failure(0), b"?"], 4, unsent=unsent) as outcome:
        written = write_outcome(objects, IDENTITY, outcome)
        rows = rows_of(outcome)

    again = read_outcome(objects, IDENTITY)

    assert written.created
    assert written.settlement == again.settlement == outcome.settlement
    assert again.answer_column == "response"
    assert rows_of(again) == rows
    assert again.schema.equals(outcome.schema)


@pytest.mark.parametrize("family", [CLAUDE, TITAN], ids=["text", "embedding"])
@pytest.mark.promise("S4")
def test_a_part_made_from_the_stored_outcome_is_the_same_bytes_as_one_from_the_spool(family):
    objects = FakeObjects()
    lines = [answer(row) if family is CLAUDE else vector(row, [row, 0.5]) for row in range(0, 3_000, 2)]
    source = source_of(3_000)
    with settled(lines, 3_000, family=family) as outcome:
        write_outcome(objects, IDENTITY, outcome)
        write_part(objects, IDENTITY, source.schema, source.to_batches(1_024), outcome)
    other = FakeObjects()

    write_part(other, IDENTITY, source.schema, source.to_batches(1_024), read_outcome(objects, IDENTITY))

    assert pq.read_table(io.BytesIO(other.bodies[PART])).equals(pq.read_table(io.BytesIO(objects.bodies[PART])))


def test_metadata_says_what_an_object_is_and_its_counts():
    objects = FakeObjects()
    with settled([answer(0), failure(1)], 3) as outcome:
        write_outcome(objects, IDENTITY, outcome)
        write_part(objects, IDENTITY, source_of(3).schema, source_of(3).to_batches(), outcome)

    for key, kind in ((OUTCOME, "outcome"), (PART, "part")):
        metadata = objects.head(ObjectRef(key)).metadata
        identity = {"kind": kind, "run": "r1", "shard": SHARD, "attempt": "1", "plan": "5ha"}
        assert identity.items() <= metadata.items()
        counts = counts_of(metadata)
        assert (counts.rows, counts.ok, dict(counts.errors)) == (3, 1, {"MODEL_ERROR": 1, "MISSING": 1})
        assert (counts.input_tokens, counts.output_tokens) == (7, 3)


@pytest.mark.promise("S4")
def test_settling_twice_writes_once():
    objects = FakeObjects()
    for created in (True, False):
        with settled([answer(0)], 2) as outcome:
            assert write_outcome(objects, IDENTITY, outcome).created is created
            part = write_part(objects, IDENTITY, source_of(2).schema, source_of(2).to_batches(), outcome)
            assert part.created is created


@pytest.mark.promise("S4", "S8")
def test_who_settles_late_and_otherwise_is_reported_of_the_outcome_that_stands():
    objects = FakeObjects()
    with settled([answer(0)], 2) as first:
        write_outcome(objects, IDENTITY, first)
    before = objects.bodies
    with settled([answer(0), answer(1)], 2) as second:
        written = write_outcome(objects, IDENTITY, second)

    assert not written.created
    assert written.settlement == first.settlement
    assert objects.bodies == before


@pytest.mark.promise("S4")
@pytest.mark.parametrize("other", [Identity("r1", SHARD, 1, "other"), Identity("r2", SHARD, 1, "5ha")])
def test_an_object_of_another_plan_is_a_conflict(other):
    objects = FakeObjects()
    objects.plant(OUTCOME, b"x", metadata=other.metadata("outcome"))
    objects.plant(PART, b"x", metadata=other.metadata("part"))

    with settled([answer(0)], 1) as outcome:
        with pytest.raises(Conflict):
            write_outcome(objects, IDENTITY, outcome)
        with pytest.raises(Conflict):
            write_part(objects, IDENTITY, source_of(1).schema, source_of(1).to_batches(), outcome)
    with pytest.raises(Conflict):
        read_outcome(objects, IDENTITY)


def test_an_outcome_that_does_not_stand_is_missing():
    with pytest.raises(Missing):
        read_outcome(FakeObjects(), IDENTITY)


def test_row_groups_are_bounded_in_rows_and_bytes():
    objects = FakeObjects()
    rows = 9_000
    wide = source_of(rows, wide=["x" * 2_500] * rows)
    with settled([], rows, status="Stopped") as outcome:
        write_outcome(objects, IDENTITY, outcome)
        write_part(objects, IDENTITY, wide.schema, wide.to_batches(1_024), outcome)

    outcome_file, part_file = (pq.ParquetFile(io.BytesIO(objects.bodies[key])) for key in (OUTCOME, PART))

    assert [outcome_file.metadata.row_group(n).num_rows for n in range(2)] == [8_192, 808]
    sizes = [part_file.metadata.row_group(n).num_rows for n in range(part_file.num_row_groups)]
    assert sum(sizes) == rows
    assert max(sizes) == 3 * 1_024


def test_a_broken_source_leaves_nothing_behind():
    objects = FakeObjects()

    def rows():
        yield from source_of(2).to_batches()
        raise OSError("the source went away")

    with settled([answer(0)], 4) as outcome, pytest.raises(OSError, match="went away"):
        write_part(objects, IDENTITY, source_of(2).schema, rows(), outcome)

    assert objects.bodies == {}
