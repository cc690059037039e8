"""A Parquet file put together from column chunks that were written elsewhere.

Theory of operation. The pages of a column chunk are compressed one by one and say nothing of the file around them; only the
footer tells where they stand. So a chunk is copied as it is, from another file or from memory, and the file gets the footer
of an empty one of the same schema, as pyarrow writes it, with the row groups put in. Of what was said of a chunk, its
places are written anew; what points at something that is not copied, an index or a bloom filter, is left out; and all the rest
stands.

Fields and numbers: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from quarry_core.tabular.parquet.part_errors import PartDiffers
from quarry_core.tabular.parquet.thrift_compact import (
    I64,
    LIST,
    STRUCT,
    RawField,
    list_head,
    raw_fields,
    read_number,
    write_list,
    write_number,
    write_struct,
)

MAGIC = b"PAR1"
COPY_BYTES = 1 << 20
# Of FileMetaData, RowGroup and ColumnChunk.
_SCHEMA, _ROWS, _ROW_GROUPS = 2, 3, 4
_COLUMNS, _GROUP_BYTES, _GROUP_ROWS, _GROUP_START, _GROUP_COMPRESSED = 1, 2, 3, 5, 6
_FILE_OFFSET, _META = 2, 3
# Of ColumnMetaData: all that may be said of a chunk wherever it stands; and what is said of its place.
CODEC, VALUES, UNCOMPRESSED, COMPRESSED, DATA_AT, DICTIONARY_AT = 4, 5, 6, 7, 9, 11
_KEPT = frozenset({1, 2, 3, CODEC, VALUES, UNCOMPRESSED, COMPRESSED, 8, 12, 13, 16, 17})


class Unfit(PartDiffers):
    """Column chunks cannot be copied."""

    def __init__(self, reason: str) -> None:
        super().__init__("", reason)


@dataclass(frozen=True, slots=True)
class ColumnChunk:
    """A leaf column of one row group.

    Attributes:
        about: its ColumnMetaData.
        start: the byte of its file at which its first page begins.
        length: of all its pages with their headers, in bytes.
    """

    about: Sequence[RawField]
    start: int
    length: int

    def number(self, field: int) -> int:
        return next((read_number(each.value) for each in self.about if each.number == field), 0)

    def about_at(self, start: int) -> bytes:
        """Its ColumnMetaData in a file in which it begins at this byte."""
        moved = {
            each.number: RawField(each.number, I64, write_number(read_number(each.value) - self.start + start))
            for each in self.about
            if each.number in (DATA_AT, DICTIONARY_AT)
        }
        return write_struct(moved.get(each.number, each) for each in self.about if each.number in _KEPT | moved.keys())


@dataclass(frozen=True, slots=True)
class RowGroup:
    rows: int
    chunks: Sequence[ColumnChunk]


@dataclass(frozen=True, slots=True)
class Footer:
    """What a Parquet file's footer says.

    Attributes:
        schema: its schema as it stands.
        groups: its row groups.
    """

    schema: bytes
    groups: Sequence[RowGroup]

    @classmethod
    def of(cls, file: BinaryIO) -> Footer:
        """The footer of a file, checked as far as chunks are copied by it. Raises Unfit."""
        try:
            footer, end = _footer_of(file)
            fields = {each.number: each.value for each in raw_fields(footer, 0)[0]}
            groups = tuple(_group(each, end) for each in _structs(fields[_ROW_GROUPS]))
        except (IndexError, KeyError, TypeError) as error:
            raise Unfit(f"its footer cannot be read ({error!r})") from error
        return cls(fields[_SCHEMA], groups)

    def elements(self) -> list[bytes]:
        """Those of the schema, as they stand: the root, then the rest of the tree from left to right."""
        return [write_struct(each) for each in _structs(self.schema)]


class Assembly:
    """A Parquet file that is being put together.

    Args:
        sink: a writable file that tells where it is; nothing else was written to it.
        empty: a whole Parquet file without rows, of the schema that this one is to have.
    """

    def __init__(self, sink: Any, empty: bytes) -> None:
        self._sink = sink
        self._footer = raw_fields(_footer_of(io.BytesIO(empty))[0], 0)[0]
        self._groups: list[bytes] = []
        self._columns: list[bytes] = []
        self._start = self._uncompressed = 0
        self.rows = 0
        sink.write(MAGIC)

    def add(self, chunk: ColumnChunk, pages: Iterable[Any]) -> None:
        """Write the next leaf column of this row group: its pages, in pieces of any kind of buffer."""
        self.add_unmeasured(pages, lambda: chunk)

    def add_unmeasured(self, pages: Iterable[Any], about: Callable[[], ColumnChunk]) -> None:
        """As `add`, of a chunk of which is known what it is when all of its pages are written."""
        start = self._sink.tell()
        if not self._columns:
            self._start = start
        for piece in pages:
            self._sink.write(piece)
        chunk = about()
        if self._sink.tell() - start != chunk.length:
            raise Unfit(f"a column chunk of {chunk.length} bytes has {self._sink.tell() - start}")
        self._uncompressed += chunk.number(UNCOMPRESSED)
        self._columns.append(
            write_struct((RawField(_FILE_OFFSET, I64, write_number(0)), RawField(_META, STRUCT, chunk.about_at(start))))
        )

    def end_group(self, rows: int) -> None:
        """All leaf columns of this row group are written."""
        self._groups.append(
            write_struct(
                (
                    RawField(_COLUMNS, LIST, write_list(STRUCT, self._columns)),
                    RawField(_GROUP_BYTES, I64, write_number(self._uncompressed)),
                    RawField(_GROUP_ROWS, I64, write_number(rows)),
                    RawField(_GROUP_START, I64, write_number(self._start)),
                    RawField(_GROUP_COMPRESSED, I64, write_number(self._sink.tell() - self._start)),
                )
            )
        )
        self._columns, self._uncompressed = [], 0
        self.rows += rows

    def ending(self) -> bytes:
        """What is to be written behind the last row group."""
        changed = {
            _ROWS: RawField(_ROWS, I64, write_number(self.rows)),
            _ROW_GROUPS: RawField(_ROW_GROUPS, LIST, write_list(STRUCT, self._groups)),
        }
        footer = write_struct(changed.get(each.number, each) for each in self._footer)
        return footer + len(footer).to_bytes(4, "little") + MAGIC


def pages_of(file: BinaryIO, chunk: ColumnChunk) -> Iterable[bytes]:
    """The bytes of a chunk of a file, at most 1 MiB at once."""
    file.seek(chunk.start)
    left = chunk.length
    while left:
        piece = file.read(min(left, COPY_BYTES))
        if not piece:
            raise Unfit(f"the file ends {left} bytes before its column chunk does")
        left -= len(piece)
        yield piece


def _footer_of(file: BinaryIO) -> tuple[bytes, int]:
    """The footer's bytes, and the byte at which it begins."""
    size = file.seek(0, 2)
    file.seek(max(size - 8, 0))
    tail = file.read(8)
    begin = size - 8 - int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC or begin < len(MAGIC):
        raise Unfit("there is no footer of a Parquet file at its end")
    file.seek(begin)
    return file.read(size - 8 - begin), begin


