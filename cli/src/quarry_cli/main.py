"""The `quarry` command: its commands, the plug-ins', and the table of exit codes."""

from __future__ import annotations

from typing import Annotated

import typer

from quarry_cli.commands.audit import audit
from quarry_cli.commands.compact import compact
from quarry_cli.commands.config import app as config
from quarry_cli.commands.control import approve, cancel, pause, resume
from quarry_cli.commands.cost import cost
from quarry_cli.commands.dlq import app as dlq
from quarry_cli.commands.doctor import doctor
from quarry_cli.commands.erase import erase
from quarry_cli.commands.errors import errors
from quarry_cli.commands.estimate import estimate
from quarry_cli.commands.every import for_every
from quarry_cli.commands.export import export
from quarry_cli.commands.limits import limits
from quarry_cli.commands.logs import logs
from quarry_cli.commands.models import models
from quarry_cli.commands.plan import plan
from quarry_cli.commands.plugins import Commands
from quarry_cli.commands.preview import preview
from quarry_cli.commands.prices import prices
from quarry_cli.commands.report import report
from quarry_cli.commands.results import results
from quarry_cli.commands.retry import retry
from quarry_cli.commands.run import run
from quarry_cli.commands.runs import runs
from quarry_cli.commands.schema import schema
from quarry_cli.commands.set import set_
from quarry_cli.commands.status import status
from quarry_cli.commands.submit import submit
from quarry_cli.commands.ui import ui
from quarry_cli.commands.verify import verify
from quarry_cli.commands.watch import watch
from quarry_cli.commands.why import why
from quarry_core import __version__

HELP = """Large-scale LLM batch work on Amazon Bedrock, from the command line.

--env NAME names the environment: a profile of `quarry config`, or `local`. Without it these variables do: QUARRY_REGION, QUARRY_TABLE, QUARRY_BUCKET and QUARRY_MANIFEST_QUEUE_URL, from `terraform output`; for a local stack: eval "$(quarry local env)". Credentials come from AWS's usual sources.

Exit codes:
0 done; if a run is followed, every row has an answer
1 the run failed or was cancelled, does not exist, or its results do not add up
2 wrong usage, a missing variable, or a manifest refused before sending
3 the followed run ended with an error in some rows
4 --timeout expired first
5 AWS did not answer, or refused
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
        typer.echo(f"quarry {__version__}")
        raise typer.Exit


@app.callback()
def main(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The options of the command itself; its help is `HELP`."""


for command in (
    run,
    submit,
    plan,
    preview,
    estimate,
    cost,
    prices,
    status,
    watch,
    results,
    report,
    export,
    compact,
    errors,
    logs,
    verify,
    why,
    runs,
    cancel,
    pause,
    resume,
    retry,
    approve,
    erase,
    schema,
    doctor,
    models,
    audit,
    limits,
    ui,
):
    app.command()(command)
app.command("set")(set_)
app.add_typer(dlq, name="dlq")
app.add_typer(config, name="config")
for_every((app, dlq, config))

if __name__ == "__main__":
    app()
