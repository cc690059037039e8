"""`quarry.run`: a prompt over a table, from Python, in one call.

    import quarry

    answers = quarry.run(frame, model="haiku", prompt="Tell me a joke about {topic}")

It is made of the client's calls, as the command `quarry run` is, and shows the run while it lasts.
"""

from __future__ import annotations

import atexit
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from quarry_cli.client.api import Client
from quarry_cli.client.connections import variables_of
from quarry_cli.client.place import Place, end, find_place
from quarry_cli.client.runs.following import WAIT_EVERY_S
from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.client.submission.consent import MAX_COST_USD, beyond
from quarry_cli.client.submission.one_call import Asked
from quarry_cli.errors import NotSubmitted, RunFailed
from quarry_cli.screen.wording import plain
from quarry_core.contract.states import RunState

if TYPE_CHECKING:
    from quarry_cli.screen.progress import Progress

NOTE_CHARS_MAX = 1_000


def run(
    data: Any,
    *,
    model: str,
    prompt: str | Mapping[str, Any] | None = None,
    prompt_id: str | None = None,
    system: str | None = None,
    output_schema: Any = None,
    max_tokens: int | None = None,
    fields: Mapping[str, Any] | None = None,
    run_id: str | None = None,
    returns: Literal["pandas", "polars", "arrow"] | None = None,
    progress: bool | None = None,
    max_cost: float | None = MAX_COST_USD,
    local: bool = False,
    env: str | None = None,
    client: Client | None = None,
    every_s: float = WAIT_EVERY_S,
    timeout_s: float | None = None,
) -> Any:
    """Ask a model about each row, wait for the answers, and return the rows with them.

    Without an environment (docs/run.md) the local stack is used, with a simulated Bedrock, and that is said; one that is
    started for the call is ended with the process.

    Args:
        data: a DataFrame of pandas or polars, a Table of pyarrow, or paths of CSV, JSON lines or Parquet files.
        model: an alias (`haiku`) or a model id.
        prompt: a template with `{column}`, or an object as in a manifest.
        prompt_id: a prompt of the environment's store instead.
        system: the system prompt, beside a template.
        output_schema: what each answer is: a pydantic model, a dataclass, JSON Schema, or a list of `field: type`.
        max_tokens: the most LLM tokens that an answer may have.
        fields: other fields of the manifest.
        run_id: an idempotency key: the same call with the same key continues the same run, and is paid for once.
        returns: the kind of the result; by default that of `data`, and pandas for paths.
        progress: False shows nothing.
        max_cost: what the call may cost in an environment in AWS, in US dollars: one that may cost more, by the dearest that its
            estimate holds possible, is refused before anything is uploaded. None: whatever it costs.
        env: a profile of `quarry config`; variables of the process win over it.
        local: use the local stack, whatever environment is named.
        client: of another environment than the one that the variables name.
        every_s, timeout_s: seconds between two looks, and after which waiting ends.

    Returns:
        The rows of `data` in their order, with `response` (or the fields of the schema), `status`, error and tokens of
        each; see docs/results.md.

    Raises:
        NotSubmitted: the call is refused, or may cost more than `max_cost`; nothing was sent.
        NotPlanned: nobody can say what it would cost, as where a source cannot be read from here.
        RunFailed: the run failed. A row that failed raises nothing: its `status` says so.
        StillRunning: `timeout_s` passed; the run goes on.
        QuarryError, PortError: see `Client`.
    """
    from quarry_cli.client.results.dataframes import given  # noqa: PLC0415 pyarrow takes its time to import
    from quarry_cli.screen.progress import progress_of  # noqa: PLC0415 as does rich

    say = _say if progress is not False else _silent
    with tempfile.TemporaryDirectory(prefix="quarry-run-") as folder:
        table = given(data, Path(folder), returns)
        asked = Asked(
            sources=table.sources,
            model=model,
            fields=_fields(
                fields or {},
                prompt=prompt,
                prompt_id=prompt_id,
                system=system,
                output_schema=output_schema,
                max_tokens=max_tokens,
                run_id=run_id,
            ),
        )
        place = (
            Place(client, simulated=False)
            if client is not None
            else find_place(say, local=local, keep=True, variables=None if env is None else variables_of(env))
        )
        if place.stack is not None:
            say(
                "the local stack stays up for further calls and ends with this process; `quarry local down` stops it at once"
            )
            atexit.register(partial(end, place.stack, place.client, say, later=True))
        if max_cost is not None and not place.simulated and not asked.fields.get("dry_run"):
            why = beyond(
                place.client.estimate(asked).costs,
                max_cost,
                remedy="give a higher max_cost (None: whatever it costs), or a smaller max_tokens",
            )
            if why:
                raise NotSubmitted(f"max_cost: {why}")
        sent = place.client.send(asked)
    for sentence in sent.unchecked:
        say(f"not checked: {sentence}")
    say(f"run {sent.run_id}, {sent.model_id}" + (f" ({sent.alias})" if sent.alias else ""))
    with progress_of(progress, simulated=place.simulated) as shown:
        view = _follow(place.client, sent.run_id, shown, every_s, timeout_s)
    if view.state is RunState.FAILED:
        raise RunFailed(f"run {view.run_id} failed: {view.error or 'no reason is recorded'}")
    return table.result(place.client.table(sent.run_id))


def _follow(client: Client, run_id: str, shown: Progress, every_s: float, timeout_s: float | None) -> RunView:
    try:
        return client.follow(run_id, shown, every_s=every_s, timeout_s=timeout_s)
    except KeyboardInterrupt:
        _say(f"stopped waiting; run {run_id} continues: quarry watch {run_id}, then results_frame({run_id!r})")
        raise


def _fields(
    more: Mapping[str, Any],
    *,
    prompt: str | Mapping[str, Any] | None,
    system: str | None,
    max_tokens: int | None,
    **others: Any,
) -> dict[str, Any]:
    found = {**more, **{name: value for name, value in others.items() if value is not None}}
    if prompt is not None:
        template = {"template": prompt} if isinstance(prompt, str) else dict(prompt)
        found["prompt"] = prompt if system is None else {**template, "system": system}
    if max_tokens is not None:
        found["inference"] = {**found.get("inference", {}), "max_tokens": max_tokens}
    return found


def _say(text: str) -> None:
    print(plain(text, NOTE_CHARS_MAX), file=sys.stderr)  # noqa: T201 it is what was asked for


def _silent(_text: str) -> None:
    """Nothing."""
