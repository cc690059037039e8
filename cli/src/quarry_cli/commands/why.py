"""`quarry why`: shows all that is known of one record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from quarry_cli.commands.options import RunId, Version, open_client
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.wording import plain
from quarry_core.text import json_escaped

if TYPE_CHECKING:
    from quarry_cli.client.diagnosis.explaining import Attempt, Record

SHOWN_CHARS_MAX = 4_000


def why(
    ctx: typer.Context,
    run: RunId,
    record: Annotated[
        str, typer.Argument(metavar="RECORD", help="Its record id (11 digits), or the number of its row, from 0.")
    ],
    version: Version = None,
    as_json: Json = False,
) -> None:
    """Show what became of one record: its shard, jobs and attempts, the request, the raw answer, the result.

    The request is taken from the job's output; if that has no line for the record, it is made again from the source. Reading an output may take a while. Long texts are cut; --json shows more of them.

    Exit code 0: the record exists, whatever became of it; 1: there is no such run or record.
    """
    with printing.telling():
        found = open_client(ctx).why(run, record, version=version)
        if as_json:
            printing.print_json(found)
        else:
            _print(found)


def _print(found: Record) -> None:
    at = "" if found.row is None else f", row {found.row:,} of the run"
    state = f", {plain(found.shard_state)}" if found.shard_state else ""
    asked = ", asked on demand" if found.on_demand else ""
    _say(f"record {found.record_id} of run {found.run_id}{at}")
    _say(f"shard {found.shard}{state}{asked}: row {found.row_in_shard:,} of it")
    tokens = (
        f"; {found.input_tokens} LLM tokens in, {found.output_tokens} out" if found.input_tokens is not None else ""
    )
    reported = [part for part in (found.status, found.error_code, found.error_message, found.stop_reason) if part]
    _say(f"result: {': '.join(reported) or 'none'}{tokens}")
    if found.answer is not None:
        _text("answer", found.answer)
    for attempt in found.attempts:
        _attempt(attempt)
    if found.request is not None:
        _text("request" if found.request_from == "output" else "request, made again from the source", found.request)
    for note in found.notes:
        _say(f"note: {note}")


def _attempt(attempt: Attempt) -> None:
    reported = [part for part in (attempt.job, attempt.status, attempt.message) if part]
    where = f", in version {attempt.version} (run {attempt.run_id})" if attempt.version > 1 else ""
    where += f", round {attempt.round}, retry shard {attempt.shard}" if attempt.round > 1 else ""
    none = "on demand" if attempt.on_demand else "no job"
    _say(f"attempt {attempt.attempt}{where}: {', '.join(reported) or none}; output in {attempt.output}")
    for line in attempt.lines:
        _text("raw answer", line)


def _say(text: str) -> None:
    printing.console().print(plain(text, SHOWN_CHARS_MAX), markup=False, soft_wrap=True)


def _text(title: str, text: str) -> None:
    """A text of others: JSON is laid out, and neither has characters that a terminal obeys."""
    try:
        laid_out = json_escaped(msgspec.json.format(text.encode(), indent=2).decode())
    except (msgspec.DecodeError, UnicodeError):
        laid_out = plain(text, SHOWN_CHARS_MAX)
    shown = laid_out[:SHOWN_CHARS_MAX]
    more = f"\n… and {len(laid_out) - len(shown):,} characters more (--json)" if len(laid_out) > len(shown) else ""
    printing.console().print(f"{title}:\n{shown}{more}", markup=False, soft_wrap=True)
