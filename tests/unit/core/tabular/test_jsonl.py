"""JSONL as a table: what each line must be, which type a column has, and that no value changes on the way."""

from __future__ import annotations

import io
import json
from decimal import Decimal

import duckdb
import msgspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract.prompts import parse_template
from quarry_core.models import family_of
from quarry_core.planning import count_jsonl as counting
from quarry_core.planning import counting as all_files
from quarry_core.planning.count_file import inspect, sample
from quarry_core.planning.count_jsonl import count_jsonl
from quarry_core.planning.counting import count_source
from quarry_core.rendering.encode import Encoder
from quarry_core.tabular.counted import Count
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.json_column import is_json
from quarry_core.tabular.rows import read_rows
from tests.unit.core.tabular.planted import MODEL, RUN, pinned, rows_of
from tests.unit.core.tabular.planted import counted as dataset_of
from tests.world.objects import FakeObjects


def counted(body: bytes) -> Count:
    return count_jsonl(io.BytesIO(body), "data.jsonl")


def table_of(body: bytes) -> pa.Table:
    objects = FakeObjects()
    ref = objects.plant("data.jsonl", body)
    count = inspect(objects, ref, "jsonl")
    return pa.Table.from_batches(read_rows(objects, ref, count, 0, count.rows), count.schema)


def column(*values: str) -> pa.ChunkedArray:
    """Of a file with these values, as they are written."""
    return table_of("".join(f'{{"n": {n}, "x": {value}}}\n' for n, value in enumerate(values)).encode())["x"]


# --------------------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (['"01"', '"NA"', '""'], pa.string(), ["01", "NA", ""]),
        (["true", "null", "false"], pa.bool_(), [True, None, False]),
        (["1", "-2", "null"], pa.int64(), [1, -2, None]),
        (["9223372036854775807", "-9223372036854775808"], pa.int64(), [2**63 - 1, -(2**63)]),
        (["0", "18446744073709551615"], pa.uint64(), [0, 2**64 - 1]),
        (["-1", "18446744073709551615"], pa.decimal128(38, 0), [Decimal(-1), Decimal(2**64 - 1)]),
        (["9" * 38, "null"], pa.decimal128(38, 0), [Decimal("9" * 38), None]),
        (["1", "0.5", "1e3", "9007199254740992"], pa.float64(), [1.0, 0.5, 1000.0, 2.0**53]),
        (["null", "null"], pa.string(), [None, None]),
    ],
)
def test_a_column_of_one_kind_has_its_type(values, kind, expected):
    found = column(*values)
    assert found.type == kind
    assert found.to_pylist() == expected


@pytest.mark.parametrize(
    "values",
    [
        ['"text"', '["a", {"b":1}]', "null"],
        ['{"a": 1}', '{"b": [ 1,2 ]}'],
        ["[1]", "[]"],
        ["1", '"1"'],
        ["true", "1"],
        ["1.5", "9007199254740993"],
        ["1.5", "-9007199254740993"],
        ["9" * 39],
        ["9" * 5000],
        ["1e400", "1"],
    ],
    ids=lambda values: " ".join(values)[:40],
)
def test_mixtures_lists_objects_and_numbers_that_no_type_holds_are_json_as_it_is_written(values):
    objects = FakeObjects()
    ref = objects.plant("d.jsonl", "".join(f'{{"x": {value}}}\n' for value in values).encode())
    count = inspect(objects, ref, "jsonl")
    assert is_json(count.schema.field("x"))
    found = [value for batch in read_rows(objects, ref, count, 0, count.rows) for value in batch["x"].to_pylist()]
    assert found == [None if value == "null" else value for value in values]


def test_an_absent_key_and_an_explicit_null_are_null_and_keys_come_in_the_order_of_their_first_row():
    found = table_of(b'{"b": 1}\n{"a": "x", "b": null}\n{}\n')
    assert found.to_pylist() == [{"b": 1, "a": None}, {"b": None, "a": "x"}, {"b": None, "a": None}]


def test_types_are_those_of_all_files():
    files = {
        "in/0.jsonl": b'{"text": "a", "n": 1, "content": "hello"}\n',
        "in/1.jsonl": b'{"text": "b", "n": 0.5, "content": [{"type": "text"}]}\n',
        "in/2.jsonl": b"\n\n",
        "in/3.jsonl": b'{"n": 2, "text": "c"}\n',
    }
    dataset = dataset_of("jsonl", files).dataset
    assert rows_of(dataset) == [
        {"text": "a", "n": 1.0, "content": '"hello"'},
        {"text": "b", "n": 0.5, "content": '[{"type": "text"}]'},
        {"text": "c", "n": 2.0, "content": None},
    ]
    assert dataset.count.file_rows == (1, 1, 0, 1)
    assert dataset.count.notes == (
        "column 'content' is missing in 1 of 3 files (first in in/3.jsonl); it is null there",
        "column 'content' holds text and lists or objects: each value is read as its JSON",
    )
    assert is_json(dataset.schema.field("content"))


