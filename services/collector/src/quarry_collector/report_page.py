"""The report as a page, `_report.html`, from the report and the ledger's jobs."""

from __future__ import annotations

import json

from quarry_core.contract.report_page import JobSpan, build_page
from quarry_core.ledger.ledger import Ledger

# As many jobs as a run of the largest size has, each once.
JOBS_READ_MAX = 50_000


async def page_of(ledger: Ledger, run_id: str, report: bytes) -> bytes:
    """The page of a run.

    Jobs are told of for people alone, and an event that came late may change one: of two closers the page of the first stands.
    """
    jobs: list[JobSpan] = []
    async for job in ledger.jobs(run_id):
        jobs.append(JobSpan(job.shard, job.attempt, job.status, job.submitted_at, job.ended_at))
        if len(jobs) == JOBS_READ_MAX:
            break
    run = await ledger.run(run_id)
    name = run.pins.job_name_prefix if run is not None and run.pins is not None else ""
    return build_page(json.loads(report), jobs, name=name)
