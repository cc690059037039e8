"""Outcomes of one shard on their way from the order of the output to the order of the rows.

Theory of operation. Bedrock writes its output in no order (contract section 4.3). What is long about an outcome, the
answer or the error's message, goes to a temporary file as it comes; what is short stands in arrays indexed by the
record's row, for a record id *is* a position. Read back in row order, that is the join. Memory is a few dozen bytes a
row however long the answers are, and the first few MiB of these.

A block of lines is placed by columns: good answers for rows that have none are the rule, and are put down together.
Whatever is otherwise in a block, or about it, is gone through line by line.

Ids are ours and are never trusted from the output: an id that is not of this shard, or of a row that was never sent,
is counted and passed over. The first usable line of a record is kept, a later one is counted. Every row has exactly
one outcome when `settle` returns, or it raises (promise S3). A spool belongs to one settling and is thrown away.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa

from quarry_collector import columns
from quarry_collector.columns import UNKNOWN, Bytes, Numbers
from quarry_collector.decode import Block, Corrupt, Line
from quarry_collector.payloads import Kept, Payloads, Placed, Reader, all_tokens, message, split, tokens
from quarry_collector.places import ByPosition, Places
from quarry_collector.settle import (
    EXAMPLE_CHARS_MAX,
    EXAMPLES_MAX,
    ErrorCode,
    Example,
    NotConserved,
    Seen,
    Settle,
    Settlement,
    check_conservation,
)
from quarry_collector.spool_file import Lost, SpoolFile
from quarry_core.contract.names import ROW_MAX
from quarry_core.contract.results import outcome_schema
from quarry_core.models import Answer
from quarry_core.structured.answers import Answers

SPOOL_BYTES_MAX = 16 << 30
BLOCK_LINES_MAX = 64  # of lines that come one by one
BATCH_ROWS_MAX = 1_024
BATCH_BYTES_MAX = 8 << 20
STOP_REASON_CHARS_MAX = 64
UNEXPECTED_ID_CHARS_MAX = 64

_NONE, _OK = 0, 1  # the status of a row; 2 and more are error codes
_CODES = tuple(ErrorCode)
_NUMBER = {code: number for number, code in enumerate(_CODES, start=2)}
_INVALID = _NUMBER[ErrorCode.INVALID_OUTPUT]  # its payload is a message and the text of the answer


class SpoolFull(Exception):
    """The answers of one shard are longer than the spool may be."""


class Spool:
    """The outcomes of one shard of `rows` rows. Use as a context manager: leaving it deletes the file.

    Args:
        shard: the shard's five digits.
        rows: all rows of the shard, sent or not.
        answer_column: `response` or `embedding`.
        places: which row an id names; in a shard of the source that is its position.
        answers: what makes columns of the answers, in a run with an output schema.
        folder: where the temporary file lies; the system's own place if None.
        spool_bytes_max: how large it may grow.
    """

    def __init__(
        self,
        shard: str,
        rows: int,
        answer_column: str,
        *,
        places: Places | None = None,
        answers: Answers | None = None,
        folder: Path | None = None,
        spool_bytes_max: int = SPOOL_BYTES_MAX,
    ) -> None:
        if not 0 < rows <= ROW_MAX + 1:
            raise ValueError(f"a shard has 1 to {ROW_MAX + 1} rows, not {rows}")
        self.shard = shard
        self.rows = rows
        self._places: Places = places or ByPosition(shard)
        self.answer_column = answer_column
        self._answers = answers
        self.schema = outcome_schema(answer_column, answers.fields if answers is not None else ())
        self._file = SpoolFile(folder, rows)
        self._bytes_max = spool_bytes_max
        # Arrays of the standard library: one element at a time they are several times faster than numpy's.
        self._status = bytearray(rows)
        self._place = np.zeros(rows, np.int32)  # of each row in the block in which it came
        self._stop = array("q", bytes(8 * rows))
        self._input_tokens = array("q", [UNKNOWN]) * rows
        self._output_tokens = array("q", [UNKNOWN]) * rows
        self._stop_reasons: dict[str | None, int] = {None: 0}
        self._own_codes: frozenset[str] = frozenset()
        self._unsent = 0
        self._reported = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def record_id(self, row: int) -> str:
        return self._places.record_id(row)

    @property
    def unsent(self) -> int:
        """How many rows never went into the job's input."""
        return self._unsent

    @property
    def reported(self) -> int:
        """How many of the sent rows the output tells about: an answer, an error, or a line that cannot be read."""
        return self._reported

    @property
    def all_ok(self) -> bool:
        """Whether every row has an answer."""
        return self._status.count(_OK) == self.rows

    def leave_out(self, row: int, code: ErrorCode, text: str) -> None:
        """Note a row that was never sent. All of these come before `place`. Raises NotConserved."""
        if not 0 <= row < self.rows or self._status[row] != _NONE:
            raise NotConserved(
                f"row {row} of shard {self.shard} cannot be left out: it has an outcome, or does not exist"
            )
        self._put(row, Kept(message(text), code))
        self._unsent += 1

    def place(
        self, lines: Iterable[Line[Any] | Corrupt], family: Reader, *, own_codes: frozenset[str] = frozenset()
    ) -> Seen:
        """As `place_blocks`, of lines one by one."""
        each = iter(lines)
        blocks = iter(lambda: Block(list(islice(each, BLOCK_LINES_MAX))), Block([]))
        return self.place_blocks(blocks, family, own_codes=own_codes)

    def place_blocks(
        self, blocks: Iterable[Block[Any]], family: Reader, *, own_codes: frozenset[str] = frozenset()
    ) -> Seen:
        """Give each line to its row, and count what is not simply one line for one row.

        Call it once, after `leave_out`. Raises SpoolFull.

        Args:
            blocks: the output.
            family: reads its answers.
            own_codes: codes of errors that Quarry itself wrote into it: they are the rows' own.
        """
        payloads = Payloads(family, self.answer_column, self._answers, own_codes)
        odd = _Odd(bytes(self._status))
        total = 0
        for block in blocks:
            total += len(block.lines)
            for line, vector in self._place_good(block, payloads):
                self._place_one(line, vector, payloads, odd)
        return odd.seen(total)

    def settle(self, rest: Settle, seen: Seen | None = None) -> SpooledOutcome:
        """Give every row without an outcome the error of `rest`, and make the account.

        Raises:
            NotConserved: rows with and without an answer are not all rows.
            SpoolFull: the answers are too long.
        """
        if _NONE in self._status:
            text = message(rest.message)
            self._check_room(len(text))
            rows = np.flatnonzero(np.frombuffer(self._status, np.uint8) == _NONE)
            self._file.put_for_all(rows, text)
            np.frombuffer(self._status, np.uint8)[rows] = _NUMBER[rest.code]
        self._file.finish()
        account = self._account(seen or Seen())
        check_conservation(account, self.rows)
        return SpooledOutcome(self, account)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The outcomes in row order, at most 1,024 rows and about 8 MiB at once, in `schema`."""
        start = 0
        while start < self.rows:
            most = min(start + BATCH_ROWS_MAX, self.rows)
            ends = np.cumsum(self._file.lengths(start, most))
            stop = start + max(1, int(np.searchsorted(ends, BATCH_BYTES_MAX, side="right")))
            yield self._batch(start, stop)
            start = stop

    # ----------------------------------------------------------------- writing

    def _place_good(self, block: Block[Any], payloads: Payloads) -> list[Placed]:
        """Put down good answers for rows without any, all at once; the lines that are otherwise come back."""
        good = payloads.good(block.lines, block.vectors)
        rows = self._places.rows_of(good.ids) if good.ids else None
        if rows is None or not self._free(rows):
            return list(zip(block.lines, block.vectors or [None] * len(block.lines), strict=True))
        lengths = np.fromiter(map(len, good.payloads), np.int64, len(good.payloads))
        self._check_room(int(lengths.sum()))
        self._file.put(rows, good.payloads, lengths)
        np.frombuffer(self._status, np.uint8)[rows] = _OK
        numbers = {reason: self._stop_number(reason) for reason in dict.fromkeys(good.stop_reasons)}
        _scatter(self._stop, rows, [numbers[reason] for reason in good.stop_reasons])
        _scatter(self._input_tokens, rows, all_tokens(good.input_tokens, UNKNOWN))
        _scatter(self._output_tokens, rows, all_tokens(good.output_tokens, UNKNOWN))
        self._reported += len(rows)
        return good.others

    def _free(self, rows: Numbers) -> bool:
        """Whether these are rows of the shard that have no outcome yet, each once."""
        if int(rows.min()) < 0 or int(rows.max()) >= self.rows:
            return False
        if np.frombuffer(self._status, np.uint8)[rows].any():
            return False
        # A row that comes twice keeps the later of its places: cheaper than to look for what is unique.
        places = np.arange(len(rows), dtype=np.int32)
        self._place[rows] = places
        return bool((self._place[rows] == places).all())

    def _place_one(self, line: Line[Any] | Corrupt, vector: bytes | None, payloads: Payloads, odd: _Odd) -> None:
        if isinstance(line, Corrupt):
            odd.corrupt(line)
        if line.record_id is None:
            return
        row = self._places.row_of(line.record_id)
        if row is None or row >= self.rows or odd.unsent[row] != _NONE:
            odd.unexpected(line.record_id)
            return
        before = self._status[row]
        if before != _NONE:
            odd.duplicated += 1
        if before == _OK:
            return
        self._reported += before == _NONE
        kept = payloads.keep(line, vector)
        if kept.code is None or before == _NONE:  # of a second line only an answer counts
            self._put(row, kept)

    def _put(self, row: int, kept: Kept) -> None:
        self._check_room(len(kept.payload))
        self._file.put(np.array([row]), [kept.payload], np.array([len(kept.payload)]))
        self._status[row] = _OK if kept.code is None else _NUMBER[kept.code]
        if kept.paid is not None:
            self._put_counts(row, kept.paid)

    def _put_counts(self, row: int, paid: Answer) -> None:
        """What Bedrock counted, for an empty answer was paid for too."""
        if paid.stop_reason is not None:
            self._stop[row] = self._stop_number(paid.stop_reason)
        self._input_tokens[row] = tokens(paid.input_tokens, UNKNOWN)
        self._output_tokens[row] = tokens(paid.output_tokens, UNKNOWN)

    def _stop_number(self, reason: str | None) -> int:
        known = self._stop_reasons
        if reason not in known and reason is not None:
            reason = reason[:STOP_REASON_CHARS_MAX]
        return known.setdefault(reason, len(known))

    def _check_room(self, size_bytes: int) -> None:
        if self._file.end + size_bytes > self._bytes_max:
            raise SpoolFull(f"the answers of shard {self.shard} are longer than {self._bytes_max} bytes")

    # ----------------------------------------------------------------- reading

    def errors(self, codes: Collection[str]) -> Iterator[tuple[int, str, str]]:
        """The rows with one of these error codes, in order: row, code and message."""
        wanted = [number for code, number in _NUMBER.items() if code in codes]
        rows = np.flatnonzero(np.isin(np.frombuffer(self._status, np.uint8), wanted))
        for some in np.array_split(rows, -(-len(rows) // BATCH_ROWS_MAX)) if len(rows) else ():
            for row, payload in zip(some.tolist(), self._read(some).to_pylist(), strict=True):
                yield row, str(_CODES[self._status[row] - 2]), self._text(row, payload)

    def _text(self, row: int, payload: bytes) -> str:
        return (split(payload)[0] if self._status[row] == _INVALID else payload).decode()

    def _account(self, seen: Seen) -> Settlement:
        status = np.frombuffer(self._status, np.uint8)
        counts = np.bincount(status, minlength=2 + len(_CODES))
        codes = [code for code in _CODES if counts[_NUMBER[code]]]
        return Settlement(
            rows=self.rows,
            ok=int(counts[_OK]),
            errors={str(code): int(counts[_NUMBER[code]]) for code in codes},
            input_tokens=_sum(self._input_tokens),
            output_tokens=_sum(self._output_tokens),
            examples={
                str(code): tuple(map(self._example, np.flatnonzero(status == _NUMBER[code])[:EXAMPLES_MAX].tolist()))
                for code in codes
            },
            seen=seen,
        )

    def _example(self, row: int) -> Example:
        payload = self._read(np.array([row]))[0].as_py()
        return Example(self._places.record_id(row), self._text(row, payload)[:EXAMPLE_CHARS_MAX])

    def _read(self, rows: Numbers) -> pa.Array:
        try:
            return self._file.read(rows)
        except Lost:
            raise NotConserved(f"the spool of shard {self.shard} does not return what was written to it") from None

    def _batch(self, start: int, stop: int) -> pa.RecordBatch:
        status = np.frombuffer(self._status, np.uint8)[start:stop]
        ok = status == _OK
        payloads = self._read(np.arange(start, stop))
        if self._answers is None:
            answered = [columns.answers(payloads, ok, self.answer_column)]
        else:
            answered, rest = self._structured(payloads.to_pylist(), status)
            payloads = columns.pieces_of(rest)
        return pa.RecordBatch.from_arrays(
            [
                *answered,
                self._places.record_ids(start, stop),
                columns.words(
                    np.where(ok, 0, np.where(status == _NUMBER[ErrorCode.SKIPPED], 2, 1)), ["ok", "error", "skipped"]
                ),
                columns.words(np.where(ok, 0, status - 1), [None, *map(str, _CODES)]),
                columns.texts(payloads, ~ok),
                columns.words(columns.view(self._stop, start, stop), list(self._stop_reasons)),
                columns.numbers(columns.view(self._input_tokens, start, stop)),
                columns.numbers(columns.view(self._output_tokens, start, stop)),
            ],
            schema=self.schema,
        )

    def _structured(self, payloads: list[bytes], status: Bytes) -> tuple[list[pa.Array], list[bytes]]:
        """The columns of the output schema and the text of what does not fit it; and the payloads without that text."""
        assert self._answers is not None
        values = [payload if code == _OK else None for payload, code in zip(payloads, status, strict=True)]
        texts: list[str | None] = [None] * len(payloads)
        rest = list(payloads)
        for row in np.flatnonzero(status == _INVALID).tolist():
            rest[row], text = split(payloads[row])
            texts[row] = text.decode()
        return [*self._answers.arrays(values), pa.array(texts, pa.string())], rest


class SpooledOutcome:
    """A settled spool, ready to be written (`parts.Outcome`); good for as long as the spool is open."""

    def __init__(self, spool: Spool, settlement: Settlement) -> None:
        self._spool = spool
        self.settlement = settlement
        self.schema = spool.schema
        self.answer_column = spool.answer_column

    def batches(self) -> Iterator[pa.RecordBatch]:
        return self._spool.batches()

    def errors(self, codes: Collection[str]) -> Iterator[tuple[int, str, str]]:
        return self._spool.errors(codes)

    def record_id(self, row: int) -> str:
        return self._spool.record_id(row)


class _Odd:
    """What the output holds that is not simply one line for one row. `unsent`: the status of each row before any line."""

    def __init__(self, unsent: bytes) -> None:
        self.unsent = unsent
        self.duplicated = 0
        self._unexpected = 0
        self._unexpected_ids: list[str] = []
        self._corrupt = 0
        self._heads: list[str] = []

    def corrupt(self, line: Corrupt) -> None:
        self._corrupt += 1
        if len(self._heads) < EXAMPLES_MAX:
            self._heads.append(line.head)

    def unexpected(self, record: str) -> None:
        self._unexpected += 1
        if len(self._unexpected_ids) < EXAMPLES_MAX:
            self._unexpected_ids.append(record[:UNEXPECTED_ID_CHARS_MAX])

    def seen(self, lines: int) -> Seen:
        ids, heads = tuple(self._unexpected_ids), tuple(self._heads)
        return Seen(lines, self.duplicated, self._unexpected, self._corrupt, ids, heads)


def _scatter(into: array[int], rows: Numbers, values: Numbers | list[int] | int) -> None:
    np.frombuffer(into, np.int64)[rows] = values


def _sum(counted: array[int]) -> int:
    numbers = np.frombuffer(counted, np.int64)
    return int(numbers[numbers != UNKNOWN].sum())
