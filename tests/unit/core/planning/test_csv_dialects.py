"""CSV in every dialect, from the count to the cells of any range: right by a parser written from the rules, or refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quarry_core.contract.csv_dialect import Csv
from quarry_core.planning import count_csv
from quarry_core.planning.count_file import inspect
from quarry_core.ports import ObjectRef
from quarry_core.tabular.rows import Count, SourceError, read_rows
from tests.examples import examples
from tests.unit.core.csv_reference import NoCsv, parse
from tests.world.objects import FakeObjects

MARKS = {"utf-8": (b"", b"\xef\xbb\xbf"), "utf-16-le": (b"", b"\xff\xfe"), "utf-16-be": (b"", b"\xfe\xff")}
BEYOND_LATIN = {"utf-8": "é\ufeff😀", "utf-16-le": "é\ufeff😀", "utf-16-be": "é😀", "latin-1": "é\x81", "cp1252": "é€"}
STRUCTURE = '\n\r,;\t|"'


class File:
    """A text, the dialect in which it is written, and its bytes."""

    def __init__(self, text: str, csv: Csv, codec: str, mark: bytes, block_bytes: int) -> None:
        self.text, self.csv, self.codec, self.block_bytes = text, csv, codec, block_bytes
        self.data = mark + text.encode(codec)
        self.marked = bool(mark)

    def __repr__(self) -> str:
        return f"{self.data!r} as {self.csv!r} in blocks of {self.block_bytes}"

    def expected(self) -> list[list[str]] | None:
        """The rows by the rules; None where the file is to be refused."""
        text = self.text
        if self.data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
            return None  # the mark of UTF-32
        if not self.marked and self.codec.startswith("utf"):
            if self.codec.startswith("utf-16") and not any(sign in text for sign in STRUCTURE):
                return None  # nothing tells the byte order
            text = text.removeprefix("\ufeff")  # it is the mark
        try:
            records = [cells for _, cells in parse(text, self.csv.delimiter or ",", self.csv.escape or "double")]
        except NoCsv:
            return None
        names = self.csv.header
        if not isinstance(names, tuple):
            names = tuple(records.pop(0)) if records else ()
            if not all(name.strip() and "\0" not in name for name in names) or len(set(names)) < len(names):
                return None
            if len(names) == 1 and self.csv.delimiter is None and any(sign in names[0] for sign in ";\t|"):
                return None
        elif records and tuple(records[0]) == names:
            return None
        if not names or any(len(record) != len(names) for record in records):
            return None
        if not records and not isinstance(self.csv.header, tuple):
            return []
        return records or None

    def found(self) -> Iterator[list[list[str]]]:
        """The rows from each row on, as they are read. Raises SourceError."""
        objects = FakeObjects()
        ref = objects.plant("in/data.csv", self.data)
        with pytest.MonkeyPatch.context() as small:
            small.setattr(count_csv, "BLOCK_BYTES", self.block_bytes)
            small.setattr(count_csv, "OFFSET_EVERY_ROWS", 2)
            small.setattr(count_csv, "OFFSET_EVERY_BYTES", 16)
            count = inspect(objects, ref, "csv", self.csv)
        count = Count.model_validate_json(count.model_dump_json())
        return (rows_of(objects, ref, count, first) for first in range(count.rows))


def rows_of(objects: FakeObjects, ref: ObjectRef, count: Count, first: int) -> list[list[str]]:
    batches = read_rows(objects, ref, count, first, count.rows - first)
    return [
        list(row) for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
    ]


@st.composite
def files(draw) -> File:
    delimiter = draw(st.sampled_from([None, ",", ";", "\t", "|"]))
    escape = draw(st.sampled_from([None, "double", "backslash"]))
    codec = draw(st.sampled_from(list(BEYOND_LATIN)))
    sign = delimiter or ","
    dead_letters = 'ab"\n\r\\\0 ,;' + sign + BEYOND_LATIN[codec]
    text = st.text(alphabet=dead_letters, max_size=6)

    def cell(value: str) -> str:
        if escape == "backslash":
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return '"' + value.replace('"', '""') + '"'

    def valid(width: int) -> st.SearchStrategy[str]:
        plain = st.text(alphabet="ab \\\0" + BEYOND_LATIN[codec].replace("\ufeff", ""), max_size=4)
        cells = st.lists(st.one_of(text.map(cell), plain), min_size=width, max_size=width)
        return st.lists(cells.map(sign.join), max_size=8).map(draw(st.sampled_from(["\n", "\r\n", "\r", "\n\n"])).join)

    width = draw(st.integers(1, 3))
    names = ["x", "y", "z"][:width]
    header: tuple[str, ...] | None = None
    begin = sign.join(names) + "\n"
    if draw(st.booleans()):
        header, begin = tuple(names), ""
    body = draw(st.one_of(valid(width), valid(width), st.text(alphabet=dead_letters, max_size=30), valid(4 - width)))
    if draw(st.booleans()):
        body += "\n"
    mark = draw(st.sampled_from(MARKS.get(codec, (b"",))))
    encoding = "utf-16" if codec.startswith("utf-16") else codec
    csv = Csv(delimiter=delimiter, escape=escape, encoding=encoding, header=header)
    return File(begin + body, csv, codec, mark, draw(st.integers(1, 9)))


@given(files())
@example(File('x\n"a ""b"" c"\n\n""\n', Csv(), "utf-8", b"", 1))
@example(File('x,y\n"a\\\\",b\n', Csv(escape="backslash"), "utf-8", b"", 3))
@example(File("x\n\ufeffa\n\ufeff\n", Csv(), "utf-8", b"\xef\xbb\xbf", 2))
@example(File("x;y\r1;2\r", Csv(delimiter=";", encoding="utf-16"), "utf-16-be", b"", 3))
@examples(700)
@pytest.mark.slow
def test_any_range_of_any_dialect_gives_the_cells_of_the_rules_or_the_file_is_refused(file):
    expected = file.expected()
    try:
        found = file.found()
    except SourceError:
        assert expected is None
        return
    assert expected is not None
    for first, rows in enumerate(found):
        assert rows == expected[first:]


def counted(data: bytes, **csv) -> Count:
    objects = FakeObjects()
    return inspect(objects, objects.plant("in/data.csv", data), "csv", Csv(**csv) if csv else None)


def cells(data: bytes, **csv) -> list[list[str]]:
    objects = FakeObjects()
    ref = objects.plant("in/data.csv", data)
    return rows_of(objects, ref, inspect(objects, ref, "csv", Csv(**csv) if csv else None), 0)


ROWS = b"".join(b"%d,row %d\n" % (row, row) for row in range(49))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'50,"Opening" line\n', r"data row 50 \(byte 478\) has text after the closing quote of a cell \(byte 489\)"),
        (
            b'50,6" pipe\n',
            r"data row 50 \(byte 478\) has a quote inside a cell that does not begin with one \(byte 482\)",
        ),
        (b'50, "x"\n', r"a quote inside a cell that does not begin with one"),
        (b'50,"never closed\n', r"data row 50 \(byte 478\) opens a quote that is never closed"),
        (b'50,"He said \\"hi\\" ok"\n', r"this looks like Spark's CSV: set csv\.escape to \"backslash\""),
        (b'50,"say \\""\n', r"never closed.*this looks like Spark's CSV"),
        (b'"50";"x"\n', r'if ";" separates the cells, set csv\.delimiter to it'),
    ],
)
def test_what_is_no_csv_is_refused_with_row_byte_and_remedy(line, message):
    with pytest.raises(SourceError, match=message):
        counted(b"id,text\n" + ROWS + line + b"51,row 51\n")


def test_spark_writes_backslashes_doubled_in_the_cells_that_it_quotes_and_in_no_others():
    # Bytes of Spark 4.3.0's `df.write.option("header", "true").csv(...)`.
    written = b"""id,t
