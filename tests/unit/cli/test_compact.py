"""`quarry compact`: the same rows in few large parts, published at once, whatever interrupts it."""

from __future__ import annotations

import asyncio
import io
import json

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_cli.client.api import Client
from quarry_cli.client.connections import Connections
from quarry_cli.client.results import download
from quarry_cli.client.results.compact import compacting, grouping
from quarry_cli.client.results.compact.grouping import groups_of
from quarry_cli.errors import BadSetting, NotCompacted, NotEnded
from quarry_core.contract.names import compact_part_key, compact_plan_key, compact_prefix, compact_success_key, part_key
from quarry_core.errors import PortError
from quarry_core.ports import ObjectRef
from tests.world.faults import KINDS, Crash, Faults
from tests.world.world import BUCKET, TITAN

MANY = {"max_records_per_job": 100}
# Parts of 100 rows have about 3 KB each.
SMALL_MIB = 3_000


@pytest.fixture
def small(monkeypatch):
    """Parts are merged up to kilobytes, so that a small run has several merged parts."""
    monkeypatch.setattr(compacting, "MIB", SMALL_MIB)


def compacted(quarry, run_id: str, *options: str, code: int = 0) -> dict:
    result = quarry("compact", run_id, *options, "--json")
    assert result.exit_code == code, result.output
    found: dict = json.loads(result.stdout)
    return found


def parts_under(quarry, prefix: str) -> dict[str, pa.Table]:
    bodies = quarry.world.objects.bodies
    return {key: pq.read_table(io.BytesIO(bodies[key])) for key in sorted(bodies) if key.startswith(f"{prefix}part-")}


def rows_under(quarry, prefix: str) -> pa.Table:
    return pa.concat_tables(parts_under(quarry, prefix).values())


# --------------------------------------------------------------------------- which parts become one


def test_neighbours_are_merged_up_to_the_aim_and_never_beyond_twice():
    for sizes in ([1] * 1_000, [60, 60, 60], [100, 300, 100], [120, 120, 10, 250, 1, 1], [7, 90] * 50, [99, 99, 99, 1]):
        groups = groups_of(sizes, 100)
        assert [number for group in groups for number in group] == list(range(len(sizes)))
        for group in groups:
            assert len(group) == 1 or sum(sizes[each] for each in group) <= 200
        if max(sizes) < 100:
            assert all(sum(sizes[each] for each in group) >= 50 for group in groups), sizes


@pytest.mark.parametrize(("sizes", "wanted"), [([], []), ([5], [[0]]), ([5, 5], [[0, 1]]), ([150, 150], [[0], [1]])])
def test_what_is_large_enough_stays_alone(sizes, wanted):
    assert [list(group) for group in groups_of(sizes, 100)] == wanted


def test_a_small_rest_goes_to_its_neighbour_if_that_has_room():
    assert [list(group) for group in groups_of([100, 100, 20], 100)] == [[0], [1, 2]]
    assert [list(group) for group in groups_of([100, 190, 20], 100)] == [[0], [1], [2]]


# --------------------------------------------------------------------------- the command