def test_a_text_that_is_mixed_with_lists_stands_in_the_prompt_as_itself_and_a_list_as_json():
    rows = [{"content": 'say "hi"\n'}, {"content": [{"text": "a"}]}, {"content": "null"}, {}, {"content": 7}]
    body = "".join(json.dumps(row) + "\n" for row in rows).encode()
    batch = pa.Table.combine_chunks(table_of(body)).to_batches()[0]
    encoder = Encoder(family_of(MODEL), parse_template("{content}"), inference={"max_tokens": 1})
    encoded = encoder.encode(batch, "00000", 0)
    texts = [json.loads(line)["modelInput"]["messages"][0]["content"][0]["text"] for line in encoded.data.splitlines()]
    assert texts == ['say "hi"\n', '[{"text": "a"}]', "null", "7"]
    assert [(one.row, one.code) for one in encoded.unsent] == [(3, "NULL_INPUT")]
    assert encoder.count_unsent(batch) == 1


JSON_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**40), 10**40),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"\\:é', max_size=3), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=5).filter(
    str.strip
)


@given(
    st.lists(st.dictionaries(NAMES, JSON_VALUES, max_size=4), min_size=1, max_size=6),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " : ")]),
)
def test_every_value_comes_back_as_it_is_however_it_is_written(rows, ascii_only, separators):
    body = "\n".join(json.dumps(row, ensure_ascii=ascii_only, separators=separators) for row in rows).encode()
    if not any(rows):
        return
    found = table_of(body)
    for name in found.column_names:
        values = found[name].to_pylist()
        if is_json(found.schema.field(name)):
            values = [None if value is None else json.loads(value) for value in values]
        for value, row in zip(values, rows, strict=True):
            expected = row.get(name)
            assert value == expected
            assert isinstance(value, Decimal | float) or type(value) is type(expected)


# --------------------------------------------------------------------------- lines


def test_blank_lines_a_mark_crlf_and_a_last_line_without_its_end_are_no_rows_of_their_own():
    body = b'\xef\xbb\xbf\r\n{"a": 1}\r\n  \n\t\r\n\n{"a": 2}'
    count = counted(body)
    assert (count.rows, count.columns, count.size_bytes) == (2, ("a",), len(body))
    assert count.offsets == ((0, 5),)
    assert table_of(body).to_pylist() == [{"a": 1}, {"a": 2}]


def test_offsets_are_noted_by_rows_and_by_bytes_and_any_range_is_read_from_them(monkeypatch):
    monkeypatch.setattr(counting, "OFFSET_EVERY_ROWS", 5)
    monkeypatch.setattr(counting, "OFFSET_EVERY_BYTES", 200)
    monkeypatch.setattr(counting, "BLOCK_BYTES", 64)
    monkeypatch.setattr(counting, "LINES_AT_ONCE", 3)
    lines = [json.dumps({"n": n, "t": "é" * (n * 7 % 90)}, ensure_ascii=False) for n in range(60)]
    body = "\n\n".join(lines).encode()
    objects = FakeObjects()
    ref = objects.plant("d.jsonl", body)
    count = inspect(objects, ref, "jsonl")
    assert count.rows == 60
    assert all(body[byte:].decode().startswith(lines[row]) for row, byte in count.offsets)
    assert max(b[0] - a[0] for a, b in zip(count.offsets, count.offsets[1:], strict=False)) <= 5
    for first in range(0, 60, 7):
        for rows in (0, 1, 4, 60 - first):
            read = [row["n"] for batch in read_rows(objects, ref, count, first, rows) for row in batch.to_pylist()]
            assert read == list(range(first, first + rows)) if first + rows <= 60 else True
    assert [n for batch in sample(objects, ref, count, 8, 4) for n in batch["n"].to_pylist()]
    assert Count.model_validate_json(count.model_dump_json()) == count


def test_only_the_wanted_keys_become_values():
    objects = FakeObjects()
    ref = objects.plant("d.jsonl", b'{"a": 1, "b": "x", "c": [1]}\n')
    count = inspect(objects, ref, "jsonl")
    (batch,) = read_rows(objects, ref, count, 0, 1, ["c", "a"])
    assert batch.to_pylist() == [{"c": "[1]", "a": 1}]


def test_many_keys_in_any_order_are_read():
    names = [f"k{n}" for n in range(300)]
    body = b"".join(json.dumps({name: name for name in order}).encode() + b"\n" for order in (names, names[::-1]))
    assert table_of(body).to_pylist() == [{name: name for name in names}] * 2