0,"He said \\"hi\\""
1,a\\b
2,"a\\\\b,c"
3,"a\\\\\\"b"
4,"ends,\\\\"
5,"\\""
6,""
7,"new
line"
"""
    expected = ['He said "hi"', "a\\b", "a\\b,c", 'a\\"b', "ends,\\", '"', "", "new\nline"]
    assert [row[1] for row in cells(written, escape="backslash")] == expected


@pytest.mark.parametrize(
    ("csv", "data", "message"),
    [
        ({}, b"id;text\n1;a\n", r"one column named 'id;text'; if \";\" separates the cells, set csv\.delimiter"),
        ({}, b'id\ttext\n1\t"a\n', r"a tab"),
        ({}, b"a|b\n1|2\n", r'if "\|" separates'),
        ({}, b'"id";"text"\n"1";"a"\n', r'the header has text after.*if ";" separates the cells'),
        ({"header": ("id", "text")}, b"id,text\n1,a\n", r"the first record equals csv\.header word for word"),
        ({"header": ("id", "text")}, b"1,a,x\n", r"data row 1 \(byte 0\) has 3 fields"),
        ({"header": ("id", "text")}, b'1,"a\n', r"data row 1 \(byte 0\) opens a quote"),
        ({"header": ("id",)}, b"", "is empty"),
        (
            {},
            b"sep=;\nid;text\n1;a\n",
            r'first line \(sep=;\) tells Excel.*delete that line, and set csv\.delimiter to ";"',
        ),
        ({}, b"SEP=,\r\nid,text\r\n1,a\r\n", r"first line \(SEP=,\) .* a row; delete that line$"),
        ({}, b'\xef\xbb\xbf"sep=\t"\nid\ttext\n1\ta\n', r"delete that line, and set csv\.delimiter to .* \(a tab\)"),
        ({}, b"sep=:\nid:text\n1:a\n", r"delete that line, and write the file with one of the delimiters"),
        ({"delimiter": ";"}, b"sep=;\nid;text\n1;a\n", r"is neither a header nor a row; delete that line$"),
        ({"header": ("id", "text"), "delimiter": ";"}, b"sep=;\n1;a\n", r"delete that line$"),
        ({"encoding": "utf-16"}, "sep=,\na,b\n1,2\n".encode("utf-16"), r"first line \(sep=,\)"),
        ({"escape": "backslash"}, b'a\n"say ""hi"""\n', r"doubled quote.*set csv\.escape to \"double\""),
        ({"escape": "backslash"}, b'a,b\n"C:\\",x\n', r"never closed; close it, and put two backslashes"),
        ({"encoding": "cp1252"}, b"a,b\n1,2\n3,\x81\n", r"data row 2 \(byte 8\) is not cp1252 .*byte 2"),
        ({"encoding": "utf-16"}, "a\n1\n".encode("utf-16-le") + b"1", "ends with half a character"),
        (
            {"encoding": "utf-16"},
            "a\n1\n\ud800\n".encode("utf-16-le", "surrogatepass"),
            r"data row 2 \(byte 8\) is not UTF-16",
        ),
        ({"encoding": "utf-16"}, "ab".encode("utf-16-le"), "byte order cannot be determined"),
        ({"encoding": "utf-16"}, b"\xef\xbb\xbfa\n1\n", r"is UTF-8; set csv\.encoding to \"utf-8\""),
        ({"encoding": "latin-1"}, b"\xef\xbb\xbfa\n1\n", r"is UTF-8; set csv\.encoding to \"utf-8\""),
        ({"encoding": "cp1252"}, "a\n1\n".encode("utf-16"), r"is UTF-16; set csv\.encoding to \"utf-16\""),
        ({}, "a\n1\n".encode("utf-16"), r"is UTF-16; save it as UTF-8, or set csv\.encoding to \"utf-16\""),
        ({}, "a,b\n1,2\n".encode("utf-16-le"), r"NUL bytes; if the file is UTF-16"),
        ({}, "a\n1\n".encode("utf-32"), "is UTF-32"),
        ({}, b"a\n1\n\xe9\n", r"data row 2 \(byte 4\) is not UTF-8.*csv\.encoding"),
        ({}, b"PK\x03\x04", "workbook"),
    ],
)
def test_a_file_that_is_not_of_its_dialect_is_refused_with_the_remedy(csv, data, message):
    with pytest.raises(SourceError, match=message):
        counted(data, **csv)