def test_the_same_rows_stand_in_fewer_parts_and_every_command_takes_them(quarry, small, tmp_path):
    run_id = quarry.ended(1_000, **MANY)
    before = dict(quarry.world.objects.bodies)
    shares = {"presign": lambda: lambda key, for_s: f"https://{key}?{for_s}"}
    quarry.connections |= shares

    done = compacted(quarry, run_id, "--part-mib", "3")

    assert (done["before"], done["rows"], done["already"], done["version"]) == (10, 1_000, False, 1)
    assert 1 < done["parts"] < 5
    assert done["uri"] == f"s3://{BUCKET}/results/compact_parts/{run_id}/"
    for key, body in before.items():
        assert quarry.world.objects.bodies[key] == body, f"{key} was published, and changed"
    merged = parts_under(quarry, compact_prefix(run_id))
    assert list(merged) == [compact_part_key(run_id, number) for number in range(done["parts"])]
    assert pa.concat_tables(merged.values()).equals(rows_under(quarry, f"results/{run_id}/"))
    assert compact_success_key(run_id) in quarry.world.objects.bodies

    view = quarry.status(run_id)
    assert (view["compact"]["parts"], view["compact"]["uri"]) == (done["parts"], done["uri"])
    assert f"compacted into {done['parts']} parts" in quarry("status", run_id).stdout
    brought = json.loads(quarry("results", run_id, "-o", str(tmp_path / "out"), "--json").stdout)
    assert (brought["parts"], brought["rows"], brought["faults"]) == (done["parts"], 1_000, [])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"part-{number:05d}.parquet" for number in range(done["parts"])
    ]
    links = json.loads(quarry("results", run_id, "--share", "1h", "--json").stdout)["links"]
    assert sum("compact_parts" in link["url"] for link in links) == done["parts"]
    assert len(links) == done["parts"] + 2
    assert quarry.client.table(run_id).equals(pa.concat_tables(merged.values()))
    database = tmp_path / "rows.duckdb"
    assert quarry("export", run_id, "--to", "duckdb", "--at", str(database), "--table", "t").exit_code == 0
    with duckdb.connect(str(database)) as connection:
        assert connection.execute("select count(distinct record_id) from t").fetchall() == [(1_000,)]
    verified = json.loads(quarry("verify", run_id, "--json").stdout)
    assert (verified["found"], verified["unchecked"], verified["compact_parts"]) == (0, [], done["parts"])
    assert json.loads(quarry("why", run_id, "999", "--json").stdout)["part"].endswith(part_key(run_id, "00018"))

    again = compacted(quarry, run_id)
    assert (again["already"], again["parts"], again["uri"]) == (True, done["parts"], done["uri"])
    assert quarry("compact", run_id).stdout.count("was compacted before, into") == 1
    assert "which stays so" in quarry("compact", run_id, "--part-mib", "5").stderr


def test_what_came_of_it_is_said(quarry, small):
    run_id = quarry.ended(300, **MANY)
    said = quarry("compact", run_id, "--part-mib", "100").stdout.replace("\n", " ")
    assert f"300 rows of run {run_id}: 3 parts merged into 1" in said
    assert "the parts of the shards stay where they are" in said


def test_who_compacted_it_is_kept(quarry):
    async def ask(*_):
        return {"Arn": "arn:aws:iam::123456789012:user/ana"}

    quarry.connections["ask"] = ask
    run_id = quarry.ended(200, **MANY)
    compacted(quarry, run_id)
    assert quarry.status(run_id)["compact"]["by"].endswith("user/ana")
    trail = json.loads(quarry("audit", run_id, "--json").stdout)
    (entry,) = [each for each in trail["entries"] if each["action"] == "compact"]
    assert (entry["run_id"], entry["what"]) == (run_id, "2 parts into 1")
    assert entry["by"].endswith("user/ana")


def test_one_part_or_large_ones_have_nothing_to_merge(quarry, small):
    one = quarry.ended(100)
    assert compacted(quarry, one)["uri"] is None
    assert "has 1 part: there is nothing to merge" in quarry("compact", one).stdout
    assert quarry.status(one)["compact"] is None
    assert not [key for key in quarry.world.objects.bodies if "compact_parts" in key]


def test_a_run_that_goes_on_or_was_erased_is_not_compacted(quarry):
    run_id = quarry.world.send(quarry.world.joke(300, **MANY))
    quarry.idle()
    assert "its results are complete when it has ended" in quarry("compact", run_id).stderr
    ended = quarry.ended(200, **MANY, job_name_prefix="other")
    quarry("erase", ended, "--yes")
    assert "was erased" in quarry("compact", ended).stderr
    assert quarry("compact", run_id, "--part-mib", "0").exit_code == 2
    with pytest.raises(BadSetting, match="1 to 1024"):
        quarry.client.compact(run_id, part_mib=2_000)


