"""`quarry compact`: merges the parts of a run's results, and says what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from quarry_cli.commands.options import RunId, Version, open_client
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.wording import parts_of, plain, size

if TYPE_CHECKING:
    from quarry_cli.client.results.compact.compacting import Compacted


def compact(
    ctx: typer.Context,
    run: RunId,
    part_mib: Annotated[
        int | None,
        typer.Option(
            "--part-mib",
            metavar="N",
            min=1,
            max=1_024,
            help="About how large the merged parts are to be, in MiB.  [default: 128]",
            show_default=False,
        ),
    ] = None,
    version: Version = None,
    as_json: Json = False,
) -> None:
    """Merge the many small parts of an ended run's results into few large ones, which readers open faster.

    The parts stay as they are. The merged ones stand beside them in the bucket, in the same order, each proven to hold the rows of its parts value by value; when all of them stand, `quarry results`, `export` and --share take them. If it is interrupted, run it again. The rows pass through this machine, which needs free disk space for twice the size of a merged part.

    Exit code 0: they stand, or there was nothing to merge; 1: they cannot be merged, and nothing has changed for readers.
    """
    with printing.telling():
        client = open_client(ctx)
        console = Console(stderr=True, highlight=False)
        with console.status("reading the parts") as working:
            done = client.compact(
                run,
                part_mib=part_mib,
                version=version,
                tell=lambda made, of: working.update(f"{made} of {of} merged parts"),
            )
        if as_json:
            printing.print_json(done)
        else:
            _print(done)


def _print(done: Compacted) -> None:
    console = printing.console()
    run = f"run {plain(done.run_id)}"
    if done.uri is None:
        console.print(f"{run} has {parts_of(done.before)}: there is nothing to merge", markup=False)
        return
    if done.already:
        console.print(f"{run} was compacted before, into {parts_of(done.parts)}: {plain(done.uri)}", markup=False)
        return
    console.print(
        f"{done.rows:,} rows of {run}: {done.before:,} parts merged into {done.parts:,}, {size(done.size_bytes or 0)}",
        markup=False,
    )
    console.print(f"they are in {plain(done.uri)}; the parts of the shards stay where they are", markup=False)
