"""Datasets of the Hugging Face Hub through the real services: real client, simulated Hub, virtual time elsewhere."""

import io
import json

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_cli.client.connections import Connections
from quarry_cli.client.submission.checking import check
from quarry_core.contract.manifest_reading import read_manifest
from quarry_core.contract.names import listing_key, prompt_key
from quarry_core.contract.states import RunState
from quarry_core.sources.hub.objects import HubObjects
from tests.unit.flow.test_retry import retry
from tests.unit.local.simulated_hub import simulated_hub
from tests.world.manifests import OF_OLD
from tests.world.world import CLAUDE, SimulatedWorld

QUESTION = "template: Answer with your reasoning. {source}\n"
TWO = b"""---
configs:
- config_name: en
  data_files: [{split: train, path: 'en/*.parquet'}]
- config_name: fr
  data_files: [{split: train, path: 'fr/*.parquet'}]
---
"""


def rows_of(first, rows, word="question"):
    return [{"source": f"{word} {row}?", "id": f"{row:06d}"} for row in range(first, first + rows)]


def parquet(rows, groups=2):
    body = io.BytesIO()
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, body, row_group_size=max(len(rows) // groups, 1), use_dictionary=False, compression="none")
    return body.getvalue()


def csv(rows):
    return b"source,id\n" + b"".join(f"{row['source']},{row['id']}\n".encode() for row in rows)


def jsonl(rows):
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


TRAIN = rows_of(0, 400)
DATASETS = {
    "w601sxs/simpleCoT": {
        "README.md": b"---\nlicense: mit\n---\n",
        "data/train-00000-of-00002.parquet": parquet(TRAIN[:250]),
        "data/train-00001-of-00002.parquet": parquet(TRAIN[250:]),
        "data/test-00000-of-00001.parquet": parquet(rows_of(900, 120, "test")),
    },
    "o/two": {
        "README.md": TWO,
        "en/0.parquet": parquet(rows_of(0, 200)),
        "en/1.parquet": parquet(rows_of(200, 100)),
        "fr/0.parquet": parquet(rows_of(0, 150, "demande")),
    },
    "o/csv": {"train.csv": csv(rows_of(0, 220))},
    "o/jsonl": {"train.jsonl": jsonl(rows_of(0, 220))},
    "o/private": {"train.csv": csv(rows_of(0, 120))},
    "o/gated": {"train.parquet": parquet(rows_of(0, 120))},
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    tokens = {"hf_mine": ["*"]}
    with simulated_hub(
        root, DATASETS, private=["o/private"], gated=["o/gated"], tokens=tokens, lfs_bytes_min=1
    ) as served:
        yield served


@pytest.fixture(autouse=True)
def calm(hub):
    hub.calm()
    yield
    huggingface_hub.close_session()


@pytest.fixture
def world_of(hub):
    made = []

    def make(token="", **changes):
        made.append(HubObjects(hub.url, token, pause=lambda _: None))
        world = SimulatedWorld(hub=made[-1], **changes)
        world.objects.plant(prompt_key("question_answering"), QUESTION.encode())
        return world

    yield make
    for objects in made:
        objects.close()


def manifest(**changes):
    return {"job_name_prefix": "hub", "model_id": CLAUDE, "prompt": "{source}"} | changes


class Since:
    """The requests for the files of a dataset since this was made."""

    def __init__(self, hub, dataset):
        self._hub, self._dataset = hub, dataset
        self._before = self._now()

    def _now(self):
        found = self._hub.stats()["files"].items()
        return {about: kinds for about, kinds in found if about.startswith(self._dataset)}

    def __call__(self):
        counted = {}
        for about, kinds in self._now().items():
            before = self._before.get(about, {})
            more = {kind: count - before.get(kind, 0) for kind, count in kinds.items() if count > before.get(kind, 0)}
            if more:
                counted[about.removeprefix(f"{self._dataset}/")] = more
        return counted


async def ended(world, data):
    run_id = world.send(data)
    totals = await world.run(run_id)
    return run_id, totals


@pytest.mark.parametrize(("text", "rows"), [(OF_OLD[0], 400), (OF_OLD[1], 100)])
async def test_the_manifests_of_old_run_letter_for_letter(world_of, text, rows):
    world = world_of()
    run_id, totals = await ended(world, json.loads(text))
    assert totals.state is RunState.SUCCEEDED
    result = world.result(run_id)
    assert result.select(["source", "id"]).to_pylist() == TRAIN[:rows]
    assert set(result["status"].to_pylist()) == {"ok"}
    assert world.report(run_id)["rows"]["source"] == 400


async def test_a_dataset_takes_the_fewest_requests(hub, world_of):
    world, since = world_of(), Since(hub, "w601sxs/simpleCoT")
    _run_id, totals = await ended(world, manifest(dataset_id="w601sxs/simpleCoT"))
    assert totals.state is RunState.SUCCEEDED
    counted = since()
    assert counted.pop("w601sxs/simpleCoT") == {"info": 1}
    assert counted.pop("README.md") == {"resolve": 1}
    assert set(counted) == {"data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"}
    for kinds in counted.values():
        # Its place once; its end, and its rows as they are tried out, sampled for bytes and for tokens, and written.
        assert kinds["resolve"] == 1
        assert kinds["storage"] <= 1 + 4
    assert hub.stats()["tokens_leaked"] == 0


@pytest.mark.promise("S3")
async def test_two_configs_and_three_files_are_whole_while_a_commit_lands(hub, world_of):
    before = hub.stats()["datasets"]["o/two"]["main"]
    world = world_of()
    changed = {**DATASETS["o/two"], "en/0.parquet": parquet(rows_of(5_000, 10)), "en/2.parquet": parquet(rows_of(0, 5))}
    hub.commit("o/two", changed, kind="storage", after=1)
    en, totals = await ended(world, manifest(dataset_id="o/two", config="en"))
    assert totals.state is RunState.SUCCEEDED
    assert hub.stats()["datasets"]["o/two"]["main"] != before, "it landed while it was read"
    assert world.result(en).select(["source", "id"]).to_pylist() == rows_of(0, 300)
    assert f"o/two@{before}" in world.objects.bodies[listing_key(en)].decode()
    hub.commit("o/two", DATASETS["o/two"])
    fr, totals = await ended(world, manifest(dataset_id="o/two", config="fr"))
    assert world.result(fr)["source"].to_pylist() == [row["source"] for row in rows_of(0, 150, "demande")]


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train[:40%]", TRAIN[:160]),
        ("train[200:350]", TRAIN[200:350]),
        ("train[-120:]", TRAIN[-120:]),
        ("train[:30%]+test[:50%]", TRAIN[:120] + rows_of(900, 60, "test")),
        ("test+train[260:]", rows_of(900, 120, "test") + TRAIN[260:]),
    ],
)
async def test_slices_are_the_rows_that_they_name(world_of, split, expected):
    world = world_of()
    run_id, totals = await ended(world, manifest(dataset_id="w601sxs/simpleCoT", split=split))
    assert totals.state is RunState.SUCCEEDED
    assert world.result(run_id).select(["source", "id"]).to_pylist() == expected