def test_a_version_is_compacted_by_itself(quarry):
    quarry.world.bedrock.throttled_share = 0.5
    run_id = quarry.ended(400, record_errors={"max_attempts": 1}, **MANY)
    first = compacted(quarry, run_id)
    quarry.world.bedrock.throttled_share = 0.0
    retried = json.loads(quarry("retry", run_id, "--yes", "--json").stdout)["run_id"]
    quarry.finish(retried)

    assert quarry.client.table(run_id).equals(rows_under(quarry, f"results/{retried}/")), "the newest is not compacted"
    second = compacted(quarry, run_id)

    assert (first["run_id"], first["version"], second["run_id"], second["version"]) == (run_id, 1, retried, 2)
    assert rows_under(quarry, compact_prefix(retried)).equals(rows_under(quarry, f"results/{retried}/"))
    assert quarry.client.table(run_id, version=1).equals(rows_under(quarry, compact_prefix(run_id)))
    assert quarry("erase", run_id, "--yes").exit_code == 0
    assert not [key for key in quarry.world.objects.bodies if run_id in key]


def test_runs_of_vectors_and_of_output_schemas_are_compacted_too(quarry, small):
    vectors = {
        "model_id": TITAN,
        "prompt_id": None,
        "s3_uri": quarry.world.csv(300, "inputs/texts.csv", ("input_text",)),
    }
    for changes in (vectors, {"output_schema": ["word: string", "score: number"]}):
        run_id = quarry.ended(300, **MANY, **changes)
        assert compacted(quarry, run_id, "--part-mib", "1000")["rows"] == 300
        assert rows_under(quarry, compact_prefix(run_id)).equals(rows_under(quarry, f"results/{run_id}/"))


# --------------------------------------------------------------------------- what is not as it should be


def test_rows_that_are_missing_are_not_published(quarry):
    run_id = quarry.ended(300, **MANY)
    quarry.world.objects.delete(part_key(run_id, "00002"))
    result = quarry("compact", run_id)
    assert result.exit_code == 1
    assert "hold 200 rows, but should hold 300" in result.stderr
    assert quarry.status(run_id)["compact"] is None
    assert compact_success_key(run_id) not in quarry.world.objects.bodies


def test_parts_that_differ_are_not_merged(quarry):
    run_id = quarry.ended(300, **MANY)
    table = rows_under(quarry, f"results/{run_id}/").slice(0, 100).drop_columns(["topic"])
    body = io.BytesIO()
    pq.write_table(table, body)
    quarry.world.objects.plant(part_key(run_id, "00002"), body.getvalue())
    result = quarry("compact", run_id)
    assert (result.exit_code, "cannot be merged" in result.stderr) == (1, True)


@pytest.mark.parametrize("key", [compact_plan_key, lambda run_id: compact_part_key(run_id, 0), compact_success_key])
def test_anothers_object_in_the_place_is_named_and_left_alone(quarry, key):
    run_id = quarry.ended(300, **MANY)
    quarry.world.objects.plant(key(run_id), b"[]")
    result = quarry("compact", run_id)
    assert result.exit_code == 1
    assert key(run_id) in result.stderr
    assert quarry.world.objects.bodies[key(run_id)] == b"[]"
    assert quarry.status(run_id)["compact"] is None


def test_a_compacted_part_that_is_gone_is_not_read_around(quarry, small, tmp_path):
    run_id = quarry.ended(1_000, **MANY)
    compacted(quarry, run_id, "--part-mib", "3")
    quarry.world.objects.delete(compact_part_key(run_id, 1))
    assert quarry.client.table(run_id).num_rows == 1_000
    assert json.loads(quarry("results", run_id, "-o", str(tmp_path / "out"), "--json").stdout)["parts"] == 10
    assert "somebody has deleted some" in quarry("compact", run_id).stderr
    found = json.loads(quarry("verify", run_id, "--json").stdout)
    assert any(compact_prefix(run_id) in each["where"] for each in found["differences"])


