"""What became of a history's runs, and what is wrong with it: read from the bucket, from Bedrock and from the queues.

Theory of operation. Nothing here asks the services what they did. The rows of a run are those of its source as pyarrow
reads it, each row's answer is what the job's own output says of its record, and both are held against the parts and the
report. What a run came to is then compared with what it came to under the release that was recorded, which went on to
its end without an upgrade. The ledger is asked last, and only whether it agrees.
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

from tests.histories.story import FOREIGN_JOB, ours
from tests.world.house import House


async def ends_of(house: House, run_ids: Mapping[str, str]) -> dict[str, Any]:
    """What everything came to: of each run, what it ended as; the jobs, the dead letters, what the bus was told."""
    return {
        "runs": {run_id: _end_of(house, run_id) for run_id in run_ids.values()},
        "jobs": sorted(job.name for job in house.jobs.all),
        "dead": sorted([name, message.body] for name, queue in house.queues.items() for message in queue.dead),
        "told": sorted({(event.detail["run_id"], event.detail["state"]) for event in house.bus.events}),
    }


def _end_of(house: House, run_id: str) -> dict[str, Any]:
    """Of a run that was refused on arrival nothing stands in the bucket."""
    report = _report(house, run_id)
    if report is None:
        return {"state": None, "rows": 0, "ok": 0, "errors": {}}
    codes = Counter(code for part in _parts(house, run_id) for code in _column(part, "error_code"))
    ok = codes.pop(None, 0)
    return {
        "state": report["state"],
        "code": report["code"],
        "rows": ok + codes.total(),
        "ok": ok,
        "errors": dict(sorted(codes.items())),
    }


async def faults_of(house: House, about: Mapping[str, Any]) -> list[str]:
    """What is wrong at the end of a replay; nothing, where today's services have brought every run to its right end."""
    found: list[str] = []
    now = json.loads(json.dumps(await ends_of(house, about["run_ids"])))
    for name, then in about["ends"].items():
        if name == "runs":
            found += [
                f"run {run_id} came to {now['runs'][run_id]}, and without an upgrade to {end}"
                for run_id, end in then.items()
                if now["runs"][run_id] != end
            ]
        elif now[name] != then:
            found.append(f"{name}: {_difference(now[name], then)}")
    twice = [name for name, times in Counter(now["jobs"]).items() if times > 1]
    found += [f"job {name} was created twice for one attempt" for name in twice]
    found += [f"job {job.name} still runs" for job in ours(house)]
    if not any(job.name == FOREIGN_JOB and job.status == "InProgress" for job in house.jobs.all):
        found.append("a job of others was stopped")
    found += [f"on queue {name}: {body}" for name, queue in house.queues.items() for body in queue.bodies]
    found += [f"{key} was left behind" for key in house.objects.bodies if key.startswith("batch-input/")]
    for run_id in about["run_ids"].values():
        if _report(house, run_id) is not None:
            found += [f"run {run_id}: {fault}" for fault in _faults_of_run(house, run_id)]
    return found + await _faults_of_ledger(house, about)


def _difference(now: list[Any], then: list[Any]) -> str:
    more, less = ([each for each in one if each not in other] for one, other in ((now, then), (then, now)))
    return f"too many are {more}, missing are {less}" if more or less else f"{now} instead of {then}"


# --------------------------------------------------------------------------- a run's rows


