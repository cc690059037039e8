"""What a source's name says of its format."""

from __future__ import annotations

import pytest

from quarry_core.contract.source_format import UnknownFormat, promise_of, source_format


@pytest.mark.parametrize(
    ("key", "expected"), [("a/b.csv", "csv"), ("B.CSV", "csv"), ("x.PARQUET", "parquet"), ("a.jsonl.gz", "jsonl")]
)
def test_the_suffix_names_the_format(key, expected):
    assert source_format(key) == expected


@pytest.mark.parametrize("key", ["a.csv.bz2", "a.orc", "a.avro", "a.zip"])
def test_formats_that_do_not_work_yet_are_named_as_such(key):
    with pytest.raises(UnknownFormat, match="not yet supported"):
        source_format(key)


@pytest.mark.parametrize("key", ["data", "a/v1.2", "a/part-00000", "a/0_0_0.gz", ""])
def test_a_key_whose_name_tells_nothing_is_told_by_what_is_in_it(key):
    assert source_format(key) is None


@pytest.mark.parametrize(
    ("key", "form", "compressed"),
    [
        ("a.jsonl", "jsonl", False),
        ("A.NDJSON", "jsonl", False),
        ("part-0.json.gz", "jsonl", True),
        ("data_0_0_0.csv.gz", "csv", True),
        ("a.csv.zst", "csv", True),
        ("part-0.snappy.parquet", "parquet", False),
        ("part-0.gz.parquet", "parquet", False),
    ],
)
def test_an_ending_may_have_two_parts(key, form, compressed):
    promise = promise_of(key)
    assert (promise.format, promise.compressed) == (form, compressed)


def test_tabs_are_a_dialect_that_is_said():
    with pytest.raises(UnknownFormat, match='give "format": "csv" and "csv"'):
        source_format("a.tsv")


@pytest.mark.parametrize(("key", "near"), [("a.cvs", ".csv"), ("a.parqet", ".parquet"), ("a.pq", ".parquet")])
def test_a_misspelt_suffix_is_answered_with_the_nearest(key, near):
    with pytest.raises(UnknownFormat) as refused:
        source_format(key)
    assert f"did you mean {near}?" in str(refused.value)


@pytest.mark.parametrize("key", ["a.txt", "a.TXT", "in/a.text.gz"])
def test_text_of_any_form_is_answered_with_what_is_read_and_how_to_get_there(key):
    with pytest.raises(UnknownFormat) as refused:
        source_format(key)
    said = str(refused.value)
    assert (
        "Read are CSV (.csv), JSON lines (.jsonl, .ndjson, .json), both also in .gz or .zst, and Parquet (.parquet)"
        in said
    )
    assert 'give "format": "csv"' in said
    assert "jq -Rc '{text: .}' FILE" in said
