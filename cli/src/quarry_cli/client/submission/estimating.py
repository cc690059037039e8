"""What a call would cost, before anything is uploaded, sent or paid for: the plan of the services, in ranges.

Theory of operation. The plan is `planning`'s, over the files where they are. Its tokens come from this environment's history
of what the model has counted; where that may not do, the first records are counted by Bedrock's CountTokens, which is free.
Without an environment there is no history, and everything else works all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quarry_cli.client.aside import aside
from quarry_cli.client.connections import Connections
from quarry_cli.client.submission.local_files import LocalFiles, NoTable, with_files
from quarry_cli.client.submission.one_call import Asked, prepare
from quarry_cli.client.submission.planning import Progress, plan, preview
from quarry_cli.client.submission.submitting import as_text
from quarry_cli.errors import NotPlanned
from quarry_core.clock import SystemClock
from quarry_core.errors import PortError
from quarry_core.models import canonical_model
from quarry_core.ports import Queue

if TYPE_CHECKING:
    from quarry_cli.client.submission.planning import PreviewedRun
    from quarry_core.planning.costs import Costs, Counted
    from quarry_core.planning.estimate import Estimate

NOWHERE = "no-environment"
REGION_ASSUMED = "us-east-1"
COUNTED_MAX = 200
_AT_ONCE = 8
_COUNT_S_MAX = 60.0


@dataclass(frozen=True, slots=True)
class EstimatedRun:
    """`unchecked`: what could not be looked at, and why; one sentence each. `alias`: by which the model was named."""

    estimate: Estimate
    costs: Costs
    unchecked: list[str]
    alias: str = ""

    def as_json(self) -> dict[str, Any]:
        """What `quarry estimate --json` prints."""
        return {
            "estimate": self.estimate.model_dump(mode="json"),
            "costs": self.costs.model_dump(mode="json"),
            "alias": self.alias or None,
            "unchecked": self.unchecked,
        }


@contextlib.asynccontextmanager
async def nowhere() -> AsyncIterator[Connections]:
    """A connection where no environment is given: no history, no bucket, nobody to ask."""

    def no_queue() -> Queue:
        raise NotPlanned("no environment is given, to which something could be sent")

    yield Connections(
        table=NoTable(),
        queue=no_queue,
        objects=lambda: LocalFiles((), NOWHERE, None),
        clock=SystemClock(),
        bucket=NOWHERE,
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or REGION_ASSUMED,
    )


async def estimate(
    connections: Connections,
    asked: Asked | str,
    *,
    count_tokens: int = 0,
    answer_tokens: int | None = None,
    progress: Progress | None = None,
) -> EstimatedRun:
    """Plan a call, or a manifest's text, and say what it would cost.

    Args:
        count_tokens: so many of the first records are counted by CountTokens.
        answer_tokens: about how long an answer is, if it is known.
        progress: called often, in another thread, with the bytes read so far and those of the source.

    Raises:
        NotSubmitted: it would be refused, in the same words.
        NotPlanned: the source cannot be read from here, or nobody can be asked to count.
    """
    from quarry_core.planning.costs import costs_of  # noqa: PLC0415 beside its only user

    text, alias = asked if isinstance(asked, str) else "", ""
    if isinstance(asked, Asked):
        prepared = await aside(partial(prepare, connections.bucket, connections.region, asked))
        text, alias = as_text(prepared.manifest), prepared.named.alias
        if prepared.files:
            there = None if connections.bucket == NOWHERE else connections.objects
            connections = with_files(connections, prepared.files, there)
    if not count_tokens:
        planned = await plan(connections, text, progress)
        return EstimatedRun(
            planned.estimate, costs_of(planned.estimate, answer_tokens=answer_tokens), planned.unchecked, alias
        )
    shown = await preview(connections, text, min(count_tokens, COUNTED_MAX), 0, progress)
    counted = await _count(connections, shown)
    costs = costs_of(shown.estimate, counted=counted, answer_tokens=answer_tokens)
    return EstimatedRun(shown.estimate, costs, shown.unchecked, alias)


async def _count(connections: Connections, shown: PreviewedRun) -> Counted:
    """The first records, counted by Bedrock. Raises NotPlanned."""
    from quarry_core.planning.costs import Counted  # noqa: PLC0415 numpy takes its time to import
    from quarry_core.planning.tokens import count_features, tokenizer_of  # noqa: PLC0415 likewise

    ask, model_id = connections.ask, shown.estimate.model_id
    if ask is None:
        raise NotPlanned("--count-tokens asks Bedrock, and no environment is given: leave it out, or name one")
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def one(body: Mapping[str, Any]) -> int:
        async with at_once:
            answer = await ask("bedrock-runtime", "count_tokens", _question(model_id, shown.invocation, body))
            return int(answer["inputTokens"])

    bodies = [record.model_input for record in shown.first.records]
    try:
        async with asyncio.timeout(_COUNT_S_MAX):
            counts = await asyncio.gather(*map(one, bodies))
    except PortError as error:
        raise NotPlanned(
            f"Bedrock does not count tokens of {canonical_model(model_id)} for you ({error}): CountTokens needs"
            " bedrock:CountTokens, and knows few models; leave --count-tokens out"
        ) from error
    except TimeoutError as error:
        raise NotPlanned(
            f"Bedrock has not counted {len(bodies)} records within {_COUNT_S_MAX:.0f} s: ask for fewer"
        ) from error
    tokenizer = tokenizer_of(model_id)
    texts = ["\n".join(_texts(body)) for body in bodies]
    estimated = sum(float(tokenizer.tokens(counted).sum()) for counted in count_features(texts))
    return Counted(len(bodies), sum(counts), estimated)


def _question(model_id: str, invocation: str, body: Mapping[str, Any]) -> dict[str, Any]:
    # It takes a model's plain id alone, and no profile's.
    if invocation == "Converse":
        kept = {name: body[name] for name in ("messages", "system") if name in body}
        return {"modelId": canonical_model(model_id), "input": {"converse": kept}}
    return {"modelId": canonical_model(model_id), "input": {"invokeModel": {"body": json.dumps(body).encode()}}}


def _texts(value: Any, name: str = "") -> Iterator[str]:
    """What of a request the model reads as text."""
    match value:
        case dict():
            for key, each in value.items():
                yield from _texts(each, key)
        case list():
            for each in value:
                yield from _texts(each, name)
        case str() if name in _READ:
            yield value


_READ = frozenset({"text", "content", "system", "inputText", "prompt", "texts"})


def manifest_of(path: Path) -> bool:
    """Whether a file is a manifest and no data: by its name, for data is CSV, JSON lines or Parquet."""
    return path.suffix.lower() == ".json" or str(path) == "-"
