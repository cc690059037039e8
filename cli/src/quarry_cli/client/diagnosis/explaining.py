"""`quarry why`: everything that is known of one record: its shard, its jobs, what was asked, what was answered, what came of it.

Theory of operation. A record's id says its shard and its row. It is followed into the retry shards in which it was asked again
(`visits.py`). What a job was asked stands beside what it answered, in
the job's output; where there is no line for the record, the request is made once more from the source, as the
preprocessor makes it. Only reads. An output is read forward, line by line, until the record is found: the memory that it takes is
a line's, of at most `LINE_BYTES_MAX`.

All of this was written by others, a model among them: whoever shows it makes it plain first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa

from quarry_cli.client.connections import Connections
from quarry_cli.client.diagnosis.visits import ATTEMPTS_MAX, PlanReader, Visit, visits_of
from quarry_cli.client.results.parts import open_part
from quarry_cli.client.runs.search import find_run, find_version, no_such_run
from quarry_cli.client.session import Session
from quarry_cli.errors import NoSuchRecord, Unreadable
from quarry_core.contract.names import (
    ROW_MAX,
    on_demand_prefix,
    output_prefix,
    part_key,
    record_id,
    s3_uri,
    shard_id,
)
from quarry_core.contract.run import Run
from quarry_core.errors import Missing, PortError
from quarry_core.ledger.rows import Shard, Totals
from quarry_core.planning.plan import Plan
from quarry_core.ports import ObjectRef, Objects

LINE_BYTES_MAX = 64 << 20
READ_BYTES = 1 << 20
TEXT_CHARS_MAX = 200_000
LINES_MAX = 5  # of one attempt: a job should have written one
ID_CHARS = 11


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at a shard that the record was asked in.

    Attributes:
        attempt: at the shard, from 1.
        run_id, shard: whose; `round` of that run, and `version` of the dataset that it makes, both from 1.
        job, arn, status, message: Bedrock's; empty where no job of it is known.
        output: where the answers of the attempt lie.
        lines: what stands there of the record, as it is; each cut to `TEXT_CHARS_MAX` characters.
    """

    attempt: int
    run_id: str = ""
    version: int = 1
    shard: str = ""
    round: int = 1
    on_demand: bool = False
    job: str = ""
    arn: str = ""
    status: str = ""
    message: str = ""
    submitted_at: str = ""
    ended_at: str = ""
    output: str = ""
    lines: list[str] = []


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a record.

    Attributes:
        row: of the run, from 0, as in the results; None where the plan is gone.
        row_in_shard: from 0.
        shard_state: the ledger's; empty where it does not know the shard any more.
        status, error_code, error_message: of the result; empty where there is none yet.
        answer: of the result, cut to `TEXT_CHARS_MAX` characters; None where there is none.
        request: what the model was asked, as JSON; None where that cannot be had.
        request_from: `output` of a job, or `source`: made again, as it would have been sent.
        notes: what could not be had, and why.
    """

    run_id: str
    record_id: str
    row: int | None
    shard: str
    row_in_shard: int
    shard_state: str
    on_demand: bool
    status: str
    error_code: str
    error_message: str
    answer: str | None
    stop_reason: str
    input_tokens: int | None
    output_tokens: int | None
    part: str
    request: str | None
    request_from: str
    attempts: list[Attempt]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is: read from the ledger, for what is read from S3 thereafter."""

    run: Run
    totals: Totals
    shard: str
    row: int
    row_of_run: int | None
    row_of_shard: Shard | None
    visits: tuple[Visit, ...]


def explain_record(session: Session, run_id: str, record: str | int, *, version: int | None = None) -> Record:
    """Find a record, and say what is known of it. Blocking. Raises NoSuchRun, SeveralRuns, NoSuchRecord.

    Args:
        record: as for `locate`.
        version: of the dataset, up to which it is followed; by default the newest.
    """

    async def look(connections: Connections) -> tuple[Place, Objects, str]:
        objects = connections.objects()
        found = await find_version(connections, run_id, version)
        return await locate(connections, found, str(record), PlanReader(objects)), objects, connections.bucket

    place, objects, bucket = session.do(look)
    return explain(objects, bucket, place)