def test_verify_finds_what_was_changed_in_a_compacted_part(quarry, small):
    run_id = quarry.ended(1_000, **MANY)
    compacted(quarry, run_id, "--part-mib", "3")
    key = compact_part_key(run_id, 1)
    table = parts_under(quarry, compact_prefix(run_id))[key]
    place = table.schema.get_field_index("output_tokens")
    body = io.BytesIO()
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array([999] * len(table), pa.int64())), body)
    metadata = quarry.world.objects.head(ObjectRef(key)).metadata
    quarry.world.objects.plant(key, body.getvalue(), metadata=metadata)
    result = quarry("verify", run_id, "--json")
    assert result.exit_code == 1
    (difference,) = json.loads(result.stdout)["differences"]
    assert difference["where"] == compact_prefix(run_id)
    assert "'output_tokens'" in difference["what"]


# --------------------------------------------------------------------------- interrupted


def interrupted(quarry, run_id: str, faults: Faults) -> BaseException | None:
    """Compact once, with faults at the calls to S3 and to the ledger."""
    world = quarry.world
    objects, table = world.objects.for_worker(faults), world.table.for_worker(faults)

    async def work():
        connections = Connections(
            table=table,
            queue=lambda: world.queues["manifests"],
            objects=lambda: objects,
            clock=world.clock,
            bucket=BUCKET,
        )
        view = quarry.client.status(run_id)
        return await compacting.compact(connections, objects, view, 3)

    async def aside(work):
        return work()

    before, compacting.aside = compacting.aside, aside
    try:
        asyncio.run(work())
    except (Crash, PortError, NotCompacted) as error:
        return error
    finally:
        compacting.aside = before
    return None


@pytest.mark.promise("S4")
@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_at_any_call_the_old_parts_are_whole_and_the_next_call_finishes(quarry, small, kind):
    run_id = quarry.ended(600, **MANY)
    wanted = rows_under(quarry, f"results/{run_id}/")
    standing, items = quarry.world.objects.standing, dict(quarry.world.table.items)
    counting = Faults()
    assert interrupted(quarry, run_id, counting) is None
    calls = len(counting.calls)
    assert calls > 20

    for number in range(1, calls + 1):
        quarry.world.objects.restore(standing)
        quarry.world.table.items.clear()
        quarry.world.table.items.update(items)
        faults = Faults({number: kind})
        interrupted(quarry, run_id, faults)
        assert faults.injected, f"call {number} of {calls} was not reached"
        view = quarry.client.status(run_id)
        named = view.compact is not None
        if named:
            assert rows_under(quarry, compact_prefix(run_id)).equals(wanted), (
                f"named and not whole after {faults.injected}"
            )
        assert quarry.client.table(run_id).equals(wanted), f"half was read after {faults.injected}"

        done = compacted(quarry, run_id)

        assert done["already"] is named
        assert rows_under(quarry, compact_prefix(run_id)).equals(wanted), faults.injected
        assert compact_success_key(run_id) in quarry.world.objects.bodies


def test_two_at_once_come_to_the_same(quarry, small):
    run_id = quarry.ended(600, **MANY)

    async def both():
        world = quarry.world
        connections = Connections(
            table=world.table, queue=lambda: None, objects=lambda: world.objects, clock=world.clock, bucket=BUCKET
        )
        view = await asyncio.to_thread(quarry.client.status, run_id)
        return await asyncio.gather(
            compacting.compact(connections, world.objects, view, 3),
            compacting.compact(connections, world.objects, view),
            return_exceptions=True,
        )

    found = asyncio.run(both())

    done = [each for each in found if isinstance(each, compacting.Compacted)]
    assert done, found
    assert all(isinstance(each, compacting.Compacted | NotCompacted) for each in found), found
    wanted = rows_under(quarry, f"results/{run_id}/")
    assert rows_under(quarry, compact_prefix(run_id)).equals(wanted)
    assert quarry.status(run_id)["compact"]["parts"] == done[0].parts


