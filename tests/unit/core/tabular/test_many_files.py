"""Several files as one table, counted and read: columns that files lack, types that differ, values in folders' names."""

from __future__ import annotations

import datetime as dt
import gzip

import duckdb
import pyarrow as pa
import pytest

from quarry_core.contract.csv_dialect import Csv
from quarry_core.contract.prompts import MissingColumn
from quarry_core.tabular.errors import SourceError
from tests.unit.core.tabular.planted import counted, parquet, rows_of


def test_a_folder_of_parquet_with_a_column_added_and_a_type_widened():
    files = {
        "in/0.parquet": parquet(pa.table({"id": pa.array([1, 2], pa.int32()), "text": ["a", "b"]})),
        "in/1.parquet": parquet(pa.table({"id": pa.array([], pa.string()), "ghost": pa.array([], pa.int8())})),
        "in/2.parquet": parquet(
            pa.table({"text": ["c", None], "id": pa.array([2**40, None]), "new": pa.array([[1], None])})
        ),
    }
    found = counted("parquet", files)
    assert found.dataset.schema == pa.schema([("id", pa.int64()), ("text", pa.string()), ("new", pa.list_(pa.int64()))])
    assert found.dataset.count.file_rows == (2, 0, 2)
    assert found.dataset.count.notes == (
        "column 'id' is read as int64: it is int32 in in/0.parquet, int64 in in/2.parquet",
        "column 'new' is missing in 1 of 2 files (first in in/0.parquet); it is null there",
    )
    assert found.gaps == 1
    assert rows_of(found.dataset) == [
        {"id": 1, "text": "a", "new": None},
        {"id": 2, "text": "b", "new": None},
        {"id": 2**40, "text": "c", "new": [1]},
        {"id": None, "text": None, "new": None},
    ]
    assert rows_of(found.dataset, 1, 2, ["new"]) == [{"new": None}, {"new": [1]}]


def test_csv_files_with_columns_in_another_order_are_matched_by_name():
    files = {"in/0.csv": b"id,text\n1,a\n", "in/1.csv": b"text,id,more\nb,2,x\n"}
    assert rows_of(counted("csv", files).dataset) == [
        {"id": "1", "text": "a", "more": None},
        {"id": "2", "text": "b", "more": "x"},
    ]


def test_rows_of_a_file_that_lacks_a_column_of_the_prompt_are_gaps():
    files = {"in/0.csv": b"id,text\n1,a\n", "in/1.csv": b"id\n2\n3\n"}
    assert counted("csv", files).gaps == 2
    files = {
        "in/0.parquet": parquet(pa.table({"text": [1, 2]})),
        "in/1.parquet": parquet(pa.table({"id": [1, 2, 3]})),
    }
    assert counted("parquet", files).gaps == 3


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_values_of_folders_are_columns_and_may_stand_in_the_prompt(form):
    bodies = [b"text\na\n", b"text\nb\n"] if form == "csv" else [parquet(pa.table({"text": [t]})) for t in "ab"]
    files = {f"in/zip=01/day={n}/f.{form}": body for n, body in enumerate(bodies)}
    found = counted(
        form,
        files,
        template="{zip} {day} {text}",
        partitions={"zip": ["01", "02"], "day": ["2026-01-02", None]},
        partition_types={"day": "date"},
    )
    assert found.gaps == 1
    assert rows_of(found.dataset) == [
        {"text": "a", "zip": "01", "day": dt.date(2026, 1, 2)},
        {"text": "b", "zip": "02", "day": None},
    ]
    assert rows_of(found.dataset, columns=["zip"]) == [{"zip": "01"}, {"zip": "02"}]


def test_a_folders_column_stands_behind_the_files_own_also_if_they_have_it_too():
    files = {
        "in/year=2025/f.parquet": parquet(pa.table({"year": [2025], "text": ["a"]})),
        "in/year=2026/f.parquet": parquet(pa.table({"year": ["2026"], "text": ["b"]})),
    }
    found = counted("parquet", files, partitions={"year": ["2025", "2026"]})
    assert rows_of(found.dataset) == [{"text": "a", "year": "2025"}, {"text": "b", "year": "2026"}]


REFUSED = [
    (
        {"0": pa.table({"text": ["a"], "n": [1]}), "1": pa.table({"text": ["b"], "n": ["1"]})},
        {},
        (
            "column 'n' is int64 in in/0 and string in in/1, and no type holds both without a change; cast it to one type "
            "in all files, or leave it out with `columns`"
        ),
    ),
    (
        {"0": pa.table({"text": ["a", "b"], "n": [1, 2**60]}), "1": pa.table({"text": ["b"], "n": [0.5]})},
        {},
        (
            "in/0: column 'n', data row 2: 1152921504606846976 is a whole number beyond 2**53, which float64 rounds; over "
            "all files the column is double: cast it to text in all files, or correct the value"
        ),
    ),
    (
        {"0": pa.table({"text": ["a", "b"], "p": ["7", "8"]})},
        {"partitions": {"p": ["7"]}},
        "in/0: column 'p' is '8' in data row 2, and the folder says '7'; rename the column or the folder",
    ),
    (
        {"0": pa.table({"text": ["a"], "Year": [1]})},
        {"partitions": {"year": ["7"]}},
        "column 'Year' of in/0 and the folders named year=… differ only in upper and lower case; rename one of them",
    ),
    (
        {"0": pa.table({"text": ["a"]})},
        {"partitions": {"p": ["x"]}, "partition_types": {"p": "int"}},
        (
            "in/0: the folder p='x' holds no int, which partition_types asks for; take 'p' out of partition_types to have "
            "it as text"
        ),
    ),
]