@pytest.mark.parametrize(
    "write",
    [
        lambda rows: pl.DataFrame(rows).write_ndjson().encode(),
        lambda rows: pd.DataFrame(rows).to_json(orient="records", lines=True).encode(),
        lambda rows: msgspec.json.Encoder().encode_lines(rows),
        lambda rows: "".join(json.dumps(row) + "\n" for row in rows).encode(),
    ],
    ids=["polars", "pandas", "msgspec", "json"],
)
def test_what_writers_write_is_read(write):
    rows = [{"id": 1, "text": 'a "quoted" é\u2028', "score": 0.5}, {"id": 2, "text": "x/y", "score": 1.25}]
    assert table_of(write(rows)).to_pylist() == rows


def test_what_duckdb_writes_is_read(tmp_path):
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT 1 AS id, [1, 2] AS l, NULL AS n) TO '{tmp_path}/d' (FORMAT json)")
    assert table_of((tmp_path / "d").read_bytes()).to_pylist() == [{"id": 1, "l": "[1,2]", "n": None}]


def test_gaps_need_no_second_reading_where_every_row_was_seen_to_have_a_value():
    body = b'{"text": "a", "n": 1}\n{"text": "b"}\n{"text": "c", "n": null}\n'
    assert counted(body).whole == ("text",)
    assert counted(body.replace(b'"b"', b'"b", "n": 2')).whole == ("text",)
    assert dataset_of("jsonl", {"in/0.jsonl": body}, template="{text}").gaps == 0
    assert dataset_of("jsonl", {"in/0.jsonl": body}, template="{text} {n}").gaps == 2


# --------------------------------------------------------------------------- refusals

GOOD = b'{"a": 1}\n'
REFUSED = [
    (b'[{"a": 1},\n {"a": 2}]', "data row 1 (byte 0) begins a JSON array, and JSONL has one object on each line"),
    (b'{\n  "a": 1\n}\n', "data row 1 (byte 0) begins an object that does not end on its line, as pretty-printed JSON"),
    (b'{"a": 1,\n"b": 2}\n', "data row 1 (byte 0) begins an object that does not end on its line"),
    (GOOD + b'"text"\n', 'data row 2 (byte 9) is a text, no JSON object; write {"column": value} on each line'),
    (GOOD + b"7\n", "data row 2 (byte 9) is a number, no JSON object"),
    (GOOD + b"null\n", "data row 2 (byte 9) is null, no JSON object"),
    (b"id,text\n1,a\n", "data row 1 (byte 0) is no JSON object; JSONL has one on each line"),
    (GOOD + b'{"a": 1}{"a": 2}\n', "data row 2 (byte 9) has more behind its object"),
    (GOOD + b"{'a': 1}\n", "data row 2 (byte 9) has keys in single quotes; JSON has double quotes"),
    (GOOD + b'{"a": NaN}\n', "data row 2 (byte 9) holds NaN, which JSON does not have; write null or a text"),
    (GOOD + b'{"a": -Infinity}\n', "data row 2 (byte 9) holds -Infinity, which JSON does not have"),
    (GOOD + b'{"a": [None]}\n', "data row 2 (byte 9) holds None, which JSON does not have"),
    (GOOD + b'{"a": 1,}\n', "data row 2 (byte 9) is not valid JSON (trailing comma in object"),
    (GOOD + b'{"a": 01}\n', "data row 2 (byte 9) is not valid JSON (invalid number"),
    (GOOD + b'{"a": "x', "data row 2 (byte 9) is not valid JSON (Input data was truncated)"),
    (GOOD + b'{"a": "\\ud83d and more"}\n', "data row 2 (byte 9) holds half of a surrogate pair"),
    (GOOD + b'{"a": "\xff"}\n', "data row 2 (byte 9) is not UTF-8 (invalid start byte at its byte 7)"),
    (GOOD + b'{"\xe9": 1}\n', "data row 2 (byte 9) is not UTF-8"),
    (GOOD + b'{"a": ["\xff"]}\n', "data row 2 (byte 9) is not UTF-8"),
    ('{"a": 1}\n'.encode("utf-16"), "data row 1 (byte 0) is UTF-16; save the file as UTF-8"),
    ('{"a": 1}\n'.encode("utf-16-le"), "data row 1 (byte 0) is UTF-16; save the file as UTF-8"),
    (GOOD + b'{"a": 1, "b": 2, "a": 3}\n', "data row 2 (byte 9) has the key 'a' twice; keep one of them"),
    (GOOD + b'{"a":1,"a" :2}\n', "data row 2 (byte 9) has the key 'a' twice"),
    (GOOD + b'{"a":{"x":1},"\\u0061":"t\\":"}\n', "data row 2 (byte 9) has the key 'a' twice"),
    (GOOD + b'{"a": ' + b"[" * 501 + b"]" * 501 + b"}\n", "data row 2 (byte 9) is nested more than 500 deep"),
    (GOOD + b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "data row 2 (byte 9) is nested more than 500 deep"),
    (GOOD + b'{"": 1}\n', "column 2 of 2 has no name; name every column"),
    (GOOD + b'{"x\\u0000": 1}\n', "the name of column 2 holds a NUL character"),
]