async def locate(connections: Connections, run_text: str, record: str, plan: PlanReader) -> Place:
    """Find a record by its id, or by the number of its row in the run.

    Raises:
        NoSuchRun, SeveralRuns.
        NoSuchRecord: the run has no such row.
    """
    ledger, run_id = connections.ledger, await find_run(connections, run_text)
    run, totals = await ledger.run(run_id), await ledger.totals(run_id)
    if run is None or totals is None:
        raise await no_such_run(connections, run_id)
    if totals.erasing_at:
        raise NoSuchRecord(f"run {run_id} was erased at {totals.erasing_at}: nothing is known of its records")
    if not record.isascii() or not record.isdecimal():
        raise NoSuchRecord(
            f"{record!r} is neither a record id (11 digits, the column record_id) nor the number of a row"
        )
    planned = plan(run_id) if totals.plan else None
    if len(record) == ID_CHARS:
        shard, row = record[:5], int(record[5:])
        row_of_run = None
    else:
        row_of_run = int(record)
        if planned is None:
            raise NoSuchRecord(
                f"run {run_id} has no plan (any more), so its rows cannot be counted off: give the record id"
            )
        if row_of_run >= planned.rows_planned:
            raise NoSuchRecord(f"run {run_id} has {planned.rows_planned:,} rows, counted from 0")
        shard, row = _planned_shard(planned, row_of_run)
    standing = await ledger.shard(run_id, shard)
    if standing is not None and row >= standing.rows and standing.half and int(shard) % 2 == 0:
        shard, row = shard_id(int(shard) + 1), row - standing.rows
        standing = await ledger.shard(run_id, shard)
    if planned is not None:
        row_of_run = await _row_of_run(connections, run_id, planned, shard, row)
    if (standing is not None and row >= standing.rows) or (planned is not None and row_of_run is None):
        raise NoSuchRecord(f"shard {shard} of run {run_id} has no row {row:,}, or there is no such shard")
    visits = await visits_of(connections, run, shard, record_id(shard, row), plan)
    return Place(run, totals, shard, row, row_of_run, standing, tuple(visits))


def _planned_shard(plan: Plan, row: int) -> tuple[str, int]:
    """The planned shard of a row, and which of its rows it is."""
    low, high = 0, plan.shard_count - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if plan.shard_at(middle).first_row <= row else (low, middle - 1)
    found = plan.shard_at(low)
    return shard_id(found.number), row - found.first_row


