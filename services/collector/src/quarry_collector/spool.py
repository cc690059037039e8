"""Outcomes of one shard on their way from the order of the output to the order of the rows.

Theory of operation. Bedrock writes its output in no order (contract section 4.3). What is long about an outcome, the
answer or the error's message, goes to a temporary file as it comes; what is short stands in arrays indexed by the
record's row, for a record id *is* a position. Read back in row order, that is the join. Memory is a few dozen bytes a
row however long the answers are.

Ids are ours and are never trusted from the output: an id that is not of this shard, or of a row that was never sent,
is counted and passed over. The first usable line of a record is kept, a later one is counted. Every row has exactly
one outcome when `settle` returns, or it raises (promise S3). A spool belongs to one settling and is thrown away.
"""

from __future__ import annotations

import os
import struct
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import pyarrow as pa

from quarry_collector import columns
from quarry_collector.columns import UNKNOWN
from quarry_collector.decode import Corrupt, Line, RecordError
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
from quarry_core.contract.names import ROW_MAX, record_id, row_of
from quarry_core.contract.results import outcome_schema
from quarry_core.models import Answer, EmptyAnswer
from quarry_core.service.failures import exhausted
from quarry_core.structured.answers import Answers, InvalidOutput

SPOOL_BYTES_MAX = 16 << 30
WRITE_BYTES = 1 << 20
BATCH_ROWS_MAX = 1_024
BATCH_BYTES_MAX = 8 << 20
ERROR_MESSAGE_CHARS_MAX = 2_048
STOP_REASON_CHARS_MAX = 64
UNEXPECTED_ID_CHARS_MAX = 64
TOKENS_MAX = 1_000_000_000  # of one record; what claims more is not believed

_NONE, _OK = 0, 1  # the status of a row; 2 and more are error codes
_CODES = tuple(ErrorCode)
_NUMBER = {code: number for number, code in enumerate(_CODES, start=2)}
_INVALID = _NUMBER[ErrorCode.INVALID_OUTPUT]  # its payload is a message and the text of the answer
_NO_OUTPUT = Answer()

