"""The commands. Each reads its options, makes one call of the `Client` and prints what came back.

What a script may read goes to standard output, what is said to people beside it to standard error.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console

from quarry_cli import printing, screen
from quarry_cli.api import WAIT_EVERY_S, Client
from quarry_cli.errors import Exit
from quarry_cli.finding import Wanted
from quarry_cli.formats import Format
from quarry_cli.lines import Lines
from quarry_cli.printing import Json
from quarry_cli.view import RunView
from quarry_cli.wording import plain
from quarry_core.real import SystemClock
from quarry_core.states import RunState

STDIN = Path("-")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
RUN_EXITS = {
    RunState.SUCCEEDED: Exit.OK,
    RunState.SUCCEEDED_WITH_ERRORS: Exit.WITH_ERRORS,
    RunState.FAILED: Exit.FAILED,
}


RunId = Annotated[
    str, typer.Argument(metavar="RUN", help="The run's id, as `quarry submit` printed it, or its beginning.")
]
Every = Annotated[float, typer.Option("--every", metavar="SECONDS", min=0.2, help="Pause between two looks.")]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", min=0, help="Stop waiting after this long, with exit code 4."),
]


def submit(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", allow_dash=True, help="The manifest, a JSON file; - reads standard input."),
    ],
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run to its end, as `quarry watch` does.")] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Send the text as it is, whatever is wrong with it.")
    ] = False,
    any_queue: Annotated[
        bool, typer.Option("--any-queue", help="Send it though the queue looks like another of Quarry's.")
    ] = False,
    every: Every = WAIT_EVERY_S,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Put a manifest on the queue and print its run id.

    The manifest is checked here first, and so are source, columns, prompt and model in AWS; one that is refused is not sent (exit code 2). What could not be checked is said, and sent.

    With --wait the exit code is that of `quarry watch`.
    """
    with printing.telling():
        client = _client(ctx)
        sent = client.submit(_text(file), check=not no_check, any_queue=any_queue)
        for sentence in sent.unchecked:
            typer.echo(f"not checked: {plain(sentence)}", err=True)
        if sent.run_id is None:
            typer.echo("sent, but it is no JSON object: it will be in the dead-letter queue, with the reason", err=True)
            if as_json:
                printing.print_json(sent)
            raise typer.Exit(Exit.USAGE)
        if sent.known:
            typer.echo(f"run {sent.run_id} was accepted before: nothing happens a second time", err=True)
        if not wait:
            if as_json:
                printing.print_json(sent)
            else:
                typer.echo(sent.run_id)
                typer.echo(
                    f"follow it with: quarry watch {sent.run_id}  (it waits until a preprocessor takes the manifest)",
                    err=True,
                )
            return
        if not as_json:
            typer.echo(sent.run_id)
        view = _follow(client, sent.run_id, sys.stderr, every, timeout)
        if as_json:
            printing.print_json(client.status(sent.run_id))
        raise typer.Exit(RUN_EXITS[view.state])


def status(ctx: typer.Context, run: RunId, as_json: Json = False) -> None:
    """Show a run once: state, rows, shards, jobs, slots, what is left.

    The exit code tells whether the run exists (0 or 1), not how it fares.
    """
    with printing.telling():
        view = _client(ctx).status(run)
        if as_json:
            printing.print_json(view)
        else:
            printing.console().print(screen.card(view))


def watch(ctx: typer.Context, run: RunId, every: Every = WAIT_EVERY_S, timeout: Timeout = None) -> None:
    """Follow a run to its end, live on a terminal, line by line elsewhere.

    A run that no preprocessor has taken from the queue yet is waited for. Ctrl-C ends the watching and not the run (exit code 130).

    Exit code 0: every row has an answer; 3: some have an error instead; 1: the run failed.
    """
    with printing.telling():
        view = _follow(_client(ctx), run, sys.stdout, every, timeout)
        raise typer.Exit(RUN_EXITS[view.state])


def results(
    ctx: typer.Context,
    run: RunId,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="DIR", file_okay=False, help="Where to put the parts; the report goes to DIR.quarry."
        ),
    ] = None,
    file_format: Annotated[
        Format, typer.Option("--format", help="Format of the parts. Parquet loses nothing.")
    ] = "parquet",
    head: Annotated[int, typer.Option("--head", metavar="N", min=0, max=1_000, help="Print the first N rows.")] = 0,
    partial: Annotated[
        bool, typer.Option("--partial", help="Take the parts that stand, though the run has not ended.")
    ] = False,
    safe_cells: Annotated[
        bool,
        typer.Option("--safe-cells", help="In CSV: put ' before texts that a spreadsheet would take for a formula."),
    ] = False,
    mode: Annotated[
        str,
        typer.Option("--mode", metavar="OCTAL", help="Permissions of the files; whoever may read may look into DIR."),
    ] = "600",
) -> None:
    """Download a run's results, and prove that no row is missing.

    DIR holds the parts alone, so that every reader of Parquet opens it; the report lies in DIR.quarry beside it. Parts are numbered without gaps: part n holds the rows whose record id begins with 2n.

    Called again with the same directory, it brings only what is missing. Exit code 1 if the rows do not add up.
    """
    if out is None and not head:
        raise typer.BadParameter("say where to put the results (-o DIR), or how many rows to show (--head N)")
    if safe_cells and file_format != "csv":
        raise typer.BadParameter("only cells of CSV can be formulas: add --format csv", param_hint="--safe-cells")
    if not re.fullmatch("[67][0-7]{2}", mode):
        raise typer.BadParameter("give three octal digits, of which the owner's is 6 or 7, as 640", param_hint="--mode")
    with printing.telling():
        client = _client(ctx)
        if head:
            from quarry_cli.head import rows_table  # noqa: PLC0415 pyarrow takes its time to import

            printing.console().print(rows_table(client.head(run, head, partial=partial)))
        if out is not None:
            _bring(client, run, out, file_format, partial=partial, safe_cells=safe_cells, mode=int(mode, 8) & 0o666)


