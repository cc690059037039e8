"""Chosen rows and columns: exactly those of the manifest, whichever range is read, by whoever comes later."""

from __future__ import annotations

import io
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract.selection import Sample
from quarry_core.contract.splits import SplitSlice
from quarry_core.planning import count_csv, count_jsonl, counting, selecting
from quarry_core.planning.counting import count_source, write_count
from quarry_core.tabular.dataset import open_dataset
from quarry_core.tabular.errors import SourceError
from tests.examples import examples
from tests.unit.core.tabular.planted import RUN, counted, parquet, pinned, rows_of
from tests.world.objects import FakeObjects

ROWS = [
    {"id": n, "text": f"t{n}", "lang": random.Random(n).choice(["en", "de", ""]), "stars": n * 7 % 11}
    for n in range(500)
]
SIZES = [120, 0, 200, 180]


def body_of(form: str, rows: list[dict]) -> bytes:
    if form == "csv":
        lines = ["id,text,lang,stars", *(",".join(map(str, row.values())) for row in rows)]
        return "".join(f"{line}\n" for line in lines).encode()
    if form == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    schema = pa.schema([("id", pa.int32()), ("text", pa.string()), ("lang", pa.string()), ("stars", pa.int8())])
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), sink, row_group_size=37)
    return sink.getvalue()


def files_of(form: str) -> dict[str, bytes]:
    files, first = {}, 0
    for place, size in enumerate(SIZES):
        files[f"in/{place}.{form}"] = body_of(form, ROWS[first : first + size])
        first += size
    return files


@pytest.fixture
def small(monkeypatch):
    """Places to begin at every few rows."""
    monkeypatch.setattr(count_csv, "OFFSET_EVERY_ROWS", 16)
    monkeypatch.setattr(count_jsonl, "OFFSET_EVERY_ROWS", 16)
    monkeypatch.setattr(count_jsonl, "LINES_AT_ONCE", 10)
    monkeypatch.setattr(selecting, "MARK_EVERY_ROWS", 16)
    monkeypatch.setattr(counting, "GROUP_FILES_MAX", 2)


def ids(rows: list[dict]) -> list[int]:
    return [int(row["id"]) for row in rows]


FORMS = pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
TAKEN = [ROWS[n]["id"] for n in range(500) if ROWS[n]["lang"] == "en" and ROWS[n]["stars"] >= 4]


@FORMS
def test_any_range_of_the_rows_that_a_condition_takes(form, small):
    objects = FakeObjects()
    pins = pinned(objects, form, files_of(form), where="lang = 'en' and stars >= 4")
    first = count_source(objects, RUN, pins).dataset
    write_count(first, RUN)
    for dataset in (first, open_dataset(objects, RUN, pins.source)):
        assert dataset.count.rows == len(TAKEN)
        assert dataset.count.source_rows == 500
        assert sum(dataset.count.file_rows) == len(TAKEN)
        for begin in range(0, len(TAKEN) + 1, 9):
            for rows in (0, 1, 5, len(TAKEN) - begin):
                if begin + rows <= len(TAKEN):
                    assert ids(rows_of(dataset, begin, rows, ["id"])) == TAKEN[begin : begin + rows]
    assert f"where takes {len(TAKEN)} of 500 rows" in first.count.notes