def _faults_of_run(house: House, run_id: str) -> Iterator[str]:
    parts, report = _parts(house, run_id), _report(house, run_id)
    assert report is not None
    source = _source(house, report["source"])
    rows = pa.concat_tables(parts) if parts else None
    count = rows.num_rows if rows is not None else 0
    told = report["rows"]
    ok = [] if rows is None else [status == "ok" for status in _column(rows, "status")]
    if (told["accepted"], told["ok"], told["error"]) != (count, sum(ok), count - sum(ok)):
        yield f"the report says {told}, and the parts have {count} rows, {sum(ok)} of them ok"
    if told["source"] != source.num_rows or told["planned"] != count + told["unread"]:
        yield f"the report says {told} of a source of {source.num_rows} rows"
    if [part["rows"] for part in report["parts"]] != [part.num_rows for part in parts]:
        yield f"the report says {report['parts']}"
    if (f"results/{run_id}/_SUCCESS" in house.objects.bodies) != (report["state"] != "FAILED"):
        yield f"it is {report['state']}, and _SUCCESS says otherwise"
    if rows is None:
        return
    if not rows.select(source.column_names).equals(source.slice(0, count)):
        yield "the rows are not those of the source, each once and in order"
    records = _column(rows, "record_id")
    if len(set(records)) != count:
        yield "a record has two rows"
    yield from _faults_of_answers(rows, records, ok, _lines(house, run_id))


def _faults_of_answers(
    rows: pa.Table, records: list[str], ok: list[bool], lines: Mapping[str, list[Any]]
) -> Iterator[str]:
    answers = _column(
        rows, "embedding" if any(name.endswith("embedding") for name in rows.column_names) else "response"
    )
    codes = _column(rows, "error_code")
    for record, answer, code, good in zip(records, answers, codes, ok, strict=True):
        of_record = lines.get(record, [])
        if len(of_record) > 1:
            yield f"record {record} was asked {len(of_record)} times"
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


def _lines(house: House, run_id: str) -> dict[str, list[Any]]:
    """What the run's jobs wrote of each record."""
    found: dict[str, list[Any]] = {}
    for key, body in house.objects.bodies.items():
        if key.startswith(f"batch-output/{run_id}/") and key.endswith(".jsonl.out"):
            for text in body.splitlines():
                line = json.loads(text)
                found.setdefault(line["recordId"], []).append(line)
    return found


def _parts(house: House, run_id: str) -> list[pa.Table]:
    bodies = house.objects.bodies
    keys = sorted(key for key in bodies if key.startswith(f"results/{run_id}/part-"))
    return [pq.read_table(io.BytesIO(bodies[key])) for key in keys]


def _report(house: House, run_id: str) -> Any | None:
    body = house.objects.bodies.get(f"results/{run_id}/_report.json")
    return None if body is None else json.loads(body)


def _source(house: House, uri: str) -> pa.Table:
    body = io.BytesIO(house.objects.bodies[uri.split("/", 3)[3]])
    return pq.read_table(body) if uri.endswith(".parquet") else pc.read_csv(body)


def _column(table: pa.Table, name: str) -> list[Any]:
    """A column of the result, whatever prefix the manifest gave it."""
    (found,) = (each for each in table.column_names if each in (name, f"q_{name}"))
    return table.column(found).to_pylist()


# --------------------------------------------------------------------------- the ledger


async def _faults_of_ledger(house: House, about: Mapping[str, Any]) -> list[str]:
    ledger, found = house.ledger, []
    found += [f"run {run.run_id} is open" for run in await ledger.open_runs()]
    for name in await ledger.pools():
        pool = await ledger.pool(name)
        if pool is not None and (pool.in_use or pool.holders):
            found.append(f"pool {name}: {pool.in_use} slots are in use, by {sorted(pool.holders)}")
    for run_id in about["run_ids"].values():
        end, totals = about["ends"]["runs"][run_id], await ledger.totals(run_id)
        if totals is None:
            found.append(f"run {run_id} is unknown")
            continue
        unread = totals.accepted - totals.enlisted
        if (totals.ok, totals.error - unread, totals.open) != (end["ok"], sum(end["errors"].values()), 0):
            found.append(f"run {run_id}: the ledger says {totals}, and it came to {end}")
        if not totals.state.terminal or totals.state != (end["state"] or "FAILED"):
            found.append(f"run {run_id} is {totals.state}")
        if await ledger.waiting(run_id, 1) or await ledger.todo(run_id):
            found.append(f"run {run_id}: a shard waits")
    return found
