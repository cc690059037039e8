"""`quarry run`: from a file and a prompt to joined rows, in one call."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from quarry_cli.client.api import Client
from quarry_cli.client.place import Place, placed
from quarry_cli.client.results.formats import Format
from quarry_cli.client.runs.following import WAIT_EVERY_S
from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.client.submission.one_call import Asked, Sent
from quarry_cli.commands.completing import models
from quarry_cli.commands.consenting import consent
from quarry_cli.commands.following import RUN_EXITS, Every, Timeout, follow
from quarry_cli.commands.plan import Reading
from quarry_cli.commands.results import bring
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.summary import cost_of, model_of, source_of, tokens_of
from quarry_cli.screen.wording import plain
from quarry_core.contract.states import RunState

HEAD_ROWS = 5

Sources = Annotated[
    list[str],
    typer.Argument(metavar="FILE...", help="CSV, JSON lines or Parquet; several files are one dataset. Or s3:// URIs."),
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model", "-m", metavar="MODEL", help="An alias (haiku, nova-lite, ...), or a model id.", autocompletion=models
    ),
]
PromptText = Annotated[
    str | None, typer.Option("--prompt", "-p", metavar="TEXT", help="The prompt; {column} stands for a row's value.")
]
PromptId = Annotated[
    str | None, typer.Option("--prompt-id", metavar="ID", help="A prompt of the environment's prompt store instead.")
]
System = Annotated[str | None, typer.Option("--system", metavar="TEXT", help="The system prompt, beside --prompt.")]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", metavar="N", min=1, help="The most LLM tokens that an answer may have.")
]
Schema = Annotated[
    Path | None,
    typer.Option(
        "--schema", metavar="FILE", dir_okay=False, help="What each answer is: a JSON Schema, or a JSON list of fields."
    ),
]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="FIELD=VALUE", help="Another field of the manifest, as JSON or text; may be repeated."
    ),
]


def run(
    ctx: typer.Context,
    sources: Sources,
    model: ModelName,
    prompt: PromptText = None,
    prompt_id: PromptId = None,
    system: System = None,
    max_tokens: MaxTokens = None,
    schema: Schema = None,
    fields: Fields = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", file_okay=False, help="Directory for the joined rows."),
    ] = None,
    file_format: Annotated[
        Format, typer.Option("--format", help="Format of the files in DIR. Parquet is lossless.")
    ] = "parquet",
    head: Annotated[
        int, typer.Option("--head", metavar="N", min=0, max=1_000, help="Print the first N rows.")
    ] = HEAD_ROWS,
    local: Annotated[bool, typer.Option("--local", help="Use the local stack, whatever environment is named.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave a local stack up that was started for this run.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether to pay for it.")] = False,
    max_cost: Annotated[
        float | None,
        typer.Option(
            "--max-cost",
            metavar="DOLLARS",
            min=0.0,
            help="Do not ask, and refuse a call that may cost more, in US dollars, by its estimate.",
        ),
    ] = None,
    every: Every = WAIT_EVERY_S,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Upload files, run a prompt over their rows, follow the run and download the joined rows.

    Without an environment it works on the local stack, with a simulated Bedrock, and says so; it starts one if none is up, and stops what it started. The same files are uploaded once. Called again with the same arguments and the same DIR, it continues the same run.

    In an environment in AWS it first says what the call would cost, how many jobs it takes and how long, and asks. --yes goes on without a question, --max-cost up to an amount; where nobody can answer and neither is given, nothing is sent. A call that is continued is not asked again.

    Exit codes are those of `quarry watch`; 2 too if it costs too much or nobody answered, 1 if you said no.
    """
    with printing.telling():
        asked = Asked(
            sources=sources,
            model=model,
            fields=manifest_fields(
                prompt=prompt, prompt_id=prompt_id, system=system, max_tokens=max_tokens, schema=schema, fields=fields
            ),
            out=out,
        )
        with placed(_say, local=local, keep=keep, connect_with=ctx.obj) as place:
            consent(place, asked, yes=yes, max_cost=max_cost)
            with Reading(sys.stderr, after_s=0.5) as reading:
                sent = place.client.send(asked, tell=reading.tell_of)
            for sentence in sent.unchecked:
                typer.echo(f"not checked: {plain(sentence)}", err=True)
            _announce(sent)
            view = follow(place.client, sent.run_id, sys.stderr, every, timeout)
            if as_json:
                printing.print_json(_as_json(place, sent, view, out, file_format))
            else:
                _show(place, sent, view, head=head, out=out, file_format=file_format)
        raise typer.Exit(RUN_EXITS[view.state])