@pytest.mark.parametrize(
    ("csv", "data", "expected"),
    [
        ({"delimiter": ","}, b"a;b\n1\n", [["1"]]),  # said outright: one column
        ({"encoding": "latin-1"}, b"a\n\xe9\x81\n", [["é\x81"]]),
        ({"encoding": "cp1252"}, b"a\n\x80\n", [["€"]]),
        ({"encoding": "utf-16", "delimiter": "\t"}, "a\tb\r\n😀\t2\r\n".encode("utf-16"), [["😀", "2"]]),
        ({"header": True}, b"a\n1\n", [["1"]]),
        ({"header": ("a", "b")}, b"\xef\xbb\xbf1,2\n3,4", [["1", "2"], ["3", "4"]]),
        ({}, b'a\n""\n\n"x"', [[""], ["x"]]),
        ({}, b"a,b\n\0,\n", [["\0", ""]]),
    ],
)
def test_dialects_that_are_named_are_read(csv, data, expected):
    assert cells(data, **csv) == expected


@pytest.mark.parametrize("name", ["sep", "sep=", "sep=ab", "separator", "sep=;more"])
def test_a_column_may_be_called_almost_as_excels_line(name):
    assert counted(f"{name}\n1\n".encode(), delimiter=",").columns == (name,)
