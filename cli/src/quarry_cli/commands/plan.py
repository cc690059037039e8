"""`quarry plan`: says what a manifest would be, and sends nothing."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, TextIO

import typer

from quarry_cli.commands.options import ManifestFile, open_client, text_of
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.wording import plain, size

FIRST_AFTER_S = 2.0
EVERY_S = 0.2
LINE_EVERY_S = 30.0


def plan(ctx: typer.Context, file: ManifestFile, as_json: Json = False) -> None:
    """Count a manifest's source and print what the run would be: shards, waves, tokens, cost, time.

    The source is read here, with your own credentials. Nothing is sent, and nothing is written to AWS. What would be refused is refused with the same words and the same exit code (2) as by `quarry submit`; a source that cannot be read from here gives exit code 5.

    Tokens are an estimate, corrected by what the model has counted in this environment; the time follows from its past jobs. What is unknown is not printed as a number.
    """
    with printing.telling():
        with Reading(sys.stderr) as reading:
            planned = open_client(ctx).plan(text_of(file), tell=reading.tell)
        for sentence in planned.unchecked:
            typer.echo(f"not checked: {plain(sentence)}", err=True)
        if as_json:
            printing.print_json(planned.as_json())
            return
        from quarry_cli.screen.plans import plan_table  # noqa: PLC0415 pydantic's models take their time

        typer.echo(plain(f"{planned.estimate.source_uri}, {planned.estimate.model_id}", printing.ERROR_CHARS_MAX))
        printing.console().print(plan_table(planned.estimate))


class Reading:
    """How far a long count is: a line that is written over on a terminal, else one line every half minute."""

    def __init__(self, stream: TextIO, after_s: float = FIRST_AFTER_S) -> None:
        self._stream = stream
        self._moving = stream.isatty()
        self._begun = time.monotonic()
        self._next_s = after_s
        self._shown = 0  # characters

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._stream.write("\r" + " " * self._shown + "\r")
            self._stream.flush()

    def tell(self, done_bytes: int, source_bytes: int) -> None:
        """Called from another thread, one call at a time."""
        elapsed_s = time.monotonic() - self._begun
        if elapsed_s >= self._next_s:
            of = f" of a source of {size(source_bytes)}" if source_bytes else ""
            self._write(f"counting: {size(done_bytes)} read{of}, {elapsed_s:.0f} s", elapsed_s)

    def tell_of(self, word: str, done_bytes: int, all_bytes: int) -> None:
        """Likewise, of several kinds of work."""
        elapsed_s = time.monotonic() - self._begun
        if elapsed_s >= self._next_s:
            self._write(f"{word}: {size(done_bytes)} of {size(all_bytes)}, {elapsed_s:.0f} s", elapsed_s)

    def _write(self, line: str, elapsed_s: float) -> None:
        self._next_s = elapsed_s + (EVERY_S if self._moving else LINE_EVERY_S)
        if self._moving:
            self._stream.write("\r" + line.ljust(self._shown))
            self._shown = max(self._shown, len(line))
        else:
            self._stream.write(line + "\n")
        self._stream.flush()