def _say(text: str) -> None:
    typer.echo(plain(text, printing.ERROR_CHARS_MAX), err=True)


def manifest_fields(
    *,
    prompt: str | None,
    prompt_id: str | None,
    system: str | None,
    max_tokens: int | None,
    schema: Path | None,
    fields: list[str] | None,
) -> dict[str, Any]:
    """What the options say, as fields of a manifest. Raises typer.BadParameter."""
    found = dict(_field(text) for text in fields or ())
    if system is not None and prompt is None:
        raise typer.BadParameter("it goes with --prompt; a prompt of the store has its own", param_hint="--system")
    if prompt is not None:
        found["prompt"] = prompt if system is None else {"template": prompt, "system": system}
    if prompt_id is not None:
        found["prompt_id"] = prompt_id
    if max_tokens is not None:
        inference = found.get("inference", {})
        found["inference"] = {**(inference if isinstance(inference, dict) else {}), "max_tokens": max_tokens}
    if schema is not None:
        found["output_schema"] = _schema(schema)
    return found


def _field(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{plain(text)!r} is not of the form FIELD=VALUE", param_hint="--set")
    if name in ("model_id", "s3_uri", "run_id"):
        remedy = {"model_id": "--model", "s3_uri": "FILE", "run_id": "`quarry submit`"}[name]
        raise typer.BadParameter(f"{name} is given by {remedy}", param_hint="--set")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _schema(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}", param_hint="--schema") from error
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not JSON: {error}", param_hint="--schema") from error


def _announce(sent: Sent) -> None:
    typer.echo(f"model   {model_of(sent)}", err=True)
    typer.echo(f"source  {source_of(sent)}", err=True)
    typer.echo(f"run     {sent.run_id}{', which was sent before: continued' if sent.continued else ''}", err=True)


def _show(place: Place, sent: Sent, view: RunView, *, head: int, out: Path | None, file_format: Format) -> None:
    if view.state is RunState.FAILED or view.dry_run:
        dry = "a dry run: nothing was sent to Bedrock" if view.state is RunState.SUCCEEDED else "no reason is recorded"
        typer.echo(f"run {sent.run_id} is {view.state.value}: {plain(view.error or dry)}", err=True)
        if view.results_uri is None:
            return
    if head:
        from quarry_cli.screen.first_rows import rows_table  # noqa: PLC0415 pyarrow takes its time to import

        printing.console().print(rows_table(place.client.head(sent.run_id, head)))
    typer.echo(f"model    {model_of(sent)}")
    typer.echo(f"tokens   {tokens_of(view)}")
    typer.echo(f"cost     {cost_of(view, simulated=place.simulated)}")
    if out is not None:
        bring(place.client, sent.run_id, out, file_format)
    elif place.stays:
        typer.echo(f"download the rows with: quarry results {sent.run_id} -o DIR")
    else:
        typer.echo("the rows end with the local stack: -o DIR downloads them, --keep leaves the stack up", err=True)


def _as_json(place: Place, sent: Sent, view: RunView, out: Path | None, file_format: Format) -> dict[str, Any]:
    files = None
    if out is not None and view.results_uri is not None and not view.dry_run:
        files = _brought(place.client, sent.run_id, out, file_format)
    return {
        "run_id": sent.run_id,
        "state": view.state.value,
        "error": view.error,
        "code": view.code,
        "model_id": sent.model_id,
        "alias": sent.alias or None,
        "simulated": place.simulated,
        "source": sent.source,
        "uploaded": sent.uploaded,
        "continued": sent.continued,
        "rows": view.rows,
        "errors": view.errors,
        "spent": view.spent,
        "results": files,
    }


def _brought(client: Client, run_id: str, out: Path, file_format: Format) -> dict[str, Any]:
    found = client.results(run_id, out, form=file_format)
    faults = found.account.faults if found.account is not None else []
    return {
        "directory": found.download.directory,
        "report": found.download.report_path,
        "parts": found.download.parts,
        "rows": found.download.rows,
        "faults": faults,
    }
