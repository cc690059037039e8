"""A model of which Bedrock refuses to create a job is remembered for some days, and the next run of it is refused at once."""

from __future__ import annotations

import pytest

from quarry_cli.client.pools.limits import forget_refused, read_limits
from quarry_cli.errors import BadSetting
from quarry_core.contract.refused_models import ABOUT_MODEL, is_about_model
from quarry_core.contract.states import RunState
from quarry_core.errors import PortError, Refused
from tests.unit.flow.acts import play
from tests.unit.flow.test_retry import connections
from tests.world.world import CLAUDE, SimulatedWorld

SAID = "ValidationException: Batch inference is not supported for the requested model"
NOVA = "amazon.nova-lite-v1:0"
DAY_S = 86_400


async def refused_once(said: str = SAID, **changes: object) -> SimulatedWorld:
    """A world in which Bedrock has refused a run for its model, and would not refuse the next."""
    world = SimulatedWorld(**changes)
    world.jobs.refuse_once(Refused(f"creating jokes: {said}", "ValidationException"))
    totals = await play(world, world.send(world.joke(rows=300)))
    assert (totals.state, totals.errors) == (RunState.FAILED, {"REFUSED": 300})
    return world


async def test_the_next_run_is_refused_before_its_source_is_read_and_is_told_what_works():
    world = await refused_once()
    world.objects.bodies.clear()  # nothing can be read any more
    totals = await play(world, world.send(world.joke(rows=301, prompt_id=None, prompt="{topic}", on_demand_below=0)))

    assert (totals.state, totals.code, totals.step) == (RunState.FAILED, "REFUSED", "count")
    assert totals.message.startswith(f"model_id: Bedrock refused to create a job of {CLAUDE} in us-east-1 at 2026-")
    assert "(creating jokes: ValidationException: Batch inference is not supported" in totals.message
    assert "the nearest not known to be refused is " in totals.message
    assert f"quarry limits {CLAUDE} --forget" in totals.message
    assert world.jobs.all == []


async def test_what_has_worked_here_is_named_first(monkeypatch):
    world = SimulatedWorld()
    haiku = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    assert (await play(world, world.send(world.joke(rows=300, model_id=haiku)))).state is RunState.SUCCEEDED
    world.jobs.refuse_once(Refused(SAID, "ValidationException"))
    await play(world, world.send(world.joke(rows=302)))
    totals = await play(world, world.send(world.joke(rows=303)))
    assert f"{haiku} has answered here lately" in totals.message


async def test_what_is_asked_on_demand_and_other_models_are_none_of_this():
    world = await refused_once()
    assert (await play(world, world.send(world.joke(rows=40)))).state is RunState.SUCCEEDED
    assert (await play(world, world.send(world.joke(rows=304, dry_run=True)))).state is RunState.SUCCEEDED
    other = "anthropic.claude-3-5-haiku-20241022-v1:0"
    assert (await play(world, world.send(world.joke(rows=305, model_id=other)))).state is RunState.SUCCEEDED
    totals = await play(world, world.send(world.joke(rows=306)))
    assert totals.message.startswith("model_id: Bedrock refused to create a job")


@pytest.mark.parametrize("days", [1, 3])
async def test_it_is_forgotten_after_the_days_that_are_set(days):
    world = await refused_once(refused_model_days=days)
    world.clock.advance(days * DAY_S - 3_600)
    assert (await play(world, world.send(world.joke(rows=307)))).state is RunState.FAILED
    world.clock.advance(3_600)
    assert (await play(world, world.send(world.joke(rows=308)))).state is RunState.SUCCEEDED


async def test_no_days_remember_nothing():
    world = await refused_once(refused_model_days=0)
    assert (await play(world, world.send(world.joke(rows=309)))).state is RunState.SUCCEEDED


@pytest.mark.parametrize(
    "said",
    [
        "ValidationException: the role cannot be assumed",
        "AccessDeniedException: User is not authorized to perform: iam:PassRole",
        "ValidationException: Your account is not authorized to perform this action",
        "ResourceNotFoundException: the bucket",
    ],
)
async def test_refusals_that_say_nothing_of_the_model_are_not_remembered(said):
    world = await refused_once(said)
    assert (await play(world, world.send(world.joke(rows=310)))).state is RunState.SUCCEEDED


@pytest.mark.parametrize("sentence", ABOUT_MODEL)
def test_sentences_about_the_model_are_known_in_any_case_and_with_either_apostrophe(sentence):
    assert is_about_model(f"creating x: ValidationException: {sentence.capitalize()}.")
    assert is_about_model(sentence.replace("'", "\u2019"))


async def test_it_is_shown_and_can_be_forgotten_and_who_did_is_kept():
    world = await refused_once()
    here = connections(world)
    found = (await read_limits(here, None)).refused
    assert [(each.model_id, each.region) for each in found] == [(CLAUDE, "us-east-1")]
    assert [each.model_id for each in (await read_limits(here, CLAUDE)).refused] == [CLAUDE]
    assert (await read_limits(here, NOVA)).refused == []
    with pytest.raises(BadSetting, match=f"{NOVA} was refused: {CLAUDE} are"):
        await forget_refused(here, NOVA, "")

    assert (await forget_refused(here, CLAUDE, "access was given")).refused == []

    (kept,) = [each for each in await world.ledger.audit_entries("2026-01") if each.action == "forget"]
    assert (kept.subject, kept.what, bool(kept.by)) == (CLAUDE, "access was given", True)
    with pytest.raises(BadSetting, match="none is"):
        await forget_refused(here, CLAUDE, "")
    world.jobs.refuse_once(Refused(SAID, "ValidationException"))
    assert (await play(world, world.send(world.joke(rows=311)))).errors == {"REFUSED": 311}, "it was sent"
    assert (await play(world, world.send(world.joke(rows=312)))).accepted == 0, "and is remembered again"


async def test_a_ledger_that_does_not_take_it_costs_the_run_nothing(monkeypatch):
    from quarry_core.ledger.ledger import Ledger

    async def fails(self, region, model_id):
        raise PortError("no answer")

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "refused_model", fails)
        world = SimulatedWorld()
        run_id = world.send(world.joke(rows=300, on_demand_below=0))
        patched.undo()
        world.jobs.refuse_once(Refused(SAID, "ValidationException"))
        await world.idle()
        patched.setattr(Ledger, "refused_model", fails)
        totals = await play(world, run_id)
    assert totals.errors == {"REFUSED": 300}