Numbers = np.ndarray[Any, np.dtype[np.int64]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


class SpoolFull(Exception):
    """The answers of one shard are longer than the spool may be."""


class Reader(Protocol):
    """What is needed of a model family: see `quarry_core.models.Family`."""

    def answer(self, output: Any) -> Answer: ...


class Spool:
    """The outcomes of one shard of `rows` rows. Use as a context manager: leaving it deletes the file.

    Args:
        shard: the shard's five digits.
        rows: all rows of the shard, sent or not.
        answer_column: `response` or `embedding`.
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
        answers: Answers | None = None,
        folder: Path | None = None,
        spool_bytes_max: int = SPOOL_BYTES_MAX,
    ) -> None:
        if not 0 < rows <= ROW_MAX + 1:
            raise ValueError(f"a shard has 1 to {ROW_MAX + 1} rows, not {rows}")
        self.shard = shard
        self.rows = rows
        self.answer_column = answer_column
        self._answers = answers
        self.schema = outcome_schema(answer_column, answers.fields if answers is not None else ())
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by __exit__
        self._bytes_max = spool_bytes_max
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._end = 0
        # Arrays of the standard library: one element at a time they are several times faster than numpy's.
        self._status = bytearray(rows)
        self._offset = array("q", bytes(8 * rows))
        self._length = array("q", bytes(8 * rows))
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
        self._file.close()

    @property
    def unsent(self) -> int:
        """How many rows never went into the job's input."""
        return self._unsent

    @property
    def reported(self) -> int:
        """How many of the sent rows the output tells about: an answer, an error, or a line that cannot be read."""
        return self._reported

    def leave_out(self, row: int, code: ErrorCode, message: str) -> None:
        """Note a row that was never sent. All of these come before `place`. Raises NotConserved."""
        if not 0 <= row < self.rows or self._status[row] != _NONE:
            raise NotConserved(
                f"row {row} of shard {self.shard} cannot be left out: it has an outcome, or does not exist"
            )
        self._put_payload(row, _NUMBER[code], _message(message))
        self._unsent += 1

    def place(
        self, lines: Iterable[Line[Any] | Corrupt], family: Reader, *, own_codes: frozenset[str] = frozenset()
    ) -> Seen:
        """Give each line to its row, and count what is not simply one line for one row.

        Call it once, after `leave_out`. Raises SpoolFull.

        Args:
            lines: the output.
            family: reads its answers.
            own_codes: codes of errors that Quarry itself wrote into it: they are the rows' own.
        """
        self._own_codes = own_codes
        unsent = bytes(self._status)
        total = duplicated = unexpected = corrupt = 0
        unexpected_ids: list[str] = []
        heads: list[str] = []
        for line in lines:
            total += 1
            if isinstance(line, Corrupt):
                corrupt += 1
                if len(heads) < EXAMPLES_MAX:
                    heads.append(line.head)
            if line.record_id is None:
                continue
            row = row_of(line.record_id, self.shard)
            if row is None or row >= self.rows or unsent[row] != _NONE:
                unexpected += 1
                if len(unexpected_ids) < EXAMPLES_MAX:
                    unexpected_ids.append(line.record_id[:UNEXPECTED_ID_CHARS_MAX])
                continue
            before = self._status[row]
            if before != _NONE:
                duplicated += 1
            if before == _OK:
                continue
            self._reported += before == _NONE
            self._put(row, line, family, only_an_answer=before != _NONE)
        return Seen(total, duplicated, unexpected, corrupt, tuple(unexpected_ids), tuple(heads))

    def settle(self, rest: Settle, seen: Seen | None = None) -> SpooledOutcome:
        """Give every row without an outcome the error of `rest`, and make the account.

        Raises:
            NotConserved: rows with and without an answer are not all rows.
            SpoolFull: the answers are too long.
        """
        if _NONE in self._status:
            message = _message(rest.message)
            offset, number = self._append(message), _NUMBER[rest.code]
            for row, status in enumerate(self._status):
                if status == _NONE:
                    self._offset[row], self._length[row], self._status[row] = offset, len(message), number
        self._flush()
        account = self._account(seen or Seen())
        check_conservation(account, self.rows)
        return SpooledOutcome(self, account)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The outcomes in row order, at most 1,024 rows and about 8 MiB at once, in `schema`."""
        start = 0
        while start < self.rows:
            most = min(start + BATCH_ROWS_MAX, self.rows)
            ends = np.cumsum(columns.view(self._length, start, most))
            stop = start + max(1, int(np.searchsorted(ends, BATCH_BYTES_MAX, side="right")))
            yield self._batch(start, stop)
            start = stop

    # ----------------------------------------------------------------- writing

    def _put(self, row: int, line: Line[Any] | Corrupt, family: Reader, *, only_an_answer: bool) -> None:
        paid: Answer | EmptyAnswer | None = None
        if isinstance(line, Corrupt):
            code, message = ErrorCode.CORRUPT_ANSWER, line.reason
        else:
            try:
                paid = family.answer(line.model_output) if line.model_output is not None else _NO_OUTPUT
                self._put_payload(row, _OK, self._payload(paid))
            except EmptyAnswer as error:
                code, message, paid = ErrorCode.EMPTY_ANSWER, str(error), error
            except InvalidOutput as error:
                if not only_an_answer and isinstance(paid, Answer):
                    self._put_payload(row, _INVALID, _message_and_text(str(error), paid))
                    self._put_counts(row, paid)
                return
            except SpoolFull:
                raise
            except Exception as error:  # whatever an adapter stumbles over is this record's, never its neighbours'
                if exhausted(error):
                    raise  # a full disk says nothing of the answer
                code, message = ErrorCode.CORRUPT_ANSWER, f"{type(error).__name__}: {error}"
            else:
                self._put_counts(row, paid)
                return
            if line.error is not None:
                # An answer beside it would have been taken: it was paid for.
                code, message = ErrorCode.MODEL_ERROR, _bedrocks(line.error)
                if line.error.error_code in self._own_codes:
                    code, message = ErrorCode(str(line.error.error_code)), line.error.error_message
        if not only_an_answer:
            self._put_payload(row, _NUMBER[code], _message(message))
            if paid is not None:
                self._put_counts(row, paid)

    def _payload(self, answer: Answer) -> bytes:
        """What is kept of an answer. Raises EmptyAnswer, InvalidOutput."""
        if self._answers is None:
            return _payload(answer, self.answer_column)
        if not answer.text:
            raise EmptyAnswer("the model gave no text")
        return self._answers.payload(answer.text, answer.stop_reason)

    def _put_payload(self, row: int, status: int, payload: bytes) -> None:
        self._offset[row] = self._append(payload)
        self._length[row] = len(payload)
        self._status[row] = status

    def _put_counts(self, row: int, paid: Answer | EmptyAnswer) -> None:
        """What Bedrock counted, for an empty answer was paid for too."""
        if paid.stop_reason is not None:
            reason = paid.stop_reason[:STOP_REASON_CHARS_MAX]
            self._stop[row] = self._stop_reasons.setdefault(reason, len(self._stop_reasons))
        self._input_tokens[row] = _tokens(paid.input_tokens)
        self._output_tokens[row] = _tokens(paid.output_tokens)

    def _append(self, payload: bytes) -> int:
        offset = self._end
        if offset + len(payload) > self._bytes_max:
            raise SpoolFull(f"the answers of shard {self.shard} are longer than {self._bytes_max} bytes")
        self._waiting.append(payload)
        self._end += len(payload)
        self._waiting_bytes += len(payload)
        if self._waiting_bytes >= WRITE_BYTES:
            self._flush()
        return offset

    def _flush(self) -> None:
        rest = memoryview(b"".join(self._waiting))
        while rest:
            rest = rest[self._file.write(rest) :]
        self._waiting.clear()
        self._waiting_bytes = 0

    # ----------------------------------------------------------------- reading

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
        payload = self._read(row, row + 1)[0]
        message = (_split(payload)[0] if self._status[row] == _INVALID else payload).decode()
        return Example(record_id(self.shard, row), message[:EXAMPLE_CHARS_MAX])

    def _read(self, start: int, stop: int) -> list[bytes]:
        spool = self._file.fileno()
        lengths, offsets = self._length[start:stop], self._offset[start:stop]
        payloads = [os.pread(spool, length, offset) for length, offset in zip(lengths, offsets, strict=True)]
        if sum(map(len, payloads)) != sum(lengths):
            raise NotConserved(f"the spool of shard {self.shard} does not return what was written to it")
        return payloads

    def _batch(self, start: int, stop: int) -> pa.RecordBatch:
        status = np.frombuffer(self._status, np.uint8)[start:stop]
        ok = status == _OK
        payloads = self._read(start, stop)
        lengths = columns.view(self._length, start, stop)
        if self._answers is None:
            answered = [columns.answers(payloads, lengths, ok, self.answer_column)]
        else:
            answered, payloads = self._structured(payloads, status)
            lengths = np.fromiter(map(len, payloads), np.int64, len(payloads))
        return pa.RecordBatch.from_arrays(
            [
                *answered,
                columns.record_ids(self.shard, start, stop),
                columns.words(
                    np.where(ok, 0, np.where(status == _NUMBER[ErrorCode.SKIPPED], 2, 1)), ["ok", "error", "skipped"]
                ),
                columns.words(np.where(ok, 0, status - 1), [None, *map(str, _CODES)]),
                columns.texts(payloads, lengths, ~ok),
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
            rest[row], text = _split(payloads[row])
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


def _payload(answer: Answer, answer_column: str) -> bytes:
    if answer_column == "response":
        if not answer.text:
            raise EmptyAnswer("the model gave no text")
        return answer.text.encode("utf-8", "replace")
    if not answer.embedding:
        raise EmptyAnswer("the model gave no embedding")
    # In this form a value beyond float32 is an error; it would become infinite, and spoil every distance.
    return struct.pack(f"<{len(answer.embedding)}f", *answer.embedding)


def _message_and_text(message: str, answer: Answer) -> bytes:
    reason = _message(message)
    return struct.pack("<I", len(reason)) + reason + (answer.text or "").encode("utf-8", "replace")


def _split(payload: bytes) -> tuple[bytes, bytes]:
    end = 4 + int.from_bytes(payload[:4], "little")
    return payload[4:end], payload[end:]


def _bedrocks(error: RecordError) -> str:
    return f"{'no code' if error.error_code is None else error.error_code}: {error.error_message}"


def _message(text: str) -> bytes:
    return text[:ERROR_MESSAGE_CHARS_MAX].encode("utf-8", "replace")


def _tokens(count: int | None) -> int:
    return count if count is not None and 0 <= count <= TOKENS_MAX else UNKNOWN


def _sum(tokens: array[int]) -> int:
    return sum(count for count in tokens if count != UNKNOWN)