@pytest.mark.parametrize("dataset", ["o/csv", "o/jsonl"])
@pytest.mark.parametrize("split", ["train", "train[50:200]"])
async def test_text_files_keep_every_character(world_of, dataset, split):
    world = world_of()
    run_id, totals = await ended(world, manifest(dataset_id=dataset, split=split))
    assert totals.state is RunState.SUCCEEDED
    expected = rows_of(0, 220) if split == "train" else rows_of(0, 220)[50:200]
    assert world.result(run_id).select(["source", "id"]).to_pylist() == expected, "leading zeros too"


@pytest.mark.promise("S3", "L5")
@pytest.mark.parametrize("dataset", ["w601sxs/simpleCoT", "o/csv", "o/jsonl"])
@pytest.mark.parametrize(
    "faults",
    [
        {"throttled_first": {"info": 1, "resolve": 1, "storage": 1}, "throttled_s": 2},
        {"unavailable_first": {"info": 1, "resolve": 1, "storage": 2}, "unavailable_s": 0},
        {"cut_first": 2},
        {"location_uses": 1},
        {"whole_for_range": True},
    ],
    ids=lambda faults: next(iter(faults)),
)
async def test_no_fault_of_the_hub_costs_a_row(hub, world_of, dataset, faults):
    hub.faults(**faults)
    world = world_of()
    run_id, totals = await ended(world, manifest(dataset_id=dataset))
    assert totals.state is RunState.SUCCEEDED
    expected = TRAIN if dataset == "w601sxs/simpleCoT" else rows_of(0, 220)
    assert world.result(run_id).select(["source", "id"]).to_pylist() == expected