def runs(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="At most this many runs.")] = 20,
    name: Annotated[
        str, typer.Option("--name", metavar="TEXT", help="Only those whose job name prefix begins so.")
    ] = "",
    model: Annotated[str, typer.Option("--model", metavar="TEXT", help="Only those with this in the model id.")] = "",
    state: Annotated[
        list[RunState] | None,
        typer.Option("--state", case_sensitive=False, help="Only those in this state; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the open runs, then those that ended this month or last.

    A narrow terminal shows fewer columns; ids and numbers stay whole.
    """
    with printing.telling():
        wanted = Wanted(name=name, model=model, states=frozenset(state or ()))
        found = _client(ctx).runs(limit, wanted=wanted)
        if as_json:
            printing.print_json(found)
        elif found:
            console = printing.console()
            console.print(screen.run_table(found, console.width))
        elif wanted.all:
            typer.echo("no run is open, and none ended this month or last", err=True)
        else:
            typer.echo("no run fits, of those that are open or ended this month or last", err=True)


def schema() -> None:
    """Print the JSON Schema of the manifest, for editors and for checks of your own."""
    from quarry_core.manifest import manifest_schema  # noqa: PLC0415 beside its only user

    typer.echo(json.dumps(manifest_schema(), indent=2))


# --------------------------------------------------------------------------- pieces


def _client(ctx: typer.Context) -> Client:
    """The context's object may be another way to connect: tests bring their own."""
    return Client(ctx.obj) if ctx.obj is not None else Client()


def _text(file: Path) -> str:
    try:
        body = sys.stdin.buffer.read() if file == STDIN else file.read_bytes()
        if body.startswith(_UTF16_MARKS):
            raise typer.BadParameter(f"{file} is UTF-16: save it as UTF-8", param_hint="FILE")
        return body.decode()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}", param_hint="FILE") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{file} is not UTF-8: {error}", param_hint="FILE") from error


def _follow(client: Client, run: str, stream: TextIO, every_s: float, timeout_s: float | None) -> RunView:
    console = Console(file=stream, highlight=False)
    try:
        if screen.is_screen(console):
            with screen.Screen(console) as live:
                return client.follow(run, live, every_s=every_s, timeout_s=timeout_s)
        lines = Lines(lambda line: typer.echo(line, file=stream), SystemClock())
        return client.follow(run, lines, every_s=every_s, timeout_s=timeout_s)
    except KeyboardInterrupt:
        typer.echo(f"stopped watching; the run goes on: quarry watch {run}", err=True)
        raise typer.Exit(printing.INTERRUPTED) from None


def _bring(
    client: Client, run: str, out: Path, file_format: Format, *, partial: bool, safe_cells: bool, mode: int
) -> None:
    console = Console(stderr=True, highlight=False)
    with console.status("looking at the results") as working:
        found = client.results(
            run,
            out,
            form=file_format,
            partial=partial,
            tell=lambda done, of: working.update(f"{done} of {of} parts"),
            safe_cells=safe_cells,
            mode=mode,
        )
    brought, account = found.download, found.account
    parts = "1 part" if brought.parts == 1 else f"{brought.parts:,} parts"
    typer.echo(f"{parts} in {brought.directory}, {brought.fetched:,} new")
    if brought.report is not None:
        typer.echo(f"the report: {brought.report_path}")
    if account is None:
        typer.echo(f"rows so far = {brought.rows:,}, {brought.ok:,} of them ok: the run goes on")
        return
    typer.echo(f"rows in = {account.accepted:,}  =  {account.ok:,} ok + {account.error:,} with an error")
    if account.unread:
        typer.echo(f"{account.unread:,} rows with an error stand in no part: the source broke before they were read")
    if found.view.error:
        typer.echo(f"the run is {found.view.state}: {plain(found.view.error)}", err=True)
    if account.faults:
        for fault in account.faults:
            printing.complain(fault)
        raise typer.Exit(Exit.FAILED)
    whole = "as many as were read" if account.unread else "nothing is missing, nothing is doubled"
    typer.echo(f"the parts hold {brought.rows:,} rows: {whole}")