def _structs(raw: bytes) -> Iterable[list[RawField]]:
    count, kind, at = list_head(raw, 0)
    if kind != STRUCT and count:
        raise TypeError(kind)
    for _ in range(count):
        fields, at = raw_fields(raw, at)
        yield fields


def _group(fields: Iterable[RawField], end: int) -> RowGroup:
    found = {each.number: each.value for each in fields}
    return RowGroup(read_number(found[_GROUP_ROWS]), tuple(_chunk(each, end) for each in _structs(found[_COLUMNS])))


def _chunk(fields: Iterable[RawField], end: int) -> ColumnChunk:
    found = {each.number: each for each in fields}
    if not found.keys() <= {_FILE_OFFSET, _META, 4, 5, 6, 7}:
        raise Unfit("a column chunk stands in another file, or is encrypted")
    about, _ = raw_fields(found[_META].value, 0)
    chunk = ColumnChunk(about, 0, 0)
    places = [place for place in (chunk.number(DICTIONARY_AT), chunk.number(DATA_AT)) if place]
    start, length = min(places, default=0), chunk.number(COMPRESSED)
    if start < len(MAGIC) or length < 0 or start + length > end:
        raise Unfit(f"a column chunk of {length} bytes at byte {start} is not within the file")
    return ColumnChunk(about, start, length)
