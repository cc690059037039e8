"""`quarry results`: downloads what a run has answered."""

from __future__ import annotations

import re
from functools import partial as partial_of
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from quarry_cli.client.api import Client
from quarry_cli.client.folder import PRIVATE
from quarry_cli.client.results.formats import Format
from quarry_cli.commands.options import RunId, Version, open_client
from quarry_cli.errors import Exit
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.wording import parts_of, plain, size

if TYPE_CHECKING:
    from quarry_cli.client.results.download import Download


def results(
    ctx: typer.Context,
    run: RunId,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            file_okay=False,
            help="Directory for the parts; the report goes to DIR.quarry.",
        ),
    ] = None,
    file_format: Annotated[
        Format, typer.Option("--format", help="Format of the parts. Parquet is lossless.")
    ] = "parquet",
    head: Annotated[int, typer.Option("--head", metavar="N", min=0, max=1_000, help="Print the first N rows.")] = 0,
    partial: Annotated[
        bool, typer.Option("--partial", help="Take the parts written so far, even if the run has not ended.")
    ] = False,
    safe_cells: Annotated[
        bool,
        typer.Option("--safe-cells", help="In CSV, put ' before text that a spreadsheet would treat as a formula."),
    ] = False,
    mode: Annotated[
        str,
        typer.Option(
            "--mode", metavar="OCTAL", help="Permissions of the files; whoever may read them may also list DIR."
        ),
    ] = "600",
    share: Annotated[
        str, typer.Option("--share", metavar="TIME", help="Print links that anybody may use for so long: 24h, 7d.")
    ] = "",
    compact: Annotated[
        bool | None,
        typer.Option(
            "--compact/--no-compact",
            help="Few large parts, merged here if they are not in the bucket; or one part a shard.  [default: large ones if they are in the bucket]",
            show_default=False,
        ),
    ] = None,
    version: Version = None,
    as_json: Json = False,
) -> None:
    """Download a run's results, and prove that no row is missing.

    DIR holds only the parts, so that every Parquet reader can open it; the report is in DIR.quarry beside it. Parts are numbered without gaps: part n holds the rows whose record id begins with 2n.

    Called again with the same directory, it downloads only what is missing. Exit code 1: the rows do not add up.
    """
    if out is None and not head and not share:
        raise typer.BadParameter(
            "give a directory for the results (-o DIR), the number of rows to show (--head N), or how long links shall work"
            " (--share 24h)"
        )
    if as_json and head:
        raise typer.BadParameter("rows are printed for people: download them with -o DIR", param_hint="--head")
    if safe_cells and file_format != "csv":
        raise typer.BadParameter("only CSV cells can be formulas: add --format csv", param_hint="--safe-cells")
    if not re.fullmatch("[67][0-7]{2}", mode):
        raise typer.BadParameter("give three octal digits, the owner's 6 or 7, for example 640", param_hint="--mode")
    with printing.telling():
        client = open_client(ctx)
        if share:
            _share(client, run, share, version, as_json=as_json)
        if head:
            from quarry_cli.screen.first_rows import rows_table  # noqa: PLC0415 pyarrow takes its time to import

            printing.console().print(rows_table(client.head(run, head, partial=partial, version=version)))
        if out is not None:
            form = partial_of(
                bring,
                partial=partial,
                safe_cells=safe_cells,
                mode=int(mode, 8) & 0o666,
                version=version,
                compact=compact,
            )
            form(client, run, out, file_format, as_json=as_json and not share)


def _share(client: Client, run: str, share: str, version: int | None, *, as_json: bool) -> None:
    from quarry_cli.client.results.presigning import seconds_of  # noqa: PLC0415 pyarrow takes its time to import

    try:
        for_s = seconds_of(share)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--share") from error
    shared = client.share(run, for_s, version=version)
    typer.echo(
        f"whoever has a link may download until {shared.expires_at}; links made with temporary credentials end with them",
        err=True,
    )
    if as_json:
        printing.print_json(shared)
        return
    for link in shared.links:
        typer.echo(f"{link.name}  {size(link.size_bytes)}  {link.url}")


def shown(brought: Download) -> dict[str, Any]:
    """A download as JSON, without the report, which lies beside it."""
    return {
        "directory": brought.directory,
        "report": brought.report_path,
        "parts": brought.parts,
        "new": brought.fetched,
        "rows": brought.rows,
        "ok": brought.ok,
    }


def bring(
    client: Client,
    run: str,
    out: Path,
    file_format: Format,
    *,
    partial: bool = False,
    safe_cells: bool = False,
    mode: int = PRIVATE,
    version: int | None = None,
    compact: bool | None = None,
    as_json: bool = False,
) -> None:
    """Download, with a moving line meanwhile, and print what came. Exits with 1 if the rows do not add up."""
    console = Console(stderr=True, highlight=False)
    with console.status("reading the results") as working:
        found = client.results(
            run,
            out,
            form=file_format,
            partial=partial,
            tell=lambda done, of: working.update(f"{done} of {of} parts"),
            safe_cells=safe_cells,
            mode=mode,
            version=version,
            compact=compact,
        )
    brought, account = found.download, found.account
    if as_json:
        faults = account.faults if account is not None else []
        printing.print_json(
            {"run_id": found.view.run_id, "state": found.view.state.value, **shown(brought), "faults": faults}
        )
        if faults:
            raise typer.Exit(Exit.FAILED)
        return
    typer.echo(f"{parts_of(brought.parts)} in {brought.directory}, {brought.fetched:,} new")
    if found.view.versions:
        typer.echo(
            f"version {found.view.version} of the dataset of run {found.view.of}, made by run {found.view.run_id}"
        )
    if brought.report is not None:
        typer.echo(f"the report: {brought.report_path}")
    if account is None:
        typer.echo(f"rows so far = {brought.rows:,}, {brought.ok:,} of them ok: the run continues")
        return
    typer.echo(f"rows in = {account.accepted:,}  =  {account.ok:,} ok + {account.error:,} with an error")
    if account.unread:
        typer.echo(f"{account.unread:,} rows with an error are in no part: reading the source failed before them")
    if found.view.error:
        typer.echo(f"the run is {found.view.state}: {plain(found.view.error)}", err=True)
    if account.faults:
        for fault in account.faults:
            printing.print_error(fault)
        raise typer.Exit(Exit.FAILED)
    whole = "as many as were read" if account.unread else "nothing is missing, nothing is duplicated"
    typer.echo(f"the parts hold {brought.rows:,} rows: {whole}")