async def test_an_answer_of_another_commit_ends_the_run_with_its_reason(hub, world_of):
    hub.faults(other_commit=True)
    world = world_of()
    _run_id, totals = await ended(world, manifest(dataset_id="o/csv"))
    assert totals.state is RunState.FAILED
    assert "dataset_id: hf://datasets/o/csv@" in totals.message
    assert "the answer is of the commit" in totals.message
    assert "send the manifest again" in totals.message


@pytest.mark.parametrize("dataset", ["o/private", "o/gated"])
async def test_private_and_gated_datasets_take_the_environments_token(world_of, dataset):
    run_id, totals = await ended(world_of(), manifest(dataset_id=dataset))
    assert totals.state is RunState.FAILED
    assert "HF_TOKEN, which is not set" in totals.message
    world = world_of("hf_mine")
    run_id, totals = await ended(world, manifest(dataset_id=dataset))
    assert totals.state is RunState.SUCCEEDED
    assert len(world.result(run_id)) == 120
    assert not [key for key, body in world.objects.bodies.items() if b"hf_mine" in body]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"dataset_id": "o/nothing"}, "has no dataset o/nothing"),
        ({"dataset_id": "o/csv", "split": "test"}, "split: o/csv has no split test; it has: train"),
        ({"dataset_id": "o/two"}, "config: o/two has several configs and no default: name one of en, fr"),
        ({"dataset_id": "o/csv", "revision": "v1"}, "revision: o/csv has no branch, tag or commit 'v1': it has main"),
        ({"dataset_id": "o/csv", "split": "train[:0]"}, "split: train[:0] takes none of 220 rows: name a larger slice"),
        ({"dataset_id": "o/gated", "csv": {"delimiter": ";"}}, "csv: the files of the split are parquet"),
        ({"dataset_id": "o/csv", "prompt": "{question}"}, "question"),
    ],
)
async def test_what_cannot_run_is_refused_on_arrival_or_while_it_is_counted(world_of, fields, sentence):
    _, totals = await ended(world_of("hf_mine"), manifest(**fields))
    assert totals.state is RunState.FAILED
    assert sentence in totals.message


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
async def test_without_ranges_each_file_is_fetched_once_and_kept_in_the_bucket(hub, world_of, form):
    rows = [{"source": f"{'long ' * 60}{row}", "id": f"{row:06d}"} for row in range(400)]
    body = {"parquet": parquet, "csv": csv, "jsonl": jsonl}[form](rows)
    assert len(body) > 100_000
    hub.commit("o/large", {f"train.{form}": body})
    hub.faults(whole_for_range=True)
    world, since = world_of(), Since(hub, "o/large")
    run_id, totals = await ended(world, manifest(dataset_id="o/large"))
    assert totals.state is RunState.SUCCEEDED
    assert world.result(run_id).select(["source", "id"]).to_pylist() == rows
    assert world.objects.bodies[f"rows/{run_id}/source-00000.{form}"] == body
    asked = since()[f"train.{form}"]
    # A Parquet file's end was asked for first, and all of it came.
    assert asked == {"resolve": 1, "storage": 2 if form == "parquet" else 1}


