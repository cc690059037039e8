"""`quarry report`: an ended run's report as one page, with its first rows and its prompt if they are wanted."""

from __future__ import annotations

import json

from quarry_cli.client.connections import Connections
from quarry_cli.client.results.joined_rows import first_rows
from quarry_cli.client.results.values import plain_values
from quarry_cli.client.runs.search import find_run, no_such_run
from quarry_cli.client.session import Session
from quarry_cli.errors import NoResults, NotEnded
from quarry_core.contract.names import report_key
from quarry_core.contract.report_page import COLUMNS_SHOWN_MAX, ROWS_SHOWN_MAX, JobSpan, SomeRows, build_page
from quarry_core.contract.result_names import RESULT_COLUMNS
from quarry_core.contract.run import Run
from quarry_core.errors import Missing
from quarry_core.ports import ObjectRef, Objects

JOBS_READ_MAX = 50_000
# The answer and its status say more than the rest of our columns.
OURS_SHOWN = ("status", "error_code")


def report_run(session: Session, run_id: str, *, rows: int = 0, prompt: bool = False) -> bytes:
    """The page of an ended run that is found. Blocking. Raises NoSuchRun, SeveralRuns, NotEnded, NoResults, Unreadable."""
    run, jobs, objects = session.do(lambda connections: read_run(connections, run_id))
    return page_of(run, jobs, objects, rows=rows, prompt=prompt)


async def read_run(connections: Connections, text: str) -> tuple[Run, list[JobSpan], Objects]:
    """What the ledger knows. Raises NoSuchRun, SeveralRuns, NotEnded, NoResults."""
    run_id = await find_run(connections, text)
    run, totals = await connections.ledger.run(run_id), await connections.ledger.totals(run_id)
    if run is None or totals is None:
        raise await no_such_run(connections, run_id)
    if totals.erasing_at:
        raise NoResults(f"run {run_id} was erased at {totals.erasing_at}: nothing is left to be reported")
    if not totals.state.terminal:
        raise NotEnded(f"run {run_id} is {totals.state}: it has a report when it has ended (quarry watch {run_id})")
    jobs: list[JobSpan] = []
    async for job in connections.ledger.jobs(run_id):
        jobs.append(JobSpan(job.shard, job.attempt, job.status, job.submitted_at, job.ended_at))
        if len(jobs) == JOBS_READ_MAX:
            break
    return run, jobs, connections.objects()


def page_of(run: Run, jobs: list[JobSpan], objects: Objects, *, rows: int, prompt: bool) -> bytes:
    """The page. Blocking. Raises NoResults where there is no report, Unreadable."""
    try:
        report = json.loads(objects.read(ObjectRef(report_key(run.run_id))))
    except (Missing, ValueError) as error:
        raise NoResults(f"run {run.run_id} has no report: its manifest was refused, or its results expired") from error
    pins = run.pins
    asked = pins.prompt.template if prompt and pins is not None and pins.prompt is not None else ""
    if asked and pins is not None and pins.prompt is not None and pins.prompt.system:
        asked = f"{pins.prompt.system}\n\n{asked}"
    prefix = pins.result_prefix if pins is not None else ""
    some = _some_rows(objects, run.run_id, min(rows, ROWS_SHOWN_MAX), prefix) if rows else None
    return build_page(report, jobs, name=pins.job_name_prefix if pins is not None else "", prompt=asked, rows=some)


def _some_rows(objects: Objects, run_id: str, most: int, prefix: str) -> SomeRows | None:
    table = first_rows(objects, run_id, most)
    if table is None:
        return None
    ours = len(RESULT_COLUMNS) + 1  # and the answer before them
    names = table.column_names
    kept = [
        len(names) - ours,
        *(place for place, name in enumerate(names) if name in {prefix + each for each in OURS_SHOWN}),
    ]
    source = list(range(len(names) - ours))[: COLUMNS_SHOWN_MAX - len(kept)]
    places = [*source, *sorted(set(kept))]
    columns = [
        [
            None if value is None else _shown(value)
            for chunk in table.column(place).chunks
            for value in plain_values(chunk)
        ]
        for place in places
    ]
    return SomeRows([names[place] for place in places], [list(row) for row in zip(*columns, strict=True)])


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else str(value)
