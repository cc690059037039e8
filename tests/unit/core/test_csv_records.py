"""Where records begin and what is no CSV, held against a parser that reads one character after the other."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quarry_core.contract.csv_dialect import CsvDialect
from quarry_core.tabular.csv.records import RecordScanner, count_cells, undo_backslashes
from tests.examples import examples
from tests.unit.core.csv_reference import NoCsv, parse

# Built of the characters that matter, so that every short sequence of them comes up.
SHARP = st.text(alphabet='"",,\\\\\n\r ab\0é\ufeff', max_size=60)
QUOTED_CELLS = st.text(alphabet='ab,\n\r"\\', max_size=8)


def cell(text: str, escape: str) -> str:
    if escape == "double":
        return '"' + text.replace('"', '""') + '"'
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def well_quoted(escape: str):
    cells = st.one_of(st.text(alphabet="ab é\\", max_size=4), QUOTED_CELLS.map(lambda text: cell(text, escape)))
    records = st.lists(cells, min_size=1, max_size=3).map(",".join)
    return st.lists(records, max_size=20).map("\r\n".join)


@st.composite
def files(draw):
    escape = draw(st.sampled_from(["double", "backslash"]))
    text = draw(st.one_of(SHARP, well_quoted(escape), well_quoted("double")))
    return text, CsvDialect(
        escape=escape, encoding=draw(st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"])), delimiter=","
    )


def scanned(data: bytes, dialect: CsvDialect, cuts=()) -> tuple[list[int], RecordScanner]:
    scanner = RecordScanner(0, dialect)
    edges = [0, *sorted(cuts), len(data)]
    found = [start for a, b in pairwise(edges) for start in scanner.feed(data[a:b]).tolist()]
    found += scanner.finish().tolist()
    return found, scanner


def place_of(scanner: RecordScanner):
    fault = scanner.fault
    return fault and (fault.kind, fault.byte, fault.escaped)


def refuses(scanner: RecordScanner) -> bool:
    return scanner.in_quotes or scanner.fault is not None


@given(files())
@example(('a""b\n""",""\n', CsvDialect()))
@example(('5" x,2"3"\n"a"b"c,"d"\n', CsvDialect()))
@example(('"a"\n\r"b"', CsvDialect()))
@example(('"a\\\\",b\n', CsvDialect(escape="backslash")))
@example(('\\"a\n', CsvDialect(escape="backslash")))
@examples(300)
def test_records_are_those_of_the_rules_or_the_text_is_refused(file):
    text, dialect = file
    starts, scanner = scanned(text.encode(dialect.encoding), dialect)
    try:
        expected = parse(text, ",", dialect.escape)
    except NoCsv:
        assert refuses(scanner)
        return
    assert not refuses(scanner)
    assert starts == [len(text[:begin].encode(dialect.encoding)) for begin, _ in expected]


@given(files())
@example(('"a""b" "c"d"\n,1\n', CsvDialect()))
@example(('"a""\n" x"y\n1\n', CsvDialect()))
@example(('x""y,"z\n"\n', CsvDialect()))
@example(('"\\\\\\"\\\\",1\n', CsvDialect(escape="backslash")))
@examples(300)
def test_it_does_not_matter_where_the_blocks_are_cut(file):
    text, dialect = file
    data = text.encode(dialect.encoding)
    whole, scanner = scanned(data, dialect)
    for cuts in [range(len(data)), *([cut] for cut in range(len(data)))]:
        starts, in_blocks = scanned(data, dialect, cuts)
        assert starts == whole
        assert in_blocks.open_byte == scanner.open_byte
        assert place_of(in_blocks) == place_of(scanner)
        if scanner.fault is None:
            assert in_blocks.in_quotes == scanner.in_quotes


@given(st.lists(st.lists(QUOTED_CELLS, min_size=1, max_size=3), max_size=6))
@examples(200)
def test_undone_backslashes_are_the_same_cells_as_rfc_4180_writes_them(records):
    def written(escape: str) -> bytes:
        return "".join(",".join(cell(text, escape) for text in record) + "\n" for record in records).encode()

    assert undo_backslashes(written("backslash")) == written("double")


@pytest.mark.parametrize(
    ("text", "undone"),
    [
        (b"C:\\new,a\\\\b\n", b"C:\\new,a\\\\b\n"),  # not quoted: text
        (b'"C:\\new",1\n', b'"C:\\new",1\n'),  # a backslash before a letter stays
        (b'"a\\\\\\"b"\n', b'"a\\""b"\n'),
        (b'a\\\\,"b\\\\c"\n', b'a\\\\,"b\\c"\n'),
        (b"", b""),
    ],
)
def test_backslashes_escape_inside_quoted_cells_only(text, undone):
    assert undo_backslashes(text) == undone


@pytest.mark.parametrize(
    ("data", "kind", "byte", "escaped"),
    [
        (b'a,b\n1,2"3\n', "stray quote", 7, False),
        (b'a,b\n1,"x"y\n', "text after quote", 8, False),
        (b'a,b\n1,"x" \n', "text after quote", 8, False),
        (b'a,b\n1,"x\\"y\\""\n', "text after quote", 9, True),
        (b'a\nx\\"y\n', "stray quote", 4, True),
    ],
)
@pytest.mark.parametrize("cut", [True, False])
def test_a_fault_is_reported_with_its_place(data, kind, byte, escaped, cut):
    starts, scanner = scanned(data, CsvDialect(), range(len(data)) if cut else ())
    assert (scanner.fault.kind, scanner.fault.byte, scanner.fault.escaped) == (kind, byte, escaped)
    assert starts == [0]
    assert scanner.open_byte == data.index(b"\n") + 1


def test_a_doubled_quote_is_a_fault_where_backslashes_escape():
    _, scanner = scanned(b'a\n"say ""hi"""\n', CsvDialect(escape="backslash"))
    assert (scanner.fault.kind, scanner.fault.byte) == ("doubled quote", 7)


def test_half_a_character_at_the_end_is_a_fault():
    _, scanner = scanned("a\n1\n".encode("utf-16-le") + b"1", CsvDialect(encoding="utf-16-le"))
    assert scanner.fault.kind == "half a character"


def test_an_open_quote_is_reported_with_the_place_of_its_record():
    scanner = RecordScanner()
    assert scanner.feed(b'a,b\n1,"x\n2,y\n').tolist() == [0]
    assert scanner.in_quotes
    assert scanner.open_byte == 4


@given(st.lists(st.text(alphabet='a,"\n', max_size=5), min_size=1, max_size=6))
def test_cells_are_counted_without_being_made(texts):
    assert count_cells(",".join(cell(text, "double") for text in texts).encode(), ",") == len(texts)
