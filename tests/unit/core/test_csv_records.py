"""Where records begin, held against pyarrow itself: it alone decides what a record is."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
import pyarrow.csv as pacsv
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quarry_core.csv_records import RecordScanner

# Built of the characters that matter, so that every short sequence of them comes up.
TEXTS = st.text(alphabet='"",,\n\r ab\u00e9\ufeff', max_size=60)
WELL_QUOTED = st.lists(
    st.lists(
        st.one_of(
            st.text(alphabet="ab é", max_size=4),
            st.text(alphabet='ab,\n\r"', max_size=8).map(lambda text: '"' + text.replace('"', '""') + '"'),
        ),
        min_size=1,
        max_size=3,
    ).map(",".join),
    max_size=20,
).map("\r\n".join)


def records_of_pyarrow(data: bytes) -> list[int]:
    """The number of fields of every record, as pyarrow's parser sees them."""
    seen: list[int] = []

    def remember(row):
        seen.append(row.actual_columns)
        return "skip"

    options = pacsv.ReadOptions(use_threads=False, column_names=[f"c{i}" for i in range(99)])
    parsing = pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=remember)
    # The line in front keeps a first U+FEFF; it is empty and no record.
    table = pacsv.read_csv(pa.BufferReader(b"\n" + data + b"\n"), options, parsing)
    assert table.num_rows == 0
    return seen


def starts_of(data: bytes, cuts=()) -> tuple[list[int], RecordScanner]:
    scanner = RecordScanner()
    edges = [0, *sorted(cuts), len(data)]
    found = [start for a, b in pairwise(edges) for start in scanner.feed(data[a:b]).tolist()]
    if not scanner.in_quotes:
        found += scanner.finish().tolist()
    return found, scanner


@given(st.one_of(TEXTS, WELL_QUOTED).map(str.encode))
@example(b'a""b\n""",""\n')
@example(b'5" x,2"3"\n"a"b"c,"d"\n')
@example(b'"a"\n\r"b"')
@settings(max_examples=400, deadline=None)
def test_records_are_those_that_pyarrow_parses(data):
    starts, scanner = starts_of(data)
    if scanner.in_quotes:
        return
    assert len(starts) == len(records_of_pyarrow(data))


@given(st.one_of(TEXTS, WELL_QUOTED).map(str.encode))
@settings(max_examples=400, deadline=None)
def test_each_record_alone_is_what_it_was_among_the_others(data):
    starts, scanner = starts_of(data)
    if scanner.in_quotes or not starts:
        return
    alone = [records_of_pyarrow(data[a:b]) for a, b in pairwise([*starts, len(data)])]
    assert [fields for record in alone for fields in record] == records_of_pyarrow(data)
    assert all(len(record) == 1 for record in alone)


@given(st.one_of(TEXTS, WELL_QUOTED).map(str.encode))
@example(b'"a""b" "c"d"\n,1\n')
@example(b'"a""\n" x"y\n1\n')
@example(b'x""y,"z\n"\n')
@settings(max_examples=400, deadline=None)
def test_it_does_not_matter_where_the_blocks_are_cut(data):
    whole, scanner = starts_of(data)
    for cuts in [range(len(data)), *([cut] for cut in range(len(data)))]:
        starts, in_blocks = starts_of(data, cuts)
        assert starts == whole
        assert (in_blocks.in_quotes, in_blocks.open_byte) == (scanner.in_quotes, scanner.open_byte)


def test_an_open_quote_is_told_with_the_place_of_its_record():
    scanner = RecordScanner()
    assert scanner.feed(b'a,b\n1,"x\n2,y\n').tolist() == [0]
    assert scanner.in_quotes
    assert scanner.open_byte == 4
