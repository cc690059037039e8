"""Step 1, first half: a manifest arrives, is judged, pinned, and becomes a run.

Theory of operation. Every JSON object gets a run, also one that is refused: its end can then be looked up by the run
id that its sender can compute. Text that is no JSON object has no run id and is poison. What the manifest means today
(prompt text, the source's version, the adapter's version) is pinned into the run, so that nothing that comes later
depends on when it comes. `quarry submit` judges by the same functions of core; here the word is final.

May be called any number of times for one message: the run is written once, by whoever comes first.
"""

from __future__ import annotations

import contextlib
import hashlib
from functools import partial

import structlog

from quarry_core.contract.job_tags import read_job_tags
from quarry_core.contract.json_text import NotAnObject, parse_object
from quarry_core.contract.manifest import Manifest, ManifestError
from quarry_core.contract.manifest_identity import (
    ORIGIN_ATTRIBUTE,
    ManifestData,
    canonical_json,
    manifest_hash,
    run_id_of,
)
from quarry_core.contract.manifest_reading import REFUSAL_BYTES_MAX, read_manifest
from quarry_core.contract.message_attributes import with_origin
from quarry_core.contract.messages import Wakeup
from quarry_core.contract.names import manifest_key
from quarry_core.contract.policy import read_policy, too_many_runs
from quarry_core.contract.prompts import PromptError
from quarry_core.contract.run import Pins, Run
from quarry_core.contract.states import RunState
from quarry_core.errors import Refused, Stale
from quarry_core.ledger import moves
from quarry_core.models.prices import price_of
from quarry_core.planning.spending import no_month_price
from quarry_core.ports import Message
from quarry_core.service.endings import end_run
from quarry_core.service.failures import RunCode, Step, Why, exhausted
from quarry_core.service.notices import tell_of_refusal
from quarry_core.service.pieces import Piece
from quarry_core.service.process import World
from quarry_core.service.steps import Steps
from quarry_core.service.verdicts import DONE, Poison, Retry, Verdict
from quarry_core.sources.pinning import Environment, pin
from quarry_core.sources.profiles import look_up_model
from quarry_core.structured.schema import SchemaError
from quarry_core.structured.validate import compiled
from quarry_core.telemetry import metrics
from quarry_core.text import bounded_text, shown_name

log = structlog.get_logger()
FULL_WAIT_S = 60


