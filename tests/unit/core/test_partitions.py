"""Folders that are columns, and names that are hidden."""

from __future__ import annotations

import pytest

from quarry_core.contract.partitions import is_hidden, partitions_of


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["year=2024", "month=01"], (("year", "2024"), ("month", "01"))),
        (["x", "year=2024", "y"], (("year", "2024"),)),
        (["city=S%C3%A3o%20Paulo%2FBR"], (("city", "São Paulo/BR"),)),
        (["a%3Db=1%3D2"], (("a=b", "1=2"),)),
        (["a=1=2"], (("a", "1=2"),)),
        (["p=%2525"], (("p", "%25"),)),  # decoded once
        (["p=a+b"], (("p", "a+b"),)),
        (["p=100%"], (("p", "100%"),)),
        (["p=__HIVE_DEFAULT_PARTITION__"], (("p", None),)),
        (["p="], (("p", ""),)),
        (["=1", "plain"], ()),
        (["_p=1"], (("_p", "1"),)),
    ],
)
def test_folders_make_columns_of_text(folders, expected):
    assert partitions_of(folders) == expected


def test_a_column_twice_or_bytes_that_are_no_text_are_refused():
    with pytest.raises(ValueError, match="'a' appears twice"):
        partitions_of(["a=1", "b=2", "a=3"])
    with pytest.raises(ValueError, match="is not UTF-8"):
        partitions_of(["a=%ff"])


@pytest.mark.parametrize(
    ("name", "folder", "hidden"),
    [
        ("_SUCCESS", False, True),
        (".part.crc", False, True),
        ("_temporary", True, True),
        ("_year=2024", True, False),
        ("_year=2024.csv", False, True),
        (".year=2024", True, True),
        ("year=_x", True, False),
        ("year=.x", True, False),
        ("", False, False),
        ("a_b", False, False),
    ],
)
def test_what_begins_with_an_underscore_or_a_dot_is_hidden_but_for_columns(name, folder, hidden):
    assert is_hidden(name, folder=folder) is hidden