@pytest.mark.parametrize(("body", "sentence"), REFUSED, ids=lambda one: one[:40] if isinstance(one, str) else "")
def test_a_line_that_is_no_object_is_refused_with_row_byte_and_remedy(body, sentence):
    with pytest.raises(SourceError) as refused:
        counted(body)
    assert str(refused.value).startswith(f"data.jsonl: {sentence}")


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":{"b":1,"b":2}}',
        b'{"a":"x\\":y","b":[{"c":1}]}',
        b'{"a\\":b":1}',
        b'{"a" :1,"b": "\\": :"}',
        b'{"a": ' + b"[[" * 240 + b"]]" * 240 + b"}",
        b'{"a": "' + b"[{" * 1000 + b'"}',
    ],
    ids=lambda line: line[:24].decode(),
)
def test_what_only_looks_like_a_fault_is_read(line):
    assert counted(line).rows == 1


def test_a_line_without_end_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(counting, "LINE_BYTES_MAX", 1_000)
    monkeypatch.setattr(counting, "BLOCK_BYTES", 100)
    body = io.BytesIO(GOOD + b'{"a": "' + b"x" * 100_000)
    with pytest.raises(
        SourceError, match=r"data row 2 \(byte 9\) is over 1000 bytes; split it, and if the file is one"
    ):
        count_jsonl(body, "d")
    assert body.tell() < 2_000


def test_keys_that_are_data_are_refused():
    with pytest.raises(SourceError, match="different keys, more than 8000; where keys are data, put them into one"):
        counted(b"".join(b'{"k%d": 1}\n' % n for n in range(9_000)))


def test_a_file_that_is_not_the_counted_one_is_refused():
    objects = FakeObjects()
    count = inspect(objects, objects.plant("d.jsonl", b'{"a": 1}\n{"a": 2}\n'), "jsonl")
    for body in (b'{"a": "x"}{a": 2}\n', b'{"a": "x"}\n{"a": 2}\n'):
        ref = objects.plant("d.jsonl", body)
        with pytest.raises(SourceError, match="pin the object, and count it again"):
            list(read_rows(objects, ref, count, 0, 2))


def test_a_file_of_blank_lines_has_no_rows():
    assert counted(b"\n \r\n").rows == 0
    assert counted(b"").columns == ()


def test_what_many_files_of_many_keys_hold_is_written_once_for_all_of_them(monkeypatch):
    objects = FakeObjects()
    row = json.dumps({"text": "t", **{f"key {n}": n for n in range(500)}}).encode()
    files = {f"in/{place}": row + b"\n" for place in range(50)}
    pins = pinned(objects, "jsonl", files)
    count_source(objects, RUN, pins)
    assert len(objects.bodies["plans/run/counts/00000.json"]) < 50 * 500 * 15
    objects = FakeObjects()
    monkeypatch.setattr(all_files, "GROUP_NAMES_BYTES_MAX", 20_000)
    with pytest.raises(SourceError) as refused:
        count_source(objects, RUN, pinned(objects, "jsonl", files))
    assert str(refused.value).startswith(
        "in/5: the columns of 6 files take 20364 bytes, more than 20000; merge the files"
    )


def test_a_key_that_folders_name_too_must_say_what_they_say():
    files = {"in/p=7/f": b'{"text": "a", "p": 7}\n', "in/p=8/f": b'{"text": "b", "p": "8"}\n'}
    dataset = dataset_of("jsonl", files, partitions={"p": ["7", "8"]}).dataset
    assert rows_of(dataset) == [{"text": "a", "p": "7"}, {"text": "b", "p": "8"}]
    with pytest.raises(SourceError, match="in/p=9/f: column 'p' is 7 in data row 1, and the folder says '9'"):
        dataset_of("jsonl", {"in/p=9/f": b'{"text": "a", "p": 7}\n'}, partitions={"p": ["9"]})


def test_names_of_keys_are_as_long_as_those_of_a_csv_header_at_most():
    body = json.dumps({f"{n:05d}" + "k" * 4_000: 1 for n in range(1_100)}).encode()
    with pytest.raises(SourceError, match="the names of the keys have 4405500 bytes, more than 4194304; shorten them"):
        counted(body)
