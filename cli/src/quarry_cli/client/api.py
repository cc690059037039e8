"""Quarry from Python: submit a manifest, look at a run, read its results, also as a DataFrame.

    from quarry_cli import Client, results_frame

    client = Client()                       # reads the same environment variables as the command
    run = client.submit({"job_name_prefix": "demo", "model_id": ..., "s3_uri": ..., "prompt_id": ...})
    client.wait(run.run_id)
    frame = results_frame(run.run_id)       # needs the extra `pandas`

Every call opens its own connection and closes it; nothing is kept between calls. It may be used where an event loop
runs already, as in a notebook: the call then works in a thread of its own, and blocks all the same. The commands are
made of these calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from quarry_cli.aws.answers import for_people
from quarry_cli.client.changes import control, retrying
from quarry_cli.client.changes.budget import Budget, set_budget
from quarry_cli.client.changes.control import Control
from quarry_cli.client.changes.erasing import Erased, erase
from quarry_cli.client.changes.retrying import Retry
from quarry_cli.client.changes.share import Share, set_share
from quarry_cli.client.connections import Connect, Connections, connect, connect_to, variables_of
from quarry_cli.client.history.audit_trail import Trail, audit_trail, read_since
from quarry_cli.client.history.costing import Costs, cost_of_run, cost_of_runs
from quarry_cli.client.pools.limits import PoolLimits, forget_refused, read_limits, set_limit
from quarry_cli.client.results.formats import Format
from quarry_cli.client.runs.following import Show, follow
from quarry_cli.client.runs.reading import RunReader
from quarry_cli.client.runs.search import (
    RunLine,
    Wanted,
    beginning_with,
    find_run,
    find_version,
    no_such_run,
    read_runs,
)
from quarry_cli.client.runs.view import RunView
from quarry_cli.client.submission.submitting import Submitted, as_text, submit
from quarry_cli.errors import NoResults, NotConfigured, NotEnded, NotSubmitted, Unaccounted
from quarry_cli.settings import ClientSettings
from quarry_core.errors import PortError
from quarry_core.ports import Objects

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from quarry_cli.client.diagnosis.errors import RunErrors
    from quarry_cli.client.diagnosis.explaining import Place, Record
    from quarry_cli.client.diagnosis.logs import LogLine
    from quarry_cli.client.export.asked import Export, Exported
    from quarry_cli.client.results.compact.compacting import Compacted
    from quarry_cli.client.results.download import Download
    from quarry_cli.client.results.presigning import Presign, Shared
    from quarry_cli.client.results.row_account import Account
    from quarry_cli.client.submission.estimating import EstimatedRun
    from quarry_cli.client.submission.one_call import Asked, Sent
    from quarry_cli.client.submission.planning import PlannedRun, PreviewedRun
    from quarry_cli.client.verification.verifying import Verified
    from quarry_core.contract.run import Run
    from quarry_core.ledger.rows import Totals

T = TypeVar("T")
WAIT_EVERY_S = 2.0


class _Idle:
    def show(self, view: RunView) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Results:
    """A finished download; `account` is None while the run goes on."""

    view: RunView
    download: Download
    account: Account | None


class Client:
    """One environment of Quarry.

    Every method may raise a `QuarryError` (`quarry_cli.errors`) or a `PortError` (`quarry_core.errors`). Where a method
    takes a run id, its beginning is enough if it fits one run alone.

    Args:
        connect: opens the connections; by default from the environment variables.
        env: a profile of `quarry config`, where the variables do not say it. Raises NotConfigured.
    """

    def __init__(self, connect: Connect = connect, *, env: str | None = None) -> None:
        self._connect = connect if env is None else partial(connect_to, variables_of(env))

    def submit(
        self,
        manifest: Mapping[str, Any] | str,
        *,
        output_schema: Any = None,
        check: bool = True,
        any_queue: bool = False,
    ) -> Submitted:
        """Put a manifest on the queue, as it is if it is text.

        Args:
            manifest: an object, or JSON text. Its `output_schema` may be a type, as the argument may.
            output_schema: what each answer is, in place of the manifest's: a pydantic model, a dataclass or another type
                that pydantic knows, or what a manifest may have (JSON Schema, a list of `field: type`).
            check: look first at what it names in AWS, and refuse what the services would refuse.
            any_queue: send it even if the queue that is set looks like another of Quarry's.

        Raises:
            NotSubmitted: it is refused, in the words with which the run would end; nothing was sent.
        """
        if output_schema is not None:
            if isinstance(manifest, str):
                raise NotSubmitted("output_schema: the manifest is text: write the schema into it, or give an object")
            manifest = {**manifest, "output_schema": output_schema}
        text = manifest if isinstance(manifest, str) else as_text(manifest)
        return self._do(lambda connections: submit(connections, text, check=check, any_queue=any_queue))

    def send(self, asked: Asked, *, tell: Callable[[str, int, int], None] | None = None) -> Sent:
        """Upload the files that a call names, and submit its manifest; nothing is sent twice for one directory.

        Args:
            asked: files or URIs, a model by alias or id, and the manifest's other fields.
            tell: called often, in another thread, with a word for the work, the bytes done and all bytes.

        Raises:
            NotSubmitted: it is refused; nothing was sent.
            NotWritten: the directory for the results holds something else.
        """
        from quarry_cli.client.submission.one_call import send  # noqa: PLC0415 beside its only user

        return self._do(lambda connections: send(connections, asked, tell))

    def begun(self, asked: Asked) -> bool:
        """Whether a call was begun before, for the same directory: `send` continues it, and nothing is paid for twice.

        Raises:
            NotSubmitted: it would be refused.
            NotWritten: the directory for the results holds something else.
        """
        from quarry_cli.client.submission.one_call import begun  # noqa: PLC0415 beside its only user

        return self._do(lambda connections: begun(connections, asked))

    def plan(self, manifest: Mapping[str, Any] | str, *, tell: Callable[[int, int], None] | None = None) -> PlannedRun:
        """Count a manifest's source here, and say what the run would be. Nothing is sent, and nothing is written to AWS.

        Args:
            manifest: an object, or JSON text.
            tell: called often, in another thread, with the bytes read so far and those of the source.

        Raises:
            NotSubmitted: it would be refused, in the words with which the run would end.
            NotPlanned: the source cannot be read with these credentials.
        """
        from quarry_cli.client.submission.planning import plan  # noqa: PLC0415 pyarrow takes its time to import

        text = manifest if isinstance(manifest, str) else as_text(manifest)
        return self._do(lambda connections: plan(connections, text, tell))

    def estimate(
        self,
        asked: Asked | Mapping[str, Any] | str,
        *,
        count_tokens: int = 0,
        answer_tokens: int | None = None,
        tell: Callable[[int, int], None] | None = None,
    ) -> EstimatedRun:
        """Plan a call or a manifest, and say what it would cost, in ranges. Nothing is uploaded, sent or paid for.

        Args:
            asked: a call, or a manifest as an object or as JSON text.
            count_tokens: so many of the first records are counted by Bedrock's CountTokens, at most 200.
            answer_tokens: about how many LLM tokens an answer has, if it is known.
            tell: as for `plan`.

        Raises:
            NotSubmitted: it would be refused, in the words with which the run would end.
            NotPlanned: the source cannot be read with these credentials, or Bedrock does not count.
        """
        from quarry_cli.client.submission.estimating import estimate  # noqa: PLC0415 pyarrow takes its time to import

        given = as_text(asked) if isinstance(asked, Mapping) else asked
        return self._do(
            lambda connections: estimate(
                connections, given, count_tokens=count_tokens, answer_tokens=answer_tokens, progress=tell
            )
        )

    def preview(
        self,
        manifest: Mapping[str, Any] | str,
        *,
        rows: int = 3,
        looked_at_max: int = 1_000,
        tell: Callable[[int, int], None] | None = None,
    ) -> PreviewedRun:
        """Render the requests of a manifest's first rows, say which of the first would fail, and the size of all.

        Args:
            manifest: an object, or JSON text.
            rows: how many requests to render.
            looked_at_max: in how many rows to look for some that cannot be sent.
            tell: as for `plan`.

        Raises:
            NotSubmitted: it would be refused, in the words with which the run would end.
            NotPlanned: the source cannot be read with these credentials.
        """
        from quarry_cli.client.submission.planning import preview  # noqa: PLC0415 pyarrow takes its time to import

        text = manifest if isinstance(manifest, str) else as_text(manifest)
        return self._do(lambda connections: preview(connections, text, rows, looked_at_max, tell))

    def status(self, run_id: str) -> RunView:
        """A run with all its jobs. Raises NoSuchRun, SeveralRuns."""

        async def look(connections: Connections) -> RunView:
            view = await RunReader(connections, await find_run(connections, run_id)).read(all_jobs=True)
            if view is None:
                raise await no_such_run(connections, run_id)
            return view

        return self._do(look)

    def runs(self, most: int = 20, *, wanted: Wanted | None = None) -> list[RunLine]:
        """Open runs, then those that ended this month or last; only those that `wanted` describes."""
        return self._do(lambda connections: read_runs(connections, most, wanted or Wanted()))

    def wait(self, run_id: str, *, every_s: float = WAIT_EVERY_S, timeout_s: float | None = None) -> RunView:
        """Wait until a run has ended, also if it has not arrived yet. Raises StillRunning."""
        return self.follow(run_id, _Idle(), every_s=every_s, timeout_s=timeout_s)

    def follow(
        self,
        run_id: str,
        show: Show,
        *,
        every_s: float = WAIT_EVERY_S,
        timeout_s: float | None = None,
    ) -> RunView:
        """Show a run until it has ended, also if it has not arrived yet; the last view. Raises StillRunning."""

        async def look(connections: Connections) -> RunView:
            reader: RunReader | None = None

            async def read() -> RunView | None:
                nonlocal reader
                if reader is not None:
                    return await reader.read(all_jobs=False)
                # Asked anew at each look: the run that the beginning of an id means may arrive meanwhile.
                found = RunReader(connections, await find_run(connections, run_id, may_come=True))
                view = await found.read(all_jobs=False)
                reader = found if view is not None else None
                return view

            async def others() -> list[str]:
                return await beginning_with(connections, run_id)

            return await follow(
                read, connections.clock, show, run_id, every_s=every_s, timeout_s=timeout_s, others=others
            )

        return self._do(look)

    def set_share(self, run_id: str, *, admission_class: str | None = None, weight: int | None = None) -> Share:
        """Change the admission class or the weight of a run that has not ended; the next admission goes by it.

        Args:
            admission_class: high, normal or low.
            weight: 1 to 100.

        Raises:
            BadSetting, NoSuchRun, SeveralRuns.
            RunEnded: nothing of it waits for a slot any more.
        """
        return self._do(lambda connections: set_share(connections, run_id, admission_class, weight))

    def set_budget(self, run_id: str, budget_usd: float | None) -> Budget:
        """Change the budget of a run that has not ended, in US dollars; None takes it away. A run that was held for it goes on.

        Raises:
            BadSetting: it is no amount, or the model has no price.
            NoSuchRun, SeveralRuns.
            RunEnded: nothing more is created of the run.
        """
        return self._do(lambda connections: set_budget(connections, run_id, budget_usd))

    def cancel(self, run_id: str) -> Control:
        """Create no further job of a run, stop those that run, keep what is answered. Raises NoSuchRun, NotControlled."""
        return self._do(lambda connections: control.cancel(connections, run_id))

    def pause(self, run_id: str) -> Control:
        """Create no further job of a run until it is resumed. Raises NoSuchRun, NotControlled."""
        return self._do(lambda connections: control.pause(connections, run_id))

    def resume(self, run_id: str) -> Control:
        """Let a paused run go on. Raises NoSuchRun, NotControlled."""
        return self._do(lambda connections: control.resume(connections, run_id))

    def retry(self, run_id: str, *, codes: Sequence[str] = (), every: bool = False, look_only: bool = False) -> Retry:
        """Ask the error rows of an ended run again; the results become the next version of its dataset, and its newest.

        It is a run of its own, `Retry.run_id`: wait for it, cancel it, look at it like any other.

        Args:
            codes: the error codes whose rows are asked; by default those that another attempt may answer.
            every: all rows with an error are asked.
            look_only: only say what would be asked, and begin nothing.

        Raises:
            NoSuchRun, SeveralRuns, BadSetting.
            NotRetried: it cannot be, and why.
        """
        do = retrying.look if look_only else retrying.begin
        return self._do(lambda connections: do(connections, run_id, tuple(codes), every=every))

    def audit(self, run_id: str | None = None, *, since: str | None = None, limit: int = 50) -> Trail:
        """Who did what, the newest first: of a run, or of all.

        Args:
            since: as `36h`, `7d` or `2026-11-30`; by default 30 days, for a run as far as the trail goes.

        Raises:
            BadSetting, NoSuchRun, SeveralRuns.
        """

        def look(connections: Connections) -> Awaitable[Trail]:
            begin = None if since is None else read_since(since, connections.clock.now())
            return audit_trail(connections, run_id, begin, limit)

        return self._do(look)

    def costs(self, *, by: str = "run", since: str | None = None) -> Costs:
        """What the runs have cost, in US dollars, that are open or have ended since then.

        Args:
            by: run, model, prefix, month, or tag=KEY.
            since: as `36h`, `30d` or `2026-11-30`; by default 30 days, of months all.

        Raises:
            BadSetting.
        """

        def look(connections: Connections) -> Awaitable[Costs]:
            begin = None if since is None else read_since(since, connections.clock.now())
            return cost_of_runs(connections, by, begin)

        return self._do(look)

    def cost(self, run_id: str) -> Costs:
        """What each shard of a run has cost, in US dollars. Raises NoSuchRun, SeveralRuns."""
        return self._do(lambda connections: cost_of_run(connections, run_id))

    def approve(self, run_id: str) -> Control:
        """Let a run go on that is HELD by its canary. Raises NoSuchRun, NotControlled."""
        return self._do(lambda connections: control.approve(connections, run_id))

    def limits(self, model: str | None = None) -> PoolLimits:
        """How many jobs of each model may be active at once, and why; of one model also who changed it. Raises BadSetting."""
        return self._do(lambda connections: read_limits(connections, model))

    def set_limit(self, model: str, limit: int | None, *, reason: str = "") -> PoolLimits:
        """Set how many jobs of a model may be active at once; None goes by QUARRY_JOB_QUOTA again. No job is stopped for it.

        Raises:
            BadSetting: `limit` is not 0 to 500, or there is no such model.
        """
        return self._do(lambda connections: set_limit(connections, model, limit, reason))

    def forget_refused(self, model_id: str, *, reason: str = "") -> PoolLimits:
        """Let the next run of a model be sent, though Bedrock refused to create a job of it.

        Raises:
            BadSetting: it is not remembered that it did.
        """
        return self._do(lambda connections: forget_refused(connections, model_id, reason))

    def erase(self, run_id: str, *, tell: Callable[[int], None] | None = None) -> Erased:
        """Erase an ended run for good: all versions of its objects, and what the ledger says of it. Its id stays used.

        Args:
            run_id: the whole id.
            tell: called with the number of versions that are erased, as it grows.

        Raises:
            NoSuchRun, NotEnded.
        """
        return self._do(lambda connections: erase(connections, run_id, tell))

    def results(
        self,
        run_id: str,
        directory: Path | str,
        *,
        form: Format = "parquet",
        partial: bool = False,
        tell: Callable[[int, int], None] | None = None,
        safe_cells: bool = False,
        mode: int = 0o600,
        version: int | None = None,
        compact: bool | None = None,
    ) -> Results:
        """Download a run's results, and check that every row is there.

        Args:
            directory: one for each run and format. A second call downloads only what is missing. The report goes into
                the directory of the same name with `.quarry` appended.
            form: parquet, csv or jsonl.
            partial: accept the parts that exist so far, if the run has not ended.
            tell: called with the number of parts downloaded so far, and of all parts.
            safe_cells: in CSV, put an apostrophe before texts that a spreadsheet would take for a formula.
            mode: permissions of the files; the directories are open to whoever may read the files.
            version: of the dataset; by default the newest. Here and below, an id of a retry means the version that it made.
            compact: True: few large parts, merged here unless `compact` merged them in the bucket; False: one part a shard.
                By default what the directory holds already, or the large ones if they are in the bucket.

        Raises:
            NoSuchRun, NotEnded, NoResults, NotWritten, Unreadable. Rows that do not add up raise nothing: look at
                `Results.account.faults`.
        """
        from quarry_cli.client.results.download import download  # noqa: PLC0415 likewise
        from quarry_cli.client.results.row_account import account  # noqa: PLC0415 pyarrow takes its time to import

        view, objects = self._readable(run_id, partial=partial, version=version)
        brought = download(
            objects,
            view,
            Path(directory),
            form,
            tell,
            safe_cells=safe_cells,
            mode=mode,
            compact=compact,
        )
        ended = view.state.terminal
        return Results(view, brought, account(view.rows, brought.report, brought.rows, brought.ok) if ended else None)

    def verify(
        self,
        run_id: str,
        *,
        source: bool = True,
        tell: Callable[[int, int], None] | None = None,
        version: int | None = None,
    ) -> Verified:
        """Count an ended run again from what lies in S3. What differs raises nothing: look at `Verified.differences`.

        Args:
            source: compare the source's columns with the source too, which reads all of it.
            tell: called with the number of parts that were read, and of all parts.
            version: of the dataset; by default the newest.

        Raises:
            NoSuchRun, NotEnded, NoResults.
        """
        from quarry_cli.client.verification.verifying import verify  # noqa: PLC0415 pyarrow takes its time to import

        async def look(connections: Connections) -> tuple[Run, Totals, Objects]:
            found = await find_version(connections, run_id, version)
            run, totals = await connections.ledger.run(found), await connections.ledger.totals(found)
            if run is None or totals is None:
                raise await no_such_run(connections, found)
            if totals.erasing_at:
                raise NoResults(f"run {found} was erased at {totals.erasing_at}: nothing is left to be verified")
            if not totals.state.terminal:
                raise NotEnded(f"run {found} is {totals.state}: it can be verified when it has ended")
            return run, totals, connections.objects()

        run, totals, objects = self._do(look)
        return verify(objects, run, totals, source=source, tell=tell)

    def errors(self, run_id: str, *, examples_max: int = 3, code: str = "", version: int | None = None) -> RunErrors:
        """A run's error rows by code, with examples and remedies. Raises NoSuchRun, SeveralRuns, NoResults."""
        from quarry_cli.client.diagnosis.errors import errors_of  # noqa: PLC0415 pyarrow takes its time to import

        async def found(connections: Connections) -> str:
            return await find_version(connections, run_id, version)

        view = self.status(self._do(found))
        return errors_of(view, self._objects(), examples_max, code)

    def logs(self, view: RunView, most: int) -> tuple[list[LogLine] | None, str]:
        """What the services in AWS logged about a run; None, and why, where nobody may be asked."""
        from quarry_cli.client.diagnosis.logs import insights_lines, not_asked, span_of  # noqa: PLC0415 its only user

        async def look(connections: Connections) -> tuple[list[LogLine] | None, str]:
            if connections.ask is None or not connections.env:
                return None, "QUARRY_ENV is not set, by which the log groups are called: this is the query"
            span = span_of(view.accepted_at, view.ended_at, connections.clock.now())
            try:
                asked = insights_lines(connections.ask, connections.clock, connections.env, view.run_id, most, span)
                return await asked, ""
            except (PortError, TimeoutError) as error:
                return None, not_asked(error)

        return self._do(look)

    def share(self, run_id: str, for_s: int, *, version: int | None = None) -> Shared:
        """Links by which anybody may download the results of an ended run for `for_s` seconds.

        Raises:
            NoSuchRun, NotEnded, NoResults, NotWritten: there is nothing whole to share.
        """
        from quarry_cli.client.results.presigning import Shared, links_of  # noqa: PLC0415 pyarrow takes its time to import

        view, objects = self._readable(run_id, partial=False, version=version)

        async def look(connections: Connections) -> tuple[Presign, str]:
            until = connections.clock.now() + timedelta(seconds=for_s)
            return connections.presign(), until.isoformat(timespec="seconds")

        presign, until = self._do(look)
        return Shared(run_id=view.run_id, expires_at=until, links=links_of(objects, presign, view, for_s))

    def export(self, run_id: str, asked: Export, *, tell: Callable[[int, int], None] | None = None) -> Exported:
        """Write an ended run's joined rows into a table of DuckDB, LanceDB or Iceberg, or its vectors into S3 Vectors, and read them back.

        A run is never in a table twice: called again, it compares what is there and writes nothing.

        Args:
            asked: the table, and how it is written.
            tell: called with the number of parts that were read, and of all parts.

        Raises:
            NoSuchRun, NotEnded, NoResults, Unreadable.
            NotConfigured: the target's library is not installed; it is an extra.
            NotWritten: the table exists or does not, or a column does not fit; nothing was written.
            NotExported: what is read back differs; it was taken back.
        """
        from quarry_cli.client.export.exporting import export  # noqa: PLC0415 pyarrow takes its time to import
        from quarry_cli.client.export.rows import rows_of  # noqa: PLC0415 likewise
        from quarry_cli.client.export.s3_vectors import export_vectors  # noqa: PLC0415 likewise
        from quarry_cli.client.export.targets import opened  # noqa: PLC0415 likewise

        view, objects = self._readable(run_id, partial=False, version=asked.version)
        rows = rows_of(objects, view, answered_only=asked.answered_only)
        if asked.target != "s3-vectors":
            return export(rows, asked, opened(asked), tell)

        async def put(connections: Connections) -> Exported:
            ask = connections.ask
            if ask is None:
                raise NotConfigured("S3 Vectors cannot be asked in this environment")
            loop = asyncio.get_running_loop()

            def call(operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
                asked_for = ask("s3vectors", operation, parameters)
                return asyncio.run_coroutine_threadsafe(asked_for, loop).result()

            return await asyncio.to_thread(export_vectors, rows, asked, call, tell)

        return self._do(put)

    def compact(
        self,
        run_id: str,
        *,
        part_mib: int | None = None,
        version: int | None = None,
        tell: Callable[[int, int], None] | None = None,
    ) -> Compacted:
        """Merge the parts of an ended run's results into few large ones beside them, which are what is read from then on.

        Called again, it goes on where it was.

        Args:
            part_mib: about how large they are to be, 1 to 1,024; by default 128.
            version: of the dataset; by default the newest.
            tell: called with the number of merged parts that stand, and of all.

        Raises:
            NoSuchRun, NotEnded, NoResults, BadSetting.
            NotCompacted: it cannot be, and why; nothing has changed for readers.
        """
        from quarry_cli.client.results.compact.compacting import check_aim, compact  # noqa: PLC0415 pyarrow takes its time to import

        check_aim(part_mib)
        view, objects = self._readable(run_id, partial=False, version=version)
        return self._do(lambda connections: compact(connections, objects, view, part_mib, tell))

    def report(self, run_id: str, *, rows: int = 0, prompt: bool = False) -> bytes:
        """An ended run's report as one HTML page that needs nothing else, UTF-8, at most 1 MiB.

        Args:
            rows: so many of the first rows stand on it, at most 10.
            prompt: it has the prompt, if that is still kept.

        Raises:
            NoSuchRun, SeveralRuns, NotEnded, NoResults, Unreadable.
        """
        from quarry_cli.client.results.reporting import page_of, read_run  # noqa: PLC0415 pyarrow takes its time to import

        run, jobs, objects = self._do(lambda connections: read_run(connections, run_id))
        return page_of(run, jobs, objects, rows=rows, prompt=prompt)

    def _objects(self) -> Objects:
        async def look(connections: Connections) -> Objects:
            return connections.objects()

        return self._do(look)

    def why(self, run_id: str, record: str | int, *, version: int | None = None) -> Record:
        """All that is known of one record: its shard, jobs and attempts, request, raw answer, result.

        Args:
            record: its record id (11 digits), or the number of its row in the run, from 0.
            version: of the dataset, up to which it is followed; by default the newest.

        Raises:
            NoSuchRun, NoSuchRecord.
        """
        from quarry_cli.client.diagnosis.explaining import explain, locate  # noqa: PLC0415 likewise
        from quarry_cli.client.diagnosis.visits import PlanReader  # noqa: PLC0415 likewise

        async def look(connections: Connections) -> tuple[Place, Objects, str]:
            objects = connections.objects()
            found = await find_version(connections, run_id, version)
            return await locate(connections, found, str(record), PlanReader(objects)), objects, connections.bucket

        place, objects, bucket = self._do(look)
        return explain(objects, bucket, place)

    def head(self, run_id: str, most: int, *, partial: bool = False, version: int | None = None) -> pa.Table:
        """The first joined rows as an Arrow table. Raises NoSuchRun, NotEnded, NoResults."""
        from quarry_cli.client.results.joined_rows import first_rows  # noqa: PLC0415 pyarrow takes its time to import

        view, objects = self._readable(run_id, partial=partial, version=version)
        return _there(view, first_rows(objects, view.run_id, most))

    def table(
        self, run_id: str, *, columns: Sequence[str] | None = None, partial: bool = False, version: int | None = None
    ) -> pa.Table:
        """All joined rows, in the order of the source, in memory. Raises NoSuchRun, NotEnded, NoResults, Unaccounted."""
        from quarry_cli.client.results.joined_rows import all_rows  # noqa: PLC0415 pyarrow takes its time to import

        view, objects = self._readable(run_id, partial=partial, version=version)
        rows = _there(view, all_rows(objects, view, columns))
        if view.state.terminal and rows.num_rows != view.rows.enlisted:
            raise Unaccounted(f"{rows.num_rows:,} rows were read, but there should be {view.rows.enlisted:,}")
        return rows

    def _readable(self, run_id: str, *, partial: bool, version: int | None = None) -> tuple[RunView, Objects]:
        """A run whose results may be read, and the object store to read them from, which outlives the connection."""

        async def look(connections: Connections) -> tuple[RunView, Objects]:
            found = await find_version(connections, run_id, version)
            view = await RunReader(connections, found).read(all_jobs=False)
            if view is None:
                raise await no_such_run(connections, found)
            return view, connections.objects()

        view, objects = self._do(look)
        run_id = view.run_id
        if view.erased_at:
            raise NoResults(f"run {run_id} was erased at {view.erased_at}: nothing is left of its results")
        if view.dry_run:
            raise NoResults(f"run {run_id} is a dry run, which has no results: quarry status {run_id} shows its plan")
        if view.results_uri is None:
            raise NoResults(f"run {run_id} failed without results: {view.error or 'no reason is recorded'}")
        if not view.state.terminal and not partial:
            raise NotEnded(
                f"run {run_id} is {view.state}: its results are complete when it "
                f"has ended (quarry watch {run_id}); the parts so far are available as partial results"
            )
        return view, objects

    def _do(self, work: Callable[[Connections], Awaitable[T]]) -> T:
        async def whole() -> T:
            try:
                async with self._connect() as connections:
                    return await work(connections)
            except PortError as error:
                known = for_people(error, ClientSettings())
                if known is None:
                    raise
                raise known from error

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(whole())
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(whole())).result()


def results_frame(
    run_id: str,
    *,
    columns: Sequence[str] | None = None,
    partial: bool = False,
    client: Client | None = None,
    version: int | None = None,
) -> pd.DataFrame:
    """The joined dataset of a run as a pandas DataFrame, in the order of the source.

    Whole numbers and truth values get pandas' nullable types, so that a null makes no float of them.

    Args:
        run_id: a run that has ended.
        columns: the columns to read; all by default.
        partial: accept the parts that exist so far, if the run has not ended.
        client: for another environment than the one that the variables name.
        version: of the dataset; by default the newest.

    Raises:
        NotConfigured: pandas is not installed, or a variable is missing.
        NoSuchRun, NotEnded, NoResults, Unaccounted: see `Client.table`.
    """
    from quarry_cli.client.results.frame import frame_of, pandas_or_hint  # noqa: PLC0415 pyarrow takes its time to import

    pandas_or_hint()  # before anything is read
    return frame_of((client or Client()).table(run_id, columns=columns, partial=partial, version=version))


def _there(view: RunView, rows: pa.Table | None) -> pa.Table:
    if rows is None:
        raise NoResults(f"run {view.run_id} has no result parts yet")
    return rows
