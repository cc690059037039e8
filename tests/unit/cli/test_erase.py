"""`erase`: nothing is left but a tombstone, whatever interrupts it, and the same manifest is not paid again."""

from __future__ import annotations

import asyncio
import json

import pytest

from quarry_cli.client.changes.erasing import erase
from quarry_core.contract.names import output_prefix, part_key, rows_key
from quarry_core.errors import Refused, Stale
from quarry_core.ports import Delete

SMALL = {"max_records_per_job": 100}
PROMPT = "Tell me a joke about"


class Interrupted(Exception):
    """The command was stopped here, or AWS broke off."""


def erased(quarry, run_id: str) -> dict:
    result = quarry("erase", run_id, "--yes", "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def left_of(quarry, run_id: str) -> list[str]:
    """Keys under which anything of a run is kept, in whatever version."""
    keys = quarry.world.objects._buckets["world"].versions
    return [key for key in keys if f"/{run_id}/" in key or key.endswith(f"/{run_id}.json")]


def items_of(quarry, run_id: str) -> dict:
    return {sk: item for (pk, sk), item in quarry.world.table.items.items() if pk == f"run#{run_id}"}


def test_all_versions_of_all_objects_go_and_the_ledger_keeps_numbers_alone(quarry):
    manifest = quarry.world.joke(300, **SMALL, run_id="secret-run", tags={"who": "ana"})
    run_id = quarry.world.send(manifest)
    quarry.finish(run_id)
    for number in range(2_500):
        quarry.world.objects.plant(output_prefix(run_id, "00000", 1) + "again.json", b"%d" % number)
    other = quarry.ended(100, run_id="secret-run2", job_name_prefix="other")
    before = len(left_of(quarry, other))
    bodies = len(quarry.world.objects.bodies)

    done = erased(quarry, run_id)

    assert done["versions"] > 2_500
    assert not left_of(quarry, run_id)
    assert len(left_of(quarry, other)) == before > 0
    assert "inputs/topics.csv" in quarry.world.objects.bodies
    assert len(quarry.world.objects.bodies) < bodies
    items = items_of(quarry, run_id)
    assert items.keys() == {"run", "totals"}
    assert done["items"] > 5
    kept = json.dumps(items, default=str)
    assert PROMPT not in kept
    assert "ana" not in kept
    assert "topics.csv" not in kept
    view = quarry.status(run_id)
    assert (view["state"], view["rows"]["ok"], view["results_uri"], view["source_uri"]) == (
        "SUCCEEDED",
        300,
        None,
        None,
    )
    assert view["erased_at"]
    assert "SUCCEEDED, erased at" in quarry("status", run_id).stdout

    # The same manifest again is known, and not paid again.
    jobs = len(quarry.world.jobs.all)
    assert quarry.world.send(manifest) == run_id
    quarry.idle()
    assert (quarry.status(run_id)["state"], len(quarry.world.jobs.all)) == ("SUCCEEDED", jobs)
    assert not quarry.world.queues["manifests"].dead
    assert run_id in quarry("runs").stdout


def test_an_erased_run_has_nothing_to_read_and_can_be_erased_again(quarry):
    run_id = quarry.ended(100)
    first = erased(quarry, run_id)
    for words in (("results", run_id, "--head", "1"), ("verify", run_id), ("why", run_id, "0")):
        result = quarry(*words)
        assert result.exit_code == 1
        assert "was erased at" in result.stderr

    quarry.world.objects.plant(part_key(run_id, "00000"), b"late")  # somebody who was stalled wakes up
    again = erased(quarry, run_id)

    assert (again["versions"], again["items"], again["at"]) == (1, 0, first["at"])
    assert not left_of(quarry, run_id)


def test_who_erased_it_is_written_down(quarry):
    async def ask(*_):
        return {"Arn": "arn:aws:iam::123456789012:user/ana"}

    quarry.connections["ask"] = ask
    run_id = quarry.ended(100)
    assert erased(quarry, run_id)["by"].endswith("user/ana")
    assert quarry.status(run_id)["erased_by"].endswith("user/ana")


@pytest.mark.promise("L3")
@pytest.mark.parametrize("at", range(1, 10))
def test_an_erasure_that_is_interrupted_goes_on_wherever_it_was(quarry, at):
    run_id = quarry.ended(300, **SMALL)
    world, calls = quarry.world, 0
    transact, delete = world.table.transact, world.objects.erase

    def interrupted() -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise Interrupted

    async def then_transact(writes):
        interrupted()
        await transact(writes)

    def then_erase(versions):
        interrupted()
        delete(versions)

    world.table.transact, world.objects.erase = then_transact, then_erase
    with pytest.raises(Interrupted):
        asyncio.run(_erase(quarry, run_id))
    del world.table.transact, world.objects.erase

    shown = quarry("status", run_id).stdout
    assert ("erased at" in shown) is (at > 1), "as soon as it is begun, nobody takes the run for whole"
    erased(quarry, run_id)
    assert not left_of(quarry, run_id)
    assert items_of(quarry, run_id).keys() == {"run", "totals"}
    assert quarry.status(run_id)["erased_at"]


async def _erase(quarry, run_id: str):
    async with quarry.connect() as connections:
        return await erase(connections, run_id)


def test_items_that_expire_meanwhile_are_no_obstacle(quarry):
    run_id = quarry.ended(300, **SMALL)
    transact = quarry.world.table.transact

    async def expired(writes):
        if len(writes) > 1 and all(isinstance(write, Delete) for write in writes):
            del quarry.world.table.transact
            await transact(writes[:1])
            raise Stale("an item is gone")
        await transact(writes)

    quarry.world.table.transact = expired
    erased(quarry, run_id)
    assert items_of(quarry, run_id).keys() == {"run", "totals"}


def test_only_a_run_that_has_ended_and_by_its_whole_name(quarry):
    going = quarry.world.send(quarry.world.joke(300))
    quarry.idle()
    result = quarry("erase", going, "--yes")
    assert result.exit_code == 1
    assert f"quarry cancel {going}" in result.stderr
    run_id = quarry.ended(100, job_name_prefix="done")

    assert quarry("erase", run_id[:6], "--yes").exit_code == 1
    assert quarry("erase", run_id, "--json").exit_code == 2
    for typed in ("", "yes", run_id[:6], going):
        assert quarry("erase", run_id, given=f"{typed}\n\n").exit_code == 1
    assert quarry("erase", run_id[:6], given=f"{run_id}\n").exit_code == 1
    assert left_of(quarry, run_id)

    result = quarry("erase", run_id, given=f"{run_id}\n")
    assert result.exit_code == 0, result.output
    assert "its id stays used" in result.stdout
    assert not left_of(quarry, run_id)


def test_what_may_not_be_deleted_is_said_and_the_rest_goes_the_next_time(quarry):
    run_id = quarry.ended(100)
    delete = quarry.world.objects.erase

    def refused(versions):
        raise Refused(f"erase {len(versions)} versions: AccessDenied", "AccessDenied")

    quarry.world.objects.erase = refused
    result = quarry("erase", run_id, "--yes")
    assert result.exit_code == 5
    assert "AccessDenied" in result.stderr
    quarry.world.objects.erase = delete
    assert erased(quarry, run_id)["versions"] > 0


def test_a_cancelled_run_leaves_nothing_either(quarry):
    run_id = quarry.world.send(quarry.world.joke(600, **SMALL))
    quarry.idle()
    assert quarry("cancel", run_id).exit_code == 0
    quarry.finish(run_id)
    assert rows_key(run_id, "00000") in quarry.world.objects.bodies

    erased(quarry, run_id)

    assert not left_of(quarry, run_id)
    assert "123456789012" not in json.dumps(items_of(quarry, run_id), default=str)
