"""The `quarry` command: its commands, the plug-ins', and the table of exit codes."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from quarry_cli import commands
from quarry_cli.dlq_command import app as dlq
from quarry_cli.doctor.command import doctor
from quarry_cli.models_command import models
from quarry_cli.plugins import Commands

HELP = """Large-scale LLM batch work on Amazon Bedrock, from the command line.

Variables say where the environment is: QUARRY_REGION, QUARRY_TABLE, QUARRY_BUCKET and QUARRY_MANIFEST_QUEUE_URL, from `terraform output`; for a local stack: eval "$(quarry local env)". Credentials are AWS's own.

Exit codes:
0 done: for a run that is followed, every row has an answer
1 the run failed, does not exist, or its results do not add up
2 wrong usage, a missing variable, a manifest that is refused here
3 the run that is followed ended with an error in some rows
4 --timeout passed first
5 AWS gave no answer, or refused
"""

app = typer.Typer(
    name="quarry",
    cls=Commands,
    help=HELP,
    no_args_is_help=True,
    # A traceback with local variables could show somebody's data.
    pretty_exceptions_show_locals=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"quarry {version('quarry-cli')}")
        raise typer.Exit


@app.callback()
def main(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The options of the command itself; its help is `HELP`."""


for command in (
    commands.submit,
    commands.status,
    commands.watch,
    commands.results,
    commands.runs,
    commands.schema,
    doctor,
    models,
):
    app.command()(command)
app.add_typer(dlq, name="dlq")

if __name__ == "__main__":
    app()
