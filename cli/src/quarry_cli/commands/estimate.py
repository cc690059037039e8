"""`quarry estimate`: what a call or a manifest would cost; nothing is uploaded, sent or paid for."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from quarry_cli.client.api import Client
from quarry_cli.client.local_stack import environment_given
from quarry_cli.client.submission.one_call import Asked
from quarry_cli.commands.options import text_of
from quarry_cli.commands.plan import Reading
from quarry_cli.commands.run import Fields, MaxTokens, PromptId, PromptText, Schema, System, manifest_fields
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.wording import plain

COUNTED_MAX = 200

Sources = Annotated[
    list[str], typer.Argument(metavar="FILE...", help="A manifest (.json), or data as for `quarry run`.")
]
Count = Annotated[
    int,
    typer.Option(
        "--count-tokens", metavar="N", min=0, max=COUNTED_MAX, help="Let Bedrock count the first N records; it is free."
    ),
]


def estimate(
    ctx: typer.Context,
    sources: Sources,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="MODEL", help="An alias, or a model id.")
    ] = None,
    prompt: PromptText = None,
    prompt_id: PromptId = None,
    system: System = None,
    max_tokens: MaxTokens = None,
    schema: Schema = None,
    fields: Fields = None,
    answer_tokens: Annotated[
        int | None, typer.Option("--answer-tokens", metavar="N", min=1, help="About how long an answer is.")
    ] = None,
    count_tokens: Count = 0,
    as_json: Json = False,
) -> None:
    """Say what a run would cost: LLM tokens and dollars, low, likely and high; shards, waves and time.

    Batch, flex and on demand stand beside each other. Data is read where it is. Tokens follow from what the model has counted in this environment, or from a sample with --count-tokens; without an environment from a tokenizer. Nothing is uploaded, sent or paid for.

    Exit codes are those of `quarry plan`.
    """
    from quarry_cli.client.submission.estimating import manifest_of, nowhere  # noqa: PLC0415 pyarrow takes its time to import

    with printing.telling():
        asked: Asked | str
        if model is None:
            if len(sources) != 1 or not manifest_of(Path(sources[0])):
                raise typer.BadParameter("data needs a model: --model haiku", param_hint="--model")
            asked = text_of(Path(sources[0]))
        else:
            given = manifest_fields(
                prompt=prompt, prompt_id=prompt_id, system=system, max_tokens=max_tokens, schema=schema, fields=fields
            )
            asked = Asked(sources=sources, model=model, fields=given)
        if ctx.obj is None and not environment_given(os.environ):
            typer.echo("no environment is given: there is no history, and the region is a guess", err=True)
            client = Client(nowhere)
        else:
            client = Client(ctx.obj) if ctx.obj is not None else Client()
        with Reading(sys.stderr) as reading:
            found = client.estimate(asked, count_tokens=count_tokens, answer_tokens=answer_tokens, tell=reading.tell)
        for sentence in found.unchecked:
            typer.echo(f"not checked: {plain(sentence)}", err=True)
        if as_json:
            printing.print_json(found.as_json())
            return
        from quarry_cli.screen.costs import estimate_table, notes_of, ways_table  # noqa: PLC0415 rich takes its time

        named = f"{found.estimate.model_id} ({found.alias})" if found.alias else found.estimate.model_id
        typer.echo(plain(f"{', '.join(sources)}, {named}", printing.ERROR_CHARS_MAX))
        console = printing.console()
        console.print(estimate_table(found.estimate, found.costs))
        if found.costs.ways:
            console.print(ways_table(found.costs))
        typer.echo(f"prices of {found.costs.prices_as_of} (`quarry prices`)")
        for note in notes_of(found.estimate, found.costs):
            typer.echo(f"note: {plain(note, printing.ERROR_CHARS_MAX)}")
