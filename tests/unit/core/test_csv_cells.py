"""What is told of CSV records by their bytes is what the parser says of them."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract.csv_dialect import CsvDialect
from quarry_core.tabular.csv.records import RecordScanner, count_cells
from quarry_core.tabular.csv.rows import parse_csv
from quarry_core.tabular.csv.utf8 import is_utf8

cell = st.sampled_from([b"", b"a", b"\xc3\xa9", b'"x,y"', b'"a ""b"" c"', b'"\n"', b'"\r\n,"', b"\xff", b"x y"])
record = st.lists(cell, min_size=1, max_size=4).map(b",".join)
records = st.lists(st.tuples(record, st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n"])), min_size=1, max_size=6)


@given(records, st.integers(1, 4))
def test_records_fit_if_and_only_if_the_parser_takes_them(parts, columns):
    data = b"".join(body + end for body, end in parts)
    scanner = RecordScanner(cells=True)
    cells = [*_fed(scanner, data), *_finished(scanner)]
    assert scanner.fault is None
    try:
        taken = parse_csv(data, [f"c{place}" for place in range(columns)]).num_rows == len(cells)
    except pa.ArrowInvalid:
        taken = False
    assert (set(cells) <= {columns} and is_utf8(memoryview(data))) == taken


@given(records, st.lists(st.integers(0, 60), max_size=8), st.sampled_from([",", "\t", ";", "|"]))
def test_cells_are_counted_alike_however_the_file_is_cut_into_blocks(parts, cuts, delimiter):
    data = (b"".join(body + end for body, end in parts) + parts[0][0]).replace(b",", delimiter.encode())
    dialect = CsvDialect(delimiter=delimiter)
    whole = RecordScanner(dialect=dialect)
    starts = [*whole.feed(data).tolist(), *whole.finish().tolist(), len(data)]
    expected = [count_cells(data[begin:end], delimiter) for begin, end in pairwise(starts)]
    scanner, cells = RecordScanner(dialect=dialect, cells=True), []
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for begin, end in pairwise(bounds):
        cells += _fed(scanner, data[begin:end])
    assert [*cells, *_finished(scanner)] == expected


@given(
    st.lists(
        st.sampled_from([b"a", b"\x00", "é".encode(), "数".encode(), "😀".encode(), b"\xff", b"\xed\xa0\x80", b"\xc3"]),
        max_size=6,
    ).map(b"".join)
)
def test_utf8_is_what_python_decodes(data):
    try:
        data.decode()
        good = True
    except UnicodeDecodeError:
        good = False
    assert is_utf8(memoryview(data)) == good


def _fed(scanner, block):
    starts = scanner.feed(block)
    assert len(starts) == len(scanner.cells)
    return scanner.cells.tolist()


def _finished(scanner):
    starts = scanner.finish()
    assert len(starts) == len(scanner.cells)
    return scanner.cells.tolist()
