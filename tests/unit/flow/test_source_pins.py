"""A source of several files is pinned by a list that is written once, before its run is accepted."""

from __future__ import annotations

import json

import pytest

from quarry_core.contract.listing import Listing, digest_of
from quarry_core.contract.manifest_reading import read_manifest
from quarry_core.contract.names import listing_key
from quarry_core.contract.states import RunState
from quarry_core.sources import pinning
from quarry_core.sources.pinning import pin_source
from tests.unit.flow.test_refusals import refused
from tests.world.faults import Faults
from tests.world.world import SimulatedWorld

TOPICS = b"topic\n" + b"x\n" * 100


def folder(world: SimulatedWorld, *names: str, body: bytes = TOPICS) -> dict:
    for name in names:
        world.objects.plant(f"inputs/f/{name}", body)
    return world.joke(s3_uri="s3://world/inputs/f/", run_id="several")


async def pins_of(world: SimulatedWorld, run_id: str = "several"):
    run = await world.ledger.run(run_id)
    assert run is not None
    assert run.pins is not None
    return run.pins


async def test_a_folder_is_pinned_by_the_list_that_was_made_on_arrival():
    world = SimulatedWorld()
    world.send(folder(world, "1.csv", "2.csv"))
    await world.consumers[0].run_once()

    source = (await pins_of(world)).source
    body = world.objects.bodies[listing_key("several")]

    assert (source.files, source.size_bytes, source.etag, source.version_id) == (2, 2 * len(TOPICS), "", None)
    assert source.uri == "s3://world/inputs/f/"
    assert source.listing == digest_of(body)
    assert [file.key for file in Listing.model_validate_json(body).files] == ["inputs/f/1.csv", "inputs/f/2.csv"]


async def test_one_object_is_pinned_in_place_and_no_list_is_written():
    world = SimulatedWorld()
    world.send(world.joke(run_id="one"))
    await world.consumers[0].run_once()

    source = (await pins_of(world, "one")).source

    assert (source.listing, source.files) == ("", 1)
    assert source.etag
    assert source.version_id
    assert listing_key("one") not in world.objects.bodies


@pytest.mark.promise("I1", "S4")
async def test_a_second_delivery_takes_the_list_that_stands():
    """The first worker dies between the list and the run; until the second comes, a file is added."""
    world = SimulatedWorld()
    manifest = folder(world, "1.csv", "2.csv")
    rehearsal = SimulatedWorld()
    watched = Faults()
    rehearsal.start({"preprocessor": watched})
    rehearsal.send(folder(rehearsal, "1.csv", "2.csv"))
    await rehearsal.consumers[0].run_once()
    accept = next(number for number, name in enumerate(watched.calls, 1) if "transact" in name)

    world.start({"preprocessor": Faults({accept: "refuse"})})
    world.send(manifest)
    await world.consumers[0].run_once()
    assert await world.ledger.run("several") is None
    standing = world.objects.bodies[listing_key("several")]
    folder(world, "3.csv")
    world.clock.advance(300)
    await world.consumers[0].run_once()

    source = (await pins_of(world)).source
    assert world.objects.bodies[listing_key("several")] == standing
    assert (source.listing, source.files, source.size_bytes) == (digest_of(standing), 2, 2 * len(TOPICS))


@pytest.mark.promise("I3")
async def test_a_delivery_after_the_run_was_accepted_lists_nothing(monkeypatch):
    world = SimulatedWorld()
    manifest = folder(world, "1.csv")
    world.send(manifest)
    await world.consumers[0].run_once()
    before = await pins_of(world)
    folder(world, "2.csv")
    monkeypatch.setattr(pinning, "find_source", None)

    world.send(manifest)
    await world.consumers[0].run_once()

    assert await pins_of(world) == before


@pytest.mark.promise("L6")
async def test_another_manifest_does_not_take_the_list_of_the_first():
    """Two manifests of one run id: the first one's worker died after it had written its list."""
    world = SimulatedWorld()
    first = folder(world, "1.csv")
    pin_source(world.objects, "several", read_manifest(first), "world")
    world.objects.put_once(
        "plans/several/manifest.json", json.dumps(first).encode(), {"run": "several", "manifest": "of the first"}
    )
    world.objects.plant("inputs/g/1.csv", TOPICS)

    world.send(first | {"s3_uri": "s3://world/inputs/g/"})
    await world.consumers[0].run_once()

    assert await world.ledger.run("several") is None, "it waits until it is known whose the run id is"


async def test_a_list_that_is_too_large_is_refused(monkeypatch):
    world = SimulatedWorld()
    monkeypatch.setattr(pinning, "LISTING_BYTES_MAX", 100)

    reported = await refused(world, folder(world, "1.csv", "2.csv"))

    assert reported.startswith("s3_uri: the list of its 2 files takes ")
    assert "at most 100 are allowed: name fewer, or give them shorter keys" in reported


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("s3://world/inputs/f/*.parquet", "matches no object"),
        ("s3://world/", "takes in Quarry's own working files"),
        (["s3://world/inputs/f/", "s3://world/inputs/f/1.csv"], "its rows would be taken twice"),
        ([], "no source is named"),
        (["s3://world/inputs/f/", 5], "must be text in double quotes, or a list of such texts"),
        (["s3://world/inputs/f/", "s3://world/inputs/f/"], "appears twice"),
        ([f"s3://world/inputs/f/{number}.csv" for number in range(1_001)], "has 1001 entries; at most 1000"),
    ],
)
async def test_a_source_that_cannot_be_listed_becomes_a_failed_run(uri, sentence):
    world = SimulatedWorld()

    assert sentence in await refused(world, folder(world, "1.csv") | {"s3_uri": uri, "run_id": None})


async def test_a_list_in_a_bucket_of_anothers_needs_its_owner_where_that_is_required():
    world = SimulatedWorld(input_bucket_owner_required=True)
    world.objects.plant("a.csv", TOPICS, bucket="another-bucket")
    manifest = folder(world, "1.csv") | {"s3_uri": ["s3://world/inputs/f/", "s3://another-bucket/a.csv"]}

    assert (
        "input_bucket_owner: this environment requires it for buckets other than world: give the 12 digits of the"
        " account that owns another-bucket"
    ) in await refused(world, manifest)
    assert RunState.FAILED is (await world.totals("several")).state
