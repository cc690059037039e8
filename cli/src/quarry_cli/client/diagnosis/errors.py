"""What went wrong in a run: its error rows by code, with examples and what to do about each.

From the report, where there is one; of a run that goes on, from its counters, with examples from the parts that stand. The
remedies stand here once; docs/results.md says what each code means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from quarry_cli.client.connections import Connections
from quarry_cli.client.results.parts import batches_of, open_part
from quarry_cli.client.results.result_parts import parts_of
from quarry_cli.client.runs.reading import read_run
from quarry_cli.client.runs.search import find_version
from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.client.session import Session
from quarry_core.contract.names import report_key
from quarry_core.errors import Missing
from quarry_core.ports import ObjectRef, Objects

PARTS_READ_MAX = 20
BATCH_ROWS = 65_536
EXAMPLES_MAX = 100
JOBS_MAX = 5

REMEDIES: Mapping[str, str] = {
    "MODEL_ERROR": "read Bedrock's own code at the beginning of the message; a parameter or a content filter is the usual cause",
    "EMPTY_ANSWER": "raise max_tokens or lower effort if the stop reason is about length; else ask otherwise",
    "CORRUPT_ANSWER": "report it, with the record id: the model answered in a form that this release does not read",
    "INVALID_OUTPUT": "loosen output_schema, raise max_tokens, choose an output_mode that Bedrock enforces, or list it in record_errors",
    "MISSING": "quarry retry asks these rows again: no job wrote a line for them",
    "NOT_PROCESSED": "quarry retry asks these rows again; in the next run raise timeout_hours, or make jobs smaller by max_records_per_job",
    "EXPIRED": "quarry retry when the model's queue at Bedrock is shorter; in the next run raise timeout_hours",
    "JOB_FAILED": "read the job's message below; quarry doctor checks roles, buckets and models; then quarry retry",
    "CANCELLED": "quarry retry asks these rows, if they are still wanted",
    "REFUSED": "quarry doctor names the missing statement, model access or setting; then quarry retry",
    "THROTTLED": "lower QUARRY_ON_DEMAND_REQUESTS_PER_MINUTE, or send enough rows for a batch job",
    "NO_ANSWER": "quarry retry asks these rows again; if it repeats, lower max_tokens",
    "NULL_INPUT": "give the column a value, or a default in the prompt: {column|none}, or say nulls in the prompt",
    "SKIPPED": "nothing: the prompt skips rows without a value",
    "BAD_VALUE": "cast the column to text in the source, or write {column:json} in the prompt",
    "BAD_IMAGE": "convert the image to JPEG, PNG, GIF or WebP, as the message says",
    "IMAGE_MISSING": "check the S3 URI in the row; once the object is there, quarry retry",
    "IMAGE_DENIED": "let the preprocessor's role read the image, then quarry retry",
    "IMAGE_TOO_LARGE": "scale the image down",
    "TOO_LARGE": "shorten the row's text: one record is larger than Bedrock takes",
    "BELOW_MINIMUM": "allow asking on demand (on_demand_below), or send more rows",
    "INTERNAL_ERROR": "read the run's reason, and report it",
}
UNKNOWN_REMEDY = "this release does not know the code: docs/results.md of the release that wrote it has it"


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One row. The message may hold a stranger's words."""

    record_id: str
    message: str


class CodeErrors(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    rows: int
    remedy: str
    examples: list[Example]


class JobErrors(msgspec.Struct, frozen=True, kw_only=True):
    """A job that did not complete, in Bedrock's words."""

    job: str
    status: str
    message: str


class RunErrors(msgspec.Struct, frozen=True, kw_only=True):
    """What `quarry errors --json` prints. `unread` rows have no part: reading the source broke off before them."""

    run_id: str
    state: str
    error: str | None
    code: str | None
    rows: int
    error_rows: int
    unread: int
    codes: list[CodeErrors]
    jobs: list[JobErrors]


def errors_of_run(
    session: Session, run_id: str, *, examples_max: int = 3, code: str = "", version: int | None = None
) -> RunErrors:
    """The errors of a run that is found. Blocking. Raises NoSuchRun, SeveralRuns, NoResults."""

    async def look(connections: Connections) -> tuple[RunView, Objects]:
        found = await find_version(connections, run_id, version)
        return await read_run(connections, found), connections.objects()

    view, objects = session.do(look)
    return errors_of(view, objects, examples_max, code)


def errors_of(view: RunView, objects: Objects, examples_max: int, only: str = "") -> RunErrors:
    """Put together what is known of a run's errors. Blocking.

    Args:
        view: with all jobs.
        examples_max: of each code.
        only: this code alone.
    """
    report = _report(objects, view.run_id)
    reported: Mapping[str, Any] = report.get("errors") or {}
    counts = {code: int(found.get("rows", 0)) for code, found in reported.items()} or dict(view.errors)
    if only:
        counts = {code: rows for code, rows in counts.items() if code == only}
    examples = {
        code: [
            Example(record_id=str(each["record_id"]), message=str(each["message"]))
            for each in found.get("examples", ())
        ]
        for code, found in reported.items()
    }
    if any(len(examples.get(code, ())) < min(rows, examples_max) for code, rows in counts.items()):
        examples = _examples(objects, view, counts, examples_max)
    return RunErrors(
        run_id=view.run_id,
        state=view.state.value,
        error=view.error,
        code=view.code,
        rows=view.rows.accepted,
        error_rows=view.rows.error,
        unread=int((report.get("rows") or {}).get("unread", 0)),
        codes=[
            CodeErrors(
                code=code,
                rows=rows,
                remedy=REMEDIES.get(code, UNKNOWN_REMEDY),
                examples=examples.get(code, [])[:examples_max],
            )
            for code, rows in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
        ],
        jobs=[
            JobErrors(job=job.name, status=job.status, message=job.message)
            for job in view.jobs
            if job.status not in ("Completed", "Submitted", "Validating", "Scheduled", "InProgress")
        ],
    )


def _report(objects: Objects, run_id: str) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(objects.read(ObjectRef(report_key(run_id))))
    except (Missing, msgspec.DecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _examples(objects: Objects, view: RunView, counts: Mapping[str, int], most: int) -> dict[str, list[Example]]:
    """The first rows of each code, in the parts that stand; of at most `PARTS_READ_MAX` parts."""
    found: dict[str, list[Example]] = {code: [] for code in counts}
    names = [f"{view.result_prefix}{name}" for name in ("record_id", "error_code", "error_message")]
    for info in parts_of(objects, view.run_id)[:PARTS_READ_MAX]:
        with closing(objects.random_access(ObjectRef(info.key, etag=info.etag))) as source, open_part(source) as part:
            for batch in batches_of(part, BATCH_ROWS, names):
                _take(batch, names, found, most)
                if all(len(found[code]) >= min(rows, most) for code, rows in counts.items()):
                    return found
    return found


def _take(batch: pa.RecordBatch, names: Sequence[str], found: dict[str, list[Example]], most: int) -> None:
    failed = pa.Table.from_batches([batch]).filter(pc.is_valid(batch[names[1]]))
    for code, examples in found.items():
        wanted = most - len(examples)
        if wanted > 0:
            rows = failed.filter(pc.equal(failed[names[1]], code)).slice(0, wanted)
            for record_id, message in zip(rows[names[0]].to_pylist(), rows[names[2]].to_pylist(), strict=True):
                examples.append(Example(record_id=str(record_id), message=message or ""))