async def _row_of_run(connections: Connections, run_id: str, plan: Plan, shard: str, row: int) -> int | None:
    if int(shard) // 2 >= plan.shard_count:
        return None
    planned = plan.shard_at(int(shard) // 2)
    if int(shard) % 2:
        before = await connections.ledger.shard(run_id, shard_id(int(shard) - 1))
        row += before.rows if before is not None else 0
    return planned.first_row + row if row < planned.rows else None


# --------------------------------------------------------------------------- what S3 holds of it


def explain(objects: Objects, bucket: str, place: Place) -> Record:
    """Read what S3 holds of a record. Blocking. Raises PortError where S3 refuses or does not answer."""
    notes: list[str] = []
    if place.totals.held:
        notes.append(f"its run is held: {place.totals.held_reason}")
    record = record_id(place.shard, place.row)
    result = _result(objects, place, notes)
    attempts = _attempts(objects, bucket, place, record, notes)
    request, request_from = _request(objects, place, attempts, notes)
    shard = place.row_of_shard
    status = str(result.get("status") or "")
    answer = result.get("answer")
    return Record(
        run_id=place.run.run_id,
        record_id=record,
        row=place.row_of_run,
        shard=place.shard,
        row_in_shard=place.row,
        shard_state=str(shard.state) if shard is not None else "",
        on_demand=any(visit.shard.on_demand for visit in place.visits),
        status=status,
        error_code=str(result.get("error_code") or ""),
        error_message=str(result.get("error_message") or ""),
        answer=None if answer is None else _cut(str(answer)),
        stop_reason=str(result.get("stop_reason") or ""),
        input_tokens=result.get("input_tokens"),
        output_tokens=result.get("output_tokens"),
        part=s3_uri(bucket, part_key(place.run.run_id, place.shard)) if result else "",
        request=None if request is None else _cut(request),
        request_from=request_from,
        attempts=attempts,
        notes=notes,
    )


def _result(objects: Objects, place: Place, notes: list[str]) -> dict[str, Any]:
    """The row's own columns of the result; none where its part does not stand."""
    prefix = place.run.pins.result_prefix if place.run.pins else ""
    key = part_key(place.run.run_id, place.shard)
    try:
        with closing(objects.random_access(ObjectRef(key))) as body, open_part(body) as part:
            begin = 0
            for group in range(part.num_row_groups):
                end = begin + part.metadata.row_group(group).num_rows
                if place.row < end:
                    table = part.read_row_group(group, columns=_ours(part.schema_arrow, prefix))
                    row = table.slice(place.row - begin, 1).to_pylist()[0]
                    return _named(row, prefix)
                begin = end
    except Missing:
        notes.append("its part of the result does not stand (yet)")
    except (Unreadable, pa.ArrowException) as error:
        notes.append(f"its part of the result cannot be read: {error}")
    return {}


def _ours(schema: pa.Schema, prefix: str) -> list[str]:
    wanted = ("response", "embedding", "status", "error_code", "error_message", "stop_reason")
    names = (prefix + name for name in (*wanted, "input_tokens", "output_tokens"))
    return [name for name in names if schema.get_field_index(name) >= 0]


def _named(row: dict[str, Any], prefix: str) -> dict[str, Any]:
    found = {name.removeprefix(prefix): value for name, value in row.items()}
    vector = found.pop("embedding", None)
    text = found.pop("response", None)
    found["answer"] = text if text is not None else (None if vector is None else json.dumps(vector))
    return found


def _attempts(objects: Objects, bucket: str, place: Place, record: str, notes: list[str]) -> list[Attempt]:
    shard = place.row_of_shard
    if shard is None:
        notes.append("the ledger does not know its shard any more (180 days after it was settled), nor its jobs")
        return []
    found = [attempt for visit in place.visits for attempt in _attempts_of(objects, bucket, visit, record, notes)]
    if not found:
        notes.append(f"no job was made of its shard{f': {shard.message}' if shard.message else ''}")
    elif not any(attempt.lines for attempt in found):
        notes.append("no output has a line for it")
    return found


def _attempts_of(objects: Objects, bucket: str, visit: Visit, record: str, notes: list[str]) -> Iterator[Attempt]:
    """The attempts at one shard, and what their outputs say of the record."""
    run_id, shard = visit.run_id, visit.shard
    jobs = {job.attempt: job for job in visit.jobs}
    for number in range(1, min(shard.attempt, ATTEMPTS_MAX) + 1):
        job = jobs.get(number)
        if shard.on_demand:
            prefix = on_demand_prefix(run_id, shard.shard, number)
        elif job is not None and job.arn:
            prefix = output_prefix(run_id, shard.shard, number) + job.arn.rpartition("/")[2] + "/"
        else:
            continue
        lines: list[str] = []
        try:
            for info in objects.list(prefix):
                if info.key.endswith((".jsonl.out", ".jsonl")):
                    lines += _lines_of(objects, info.key, record, LINES_MAX - len(lines), notes)
        except PortError as error:
            notes.append(f"{prefix} cannot be read: {error}")
        about = (
            {}
            if job is None
            else {
                "job": job.name,
                "arn": job.arn,
                "status": job.status,
                "message": job.message,
                "submitted_at": job.submitted_at,
                "ended_at": job.ended_at,
            }
        )
        yield Attempt(
            attempt=number,
            run_id=run_id,
            version=visit.version,
            shard=shard.shard,
            round=visit.round,
            on_demand=shard.on_demand,
            output=s3_uri(bucket, prefix),
            lines=lines,
            **about,
        )


def _lines_of(objects: Objects, key: str, record: str, most: int, notes: list[str]) -> list[str]:
    """The lines of an output that bear a record's id."""
    found: list[str] = []
    wanted = record.encode()
    with closing(objects.stream(ObjectRef(key))) as body:
        for line in _lines(body, key, notes):
            if wanted in line and _id_of(line) == record:
                found.append(_cut(line.decode("utf-8", "replace")))
                if len(found) >= most:
                    break
    return found


def _lines(body: Any, key: str, notes: list[str]) -> Iterator[bytes]:
    """The lines of an object. One that is too long is passed over."""
    left, passing = b"", False
    while block := body.read(READ_BYTES):
        *whole, left = (left + block).split(b"\n")
        for line in whole:
            if passing:
                passing = False
                continue
            yield line
        if len(left) > LINE_BYTES_MAX:
            if not passing:
                notes.append(f"{key} has a line of more than {LINE_BYTES_MAX >> 20} MiB, which was not read")
            left, passing = b"", True
    if left and not passing:
        yield left


def _id_of(line: bytes) -> str:
    with suppress(ValueError, RecursionError):
        found = json.loads(line)
        if isinstance(found, dict):
            return str(found.get("recordId"))
    return ""


def _request(objects: Objects, place: Place, attempts: list[Attempt], notes: list[str]) -> tuple[str | None, str]:
    """What the model was asked: as the output repeats it, or made once more."""
    for attempt in reversed(attempts):
        for line in attempt.lines:
            with suppress(ValueError, RecursionError):
                body = json.loads(line).get("modelInput")
                if body is not None:
                    return json.dumps(body, ensure_ascii=False), "output"
    try:
        request = _made_again(objects, place)
    except (PortError, ValueError, KeyError) as error:
        notes.append(f"what it was asked cannot be made again: {error}")
        return None, ""
    if isinstance(request, str):
        return request, "source"
    notes.append(request.why)
    return None, ""


@dataclass(frozen=True, slots=True)
class _Not:
    why: str


def _made_again(objects: Objects, place: Place) -> str | _Not:
    from quarry_core.rendering.encoders import sending_encoder_of  # noqa: PLC0415 takes its time to import
    from quarry_core.tabular.dataset import open_dataset  # noqa: PLC0415 likewise
    from quarry_core.tabular.rows import SourceError  # noqa: PLC0415 likewise

    pins = place.run.pins
    if pins is None or place.row_of_run is None:
        return _Not("what it was asked cannot be made again: the run's pins or its plan are gone")
    if pins.prompt is None and pins.request_format is None and not pins.family.startswith(("titan", "cohere", "nova")):
        return _Not(
            "what it was asked cannot be made again: the prompt has left the ledger, some time after the run's end"
        )
    try:
        dataset = open_dataset(objects, place.run.counted_as, pins.source)
        encoder = sending_encoder_of(pins, objects)
        for batch in dataset.read(place.row_of_run, 1):
            for encoded in encoder.encode_bounded(batch, place.shard, min(place.row, ROW_MAX)):
                for unsent in encoded.unsent:
                    return _Not(f"it was never sent: {unsent.code}: {unsent.message}")
                return str(json.dumps(json.loads(bytes(encoded.data)).get("modelInput"), ensure_ascii=False))
    except SourceError as error:
        return _Not(f"what it was asked cannot be made again: {error}")
    return _Not("what it was asked cannot be made again: the source has no such row")


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_CHARS_MAX else f"{text[:TEXT_CHARS_MAX]}… ({len(text):,} characters)"