def test_a_run_that_is_erased_meanwhile_gets_no_part(quarry, small):
    run_id = quarry.ended(600, **MANY)
    create = quarry.world.objects.create

    def then_erased(key, metadata):
        quarry.world.objects.create = create
        assert quarry("erase", run_id, "--yes").exit_code == 0
        return create(key, metadata)

    quarry.world.objects.create = then_erased
    result = quarry("compact", run_id)
    assert result.exit_code == 1
    assert "is being erased" in result.stderr
    assert not [key for key in quarry.world.objects.bodies if run_id in key]


# --------------------------------------------------------------------------- merged as they come


def test_parts_are_merged_as_they_are_brought(quarry, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MIB", SMALL_MIB)
    monkeypatch.setattr(download, "AIM_MIB", 3)
    run_id = quarry.ended(1_000, **MANY)
    wanted = rows_under(quarry, f"results/{run_id}/")
    out = tmp_path / "out"

    def brought(*options: str) -> dict:
        found = quarry("results", run_id, "-o", str(out), "--json", *options)
        assert found.exit_code == 0, found.output
        return json.loads(found.stdout)

    first = brought("--compact")

    assert 1 < first["parts"] == first["new"] < 5
    assert (first["rows"], first["faults"]) == (1_000, [])
    files = sorted(out.iterdir())
    assert [file.name for file in files] == [f"part-{number:05d}.parquet" for number in range(first["parts"])]
    assert pa.concat_tables([pq.read_table(file) for file in files]).equals(wanted)
    assert not [key for key in quarry.world.objects.bodies if "compact_parts" in key]

    assert brought()["new"] == 0, "what the directory holds stays"
    files[1].unlink()
    assert brought()["new"] == 1
    compacted(quarry, run_id)
    assert (brought()["new"], brought("--compact")["parts"]) == (0, first["parts"]), "no row comes twice"
    assert "holds run" in quarry("results", run_id, "-o", str(out), "--no-compact").stderr
    assert sorted(out.iterdir()) == files
    assert sorted(path.name for path in (tmp_path / "out.quarry").iterdir()) == ["download.json", "report.json"]


def test_the_parts_of_the_shards_can_still_be_had(quarry, small, tmp_path):
    run_id = quarry.ended(300, **MANY)
    assert quarry("results", run_id, "-o", str(tmp_path / "early")).exit_code == 0
    compacted(quarry, run_id)
    assert json.loads(quarry("results", run_id, "-o", str(tmp_path / "early"), "--json").stdout)["new"] == 0
    shards = json.loads(quarry("results", run_id, "-o", str(tmp_path / "a"), "--no-compact", "--json").stdout)
    large = json.loads(quarry("results", run_id, "-o", str(tmp_path / "b"), "--json").stdout)
    assert (shards["parts"], large["parts"]) == (3, 1)
    assert "give another directory" in quarry("results", run_id, "-o", str(tmp_path / "a"), "--compact").stderr


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_other_formats_are_merged_too(quarry, tmp_path, form):
    run_id = quarry.ended(300, **MANY)
    for name, option in (("one", "--compact"), ("many", "--no-compact")):
        result = quarry("results", run_id, "-o", str(tmp_path / name), "--format", form, option)
        assert result.exit_code == 0, result.output
    (one,) = (tmp_path / "one").iterdir()
    many = sorted((tmp_path / "many").iterdir())
    assert len(many) == 3
    lines = [file.read_text().splitlines() for file in many]
    header = lines[0][:1] if form == "csv" else []
    assert one.read_text().splitlines() == header + [line for each in lines for line in each[len(header) :]]


def test_parts_of_a_run_that_goes_on_are_not_merged(quarry, tmp_path):
    run_id = quarry.world.send(quarry.world.joke(300, **MANY))
    quarry.idle()
    with pytest.raises(NotEnded, match="merged when it has ended"):
        Client(quarry.connect).results(run_id, tmp_path / "out", partial=True, compact=True)


def test_bounds_are_said_where_they_are_held():
    assert grouping.AIM_MIB_MIN <= grouping.AIM_MIB <= grouping.AIM_MIB_MAX
