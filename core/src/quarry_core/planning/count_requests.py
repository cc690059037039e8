"""Counting a file of ready requests: one pass, which notes where lines begin and judges each request.

What is wrong with the file itself (a line that is no request, an id that cannot be a row's, a request for something
else than a chat) refuses the run here, naming the line. What is wrong with one request costs its row only: it is
counted, so that the plan can do without it. If none of the first requests can be sent, the file was made for another
interface, and is refused with what is wrong with the first.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import msgspec

from quarry_core.contract.csv_dialect import RECORD_BYTES_MAX
from quarry_core.contract.requests import BODY_COLUMNS, FIRST_ROWS, RequestFormat, first_rows_fault
from quarry_core.models import canonical_model, check_ready
from quarry_core.models.anthropic import MAX_TOKENS_DEFAULT
from quarry_core.rendering.requests import NotSent, RequestEncoder
from quarry_core.tabular.counted import Count
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.requests.lines import NotARequest, read_line
from quarry_core.tabular.requests.rows import BOM, request_columns, request_schema
from quarry_core.text import shown_name

OFFSET_EVERY_ROWS = 4_096
OFFSET_EVERY_BYTES = 1 << 20
BLOCK_BYTES = 1 << 20
MODELS_NAMED_MAX = 3
_UTF16 = (b"\xff\xfe", b"\xfe\xff")

Ids = Sequence[str | None]


class _Asked(msgspec.Struct, gc=False):
    """What a request of either form says of its model and its answer."""

    model: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None


_asked = msgspec.json.Decoder(_Asked).decode


def count_requests(
    body: BinaryIO, key: str, form: RequestFormat, model_id: str, take_ids: Callable[[Ids], None] = lambda _ids: None
) -> Count:
    """Count a file's requests, in one pass with flat memory.

    Args:
        body: the file, read forward once.
        key: its name, for messages.
        form: of the requests.
        model_id: the model that all of them are sent to.
        take_ids: is given the ids of all rows, in their order.

    Raises:
        SourceError: it holds no requests of the form; the text names the line and the remedy.
    """
    judge, notes = _Judge(form, model_id), _Notes()
    others = False
    ids: list[str | None] = []
    for byte, line in _lines(body, key, notes):
        try:
            found = read_line(line, form)
        except NotARequest as error:
            raise SourceError(f"{key}: data row {notes.rows + 1} (byte {byte}) {error}") from error
        notes.take(byte)
        ids.append(found.id)
        others = others or found.other is not None
        judge.judge(found.body, key)
        if len(ids) == OFFSET_EVERY_ROWS:
            take_ids(ids)
            ids = []
    if not notes.rows:
        raise SourceError(f"{key} is empty; give a file with at least one request")
    take_ids(ids)
    judge.first_rows(key)
    columns = request_columns(form, others=others)
    return Count(
        format="jsonl",
        rows=notes.rows,
        columns=columns,
        size_bytes=notes.size_bytes,
        offsets=tuple(notes.offsets),
        schema_ipc=base64.b64encode(request_schema(columns).serialize()).decode(),
        requests=form,
        gaps=judge.unsent,
        answer_tokens_max=judge.answer_tokens_max,
        notes=judge.notes(),
    )


class _Notes:
    """Counts rows and notes where they begin, often enough to start anywhere."""

    def __init__(self) -> None:
        self.rows = 0
        self.size_bytes = 0
        self.offsets: list[tuple[int, int]] = []

    def take(self, byte: int) -> None:
        if (
            not self.offsets
            or self.rows - self.offsets[-1][0] >= OFFSET_EVERY_ROWS
            or byte - self.offsets[-1][1] >= OFFSET_EVERY_BYTES
        ):
            self.offsets.append((self.rows, byte))
        self.rows += 1


class _Judge:
    """Finds the requests that cannot be sent, and the files none of whose first requests can be."""

    def __init__(self, form: RequestFormat, model_id: str) -> None:
        self.unsent = 0
        self.answer_tokens_max = 0
        self._form = form
        self._model_id = model_id
        self._encoder = RequestEncoder(form)
        self._rows = 0
        self._faults: list[str] = []  # of the first rows
        self._models: dict[str, None] = {}

    def judge(self, body: bytes, key: str) -> None:
        fault = ""
        try:
            self._encoder.model_input(body)
        except NotSent as error:
            fault = str(error)
            self.unsent += 1
        self._rows += 1
        if self._rows <= FIRST_ROWS:
            fault = fault or self._fault_at_bedrock(body)
            self._faults += [fault] if fault else []
            if self._rows == FIRST_ROWS:
                self.first_rows(key)
        self._look_at(body)

    def first_rows(self, key: str) -> None:
        """Raises SourceError if none of the first requests can be sent."""
        fault = first_rows_fault(self._faults, self._rows)
        if fault is not None:
            raise SourceError(f"{key}: {fault}")

    def notes(self) -> tuple[str, ...]:
        """What the run's report is to say of the requests."""
        if not self._models:
            return ()
        named = [shown_name(model) for model in list(self._models)[:MODELS_NAMED_MAX]]
        more = " and others" if len(self._models) > MODELS_NAMED_MAX else ""
        return (
            f"requests name another model in their body ({', '.join(named)}{more}): all were sent to {self._model_id}",
        )

    def _fault_at_bedrock(self, body: bytes) -> str:
        """Why every record like this one fails there, as far as that is known."""
        if self._form != "bedrock":
            return ""
        try:
            found: Mapping[str, Any] = msgspec.json.decode(body)
            check_ready(self._model_id, found)
        except (msgspec.MsgspecError, RecursionError):
            return ""
        except ValueError as error:
            name = BODY_COLUMNS[self._form]
            return f"{name}.{str(error).removeprefix('inference: ')}"
        return ""

    def _look_at(self, body: bytes) -> None:
        try:
            asked = _asked(body)
        except (msgspec.MsgspecError, RecursionError):
            return
        most = next((one for one in (asked.max_tokens, asked.max_completion_tokens) if isinstance(one, int)), None)
        self.answer_tokens_max += most if most is not None and most > 0 else MAX_TOKENS_DEFAULT
        if self._form != "openai" or len(self._models) > MODELS_NAMED_MAX:
            return
        if isinstance(asked.model, str) and not _is_same(asked.model, self._model_id):
            self._models[asked.model] = None


def _is_same(model: str, model_id: str) -> bool:
    """Whether a body means the model that it is sent to; gateways put words before its name, with a slash."""
    return canonical_model(model_id) in {canonical_model(model), canonical_model(model.rpartition("/")[2])}


def _lines(body: BinaryIO, key: str, notes: _Notes) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with the byte at which each begins; the size is noted when they end."""
    at, rest = 0, b""
    first = True
    while block := body.read(BLOCK_BYTES):
        data = rest + block if rest else block
        if first:
            if data.startswith(_UTF16):
                raise SourceError(f"{key} is UTF-16; save it as UTF-8")
            if data.startswith(BOM):
                data, at = data[len(BOM) :], len(BOM)
            first = False
        *lines, rest = data.split(b"\n")
        for line in lines:
            if line and not line.isspace():
                yield at, line
            at += len(line) + 1
        if len(rest) > RECORD_BYTES_MAX:
            raise SourceError(
                f"{key}: data row {notes.rows + 1} (byte {at}) is over {RECORD_BYTES_MAX} bytes; Bedrock takes 25 MB of"
                " one request: write it smaller, or check that line ends separate the requests"
            )
    notes.size_bytes = at + len(rest)
    if rest and not rest.isspace():
        yield at, rest
