"""How the runs of a history ended, and what is wrong: read from the bucket, from Bedrock and from the queues.

Theory of operation. Nothing here asks the services what they did. A run's rows are those of its source as pyarrow reads
it, a row's answer is what the job's output has for its record, and both are compared with the parts and the report. The
end of each run is then compared with its end in the recording, which went on without an upgrade. The ledger comes last:
it only has to agree.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from tests.histories.scenario import ours
from tests.world.world import SimulatedWorld

# In this order (docs/results.md); the answer's own name depends on the model.
OUR_COLUMNS = (
    "answer",
    "record_id",
    "status",
    "error_code",
    "error_message",
    "stop_reason",
    "input_tokens",
    "output_tokens",
)


async def ends_of(world: SimulatedWorld, run_ids: Mapping[str, str]) -> dict[str, Any]:
    """How everything ended: the runs, all jobs, the dead-letter messages, and the runs that were announced on the bus."""
    return {
        "runs": {run_id: _end_of(world, run_id) for run_id in run_ids.values()},
        "jobs": sorted(job.name for job in world.jobs.all),
        "dead": sorted([name, message.body] for name, queue in world.queues.items() for message in queue.dead),
        "announced": sorted({(event.detail["run_id"], event.detail["state"]) for event in world.bus.events}),
    }


def _end_of(world: SimulatedWorld, run_id: str) -> dict[str, Any]:
    """Nothing is in the bucket for a run that was refused on arrival."""
    report = _report(world, run_id)
    if report is None:
        return {"state": None, "rows": 0, "ok": 0, "errors": {}}
    codes = Counter(code for part in _parts(world, run_id) for code in _column(part, "error_code"))
    ok = codes.pop(None, 0)
    return {
        "state": report["state"],
        "code": report["code"],
        "rows": ok + codes.total(),
        "ok": ok,
        "errors": dict(sorted(codes.items())),
    }


async def faults_of(world: SimulatedWorld, about: Mapping[str, Any]) -> list[str]:
    """What is wrong at the end of a replay."""
    found: list[str] = []
    now = json.loads(json.dumps(await ends_of(world, about["run_ids"])))
    for name, then in about["ends"].items():
        if name == "runs":
            found += [
                f"run {run_id} ended as {now['runs'][run_id]}, and without an upgrade as {end}"
                for run_id, end in then.items()
                if now["runs"][run_id] != end
            ]
        elif (here := _expected(now, then) if name == "announced" else now[name]) != then:
            found.append(f"{name}: {_difference(here, then)}")
    twice = [name for name, times in Counter(now["jobs"]).items() if times > 1]
    found += [f"job {name} was created twice for one attempt" for name in twice]
    found += [f"job {job.name} still runs" for job in ours(world, about["bedrock"])]
    foreign = [job for job in world.jobs.all if job.name in about["bedrock"]["foreign_jobs"]]
    found += [f"foreign job {job.name} is {job.status}" for job in foreign if job.status != "InProgress"]
    found += [f"on queue {name}: {body}" for name, queue in world.queues.items() for body in queue.bodies]
    found += [f"{key} was left behind" for key in world.objects.bodies if key.startswith("batch-input/")]
    for run_id in about["run_ids"].values():
        if _report(world, run_id) is not None:
            found += [f"run {run_id}: {fault}" for fault in _faults_of_run(world, run_id)]
    return found + await _faults_of_ledger(world, about)


def _expected(now: Mapping[str, Any], then: list[Any]) -> list[Any]:
    """What was announced, without the runs that were refused on arrival, if the release of then did not announce these."""
    refused = [[run_id, "FAILED"] for run_id, end in now["runs"].items() if end["state"] is None]
    return [each for each in now["announced"] if each in then or each not in refused]


def _difference(now: list[Any], then: list[Any]) -> str:
    more, less = ([each for each in one if each not in other] for one, other in ((now, then), (then, now)))
    return f"too many are {more}, missing are {less}" if more or less else f"{now} instead of {then}"


# --------------------------------------------------------------------------- a run's rows


def _faults_of_run(world: SimulatedWorld, run_id: str) -> Iterator[str]:
    parts, report = _parts(world, run_id), _report(world, run_id)
    assert report is not None
    source = _source(world, report["source"])
    rows = pa.concat_tables(parts) if parts else None
    count = rows.num_rows if rows is not None else 0
    counts = report["rows"]
    ok = [] if rows is None else [status == "ok" for status in _column(rows, "status")]
    if (counts["accepted"], counts["ok"], counts["error"]) != (count, sum(ok), count - sum(ok)):
        yield f"the report has {counts}, and the parts have {count} rows, {sum(ok)} of them ok"
    if counts["source"] != source.num_rows or counts["planned"] != count + counts["unread"]:
        yield f"the report has {counts} for a source of {source.num_rows} rows"
    if [part["rows"] for part in report["parts"]] != [part.num_rows for part in parts]:
        yield f"the report lists {report['parts']}"
    if (f"results/{run_id}/_SUCCESS" in world.objects.bodies) != (report["state"] != "FAILED"):
        yield f"its state is {report['state']}, which _SUCCESS contradicts"
    if rows is None:
        return
    if not rows.select(source.column_names).equals(source.slice(0, count)):
        yield "the parts do not have each row of the source once and in order"
    records = _column(rows, "record_id")
    if len(set(records)) != count:
        yield "a record has two rows"
    yield from _faults_of_answers(rows, records, ok, _lines(world, run_id))


def _faults_of_answers(
    rows: pa.Table, records: list[str], ok: list[bool], lines: Mapping[str, list[Any]]
) -> Iterator[str]:
    answers = _column(rows, "answer")
    codes = _column(rows, "error_code")
    for record, answer, code, good in zip(records, answers, codes, ok, strict=True):
        of_record = lines.get(record, [])
        if len(of_record) > 1:
            yield f"record {record} was answered {len(of_record)} times"
        line = of_record[0] if of_record else {}
        expected = _answer(line["modelOutput"]) if "modelOutput" in line else None
        if good != (expected is not None) or answer != expected or (code is None) != good:
            yield f"record {record} has {answer!r:.40} and {code}, and its job wrote {line!r:.80}"
        if "error" in line and code != "MODEL_ERROR":
            yield f"record {record} has {code}, and its job wrote an error"


def _answer(output: Mapping[str, Any]) -> Any:
    if "embedding" in output:
        return pa.array(output["embedding"], pa.float32()).to_pylist()
    return output["content"][0]["text"]


def _lines(world: SimulatedWorld, run_id: str) -> dict[str, list[Any]]:
    """The output lines of the run's jobs, by record."""
    found: dict[str, list[Any]] = {}
    for key, body in world.objects.bodies.items():
        if key.startswith(f"batch-output/{run_id}/") and key.endswith(".jsonl.out"):
            for text in body.splitlines():
                line = json.loads(text)
                found.setdefault(line["recordId"], []).append(line)
    return found