@FORMS
@pytest.mark.parametrize("sample", [Sample(rows=37), Sample(rows=37, seed=5), Sample(share=0.2), Sample(rows=1)])
@pytest.mark.parametrize("where", ["", "stars < 7"])
def test_a_sample_is_the_same_rows_in_every_format_and_whoever_reads_it(form, sample, where, small):
    objects = FakeObjects()
    pins = pinned(objects, form, files_of(form), where=where, sample=sample)
    first = count_source(objects, RUN, pins).dataset
    write_count(first, RUN)
    again = open_dataset(objects, RUN, pins.source)
    found = ids(rows_of(first))
    assert found == sorted(set(found))
    assert ids(rows_of(again)) == found
    assert ids(rows_of(again, len(found) // 2, len(found) - len(found) // 2)) == found[len(found) // 2 :]
    assert all(not where or ROWS[n]["stars"] < 7 for n in found)
    if sample.rows is not None:
        assert len(found) == sample.rows
    reference = counted("jsonl", files_of("jsonl"), where=where, sample=sample).dataset
    assert ids(rows_of(reference)) == found


def test_more_rows_than_there_are_is_all_of_them():
    dataset = counted("csv", files_of("csv"), sample=Sample(rows=1_000_000)).dataset
    assert ids(rows_of(dataset)) == list(range(500))


def test_a_sample_without_a_condition_reads_nothing_more(monkeypatch):
    objects = FakeObjects()
    pins = pinned(objects, "csv", files_of("csv"), sample=Sample(share=0.1))
    opened = []
    stream = objects.stream
    monkeypatch.setattr(
        objects, "stream", lambda ref, start=0, end=None: (opened.append(ref.key), stream(ref, start, end))[1]
    )
    chosen = []
    monkeypatch.setattr(
        counting, "choose_rows", lambda *args: chosen.append(len(opened)) or selecting.choose_rows(*args)
    )
    monkeypatch.setattr(counting, "check_ids", lambda *_: chosen.append(len(opened)))
    count_source(objects, RUN, pins)
    assert chosen == [4, 4]


@FORMS
def test_a_pass_that_ended_goes_on_behind_the_files_that_it_noted(form, small, monkeypatch):
    objects = FakeObjects()
    pins = pinned(objects, form, files_of(form), where="stars = 3")
    taken = selecting.Chooser.taken

    def ends(self, batch, row, file, file_row):
        if file.startswith("in/2"):
            raise OSError("the worker ends here")
        return taken(self, batch, row, file, file_row)

    with monkeypatch.context() as broken:
        broken.setattr(selecting.Chooser, "taken", ends)
        with pytest.raises(OSError, match="ends here"):
            count_source(objects, RUN, pins)
    assert "plans/run/chosen/00000.json" in objects.bodies
    seen = []
    monkeypatch.setattr(selecting.Chooser, "taken", lambda *args: seen.append(args[3]) or taken(*args))
    marks = selecting._marks
    monkeypatch.setattr(selecting, "_marks", lambda *args: seen.append(f"marks {args[3]}") or marks(*args))
    dataset = count_source(objects, RUN, pins).dataset
    assert [each for each in seen if each.startswith("marks")] == ["marks 2", "marks 3"]
    assert ids(rows_of(dataset)) == [row["id"] for row in ROWS if row["stars"] == 3]


# --------------------------------------------------------------------------- columns


@FORMS
def test_columns_come_back_in_their_order_and_others_may_be_asked_for(form):
    dataset = counted(form, files_of(form), columns=("text", "id"), where="lang = 'de'", sample=Sample(rows=5)).dataset
    assert dataset.schema.names == ["text", "id"]
    assert dataset.count.columns == ("text", "id")
    rows = rows_of(dataset)
    assert len(rows) == 5
    assert all(list(row) == ["text", "id"] and ROWS[int(row["id"])]["lang"] == "de" for row in rows)
    assert rows_of(dataset, 1, 2, ["id"]) == [{"id": row["id"]} for row in rows[1:3]]


def test_a_condition_may_ask_for_a_folders_value_and_for_what_some_files_lack():
    files = {"in/y=1/f": b"text,n\na,1\nb,2\n", "in/y=2/f": b"text\nc\n", "in/y=0/f": b"text,n\nd,\n"}
    options = {"partitions": {"y": ["1", "2", None]}, "partition_types": {"y": "int"}, "columns": ("text",)}
    for where, texts in (
        ("y = 1", "ab"),
        ("y is null", "d"),
        ("n is null", "c"),
        ("n > 1 or y = 2", "bc"),
        ("not y = 1", "c"),
    ):
        dataset = counted("csv", files, where=where, **options).dataset
        assert [row["text"] for row in rows_of(dataset)] == list(texts), where
        assert dataset.schema.names == ["text"]


def test_views_nested_columns_and_categories_come_through_a_choice():
    table = pa.table(
        {
            "text": pa.array(["a", "b", "c", "d"], pa.string_view()),
            "kind": pa.array(["x", "y", "x", None]).dictionary_encode(),
            "tags": pa.array([["p"], None, [], ["q", "r"]], pa.list_(pa.string_view())),
            "n": pa.array([1, 2, 3, 4], pa.int8()),
        }
    )
    dataset = counted("parquet", {"in/0": parquet(table)}, where="n <> 2 and kind = 'x' or n = 4").dataset
    assert rows_of(dataset) == [row for row in table.to_pylist() if row["n"] != 2]
    assert dataset.schema == pq.read_schema(io.BytesIO(parquet(table)))


# --------------------------------------------------------------------------- ids


@FORMS
def test_ids_that_are_all_different_are_no_matter(form):
    assert counted(form, files_of(form), id_column="id").dataset.count.rows == 500
    assert counted(form, files_of(form), id_column="text", where="stars > 2").dataset.count.rows < 500


IDS = [
    (
        {"0": "id,text\n1,a\n2,b\n", "1": "id,text\n3,c\n2,d\n2,e\n"},
        {},
        (
            "id_column: in/1: data row 2 has the id '2' in the column 'id', which in/0: data row 2 has too; give each row an "
            "id of its own"
        ),
    ),
    (
        {"0": "id,text,n\n1,a,1\n2,b,0\n3,c,1\n", "1": "id,text,n\n4,c,0\n3,d,1\n"},
        {"where": "n = 1"},
        (
            "id_column: in/1: data row 2 has the id '3' in the column 'id', which in/0: data row 3 has too; give each row an "
            "id of its own"
        ),
    ),
    (
        {"0": 'id,text\n1,a\n"",b\n'},
        {},
        (
            "id_column: in/0: data row 2 has no value in the column 'id'; give each row an id, or leave such rows out with "
            "where"
        ),
    ),
    (
        {"0": "id,text\n1,a\n", "1": "text\nb\n"},
        {},
        (
            "id_column: in/1: data row 1 has no value in the column 'id'; give each row an id, or leave such rows out with "
            "where"
        ),
    ),
]


@pytest.mark.parametrize(("files", "options", "sentence"), IDS)
def test_ids_that_are_missing_or_not_unique_are_refused_naming_rows_and_files(files, options, sentence):
    bodies = {f"in/{name}": text.encode() for name, text in files.items()}
    with pytest.raises(SourceError) as refused:
        counted("csv", bodies, id_column="id", **options)
    assert str(refused.value) == sentence


def test_rows_that_are_not_taken_may_share_an_id():
    files = {"in/0": b"id,text,n\n1,a,0\n1,b,1\n,c,0\n"}
    assert counted("csv", files, id_column="id", where="n = 1").dataset.count.rows == 1


@pytest.mark.parametrize(
    ("array", "again"),
    [
        (pa.array([2**64 - 1, 1], pa.uint64()), pa.array([1, 1], pa.uint64())),
        (pa.array([b"x" * 16, b"y" * 16], pa.uuid()), pa.array([b"x" * 16] * 2, pa.uuid())),
        (pa.array(["a", "b"], pa.string_view()), pa.array(["a", "a"], pa.string_view())),
        (pa.array(["a", "b"]).dictionary_encode(), pa.array(["a", "a"]).dictionary_encode()),
    ],
    ids=lambda array: str(array.type),
)
def test_ids_may_be_of_these_types(array, again):
    options = {"id_column": "id"}
    assert counted("parquet", {"in/0": parquet(pa.table({"id": array, "text": ["a", "b"]}))}, **options)
    with pytest.raises(SourceError, match=r"in/0: data row 2 has the id .* which in/0: data row 1 has too"):
        counted("parquet", {"in/0": parquet(pa.table({"id": again, "text": ["a", "b"]}))}, **options)


REFUSED = [
    (
        {"columns": ("txt",)},
        "columns: the dataset has no column 'txt'; did you mean 'text'? (it has 'id', 'text', 'lang', ",
    ),
    (
        {"columns": ("text",), "where": "lng = 'en'"},
        "where: the dataset has no column 'lng'; did you mean 'lang'? (it has",
    ),
    ({"id_column": "ID"}, "id_column: the dataset has no column 'ID'; did you mean 'id'? (it has"),
    ({"where": "stars >= 99"}, "where: none of 500 rows is taken; write it wider"),
    ({"sample": Sample(share=1e-9)}, "sample: none of 500 rows is taken; take a larger share, or so many rows"),
    (
        {"where": "text > 3"},
        "in/0.csv: column 'text', data row 1: 't0' is no number, and where asks for one; compare it",
    ),
    ({"where": "lang = true"}, "in/0.csv: column 'lang', data row "),
]


@pytest.mark.parametrize(("options", "sentence"), REFUSED, ids=lambda one: "" if isinstance(one, dict) else one[:30])
def test_a_choice_that_does_not_fit_the_source_is_refused(options, sentence):
    with pytest.raises(SourceError) as refused:
        counted("csv", files_of("csv"), **options)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("kind", ["float", "list", "json"])
def test_what_cannot_be_an_id_is_refused(kind):
    lines = {"float": "[0.5, 1.5]", "list": "[[1], [2]]", "json": '["a", 1]'}
    rows = [{"text": "t", "id": value} for value in json.loads(lines[kind])]
    with pytest.raises(
        SourceError, match="ids are texts, whole numbers or UUIDs: name another column, or cast it to text"
    ):
        counted("jsonl", {"in/0": body_of("jsonl", rows)}, id_column="id")


def test_gaps_are_those_of_the_rows_that_are_taken():
    rows = [{"text": None if n % 3 == 0 else "t", "n": n} for n in range(30)]
    files = {"in/0": body_of("jsonl", rows[:20]), "in/1": body_of("jsonl", rows[20:])}
    assert counted("jsonl", files).gaps == 10
    assert counted("jsonl", files, where="n < 10").gaps == 4
    sampled = counted("jsonl", files, sample=Sample(rows=7))
    assert sampled.gaps == sum(row["text"] is None for row in rows_of(sampled.dataset))


@examples(25)
@given(st.integers(0, 2**62), st.integers(1, 60), st.sampled_from(["", "stars < 5", "stars < 0 or lang = 'en'"]))
def test_a_sample_of_any_seed_is_a_part_of_the_larger_one_of_that_seed(seed, rows, where):
    files = {"in/0": body_of("jsonl", ROWS[:100]), "in/1": body_of("jsonl", ROWS[100:150])}
    small = counted("jsonl", files, where=where, sample=Sample(rows=rows, seed=seed)).dataset
    large = counted("jsonl", files, where=where, sample=Sample(rows=rows + 13, seed=seed)).dataset
    assert set(ids(rows_of(small))) <= set(ids(rows_of(large)))


def test_a_row_of_a_slice_is_named_by_its_place_in_the_file():
    objects = FakeObjects()
    slices = (SplitSlice(split="train", first=2, last=5, files=1),)
    pins = pinned(objects, "csv", {"in/0": b"id,text\n1,a\n1,b\n2,c\n3,d\n2,e\n"}, slices=slices, id_column="id")
    with pytest.raises(SourceError) as refused:
        count_source(objects, RUN, pins)
    assert str(refused.value) == (
        "id_column: in/0: data row 5 has the id '2' in the column 'id', which in/0: data row 3 has too; give each row an id "
        "of its own"
    )
    objects = FakeObjects()
    pins = pinned(objects, "csv", {"in/0": b"id,text\n1,a\n1,b\n2,c\n3,d\n2,e\n"}, slices=slices, where="text > 3")
    with pytest.raises(SourceError, match="in/0: column 'text', data row 3: 'c' is no number"):
        count_source(objects, RUN, pins)
