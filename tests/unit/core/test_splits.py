"""Slices of splits, in the notation and with the rounding of the `datasets` library."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract.splits import SplitError, SplitSlice, read_split, taken_of


def rows_of(text, rows):
    (only,) = read_split(text)
    return only.bounds(rows)


@pytest.mark.parametrize(
    ("text", "rows", "expected"),
    [
        # The examples of `datasets`' documentation, "Slice splits", on a train split of 3,668 rows and others.
        ("train", 3_668, (0, 3_668)),
        ("train[10:20]", 3_668, (10, 20)),
        ("train[:10%]", 3_668, (0, 367)),
        ("train[-80%:]", 3_668, (734, 3_668)),
        ("train[50%:52%]", 999, (500, 519)),
        ("train[52%:54%]", 999, (519, 539)),
        ("train[50%:52%](pct1_dropremainder)", 999, (450, 468)),
        ("train[52%:54%](pct1_dropremainder)", 999, (468, 486)),
        ("train[:]", 10, (0, 10)),
        ("train[3:]", 10, (3, 10)),
        ("train[:-3]", 10, (0, 7)),
        ("train[-5:]", 10, (5, 10)),
        ("train[-50:]", 10, (0, 10)),
        ("train[:-50]", 10, (0, 0)),
        ("train[5:99]", 10, (5, 10)),
        ("train[99:]", 10, (10, 10)),
        ("train[7:3]", 10, (7, 7)),
        ("train[0:0]", 10, (0, 0)),
        ("train[:100%]", 10, (0, 10)),
        ("train[:0%]", 10, (0, 0)),
        ("train[-100%:]", 10, (0, 10)),
        # Half a row goes to the even one.
        ("train[:1_000]", 3_668, (0, 1_000)),
        ("train[:50%]", 1, (0, 0)),
        ("train[:50%]", 3, (0, 2)),
        ("train[:50%]", 5, (0, 2)),
        ("train[-50%:]", 5, (3, 5)),
        ("train[:33%](closest)", 100, (0, 33)),
        ("train[:10%]", 0, (0, 0)),
        ("v1.train[:1]", 4, (0, 1)),
    ],
)
def test_a_slice_is_the_rows_that_datasets_gives(text, rows, expected):
    assert rows_of(text, rows) == expected


@given(st.integers(-100, 100), st.integers(0, 2**50))
def test_per_cent_are_rounded_as_there(percent, rows):
    only = SplitSlice(split="train", last=percent, percent=True)
    exact = percent * rows
    expected = round(exact / 100) if rows < 2**45 else None  # where a float is still exact enough to be asked
    taken = only.bounds(rows)[1]
    if expected is not None:
        assert taken == min(max(rows + expected, 0) if expected < 0 else expected, rows)
    assert abs((taken - (rows if percent < 0 else 0)) * 100 - exact) <= 50


@given(st.integers(1, 99), st.integers(0, 10_000))
def test_neighbouring_slices_meet_without_a_gap(percent, rows):
    below, above = rows_of(f"train[:{percent}%]", rows), rows_of(f"train[{percent}%:]", rows)
    assert (below[0], below[1], above[1]) == (0, above[0], rows)


def test_sums_keep_their_order_and_their_names():
    slices = read_split("train[:10%] + test+validation[5:]")
    assert [str(each) for each in slices] == ["train[:10%]", "test", "validation[5:]"]
    assert [each.whole for each in slices] == [False, True, False]
    assert str(read_split("train[:7%](pct1_dropremainder)")[0]) == "train[:7%](pct1_dropremainder)"


@pytest.mark.parametrize("text", ["train", "train[:]", "train[0:]", "train[:100%]", "train[0%:100%]"])
def test_what_is_all_of_a_split_is_known_before_its_rows_are(text):
    assert read_split(text)[0].whole


@pytest.mark.parametrize(
    "text", ["train[:0]", "train[1:]", "train[-1:]", "train[:100]", "train[:100%](pct1_dropremainder)"]
)
def test_what_may_be_less_than_all_is_not_taken_for_all(text):
    assert not read_split(text)[0].whole


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "names no split: a slice is train[:100]"),
        ("train+", "names no split"),
        ("train test", "'train test' is no split of a dataset: a slice is train[:100]"),
        ("train[10]", "is no split of a dataset"),
        ("train[:10", "is no split of a dataset"),
        ("train[:1.5%]", "is no split of a dataset"),
        ("train[::2]", "is no split of a dataset"),
        ("train[:1__000]", "is no split of a dataset"),
        ("my-split", "is no split of a dataset"),
        ("train/x", "is no split of a dataset"),
        ("train[:101%]", "101% is more than all: give -100% to 100%"),
        ("train[5:10%]", "one boundary is per cent and the other is not: write % behind both"),
        ("train[:10%](up)", "there is no rounding 'up': leave it out, or write pct1_dropremainder"),
        ("train[:10](closest)", "only per cent are rounded: leave (closest) out"),
        ("train[:5%]+train[5%:9%](pct1_dropremainder)", "its summands are rounded in different ways"),
        ("train[:" + "9" * 16 + "]", "no dataset has so many rows"),
        ("+".join(["t"] * 51), "has 51 summands; at most 50 are allowed"),
        ("t" * 501, "has 501 characters; at most 500 are allowed"),
    ],
)
def test_what_is_no_split_is_told_with_the_form(text, sentence):
    with pytest.raises(SplitError) as refused:
        read_split(text)
    assert sentence in str(refused.value)


def test_a_rounding_that_drops_all_is_refused_when_the_rows_are_known():
    with pytest.raises(SplitError, match="train has 99 rows, and pct1_dropremainder of fewer than 100 is nothing"):
        rows_of("train[:50%](pct1_dropremainder)", 99)


def sliced(*given_slices):
    return [read_split(text)[0].model_copy(update={"files": files}) for text, files in given_slices]


@pytest.mark.parametrize(
    ("slices", "file_rows", "expected"),
    [
        ([("train", 3)], [10, 0, 20], ((0, 10), (0, 0), (0, 20))),
        ([("train[5:15]", 2)], [10, 10], ((5, 5), (0, 5))),
        ([("train[12:15]", 2)], [10, 10], ((10, 0), (2, 3))),
        ([("train[:10%]", 2), ("test", 1)], [10, 10, 5], ((0, 2), (0, 0), (0, 5))),
        ([("train[:5]", 1), ("train[5:]", 1)], [10, 10], ((0, 5), (5, 5))),
        ([("train[-5:]", 1), ("train[:5]", 1)], [10, 10], ((5, 5), (0, 5))),
        ([("train[:0]", 1)], [10], ((0, 0),)),
        ([("train", 1)], [0], ((0, 0),)),
        ([], [], ()),
    ],
)
def test_slices_take_a_stretch_of_each_file(slices, file_rows, expected):
    assert taken_of(sliced(*slices), file_rows) == expected


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.integers(-120, 120), st.integers(-120, 120))
def test_what_is_taken_of_the_files_is_the_slice(file_rows, first, last):
    (only,) = sliced((f"train[{first}:{last}]", len(file_rows)))
    rows = sum(file_rows)
    begin, end = only.bounds(rows)
    numbered, taken = iter(range(rows)), []
    for own, (at, count) in zip(file_rows, taken_of([only], file_rows), strict=True):
        taken += [next(numbered) for _ in range(own)][at : at + count]
    assert taken == list(range(begin, end))