@pytest.mark.parametrize(("tables", "options", "sentence"), REFUSED)
def test_what_is_no_one_table_is_refused_when_it_is_counted(tables, options, sentence):
    files = {f"in/{name}": parquet(table) for name, table in tables.items()}
    with pytest.raises(SourceError) as refused:
        counted("parquet", files, **options)
    assert str(refused.value) == sentence


def test_a_column_of_the_prompt_that_no_file_has_is_missing():
    with pytest.raises(MissingColumn, match="text"):
        counted("csv", {"in/0.csv": b"a\n1\n", "in/1.csv": b"b\n1\n"}, csv=Csv(header=True))


# --------------------------------------------------------------------------- annotations


def intervals(path, sql: str) -> bytes:
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet)")
    return path.read_bytes()


ONE_INTERVAL = "SELECT INTERVAL '3 days' AS i, 'a' AS text"


@pytest.mark.parametrize(
    ("second", "options"),
    [
        ("SELECT 'b' AS text, INTERVAL '4 days' AS i, 1 AS more", {}),
        ("SELECT 'b' AS text", {}),
        (ONE_INTERVAL, {"partitions": {"day": ["1", "2"]}}),
        (ONE_INTERVAL, {"columns": ("text", "i")}),
    ],
    ids=["a column more", "a column less", "folders", "chosen"],
)
def test_what_a_file_says_of_a_column_beyond_arrow_is_kept_beside_other_files(tmp_path, second, options):
    files = {"in/0": intervals(tmp_path / "0", ONE_INTERVAL), "in/1": intervals(tmp_path / "1", second)}
    dataset = counted("parquet", files, **options).dataset
    (kept,) = dataset.count.annotations
    assert kept.leaf == dataset.schema.names.index("i")
    assert kept.converted == 21


def test_a_column_that_is_cast_has_no_annotation_to_keep(tmp_path):
    plain = pa.table({"i": pa.array([b"x" * 13], pa.binary(13)), "text": ["b"]})
    files = {"in/0": intervals(tmp_path / "0", ONE_INTERVAL), "in/1": parquet(plain)}
    assert counted("parquet", files).dataset.count.annotations == ()


# --------------------------------------------------------------------------- headers


SNOWFLAKE = {f"in/data_0_{n}_0.csv": f'{n},"text {n}",en\n{n + 1},x,en\n'.encode() for n in range(3)}


def test_files_that_may_have_no_header_are_asked_about():
    with pytest.raises(SourceError) as refused:
        counted("csv", SNOWFLAKE)
    assert str(refused.value) == (
        "csv.header: no two of the files begin alike (in/data_0_0_0.csv with 0, text 0, en, in/data_0_1_0.csv with 1, text 1, "
        'en): if they have no header, name the columns in csv.header, as in ["id", "text"]; if they have different ones, set '
        "it to true"
    )
    dataset = counted("csv", SNOWFLAKE, csv=Csv(header=("id", "text", "lang"))).dataset
    assert rows_of(dataset, 0, 3) == [
        {"id": "0", "text": "text 0", "lang": "en"},
        {"id": "1", "text": "x", "lang": "en"},
        {"id": "1", "text": "text 1", "lang": "en"},
    ]


def test_headers_that_are_said_to_be_different_or_are_not_all_different_are_taken():
    different = {"in/0": b"id,text\n1,a\n", "in/1": b"id,body\n2,b\n"}
    with pytest.raises(SourceError, match=r"csv\.header: no two of the files begin alike"):
        counted("csv", different)
    assert counted("csv", different, csv=Csv(header=True)).dataset.schema.names == ["id", "text", "body"]
    for third in (b"text,id\nc,3\n", b"id,text,more\n3,c,x\n"):
        assert counted("csv", {**different, "in/2": third}).dataset.count.rows == 3


def test_a_compressed_file_of_nothing_is_a_part_without_rows():
    files = {"in/0.csv.gz": gzip.compress(b""), "in/1.csv.gz": gzip.compress(b"text\na\n"), "in/2.csv": b"text\n"}
    assert counted("csv", files).dataset.count.file_rows == (0, 1, 0)
    with pytest.raises(SourceError, match="in/1 is empty"):
        counted("csv", {"in/0": b"text\na\n", "in/1": b""})
