"""Counting a JSONL file: one pass in blocks of 1 MiB, which notes where rows begin, and what each column holds.

Every line is parsed here, so one that is no JSON object refuses the run before anything is paid for. Values are looked
at as far as their kind: what is inside of lists and objects is checked for being JSON, and never built.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import BinaryIO

from quarry_core.contract.column_names import COLUMNS_MAX, names_fault
from quarry_core.planning.count_csv import OFFSET_EVERY_BYTES, OFFSET_EVERY_ROWS
from quarry_core.tabular.counted import Count
from quarry_core.tabular.csv.header import HEADER_BYTES_MAX
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.json_kinds import Kinds, kinds_of, merged
from quarry_core.tabular.jsonl.lines import LINE_BYTES_MAX, UTF8_MARK, LineFault, parse_lines

BLOCK_BYTES = 1 << 20
# Parsed at once: an object of Python's for each value, for a moment.
LINES_AT_ONCE = 1_024


def count_jsonl(body: BinaryIO, key: str, needed: Collection[str] | None = None) -> Count:
    """Count a JSONL file's rows, note where they begin and what they hold, with flat memory. Raises SourceError.

    `needed` are the columns of which it is noted whether every row has a value; None: of all.
    """
    counter = _Counter(key)
    block, rest = body.read(BLOCK_BYTES), b""
    if block.startswith(UTF8_MARK):
        block = block[len(UTF8_MARK) :]
        counter.byte = len(UTF8_MARK)
    while block:
        end = block.rfind(b"\n") + 1
        if end:
            counter.take(rest + block[:end])
            rest = block[end:]
        else:
            rest += block
            if len(rest) > LINE_BYTES_MAX:
                counter.refuse_long()
        block = body.read(BLOCK_BYTES)
    counter.take(rest)
    fault = names_fault(list(counter.kinds)) if counter.kinds else None
    names_bytes = sum(len(name.encode()) for name in counter.kinds)
    if names_bytes > HEADER_BYTES_MAX:
        fault = f"the names of the keys have {names_bytes} bytes, more than {HEADER_BYTES_MAX}; shorten them"
    if fault:
        raise SourceError(f"{key}: {fault}")
    return Count(
        format="jsonl",
        rows=counter.rows,
        columns=tuple(counter.kinds),
        size_bytes=counter.byte,
        offsets=tuple(counter.offsets),
        kinds=counter.kinds,
        whole=tuple(
            name
            for name, one in counter.kinds.items()
            if one.values == counter.rows and (needed is None or name in needed)
        ),
    )


class _Counter:
    """Takes whole lines, stretch after stretch."""

    def __init__(self, key: str) -> None:
        self._key = key
        self.byte = 0  # at which the next stretch begins
        self.rows = 0
        self.offsets: list[tuple[int, int]] = []
        self.kinds: dict[str, Kinds] = {}

    def take(self, stretch: bytes) -> None:
        lines: list[bytes] = []
        begins: list[int] = []
        for begin, line in self._lines(stretch):
            lines.append(line)
            begins.append(begin)
            if len(lines) == LINES_AT_ONCE:
                self._take(lines, begins)
                lines, begins = [], []
        if lines:
            self._take(lines, begins)

    def refuse_long(self) -> None:
        """Of the row that comes."""
        raise SourceError(
            f"{self._key}: data row {self.rows + 1} (byte {self.byte}) is over {LINE_BYTES_MAX} bytes; split it, and if "
            "the file is one JSON array or object, write each row on a line of its own (jq -c '.[]')"
        )

    def _lines(self, stretch: bytes) -> Iterator[tuple[int, bytes]]:
        """The lines that are rows, with the bytes at which they begin."""
        for line in stretch.split(b"\n"):
            if len(line) > LINE_BYTES_MAX:
                self.refuse_long()
            if line and not line.isspace():
                yield self.byte, line
            self.byte += len(line) + 1
        self.byte -= 1  # behind the last there is no line end

    def _take(self, lines: list[bytes], begins: list[int]) -> None:
        parsed = parse_lines(lines)
        if isinstance(parsed, LineFault):
            place = f"data row {self.rows + parsed.line + 1} (byte {begins[parsed.line]})"
            raise SourceError(f"{self._key}: {place} {parsed.why}")
        for begin in begins:
            if (
                not self.offsets
                or self.rows >= self.offsets[-1][0] + OFFSET_EVERY_ROWS
                or begin >= self.offsets[-1][1] + OFFSET_EVERY_BYTES
            ):
                self.offsets.append((self.rows, begin))
            self.rows += 1
        merged(self.kinds, kinds_of(parsed))
        if len(self.kinds) > COLUMNS_MAX:
            raise SourceError(
                f"{self._key}: up to data row {self.rows} there are {len(self.kinds)} different keys, more than "
                f"{COLUMNS_MAX}; where keys are data, put them into one object under a key of its own"
            )
