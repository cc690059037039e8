"""Ready requests to the lines that Bedrock reads: what `encode` does for prompts.

A request of Bedrock's form stands in the line byte for byte as its writer wrote it; one of OpenAI's is translated. A
row that cannot be sent keeps its place and its record id and is told in `unsent`, as for prompts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pyarrow as pa

from quarry_core.contract.requests import BODY_COLUMNS, RequestFormat
from quarry_core.models.openai_chat import Untranslatable, converse_request
from quarry_core.rendering.row_encoder import (
    HEAD_BYTES,
    LINES_BYTES_MAX,
    RECORD_BYTES_MAX,
    ROW_DIGITS,
    Encoded,
    Unsent,
    UnsentCode,
    line_head,
)
from quarry_core.tabular.requests.lines import HALF_PAIR

_MIDDLE = b'","modelInput":'
_END = b"}\n"
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class NotSent(ValueError):
    """A request that is not sent, and why."""

    def __init__(self, code: UnsentCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class RequestEncoder:
    """Encodes the ready requests of one run.

    Args:
        form: of the requests.
        record_bytes_max: a longer line is not sent.
    """

    def __init__(self, form: RequestFormat, record_bytes_max: int = RECORD_BYTES_MAX) -> None:
        self.columns: tuple[str, ...] = (BODY_COLUMNS[form],)
        self._translates = form == "openai"
        self._record_bytes_max = record_bytes_max

    @property
    def frame_bytes(self) -> int:
        """The length of a line without its request, newline included."""
        return HEAD_BYTES + ROW_DIGITS + len(_MIDDLE) + len(_END)

    def model_input(self, body: bytes) -> bytes:
        """What a record of this request holds.

        Raises:
            NotSent: the request cannot be sent; the text names the field, and what to do.
        """
        if self._translates:
            body = _translated(body)
        elif HALF_PAIR.search(body) is not None:
            _check_whole(body, self.columns[0])
        line_bytes = self.frame_bytes + len(body)
        if line_bytes > self._record_bytes_max:
            raise NotSent(
                "TOO_LARGE", f"the record has {line_bytes} bytes, and Bedrock takes {self._record_bytes_max} at most"
            )
        return body

    def encode_bounded(self, batch: pa.RecordBatch, shard: str, first_row: int) -> Iterator[Encoded]:
        """As `Encoder.encode_bounded`."""
        head = line_head(shard, first_row, batch.num_rows)
        lines: list[bytes] = []
        unsent: list[Unsent] = []
        size_bytes = 0
        for row, body in enumerate(self._bodies(batch), first_row):
            try:
                line = b"%b%06d%b%b%b" % (head, row, _MIDDLE, self._checked(body), _END)
            except NotSent as error:
                unsent.append(Unsent(row, error.code, str(error)))
                continue
            if lines and size_bytes + len(line) > LINES_BYTES_MAX:
                yield Encoded(b"".join(lines), len(lines))
                lines, size_bytes = [], 0
            lines.append(line)
            size_bytes += len(line)
        yield Encoded(b"".join(lines), len(lines), tuple(unsent))

    def texts(self, batch: pa.RecordBatch) -> Iterator[str]:
        """The texts of each request that is sent: of its system prompt, its messages and what they hold."""
        for body in self._bodies(batch):
            try:
                yield "\n".join(_texts(_decode(self._checked(body)), ""))
            except (NotSent, msgspec.MsgspecError, RecursionError):
                continue

    def could_be_too_large(self, text_bytes: int) -> bool:
        """Whether a request in a row of so many bytes may make no line: one that is translated may fail at any size."""
        return self._translates or self.frame_bytes + text_bytes > self._record_bytes_max

    def count_unsent(self, batch: pa.RecordBatch) -> int:
        """How many rows of a batch are not sent."""
        unsent = 0
        for body in self._bodies(batch):
            try:
                self._checked(body)
            except NotSent:
                unsent += 1
        return unsent

    def _bodies(self, batch: pa.RecordBatch) -> Iterator[bytes | None]:
        for value in batch.column(self.columns[0]).cast(pa.large_binary()):
            yield value.as_py()

    def _checked(self, body: bytes | None) -> bytes:
        if body is None:
            raise NotSent("NULL_INPUT", f"the column {self.columns[0]!r} is null in this row")
        return self.model_input(body)


# Where requests of all forms have what the model reads; an image is no text.
_TEXTS = frozenset({"text", "content", "system", "prompt", "inputText", "thinking"})


def _texts(value: Any, name: str) -> Iterator[str]:
    match value:
        case str() if name in _TEXTS:
            yield value
        case list():
            for one in value:
                yield from _texts(one, name)
        case dict():
            for key, one in value.items():
                yield from _texts(one, key)


def _translated(body: bytes) -> bytes:
    try:
        return _encode(converse_request(_decode(body)))
    except Untranslatable as error:
        raise NotSent("BAD_VALUE", str(error)) from error
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        _check_whole(body, "body")
        raise NotSent("BAD_VALUE", "body is JSON that cannot be read: write it with a JSON library") from None


def _check_whole(body: bytes, name: str) -> None:
    """Refuse half of a surrogate pair; whole pairs look the same at first sight."""
    try:
        _decode(body)
    except msgspec.MsgspecError:
        if HALF_PAIR.search(body) is not None:
            raise NotSent(
                "BAD_VALUE",
                f"{name} holds half of a surrogate pair, which is no character (the text was cut inside one, such as"
                " an emoji): send whole characters",
            ) from None
        raise NotSent("BAD_VALUE", f"{name} is JSON that cannot be read: write it with a JSON library") from None