class Arrivals:
    def __init__(self, world: World, steps: Steps) -> None:
        self._world = world
        self._steps = steps
        self._policy = read_policy(world.settings.policy)
        self._job_tags = read_job_tags(world.settings.job_tags)

    async def on_manifest(self, message: Message) -> Verdict:
        """Make a run of a manifest, and send the wake-up to count its rows."""
        try:
            data = parse_object(message.body)
        except NotAnObject as error:
            return Poison(f"the manifest is {error}")
        run_id = run_id_of(data, message.attributes.get(ORIGIN_ATTRIBUTE) or message.id)
        structlog.contextvars.bind_contextvars(run_id=run_id)  # until the loop has told what became of it
        # Two manifests may give themselves one run id: what fails of one is not counted for the other.
        piece = Piece(Step.ARRIVE, run_id, hashlib.sha256(message.body.encode("utf-8", "replace")).hexdigest()[:8])
        return await self._steps.run(
            piece, partial(self._arrive, run_id, data, message), partial(self._give_up, run_id, data)
        )

    async def _sender(self, message: Message) -> str:
        """Who sent the manifest. A copy that has waited was sent by a service, so who sent the first one is written down."""
        origin_id = message.attributes.get(ORIGIN_ATTRIBUTE, "")
        return (await self._world.ledger.first_sender(origin_id) if origin_id else "") or message.sender

    async def _remember_sender(self, message: Message) -> None:
        sender = await self._sender(message)
        origin_id = message.attributes.get(ORIGIN_ATTRIBUTE) or message.id
        if sender:
            with contextlib.suppress(Stale):  # it is written down already
                at = self._world.clock.now().isoformat()
                await self._world.ledger.apply(moves.remember_sender(origin_id, sender, at))

    async def renew(self, message: Message) -> None:
        """Put a fresh copy behind the others. Raises Refused: there is no room in it for its origin."""
        await self._remember_sender(message)
        attributes = with_origin(message.attributes, message.id)
        await self._world.queues["manifests"].send(message.body, attributes, delay_s=FULL_WAIT_S)

    async def _give_up(self, run_id: str, data: ManifestData, why: Why) -> Verdict:
        """A FAILED run instead of a dead-letter message: its sender can look it up."""
        ledger = self._world.ledger
        digest = manifest_hash(data)
        standing = await ledger.run(run_id)
        if standing is None:
            accepted_at = self._world.clock.now().isoformat()
            run = Run(run_id=run_id, manifest_hash=digest, accepted_at=accepted_at, refusal=why.sentence)
            try:
                await ledger.apply(moves.accept(run))
            except Stale:
                return await self._give_up(run_id, data, why)  # another delivery was faster: it stands now
            metrics.RUNS_ACCEPTED.inc()
        elif standing.manifest_hash != digest:
            return Poison(f"run_id: {run_id} belongs to another manifest already; {why.sentence}")
        totals = await ledger.totals(run_id)
        if totals is not None and totals.state is RunState.ACCEPTED:
            return await end_run(self._world, run_id, why)
        return DONE  # it had come further before: its other steps are not this one's to judge

    async def _arrive(self, run_id: str, data: ManifestData, message: Message) -> Verdict:
        digest = manifest_hash(data)
        run = await self._world.ledger.run(run_id)
        if run is None:
            limit = self._world.settings.open_runs_max
            open_runs = await self._world.ledger.open_runs(most=limit)
            sender = await self._sender(message)
            beyond = too_many_runs(self._policy, sender, (each.sender for each in open_runs))
            if not beyond and len(open_runs) >= limit:
                return await self._wait(message, limit)
            run = await self._accept(run_id, data, digest, sender, beyond)
        if run.manifest_hash != digest:
            return Poison(f"run_id: {run_id} belongs to another manifest already; give this one an id of its own")
        totals = await self._world.ledger.totals(run_id)
        if totals is None or totals.state is not RunState.ACCEPTED:
            return DONE  # the same manifest again: it is on its way, or at its end
        if run.refusal:
            ended_at = self._world.clock.now().isoformat()
            await tell_of_refusal(self._world, totals, run.refusal, ended_at, code=RunCode.REFUSED, step=Step.ARRIVE)
            await self._world.ledger.apply(
                moves.refuse_run(totals, run.refusal, ended_at, code=RunCode.REFUSED, step=Step.ARRIVE)
            )
            log.info("refused", why=run.refusal)
        else:
            await self._world.wake("slices", Wakeup(step="count", run_id=run_id))
        return DONE

    async def _wait(self, message: Message, limit: int) -> Verdict:
        """Put a fresh copy behind the others: handing it back would count as a try, and waiting is not failing."""
        try:
            await self.renew(message)
        except Refused as error:
            # As large as SQS takes a message: there is no room for the origin, so this very one waits.
            return Retry(FULL_WAIT_S, f"waits for one of {limit} open runs to end ({error})")
        log.info("waits", open_runs=limit, wait_s=FULL_WAIT_S)
        return DONE

    async def _accept(self, run_id: str, data: ManifestData, digest: str, sender: str, beyond: str) -> Run:
        """Make a run of it; one that is refused, where it is `beyond` what its sender may ask for."""
        accepted_at = self._world.clock.now().isoformat()
        pins, refusal = None, beyond
        text = canonical_json(data).encode()
        objects = self._world.objects
        # First, so that what is written for this run id from now on is of this manifest and no other.
        await self._world.offload.run(
            partial(objects.put_once, manifest_key(run_id), text, {"run": run_id, "manifest": digest})
        )
        try:
            if not beyond:
                model = await look_up_model(self._world.profiles, data, self._world.settings.region)
                pins = await self._pin(run_id, read_manifest(data, len(text), model=model))
        except (ManifestError, PromptError) as error:
            if exhausted(error):
                raise  # the worker's want, not the manifest's fault
            refusal = bounded_text(str(error), REFUSAL_BYTES_MAX)
        run = Run(
            run_id=run_id, manifest_hash=digest, accepted_at=accepted_at, pins=pins, refusal=refusal, sender=sender
        )
        try:
            await self._world.ledger.apply(moves.accept(run, self._world.settings.prompt_text_days))
        except Stale:
            winner = await self._world.ledger.run(run_id)
            if winner is None:
                raise
            return winner
        metrics.RUNS_ACCEPTED.inc()
        log.info("accepted", model_id=pins.model_id if pins else None, refused=bool(refusal), sender=sender)
        return run

    async def _pin(self, run_id: str, manifest: Manifest) -> Pins:
        """What the manifest means today. Raises ManifestError, PromptError."""
        if manifest.output_schema is not None:
            try:
                compiled(manifest.output_schema)  # the command, which has no validator, could not
            except SchemaError as error:
                raise ManifestError(f"output_schema: {error}") from error
        settings = self._world.settings
        if settings.budget_usd is not None and not manifest.dry_run and price_of(manifest.model) is None:
            raise ManifestError(f"model_id: {no_month_price(shown_name(manifest.model))}")
        environment = Environment(
            region=settings.region,
            bucket=settings.bucket,
            owner_required=settings.input_bucket_owner_required,
            max_total_records=settings.max_total_records,
            max_records_per_job=settings.max_records_per_job,
            timeout_hours=settings.timeout_hours,
            asks_on_demand=settings.asks_on_demand,
            policy=self._policy,
            job_tags=self._job_tags,
        )
        pins = await self._world.offload.run(partial(pin, self._world.objects, run_id, manifest, environment))
        if pins.source.listing:
            log.info("listed", files=pins.source.files, bytes=pins.source.size_bytes)
        return pins