@pytest.mark.parametrize(
    ("fields", "faults", "unchecked"),
    [
        ({"dataset_id": "w601sxs/simpleCoT"}, [], []),
        ({"dataset_id": "w601sxs/simpleCoT", "split": "tests"}, ["split: w601sxs/simpleCoT has no split tests"], []),
        ({"dataset_id": "o/csv", "prompt": "{question}"}, ["question"], []),
        ({"dataset_id": "o/csv", "split": "train[:40]", "on_demand_below": 0}, ["40"], []),
        ({"dataset_id": "o/nothing"}, [], ["has no dataset o/nothing, or none that this environment may read"]),
        ({"dataset_id": "o/private"}, [], ["the token in HF_TOKEN, which is not set"]),
    ],
)
async def test_whoever_submits_is_told_what_can_be_known(world_of, fields, faults, unchecked):
    world = world_of()
    objects = world.process_world().objects
    queue = world.queues["manifests"]
    connections = Connections(world.table, lambda: queue, lambda: objects, world.clock, world.objects.bucket)
    checked = await check(connections, read_manifest(manifest(**fields)))
    for said, expected in ((checked.faults, faults), (checked.unchecked, unchecked)):
        assert len(said) == len(expected), said
        assert all(part in sentence for part, sentence in zip(expected, said, strict=True))


async def test_a_hub_that_does_not_answer_holds_up_nobody_who_submits(world_of):
    world = SimulatedWorld(hub=HubObjects("http://127.0.0.1:9", pause=lambda _: None))
    objects = world.process_world().objects
    connections = Connections(world.table, lambda: None, lambda: objects, world.clock, world.objects.bucket)
    checked = await check(connections, read_manifest(manifest(dataset_id="o/n")))
    assert not checked.faults
    assert checked.unchecked[0].startswith("dataset_id: look up the dataset o/n at http://127.0.0.1:9: ")


@pytest.mark.parametrize("dataset", ["w601sxs/simpleCoT", "o/csv", "o/jsonl"])
async def test_a_condition_and_a_sample_choose_among_the_rows_of_the_slice(world_of, dataset):
    rows = TRAIN if dataset == "w601sxs/simpleCoT" else rows_of(0, 220)
    world = world_of()
    fields = {"split": "train[10:-10]", "where": "id < '000190'", "id_column": "id", "columns": ["source", "id"]}
    run_id, totals = await ended(world, manifest(dataset_id=dataset, **fields))
    assert totals.state is RunState.SUCCEEDED, totals.message
    expected = [row for row in rows[10:-10] if row["id"] < "000190"]
    assert world.result(run_id).select(["source", "id"]).to_pylist() == expected
    run_id, totals = await ended(world, manifest(dataset_id=dataset, split="train[:200]", sample={"rows": 120}))
    assert totals.state is RunState.SUCCEEDED, totals.message
    taken = world.result(run_id)["id"].to_pylist()
    assert len(taken) == 120
    assert taken == sorted(set(taken) & {row["id"] for row in rows[:200]})


async def test_a_whole_run_takes_no_more_requests_than_a_file_has_row_groups_and_its_end(hub, world_of):
    rows = rows_of(0, 8_000, "which question, and why")
    body = parquet(rows, groups=8)
    hub.commit("o/groups", {"train.parquet": body})
    assert len(body) > 300_000
    world, since = world_of(), Since(hub, "o/groups")
    run_id, totals = await ended(world, manifest(dataset_id="o/groups"))
    assert totals.state is RunState.SUCCEEDED
    assert world.result(run_id).select(["source", "id"]).to_pylist() == rows
    asked = since()
    assert asked["o/groups"] == {"info": 1}
    # The least for one reading is its place, its end, and a range for each row group. Here the whole run: tried out,
    # sampled for bytes, for values that cannot be sent and for tokens, and written.
    assert asked["train.parquet"]["resolve"] == 1
    assert asked["train.parquet"]["storage"] <= 1 + 8


async def test_error_rows_of_a_hub_dataset_are_asked_again(world_of):
    world = world_of()
    world.bedrock.throttled_share = 0.5
    run_id, first = await ended(world, manifest(dataset_id="w601sxs/simpleCoT", record_errors={"max_attempts": 1}))
    assert first.error > 100
    world.bedrock.throttled_share = 0.0
    done = await retry(world, run_id)
    totals = await world.run(done.run_id)
    assert (totals.state, totals.ok, totals.retried) == (RunState.SUCCEEDED, 400, first.error)
    assert world.result(done.run_id).select(["source", "id"]).to_pylist() == TRAIN
