"""Step 1, first half: a manifest arrives, is judged, pinned, and becomes a run.

Theory of operation. Every JSON object gets a run, also one that is refused: its end can then be looked up by the run
id that its sender can compute. Text that is no JSON object has no run id and is poison. What the manifest means today
(prompt text, the source's version, the adapter's version) is pinned into the run, so that nothing that comes later
depends on when it comes.

May be called any number of times for one message: the run is written once, by whoever comes first.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog

from quarry_core import metrics
from quarry_core.errors import Missing, Refused, Stale
from quarry_core.ledger import moves
from quarry_core.manifest import (
    ORIGIN_ATTRIBUTE,
    Manifest,
    ManifestError,
    canonical_json,
    manifest_hash,
    read_manifest,
    run_id_of,
)
from quarry_core.messages import Doorbell
from quarry_core.models import family_of, pool_of
from quarry_core.names import manifest_key, parse_s3_uri, prompt_key
from quarry_core.ports import Message, ObjectRef
from quarry_core.prompts import Prompt, PromptError, load_prompt, parse_template
from quarry_core.rows import SourceError
from quarry_core.run import Pins, Run, Source
from quarry_core.service import World
from quarry_core.states import RunState
from quarry_core.verdicts import DONE, Poison, Verdict
from quarry_preprocessor.sources import source_format

log = structlog.get_logger()
FULL_WAIT_S = 60
PROMPTS_SHOWN_MAX = 20


class Arrivals:
    def __init__(self, world: World) -> None:
        self._world = world

    async def on_manifest(self, message: Message) -> Verdict:
        """Make a run of a manifest, and ring for its rows to be counted."""
        try:
            data = json.loads(message.body)
        except (ValueError, RecursionError) as error:
            return Poison(f"the manifest is not JSON: {error}")
        if not isinstance(data, dict):
            return Poison(f"the manifest is not a JSON object but a {type(data).__name__}")
        run_id = run_id_of(data, message.attributes.get(ORIGIN_ATTRIBUTE) or message.id)
        structlog.contextvars.bind_contextvars(run_id=run_id)  # until the loop has told what became of it
        return await self._arrive(run_id, data, message)

    async def _arrive(self, run_id: str, data: Mapping[str, Any], message: Message) -> Verdict:
        digest = manifest_hash(data)
        run = await self._world.ledger.run(run_id)
        if run is None:
            limit = self._world.settings.open_runs_max
            if len(await self._world.ledger.open_runs(most=limit)) >= limit:
                return await self._wait(message, limit)
            run = await self._accept(run_id, data, digest)
        if run.manifest_hash != digest:
            return Poison(f"run_id: {run_id} belongs to another manifest already; give this one an id of its own")
        totals = await self._world.ledger.totals(run_id)
        if totals is None or totals.state is not RunState.ACCEPTED:
            return DONE  # the same manifest again: it is on its way, or at its end
        if run.refusal:
            ended_at = self._world.clock.now().isoformat()
            await self._world.ledger.apply(moves.refuse_run(totals, run.refusal, ended_at))
            log.info("refused", why=run.refusal)
        else:
            await self._world.ring("slices", Doorbell(kind="count", run_id=run_id))
        return DONE

    async def _wait(self, message: Message, limit: int) -> Verdict:
        """Put a fresh copy behind the others: handing it back would count as a try, and waiting is not failing."""
        attributes = {ORIGIN_ATTRIBUTE: message.id, **message.attributes}
        await self._world.queues["manifests"].send(message.body, attributes, delay_s=FULL_WAIT_S)
        log.info("waits", open_runs=limit, wait_s=FULL_WAIT_S)
        return DONE

    async def _accept(self, run_id: str, data: Mapping[str, Any], digest: str) -> Run:
        accepted_at = self._world.clock.now().isoformat()
        pins, refusal = None, ""
        text = canonical_json(data).encode("utf-8", "surrogatepass")
        try:
            pins = await self._pin(read_manifest(data, len(text)))
        except (ManifestError, PromptError, SourceError) as error:
            refusal = str(error)
        objects = self._world.objects
        await self._world.offload.run(
            partial(objects.put_once, manifest_key(run_id), text, {"run": run_id, "manifest": digest})
        )
        run = Run(run_id=run_id, manifest_hash=digest, accepted_at=accepted_at, pins=pins, refusal=refusal)
        try:
            await self._world.ledger.apply(moves.accept(run))
        except Stale:
            winner = await self._world.ledger.run(run_id)
            if winner is None:
                raise
            return winner
        metrics.RUNS_ACCEPTED.inc()
        log.info("accepted", model_id=pins.model_id if pins else None, refused=bool(refusal))
        return run

    async def _pin(self, manifest: Manifest) -> Pins:
        """What the manifest means today. Raises ManifestError, PromptError, SourceError."""
        settings = self._world.settings
        family = family_of(manifest.model_id)
        prompt = manifest.prompt if manifest.prompt_id is None else await self._prompt(manifest.prompt_id)
        inference = {**(prompt.inference or {} if prompt else {}), **manifest.inference}
        try:
            family.check_inference(inference)
            if prompt is not None:
                parse_template(prompt.template)
        except ValueError as error:
            raise ManifestError(str(error)) from error
        return Pins(
            job_name_prefix=manifest.job_name_prefix,
            model_id=manifest.model_id,
            pool=pool_of(settings.region, manifest.model_id),
            family=family.name,
            family_version=family.version,
            source=await self._source(manifest.s3_uri),
            prompt=prompt,
            inference=inference,
            max_records_total=manifest.max_records_total or settings.max_total_records,
            max_num_jobs=manifest.max_num_jobs,
            max_records_per_job=manifest.max_records_per_job or settings.max_records_per_job,
            timeout_hours=manifest.timeout_hours or settings.timeout_hours,
            tags=manifest.tags,
            output_kms_key=manifest.output_kms_key,
            vpc=manifest.vpc,
            csv=manifest.csv,
        )

    async def _prompt(self, prompt_id: str) -> Prompt:
        objects, key = self._world.objects, prompt_key(prompt_id)
        try:
            text = await self._world.offload.run(partial(objects.read, ObjectRef(key)))
        except Missing as error:
            known = await self._world.offload.run(self._known_prompts)
            nearest = difflib.get_close_matches(prompt_id, known, n=1)
            hint = f"did you mean {nearest[0]}? " if nearest else ""
            shown = ", ".join(known[:PROMPTS_SHOWN_MAX]) or "none"
            raise ManifestError(f"prompt_id: no prompt {prompt_id!r}; {hint}The store has: {shown}") from error
        except Refused as error:
            raise ManifestError(
                f"prompt_id: {prompt_id!r} cannot be read ({error}): grant s3:GetObject and s3:ListBucket on {key}"
            ) from error
        return load_prompt(text, prompt_id)

    def _known_prompts(self) -> list[str]:
        keys = (info.key for info in self._world.objects.list("prompts/"))
        return [key.removeprefix("prompts/").removesuffix(".yaml") for key in keys if key.endswith(".yaml")]

    async def _source(self, uri: str) -> Source:
        bucket, key = parse_s3_uri(uri)
        form = source_format(key)
        objects = self._world.objects
        try:
            info = await self._world.offload.run(partial(objects.head, ObjectRef(key, bucket)))
        except Missing as error:
            raise ManifestError(f"s3_uri: {uri} does not exist") from error
        except Refused as error:
            raise ManifestError(f"s3_uri: {uri} cannot be read ({error}): grant s3:GetObject on it") from error
        return Source(
            format=form,
            bucket=bucket,
            key=key,
            size_bytes=info.size_bytes,
            etag=info.etag,
            version_id=info.version_id,
        )
