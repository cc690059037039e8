"""`quarry verify`: a run is counted again from what lies in S3, and held against everything that says something of it.

Theory of operation. The parts are read row by row: every shard of the plan must have its rows once and in order, each with a
record id of its own and either an answer or an error. What was counted so is held against the report, the marker, the
plan and the ledger's totals; and the columns that came from the source against the source itself, or the copy of its rows
that the join was made from. Nothing is believed because Quarry says so, and nothing is written.

Everything streams: memory is a row group of a part and one of the source. What cannot be looked at (a source that may not be
read, a plan that has expired) is told apart from what differs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from quarry_cli.client.connections import Connections
from quarry_cli.client.results.parts import batches_of, open_part
from quarry_cli.client.runs.search import find_version, no_such_run
from quarry_cli.client.session import Session
from quarry_cli.client.verification.claims import ROWS_AT_ONCE, Claims, is_report
from quarry_cli.client.verification.compact import verify_compact
from quarry_cli.client.verification.source import SourceComparison, SourceRows
from quarry_cli.client.verification.verified import Counted, Difference, Findings, Verified, add_up, shown
from quarry_cli.errors import NoResults, NotEnded, Unreadable
from quarry_core.contract.names import (
    plan_key,
    report_key,
    report_page_key,
    results_prefix,
    shard_id,
    success_key,
)
from quarry_core.contract.run import Run
from quarry_core.contract.states import RunState
from quarry_core.errors import Missing, PortError
from quarry_core.ledger.rows import Totals
from quarry_core.planning.plan import Plan
from quarry_core.ports import ObjectInfo, ObjectRef, Objects
from quarry_core.tabular.dataset import Dataset, open_dataset
from quarry_core.tabular.rows import SourceError

__all__ = ["Difference", "Verified", "verify", "verify_run"]

WITHOUT_MARKER = (RunState.FAILED, RunState.CANCELLED)
STATUSES = ("ok", "error", "skipped")
PART = re.compile(r"part-(?P<shard>\d{5})\.parquet")
COUNTED = ("record_id", "status", "error_code", "input_tokens", "output_tokens")

Tell = Callable[[int, int], None]


def verify_run(
    session: Session, run_id: str, *, source: bool = True, tell: Tell | None = None, version: int | None = None
) -> Verified:
    """Find an ended run, and count it again. Blocking.

    Args:
        version: of the dataset; by default the newest.

    Raises:
        NoSuchRun, SeveralRuns, NotEnded, NoResults: there is nothing to count.
        PortError, Unreadable: as `verify` does.
    """

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

    run, totals, objects = session.do(look)
    return verify(objects, run, totals, source=source, tell=tell)


def verify(objects: Objects, run: Run, totals: Totals, *, source: bool = True, tell: Tell | None = None) -> Verified:
    """Count an ended run again. Blocking.

    Args:
        source: compare the source's columns with the source too, which reads all of it.
        tell: called with the number of parts that were read, and of all parts.

    Raises:
        PortError: S3 does not answer, or refuses what the results need.
        Unreadable: the pyarrow that is installed cannot read a part.
    """
    return _Verifier(objects, run, totals).verify(source=source, tell=tell)


class _Verifier:
    def __init__(self, objects: Objects, run: Run, totals: Totals) -> None:
        self._objects = objects
        self._run = run
        self._totals = totals
        self._findings = Findings()
        self._prefix = run.pins.result_prefix if run.pins else ""
        self._source = SourceComparison(objects, run.counted_as, self._findings)
        self._claims = Claims(objects, run.run_id, totals, self._findings)

    def verify(self, *, source: bool, tell: Tell | None) -> Verified:
        run_id, findings = self._run.run_id, self._findings
        parts = self._parts()
        report = self._report()
        plan = self._plan()
        dataset = self._dataset() if source and parts else None
        counted: dict[str, Counted] = {}
        for number, (shard, info) in enumerate(sorted(parts.items())):
            counted[shard] = self._part(shard, info, dataset, _first_row(plan, shard, counted))
            if tell is not None:
                tell(number + 1, len(parts))
        total = add_up(counted.values())
        if report is not None:
            self._claims.report(report, counted, total)
        if plan is not None and report is not None:
            self._claims.plan(plan, report, counted)
        self._claims.ledger(total, whole=not (report or {}).get("rows", {}).get("unread"))
        merged = verify_compact(self._objects, self._totals, [parts[shard] for shard in sorted(parts)], findings)
        return Verified(
            run_id=run_id,
            state=self._totals.state,
            parts=len(parts),
            compact_parts=merged,
            rows=total.rows,
            ok=total.ok,
            error=total.error,
            errors=dict(sorted(total.errors.items())),
            compared=self._source.compared,
            found=findings.found,
            differences=findings.differences,
            unchecked=findings.unchecked,
        )

    # ----------------------------------------------------------------- what lies there

    def _parts(self) -> dict[str, ObjectInfo]:
        """The parts that stand, by shard; and the marker is judged."""
        run_id, prefix = self._run.run_id, results_prefix(self._run.run_id)
        found: dict[str, ObjectInfo] = {}
        marked = False
        for info in self._objects.list(prefix):
            match = PART.fullmatch(info.key.removeprefix(prefix))
            if match:
                found[match["shard"]] = info
            elif info.key == success_key(run_id):
                marked = True
            elif info.key not in (report_key(run_id), report_page_key(run_id)):
                self._findings.differ(info.key, "it lies among the results, and is none of theirs")
        wanted = self._totals.state not in WITHOUT_MARKER and not self._dry_run
        if marked is not wanted:
            stands = "stands" if marked else "is missing"
            self._findings.differ(success_key(run_id), f"it {stands}, and the run ended as {self._totals.state}")
        return found

    @property
    def _dry_run(self) -> bool:
        return self._run.pins is not None and self._run.pins.dry_run

    def _report(self) -> Mapping[str, Any] | None:
        key = report_key(self._run.run_id)
        try:
            report = json.loads(self._objects.read(ObjectRef(key)))
        except Missing:
            if self._totals.plan or self._totals.state is not RunState.FAILED:
                self._findings.differ(key, "it is missing")
            else:
                self._findings.not_checked("the run was refused before it was planned, and has no report")
            return None
        except ValueError:
            self._findings.differ(key, "it is not JSON")
            return None
        if not is_report(report):
            self._findings.differ(key, "it is not a report of this kind")
            return None
        self._findings.compare(key, "is the run", report.get("run_id"), self._run.run_id)
        self._findings.compare(key, "is the state", report.get("state"), str(self._totals.state))
        return report  # type: ignore[no-any-return]

    def _plan(self) -> Plan | None:
        if not self._totals.plan or self._dry_run:
            return None
        try:
            return Plan.model_validate_json(self._objects.read(ObjectRef(plan_key(self._run.run_id))))
        except Missing:
            self._findings.not_checked("the plan does not lie in the bucket any more")
        except ValidationError:
            self._findings.differ(plan_key(self._run.run_id), "it is not a plan")
        except PortError as error:
            self._findings.not_checked(f"the plan cannot be read: {error}")
        return None

    def _dataset(self) -> Dataset | None:
        if self._run.pins is None:
            self._findings.not_checked("the run's pins are gone, so its source is not known any more")
            return None
        try:
            return open_dataset(self._objects, self._run.counted_as, self._run.pins.source)
        except (PortError, ValueError) as error:
            self._findings.not_checked(f"what was counted of the source cannot be read: {error}")
        return None

    # ----------------------------------------------------------------- a part

    def _part(self, shard: str, info: ObjectInfo, dataset: Dataset | None, first_row: int | None) -> Counted:
        counted, key = Counted(), info.key
        self._identity(shard, info)
        source: SourceRows | None = None
        try:
            with closing(self._objects.random_access(ObjectRef(key, etag=info.etag))) as body, open_part(body) as part:
                names = part.schema_arrow.names
                lacks = [name for name in COUNTED if self._prefix + name not in names]
                if lacks:
                    self._findings.differ(key, f"it lacks the columns {', '.join(lacks)}")
                    return counted
                source = self._source.rows(shard, dataset, first_row, part.metadata.num_rows)
                for batch in batches_of(part, ROWS_AT_ONCE):
                    self._count(shard, key, batch, counted)
                    source = self._source.same(shard, key, batch, counted.rows, source)
                    counted.rows += batch.num_rows
        except Unreadable as error:
            self._findings.differ(key, f"it cannot be read: {error}")
        if source is not None:
            try:
                if source.more():
                    self._findings.differ(key, "the source has more rows of this shard than the part")
            except (PortError, SourceError) as error:
                self._source.not_compared(shard, error)
            source.close()
        return counted

    def _identity(self, shard: str, info: ObjectInfo) -> None:
        metadata = self._objects.head(ObjectRef(info.key)).metadata
        wanted = {"kind": "part", "run": self._run.run_id, "shard": shard, "plan": self._totals.plan}
        for name, value in wanted.items():
            if metadata.get(name) != value:
                self._findings.differ(info.key, f"its metadata says {name} {shown(metadata.get(name))}, not {value!r}")

    def _count(self, shard: str, key: str, batch: pa.RecordBatch, counted: Counted) -> None:
        def column(name: str) -> pa.Array:
            return batch.column(batch.schema.get_field_index(self._prefix + name))

        begin = counted.rows
        if not column("record_id").equals(_record_ids(shard, begin, begin + batch.num_rows)):
            self._findings.differ(key, f"rows {begin:,} to {begin + batch.num_rows - 1:,} do not bear their record ids")
        status, code = column("status"), column("error_code")
        odd = pc.sum(pc.invert(pc.is_in(status, pa.array(STATUSES)))).as_py() or 0
        if odd:
            self._findings.differ(key, f"{odd} rows have a status that is none")
        ok = pc.equal(status, "ok")
        both = pc.sum(pc.equal(pc.is_valid(code), ok)).as_py() or 0
        if both:
            self._findings.differ(key, f"{both} rows have both an answer and an error, or neither")
        counted.ok += pc.sum(ok).as_py() or 0
        for entry in pc.value_counts(code.filter(pc.invert(ok))).to_pylist():
            counted.errors[str(entry["values"])] += entry["counts"]
        counted.input_tokens += pc.sum(column("input_tokens")).as_py() or 0
        counted.output_tokens += pc.sum(column("output_tokens")).as_py() or 0


def _record_ids(shard: str, start: int, stop: int) -> pa.Array:
    """As `names.record_id` makes them."""
    return pa.array([f"{shard}{row:06d}" for row in range(start, stop)], pa.string())


def _first_row(plan: Plan | None, shard: str, counted: Mapping[str, Counted]) -> int | None:
    """The first row of a shard; of a second half, behind the first one."""
    if plan is None or int(shard) // 2 >= plan.shard_count:
        return None
    first_row = plan.shard_at(int(shard) // 2).first_row
    if int(shard) % 2 == 0:
        return first_row
    before = counted.get(shard_id(int(shard) - 1))
    return first_row + before.rows if before is not None else None
