"""What is told of CSV records by their bytes is what the parser says of them."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.tabular.csv.cells import cells_fit
from quarry_core.tabular.csv.records import RecordScanner
from quarry_core.tabular.csv.rows import parse_csv

cell = st.sampled_from([b"", b"a", b"\xc3\xa9", b'"x,y"', b'"a ""b"" c"', b'"\n"', b'"\r\n,"', b"\xff", b"x y"])
record = st.lists(cell, min_size=1, max_size=4).map(b",".join)
records = st.lists(st.tuples(record, st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n"])), min_size=1, max_size=6)


@given(records, st.integers(1, 4))
def test_records_fit_if_and_only_if_the_parser_takes_them(parts, columns):
    data = b"".join(body + end for body, end in parts)
    scanner = RecordScanner()
    rows = len(scanner.feed(data)) + len(scanner.finish())
    assert scanner.fault is None
    try:
        taken = parse_csv(data, [f"c{place}" for place in range(columns)]).num_rows == rows
    except pa.ArrowInvalid:
        taken = False
    assert cells_fit(memoryview(data), rows, columns, ",") == taken
