"""A source that cannot be read any more ends its run in words, whatever else has gone wrong with it before."""

from __future__ import annotations

import pytest

from quarry_core.contract.states import RunState
from quarry_core.errors import Refused
from quarry_core.ports import ObjectRef
from tests.unit.flow.acts import CLAUDE_POOL, healthy_dead, play, shards
from tests.world.world import SimulatedWorld


@pytest.mark.promise("L2", "S10")
async def test_a_source_that_breaks_after_bedrock_refused_the_run_leaves_nothing_waiting(monkeypatch):
    world = SimulatedWorld(job_quota=1)
    run_id = world.send(world.joke(rows=200, max_records_per_job=100))
    manifests, slices = world.consumers[:2]
    await manifests.run_once()
    await slices.run_once()  # the count
    [one, other] = await world.queues["slices"].receive(10, 0)
    await world.queues["slices"].extend(one, 0)
    await slices.run_once()
    assert len(await shards(world, run_id)) == 1
    world.jobs.refuse_once(Refused("ValidationException: the role cannot be assumed", "ValidationException"))
    await world.scheduler.ticker.tick(CLAUDE_POOL)
    world.objects.plant("inputs/topics.csv", b"something else")
    stream = world.objects.stream
    monkeypatch.setattr(world.objects, "stream", lambda ref, start=0, end=None: stream(unversioned(ref), start, end))
    await world.queues["slices"].extend(other, 0)

    totals = await play(world, run_id)

    assert totals.state is RunState.FAILED
    assert "topics.csv" in totals.message
    assert (totals.ok, totals.error) == (0, 200)
    assert healthy_dead(world) == {}


def unversioned(ref: ObjectRef) -> ObjectRef:
    """As read from a bucket without versions: only the ETag is held against what stands."""
    return ObjectRef(ref.key, ref.bucket, ref.etag) if ref.key.startswith("inputs/") else ref


@pytest.mark.promise("L2", "L5")
async def test_a_source_that_may_be_looked_at_but_not_read_refuses_the_run(monkeypatch):
    """S3 answers so where the key of an encrypted object is not ours: HEAD needs no key, GET does."""
    world = SimulatedWorld()
    run_id = world.send(world.joke(rows=200))
    stream = world.objects.stream

    def refused(ref, start=0):
        if ref.key.startswith("inputs/"):
            raise Refused("AccessDenied: not authorized to perform kms:Decrypt", "AccessDenied")
        return stream(ref, start)

    monkeypatch.setattr(world.objects, "stream", refused)

    totals = await world.run(run_id)

    assert totals.state is RunState.FAILED
    assert "s3_uri: s3://world/inputs/topics.csv cannot be read" in totals.message
    assert "kms:Decrypt" in totals.message
    assert healthy_dead(world) == {}
