"""Quarry from Python: submit a manifest, look at a run, read its results, also as a DataFrame.

    from quarry_cli import Client, results_frame

    client = Client()                       # reads the same environment variables as the command
    run = client.submit({"job_name_prefix": "demo", "model_id": ..., "s3_uri": ..., "prompt_id": ...})
    client.wait(run.run_id)
    frame = results_frame(run.run_id)       # needs the extra `pandas`

Every call opens its own connection and closes it; nothing is kept between calls. It may be used where an event loop
runs already, as in a notebook: the call then works in a thread of its own, and blocks all the same (`session.py`). The
commands are made of these calls.

Each method says what it does and raises; the work lies in the group that it is imported from. What imports pyarrow, which
takes most of a second, is imported by the method that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quarry_cli.client.changes import control, retrying
from quarry_cli.client.changes.budget import Budget, set_budget
from quarry_cli.client.changes.control import Control
from quarry_cli.client.changes.erasing import Erased, erase
from quarry_cli.client.changes.retrying import Retry
from quarry_cli.client.changes.share import Share, set_share
from quarry_cli.client.connections import Connect, connect, connect_to, variables_of
from quarry_cli.client.history.audit_trail import Trail, audit_trail
from quarry_cli.client.history.costing import Costs, cost_of_run, cost_of_runs
from quarry_cli.client.pools.limits import PoolLimits, forget_refused, read_limits, set_limit
from quarry_cli.client.results.formats import Format
from quarry_cli.client.runs.following import WAIT_EVERY_S, Show, Unseen, follow_run
from quarry_cli.client.runs.reading import read_run
from quarry_cli.client.runs.search import RunLine, Wanted, read_runs
from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.client.session import Session
from quarry_cli.client.submission.submitting import Submitted, as_text, submit

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from quarry_cli.client.diagnosis.errors import RunErrors
    from quarry_cli.client.diagnosis.explaining import Record
    from quarry_cli.client.diagnosis.logs import LogLine
    from quarry_cli.client.export.asked import Export, Exported
    from quarry_cli.client.results.compact.compacting import Compacted
    from quarry_cli.client.results.download import Results
    from quarry_cli.client.results.presigning import Shared
    from quarry_cli.client.submission.estimating import EstimatedRun
    from quarry_cli.client.submission.one_call import Asked, Sent
    from quarry_cli.client.submission.planning import PlannedRun, PreviewedRun
    from quarry_cli.client.verification.verifying import Verified


class Client:
    """One environment of Quarry.

    Every method may raise a `QuarryError` (`quarry_cli.errors`) or a `PortError` (`quarry_core.errors`). Where a method
    takes a run id, its beginning is enough if it fits one run alone.

    Args:
        connect: opens the connections; by default from the environment variables.
        env: a profile of `quarry config`, where the variables do not say it. Raises NotConfigured.
    """

    def __init__(self, connect: Connect = connect, *, env: str | None = None) -> None:
        self._session = Session(connect if env is None else partial(connect_to, variables_of(env)))

    # Before there is a run

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
        text = as_text(manifest, output_schema)
        return self._session.do(lambda connections: submit(connections, text, check=check, any_queue=any_queue))

    def send(self, asked: Asked, *, tell: Callable[[str, int, int], None] | None = None) -> Sent:
        """Upload the files that a call names, and submit its manifest; nothing is sent twice for one directory.

        Args:
            asked: files or URIs, a model by alias or id, and the manifest's other fields.
            tell: called often, in another thread, with a word for the work, the bytes done and all bytes.

        Raises:
            NotSubmitted: it is refused; nothing was sent.
            NotWritten: the directory for the results holds something else.
        """
        from quarry_cli.client.submission.one_call import send  # noqa: PLC0415 pyarrow takes its time to import

        return self._session.do(lambda connections: send(connections, asked, tell))

    def begun(self, asked: Asked) -> bool:
        """Whether a call was begun before, for the same directory: `send` continues it, and nothing is paid for twice.

        Raises:
            NotSubmitted: it would be refused.
            NotWritten: the directory for the results holds something else.
        """
        from quarry_cli.client.submission.one_call import begun  # noqa: PLC0415 pyarrow takes its time to import

        return self._session.do(lambda connections: begun(connections, asked))

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

        return self._session.do(lambda connections: plan(connections, as_text(manifest), tell))

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
        return self._session.do(
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

        return self._session.do(lambda connections: preview(connections, as_text(manifest), rows, looked_at_max, tell))

    # Looking at runs, and following one

    def status(self, run_id: str) -> RunView:
        """A run with all its jobs. Raises NoSuchRun, SeveralRuns."""
        return self._session.do(lambda connections: read_run(connections, run_id))

    def runs(self, most: int = 20, *, wanted: Wanted | None = None) -> list[RunLine]:
        """Open runs, then those that ended this month or last; only those that `wanted` describes."""
        return self._session.do(lambda connections: read_runs(connections, most, wanted or Wanted()))

    def wait(self, run_id: str, *, every_s: float = WAIT_EVERY_S, timeout_s: float | None = None) -> RunView:
        """Wait until a run has ended, also if it has not arrived yet. Raises StillRunning."""
        return self.follow(run_id, Unseen(), every_s=every_s, timeout_s=timeout_s)

    def follow(
        self,
        run_id: str,
        show: Show,
        *,
        every_s: float = WAIT_EVERY_S,
        timeout_s: float | None = None,
    ) -> RunView:
        """Show a run until it has ended, also if it has not arrived yet; the last view. Raises StillRunning."""
        return self._session.do(
            lambda connections: follow_run(connections, run_id, show, every_s=every_s, timeout_s=timeout_s)
        )

    # Changing a run

    def cancel(self, run_id: str) -> Control:
        """Create no further job of a run, stop those that run, keep what is answered. Raises NoSuchRun, NotControlled."""
        return self._session.do(lambda connections: control.cancel(connections, run_id))

    def pause(self, run_id: str) -> Control:
        """Create no further job of a run until it is resumed. Raises NoSuchRun, NotControlled."""
        return self._session.do(lambda connections: control.pause(connections, run_id))

    def resume(self, run_id: str) -> Control:
        """Let a paused run go on. Raises NoSuchRun, NotControlled."""
        return self._session.do(lambda connections: control.resume(connections, run_id))

    def approve(self, run_id: str) -> Control:
        """Let a run go on that is HELD by its canary. Raises NoSuchRun, NotControlled."""
        return self._session.do(lambda connections: control.approve(connections, run_id))

    def set_share(self, run_id: str, *, admission_class: str | None = None, weight: int | None = None) -> Share:
        """Change the admission class or the weight of a run that has not ended; the next admission goes by it.

        Args:
            admission_class: high, normal or low.
            weight: 1 to 100.

        Raises:
            BadSetting, NoSuchRun, SeveralRuns.
            RunEnded: nothing of it waits for a slot any more.
        """
        return self._session.do(lambda connections: set_share(connections, run_id, admission_class, weight))

    def set_budget(self, run_id: str, budget_usd: float | None) -> Budget:
        """Change the budget of a run that has not ended, in US dollars; None takes it away. A run that was held for it goes on.

        Raises:
            BadSetting: it is no amount, or the model has no price.
            NoSuchRun, SeveralRuns.
            RunEnded: nothing more is created of the run.
        """
        return self._session.do(lambda connections: set_budget(connections, run_id, budget_usd))

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
        begin = retrying.look if look_only else retrying.begin
        return self._session.do(lambda connections: begin(connections, run_id, tuple(codes), every=every))

    def erase(self, run_id: str, *, tell: Callable[[int], None] | None = None) -> Erased:
        """Erase an ended run for good: all versions of its objects, and what the ledger says of it. Its id stays used.

        Args:
            run_id: the whole id.
            tell: called with the number of versions that are erased, as it grows.

        Raises:
            NoSuchRun, NotEnded.
        """
        return self._session.do(lambda connections: erase(connections, run_id, tell))

    # Pools

    def limits(self, model: str | None = None) -> PoolLimits:
        """How many jobs of each model may be active at once, and why; of one model also who changed it. Raises BadSetting."""
        return self._session.do(lambda connections: read_limits(connections, model))

    def set_limit(self, model: str, limit: int | None, *, reason: str = "") -> PoolLimits:
        """Set how many jobs of a model may be active at once; None goes by QUARRY_JOB_QUOTA again. No job is stopped for it.

        Raises:
            BadSetting: `limit` is not 0 to 500, or there is no such model.
        """
        return self._session.do(lambda connections: set_limit(connections, model, limit, reason))

    def forget_refused(self, model_id: str, *, reason: str = "") -> PoolLimits:
        """Let the next run of a model be sent, though Bedrock refused to create a job of it.

        Raises:
            BadSetting: it is not remembered that it did.
        """
        return self._session.do(lambda connections: forget_refused(connections, model_id, reason))

    # Results

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
        from quarry_cli.client.results.download import download_run  # noqa: PLC0415 pyarrow takes its time to import

        return download_run(
            self._session,
            run_id,
            directory,
            form,
            tell,
            partial=partial,
            safe_cells=safe_cells,
            mode=mode,
            version=version,
            compact=compact,
        )

    def head(self, run_id: str, most: int, *, partial: bool = False, version: int | None = None) -> pa.Table:
        """The first joined rows as an Arrow table. Raises NoSuchRun, NotEnded, NoResults."""
        from quarry_cli.client.results.joined_rows import head_of_run  # noqa: PLC0415 pyarrow takes its time to import

        return head_of_run(self._session, run_id, most, partial=partial, version=version)

    def table(
        self, run_id: str, *, columns: Sequence[str] | None = None, partial: bool = False, version: int | None = None
    ) -> pa.Table:
        """All joined rows, in the order of the source, in memory. Raises NoSuchRun, NotEnded, NoResults, Unaccounted."""
        from quarry_cli.client.results.joined_rows import table_of_run  # noqa: PLC0415 pyarrow takes its time to import

        return table_of_run(self._session, run_id, columns=columns, partial=partial, version=version)

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
        from quarry_cli.client.results.compact.compacting import compact_run  # noqa: PLC0415 pyarrow takes its time to import

        return compact_run(self._session, run_id, part_mib, version=version, tell=tell)

    def share(self, run_id: str, for_s: int, *, version: int | None = None) -> Shared:
        """Links by which anybody may download the results of an ended run for `for_s` seconds.

        Raises:
            NoSuchRun, NotEnded, NoResults, NotWritten: there is nothing whole to share.
        """
        from quarry_cli.client.results.presigning import share_run  # noqa: PLC0415 pyarrow takes its time to import

        return share_run(self._session, run_id, for_s, version=version)

    def report(self, run_id: str, *, rows: int = 0, prompt: bool = False) -> bytes:
        """An ended run's report as one HTML page that needs nothing else, UTF-8, at most 1 MiB.

        Args:
            rows: so many of the first rows stand on it, at most 10.
            prompt: it has the prompt, if that is still kept.

        Raises:
            NoSuchRun, SeveralRuns, NotEnded, NoResults, Unreadable.
        """
        from quarry_cli.client.results.reporting import report_run  # noqa: PLC0415 pyarrow takes its time to import

        return report_run(self._session, run_id, rows=rows, prompt=prompt)

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
        from quarry_cli.client.export.exporting import export_run  # noqa: PLC0415 pyarrow takes its time to import

        return export_run(self._session, run_id, asked, tell)

    # Whether a run is right, and what went wrong

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
        from quarry_cli.client.verification.verifying import verify_run  # noqa: PLC0415 pyarrow takes its time to import

        return verify_run(self._session, run_id, source=source, tell=tell, version=version)

    def errors(self, run_id: str, *, examples_max: int = 3, code: str = "", version: int | None = None) -> RunErrors:
        """A run's error rows by code, with examples and remedies. Raises NoSuchRun, SeveralRuns, NoResults."""
        from quarry_cli.client.diagnosis.errors import errors_of_run  # noqa: PLC0415 pyarrow takes its time to import

        return errors_of_run(self._session, run_id, examples_max=examples_max, code=code, version=version)

    def why(self, run_id: str, record: str | int, *, version: int | None = None) -> Record:
        """All that is known of one record: its shard, jobs and attempts, request, raw answer, result.

        Args:
            record: its record id (11 digits), or the number of its row in the run, from 0.
            version: of the dataset, up to which it is followed; by default the newest.

        Raises:
            NoSuchRun, NoSuchRecord.
        """
        from quarry_cli.client.diagnosis.explaining import explain_record  # noqa: PLC0415 pyarrow takes its time to import

        return explain_record(self._session, run_id, record, version=version)

    def logs(self, view: RunView, most: int) -> tuple[list[LogLine] | None, str]:
        """What the services in AWS logged about a run; None, and why, where nobody may be asked."""
        from quarry_cli.client.diagnosis.logs import service_lines  # noqa: PLC0415 pyarrow takes its time to import

        return self._session.do(lambda connections: service_lines(connections, view, most))

    # What has been

    def audit(self, run_id: str | None = None, *, since: str | None = None, limit: int = 50) -> Trail:
        """Who did what, the newest first: of a run, or of all.

        Args:
            since: as `36h`, `7d` or `2026-11-30`; by default 30 days, for a run as far as the trail goes.

        Raises:
            BadSetting, NoSuchRun, SeveralRuns.
        """
        return self._session.do(lambda connections: audit_trail(connections, run_id, since, limit))

    def costs(self, *, by: str = "run", since: str | None = None) -> Costs:
        """What the runs have cost, in US dollars, that are open or have ended since then.

        Args:
            by: run, model, prefix, month, or tag=KEY.
            since: as `36h`, `30d` or `2026-11-30`; by default 30 days, of months all.

        Raises:
            BadSetting.
        """
        return self._session.do(lambda connections: cost_of_runs(connections, by, since))

    def cost(self, run_id: str) -> Costs:
        """What each shard of a run has cost, in US dollars. Raises NoSuchRun, SeveralRuns."""
        return self._session.do(lambda connections: cost_of_run(connections, run_id))


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
