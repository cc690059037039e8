"""What a source's name says of its format."""

from __future__ import annotations

import pytest

from quarry_core.contract.source_format import UnknownFormat, source_format


@pytest.mark.parametrize(("key", "expected"), [("a/b.csv", "csv"), ("B.CSV", "csv"), ("x.PARQUET", "parquet")])
def test_the_suffix_names_the_format(key, expected):
    assert source_format(key) == expected


@pytest.mark.parametrize("key", ["a.jsonl", "a.csv.gz", "folder/", "a.tsv", ""])
def test_formats_that_do_not_work_yet_are_named_as_such(key):
    with pytest.raises(UnknownFormat, match="not yet supported"):
        source_format(key)


def test_a_key_that_names_no_format_is_refused_with_the_remedy():
    with pytest.raises(UnknownFormat, match=r"ends in neither \.csv nor \.parquet: rename the object for its format"):
        source_format("data")


@pytest.mark.parametrize(
    ("key", "near"), [("a.cvs", ".csv"), ("a.parqet", ".parquet"), ("a.pq", ".parquet"), ("a.txt", ".csv")]
)
def test_a_misspelt_suffix_is_answered_with_the_nearest(key, near):
    with pytest.raises(UnknownFormat) as refused:
        source_format(key)
    assert f"did you mean {near}?" in str(refused.value)
