"""The names of a CSV file's columns, from its first record or from the manifest. Pure.

What can be told from a file's first bytes is told here, to the service that counts it as to whoever looks before.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.csv as pacsv

from quarry_core.contract.column_names import COLUMNS_MAX, columns_fault, names_fault
from quarry_core.contract.csv_dialect import Csv, CsvDialect
from quarry_core.tabular.csv.records import RecordScanner, count_cells
from quarry_core.tabular.csv.rows import encoding_fault, in_rfc_form
from quarry_core.tabular.csv.start import shown_delimiter, start_of
from quarry_core.tabular.errors import SourceError

HEADER_BYTES_MAX = 4 << 20
OTHER_DELIMITERS = (";", "\t", "|")
_SHOWN_CHARS_MAX = 60


def names_at_start(head: bytes, key: str, options: Csv) -> tuple[str, ...] | None:
    """The column names that the first bytes of an object tell; None if the header does not end within them.

    Raises:
        SourceError: the object is no CSV of these options, or its columns cannot be told apart.
    """
    start = start_of(head, key, options)
    if isinstance(options.header, tuple):
        return options.header
    scanner = RecordScanner(start.byte, start.dialect)
    starts = scanner.feed(head[start.byte :])
    if not len(starts):
        return None
    end = int(starts[1]) if len(starts) > 1 else scanner.open_byte
    return header_names(head[start.byte : end], key, start.dialect, options)


def header_names(record: bytes, key: str, dialect: CsvDialect, options: Csv) -> tuple[str, ...]:
    """The names in a header, which has passed the scanner.

    Raises:
        SourceError: they cannot be read or told apart, or look as if another delimiter separated them.
    """
    if len(record) > HEADER_BYTES_MAX:
        raise SourceError(f"{key}: the header is over {HEADER_BYTES_MAX} bytes; shorten the names of the columns")
    fault = encoding_fault(record, dialect)
    if fault:
        raise SourceError(f"{key}: the header {fault}")
    if dialect.unit_bytes == 1 and b"\0" in record:
        raise SourceError(
            f'{key}: the header holds NUL bytes; if the file is UTF-16, set csv.encoding to "utf-16", else take them out'
        )
    columns = count_cells(bytes(in_rfc_form(record, dialect)), dialect.delimiter)
    if columns > COLUMNS_MAX:
        raise SourceError(f"{key}: {columns_fault(columns)}")
    names = _cells(record, dialect)
    fault = names_fault(names)
    if fault:
        raise SourceError(f"{key}: {fault}")
    if len(names) == 1 and options.delimiter is None:
        _refuse_other_delimiter(names[0], key)
    return tuple(names)


def is_header(record: bytes, names: Sequence[str], dialect: CsvDialect) -> bool:
    """Whether a record that is to be a row holds the names of the columns."""
    if len(record) > HEADER_BYTES_MAX or encoding_fault(record, dialect):
        return False
    if count_cells(bytes(in_rfc_form(record, dialect)), dialect.delimiter) != len(names):
        return False
    return _cells(record, dialect) == list(names)


def _refuse_other_delimiter(name: str, key: str) -> None:
    other = next((delimiter for delimiter in OTHER_DELIMITERS if delimiter in name), None)
    if other is not None:
        shown = name if len(name) <= _SHOWN_CHARS_MAX else name[: _SHOWN_CHARS_MAX - 1] + "…"
        raise SourceError(
            f"{key}: the header is one column named {shown!r}; if {shown_delimiter(other)} separates the cells, "
            f'set csv.delimiter to it, and if it is one column, set csv.delimiter to ","'
        )


def _cells(record: bytes, dialect: CsvDialect) -> list[str]:
    """The cells of one record that is of its encoding."""
    # An empty line in front: a U+FEFF behind the byte order mark would be part of the first name.
    framed = b"".join((b"\n", in_rfc_form(record, dialect), b"\n"))
    options = pacsv.ReadOptions(use_threads=False, block_size=len(framed) + 1)
    parsing = pacsv.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=True)
    names: list[str] = pacsv.read_csv(pa.BufferReader(framed), options, parsing).column_names
    return names