def _parts(world: SimulatedWorld, run_id: str) -> list[pa.Table]:
    bodies = world.objects.bodies
    keys = sorted(key for key in bodies if key.startswith(f"results/{run_id}/part-"))
    return [pq.read_table(io.BytesIO(bodies[key])) for key in keys]


def _report(world: SimulatedWorld, run_id: str) -> Any | None:
    body = world.objects.bodies.get(f"results/{run_id}/_report.json")
    return None if body is None else json.loads(body)


def _source(world: SimulatedWorld, uri: str) -> pa.Table:
    body = io.BytesIO(world.objects.bodies[uri.split("/", 3)[3]])
    return pq.read_table(body) if uri.endswith(".parquet") else pc.read_csv(body)


def _column(table: pa.Table, name: str) -> list[Any]:
    """One of our columns of the result, which stand at its right end, whatever prefix the manifest gave them."""
    return table.column(table.num_columns - len(OUR_COLUMNS) + OUR_COLUMNS.index(name)).to_pylist()


# --------------------------------------------------------------------------- the ledger


async def _faults_of_ledger(world: SimulatedWorld, about: Mapping[str, Any]) -> list[str]:
    ledger, found = world.ledger, []
    found += [f"run {run.run_id} is open" for run in await ledger.open_runs()]
    for name in await ledger.pools():
        pool = await ledger.pool(name)
        if pool is not None and (pool.in_use or pool.holders):
            found.append(f"pool {name}: {pool.in_use} slots are in use, by {sorted(pool.holders)}")
    for run_id in about["run_ids"].values():
        end, totals = about["ends"]["runs"][run_id], await ledger.totals(run_id)
        if totals is None:
            found.append(f"run {run_id} is not in the ledger")
            continue
        unread = totals.accepted - totals.enlisted
        if (totals.ok, totals.error - unread, totals.open) != (end["ok"], sum(end["errors"].values()), 0):
            found.append(f"run {run_id}: the ledger has {totals}, and it ended as {end}")
        if not totals.state.terminal or totals.state != (end["state"] or "FAILED"):
            found.append(f"run {run_id} is {totals.state}")
        if await ledger.waiting(run_id, 1) or await ledger.todo(run_id):
            found.append(f"run {run_id}: a shard waits")
    return found
