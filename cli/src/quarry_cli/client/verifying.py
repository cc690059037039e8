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
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from quarry_cli.client.parts import batches_of, open_part
from quarry_cli.errors import Unreadable
from quarry_core.contract.names import (
    outcome_key,
    part_key,
    plan_key,
    report_key,
    results_prefix,
    rows_key,
    shard_id,
    success_key,
)
from quarry_core.contract.run import Run
from quarry_core.contract.states import RunState
from quarry_core.errors import Changed, Missing, PortError
from quarry_core.ledger.rows import Totals
from quarry_core.planning.plan import Plan
from quarry_core.ports import ObjectInfo, ObjectRef, Objects
from quarry_core.tabular.arrow_equal import same_values
from quarry_core.tabular.dataset import Dataset, open_dataset
from quarry_core.tabular.parquet.rows import ParquetSource
from quarry_core.tabular.rows import SourceError

DIFFERENCES_MAX = 200
ROWS_AT_ONCE = 1_024
WITHOUT_MARKER = (RunState.FAILED, RunState.CANCELLED)
STATUSES = ("ok", "error", "skipped")
PART = re.compile(r"part-(?P<shard>\d{5})\.parquet")
COUNTED = ("record_id", "status", "error_code", "input_tokens", "output_tokens")

Tell = Callable[[int, int], None]


class Difference(msgspec.Struct, frozen=True):
    """Two things that should agree and do not: where, and what each says."""

    where: str
    what: str


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted. Rows unless said otherwise.

    Attributes:
        compared: whose columns of the source were compared with the source.
        differences: at most `DIFFERENCES_MAX` of them; `found` is how many there are.
        unchecked: what could not be looked at, a sentence each.
    """

    run_id: str
    state: RunState
    parts: int
    rows: int
    ok: int
    error: int
    errors: dict[str, int]
    compared: int
    found: int
    differences: list[Difference]
    unchecked: list[str]


@dataclass(slots=True)
class _Shard:
    """What was counted of one part."""

    rows: int = 0
    ok: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def error(self) -> int:
        return self.errors.total()


class _Findings:
    def __init__(self) -> None:
        self.found = 0
        self.differences: list[Difference] = []
        self.unchecked: list[str] = []

    def differ(self, where: str, what: str) -> None:
        self.found += 1
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(Difference(where, what))

    def compare(self, where: str, what: str, said: object, counted: object) -> None:
        if said != counted:
            self.differ(where, f"it says {_shown(said)} {what}; counted are {_shown(counted)}")

    def not_checked(self, what: str) -> None:
        if what not in self.unchecked:
            self.unchecked.append(what)


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
        self._findings = _Findings()
        self._prefix = run.pins.result_prefix if run.pins else ""
        self._compared = 0

    def verify(self, *, source: bool, tell: Tell | None) -> Verified:
        run_id, findings = self._run.run_id, self._findings
        parts = self._parts()
        report = self._report()
        plan = self._plan()
        dataset = self._dataset() if source and parts else None
        counted: dict[str, _Shard] = {}
        for number, (shard, info) in enumerate(sorted(parts.items())):
            counted[shard] = self._part(shard, info, dataset, _first_row(plan, shard, counted))
            if tell is not None:
                tell(number + 1, len(parts))
        total = _sum(counted.values())
        if report is not None:
            self._against_report(report, counted, total)
        if plan is not None and report is not None:
            self._against_plan(plan, report, counted)
        self._against_ledger(total, whole=not (report or {}).get("rows", {}).get("unread"))
        return Verified(
            run_id=run_id,
            state=self._totals.state,
            parts=len(parts),
            rows=total.rows,
            ok=total.ok,
            error=total.error,
            errors=dict(sorted(total.errors.items())),
            compared=self._compared,
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
            elif info.key != report_key(run_id):
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
        if not _is_report(report):
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
            return open_dataset(self._objects, self._run.run_id, self._run.pins.source)
        except (PortError, ValueError) as error:
            self._findings.not_checked(f"what was counted of the source cannot be read: {error}")
        return None

    # ----------------------------------------------------------------- a part

    def _part(self, shard: str, info: ObjectInfo, dataset: Dataset | None, first_row: int | None) -> _Shard:
        counted, key = _Shard(), info.key
        self._identity(shard, info)
        source: _Rows | None = None
        try:
            with closing(self._objects.random_access(ObjectRef(key, etag=info.etag))) as body, open_part(body) as part:
                names = part.schema_arrow.names
                lacks = [name for name in COUNTED if self._prefix + name not in names]
                if lacks:
                    self._findings.differ(key, f"it lacks the columns {', '.join(lacks)}")
                    return counted
                source = self._source_rows(shard, dataset, first_row, part.metadata.num_rows)
                for batch in batches_of(part, ROWS_AT_ONCE):
                    self._count(shard, key, batch, counted)
                    source = self._same(shard, key, batch, counted.rows, source)
                    counted.rows += batch.num_rows
        except Unreadable as error:
            self._findings.differ(key, f"it cannot be read: {error}")
        if source is not None:
            try:
                if source.more():
                    self._findings.differ(key, "the source has more rows of this shard than the part")
            except (PortError, SourceError) as error:
                self._not_compared(shard, error)
            source.close()
        return counted

    def _identity(self, shard: str, info: ObjectInfo) -> None:
        metadata = self._objects.head(ObjectRef(info.key)).metadata
        wanted = {"kind": "part", "run": self._run.run_id, "shard": shard, "plan": self._totals.plan}
        for name, value in wanted.items():
            if metadata.get(name) != value:
                self._findings.differ(info.key, f"its metadata says {name} {_shown(metadata.get(name))}, not {value!r}")

    def _count(self, shard: str, key: str, batch: pa.RecordBatch, counted: _Shard) -> None:
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

    # ----------------------------------------------------------------- the source

    def _source_rows(self, shard: str, dataset: Dataset | None, first_row: int | None, rows: int) -> _Rows | None:
        """The rows of a shard as the join had them: of the copy, where there is one, else of the source."""
        if dataset is None or first_row is None:
            return None
        copy = ObjectRef(rows_key(self._run.run_id, shard))
        try:
            if dataset.copied:
                info = self._objects.head(copy)
                body = self._objects.random_access(ObjectRef(copy.key, etag=info.etag, size_bytes=info.size_bytes))
                copied = ParquetSource(body, copy.key)
                return _Rows(copied.read(0, copied.rows), body)
        except Missing:
            pass
        except PortError as error:
            self._not_compared(shard, error)
            return None
        names = dataset.result_schema.names if dataset.count.sent_only else None
        return _Rows(dataset.read(first_row, min(rows, dataset.count.rows - first_row), names))

    def _same(self, shard: str, key: str, batch: pa.RecordBatch, at: int, source: _Rows | None) -> _Rows | None:
        """Compare; what is left to compare with, or None if nothing more is to be compared."""
        if source is None:
            return None
        try:
            for begin, wanted in source.take(batch.num_rows):
                here = batch.slice(begin, wanted.num_rows)
                for name in wanted.schema.names:
                    found = here.schema.get_field_index(name)
                    if found < 0 or not _same_column(here.column(found), wanted.column(name)):
                        row = at + begin
                        self._findings.differ(
                            key,
                            f"column {name!r} differs from the source in rows {row:,} to {row + here.num_rows - 1:,}",
                        )
                        source.close()
                        return None
                self._compared += wanted.num_rows
        except (Changed, Missing) as error:
            self._findings.differ(f"the source of shard {shard}", f"it is not what it was when it was read: {error}")
            return None
        except (PortError, SourceError) as error:
            self._not_compared(shard, error)
            return None
        except _TooFew as few:
            self._findings.differ(key, f"the source ends {few} rows before the part does")
            return None
        return source

    def _not_compared(self, shard: str, error: Exception) -> None:
        self._findings.not_checked(f"the rows of shard {shard} were not compared with the source: {error}")

    # ----------------------------------------------------------------- what says something of them

    def _against_report(self, report: Mapping[str, Any], counted: Mapping[str, _Shard], total: _Shard) -> None:
        key, findings, rows = report_key(self._run.run_id), self._findings, report["rows"]
        listed = {uri.rpartition("/")[2] for part in report["parts"] if isinstance(uri := part.get("uri"), str)}
        standing = {part_key(self._run.run_id, shard).rpartition("/")[2] for shard in counted}
        for name in sorted(listed - standing):
            findings.differ(results_prefix(self._run.run_id) + name, "the report lists it, and it is missing")
        for name in sorted(standing - listed):
            findings.differ(results_prefix(self._run.run_id) + name, "it stands, and the report does not list it")
        if not report["shards"] and counted:
            findings.not_checked("the report tells of no shards: the run failed while it was closed")
            return
        reported = {str(each.get("shard")): each for each in report["shards"]}
        for shard, here in counted.items():
            said = reported.get(shard, {})
            # Of records that went again the report tells what their first shard came to, the part their end.
            for name in ("rows",) if said.get("again") else ("rows", "ok", "error"):
                findings.compare(f"{key}, shard {shard}", name, said.get(name), getattr(here, name))
        retries = [each for each in report["shards"] if _number(each, "round") > 1]
        apart = [each for shard, each in reported.items() if shard not in counted and each not in retries]
        for name in ("ok", "error"):
            without = sum(int(each.get(name) or 0) for each in apart)
            findings.compare(key, f"rows {name}", rows.get(name), getattr(total, name) + without)
        if apart:
            findings.not_checked(f"{len(apart)} shards have no part; their answers are in outcomes/ alone")
            return
        findings.compare(key, "rows accepted", rows.get("accepted"), total.rows)
        errors = {code: each.get("rows") for code, each in report["errors"].items()}
        findings.compare(key, "as errors", errors, dict(sorted(total.errors.items())))
        tokens = report.get("llm_tokens") or {}
        paid = self._with_other_attempts(total, counted, [*retries, *filter(_went_again, report["shards"])])
        if tokens and paid is not None:
            findings.compare(key, "input tokens", tokens.get("input"), paid.input_tokens)
            findings.compare(key, "output tokens", tokens.get("output"), paid.output_tokens)

    def _with_other_attempts(
        self, total: _Shard, counted: Mapping[str, _Shard], shards: Sequence[Mapping[str, Any]]
    ) -> _Shard | None:
        """The LLM tokens of all attempts: of shards that others asked again, and of those others, by their outcomes."""
        sums = _Shard(input_tokens=total.input_tokens, output_tokens=total.output_tokens)
        for each in shards:
            key = outcome_key(self._run.run_id, str(each.get("shard")), _number(each, "attempts"))
            try:
                with closing(self._objects.random_access(ObjectRef(key))) as body, open_part(body) as outcome:
                    for batch in batches_of(outcome, ROWS_AT_ONCE, ("input_tokens", "output_tokens")):
                        sums.input_tokens += pc.sum(batch.column("input_tokens")).as_py() or 0
                        sums.output_tokens += pc.sum(batch.column("output_tokens")).as_py() or 0
            except (PortError, Unreadable) as error:
                self._findings.not_checked(f"the LLM tokens of records that went again: {error}")
                return None
            part = counted.get(str(each.get("shard")))
            if part is not None:
                sums.input_tokens -= part.input_tokens
                sums.output_tokens -= part.output_tokens
        return sums

    def _against_plan(self, plan: Plan, report: Mapping[str, Any], counted: Mapping[str, _Shard]) -> None:
        key, findings = plan_key(self._run.run_id), self._findings
        unread = report["rows"].get("unread") or 0
        findings.compare(key, "rows planned", plan.rows_planned, sum(each.rows for each in counted.values()) + unread)
        findings.compare(report_key(self._run.run_id), "rows planned", report["rows"].get("planned"), plan.rows_planned)
        if unread:
            findings.not_checked(f"{unread:,} rows were never read, and are in no part")
            return
        for planned in plan.shards():
            halves = [counted.get(shard_id(number)) for number in (planned.number, planned.number + 1)]
            there = sum(half.rows for half in halves if half is not None)
            if there != planned.rows:
                findings.differ(
                    part_key(self._run.run_id, shard_id(planned.number)),
                    f"with its other half, if it has one, it has {there:,} of the {planned.rows:,} rows of the plan",
                )

    def _against_ledger(self, total: _Shard, *, whole: bool) -> None:
        totals, where = self._totals, "the ledger"
        if totals.accepted != totals.ok + totals.error:
            self._findings.differ(where, f"{totals.ok:,} ok + {totals.error:,} error rows are not {totals.accepted:,}")
        self._findings.compare(where, "rows ok", totals.ok, total.ok)
        if whole:
            self._findings.compare(where, "rows error", totals.error, total.error)


# --------------------------------------------------------------------------- small things


class _TooFew(Exception):
    """The source has fewer rows than are wanted."""


class _Rows:
    """Rows of a source, to be taken by any number of them."""

    def __init__(self, batches: Iterator[pa.RecordBatch], body: BinaryIO | None = None) -> None:
        self._batches = batches
        self._body = body
        self._left: pa.RecordBatch | None = None

    def take(self, rows: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The next rows in pieces, each with its place among them. Raises _TooFew."""
        begin = 0
        while begin < rows:
            batch = self._left if self._left is not None else next(self._batches, None)
            if batch is None:
                raise _TooFew(str(rows - begin))
            piece = batch.slice(0, rows - begin)
            self._left = batch.slice(piece.num_rows) if piece.num_rows < batch.num_rows else None
            if piece.num_rows:
                yield begin, piece
            begin += piece.num_rows

    def more(self) -> bool:
        """Whether rows are left, of a copy; of a source the next shard's are."""
        return self._body is not None and (self._left is not None or next(self._batches, None) is not None)

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
        if hasattr(self._batches, "close"):
            self._batches.close()


def _same_column(one: pa.Array, other: pa.Array) -> bool:
    """A category is its value here: a row group has a dictionary of its own."""
    if pa.types.is_dictionary(one.type) and pa.types.is_dictionary(other.type):
        one, other = one.dictionary_decode(), other.dictionary_decode()
    return same_values(one, other)


def _record_ids(shard: str, start: int, stop: int) -> pa.Array:
    """As `names.record_id` makes them."""
    return pa.array([f"{shard}{row:06d}" for row in range(start, stop)], pa.string())


def _first_row(plan: Plan | None, shard: str, counted: Mapping[str, _Shard]) -> int | None:
    """The first row of a shard; of a second half, behind the first one."""
    if plan is None or int(shard) // 2 >= plan.shard_count:
        return None
    first_row = plan.shard_at(int(shard) // 2).first_row
    if int(shard) % 2 == 0:
        return first_row
    before = counted.get(shard_id(int(shard) - 1))
    return first_row + before.rows if before is not None else None


def _sum(shards: Iterable[_Shard]) -> _Shard:
    total = _Shard()
    for each in shards:
        total.rows += each.rows
        total.ok += each.ok
        total.errors.update(each.errors)
        total.input_tokens += each.input_tokens
        total.output_tokens += each.output_tokens
    return total


def _number(shard: Mapping[str, Any], name: str) -> int:
    """A count of the report; 0 where it has none, as those of releases before."""
    value = shard.get(name)
    return value if isinstance(value, int) else 0


def _went_again(shard: Mapping[str, Any]) -> bool:
    return _number(shard, "again") > 0 and _number(shard, "round") <= 1


def _is_report(report: Any) -> bool:
    """Of the form that is read here; whoever may write to the bucket may have written anything."""
    return (
        isinstance(report, dict)
        and isinstance(report.get("rows"), dict)
        and all(_are_objects(report.get(name)) for name in ("parts", "shards"))
        and isinstance(report.get("errors"), dict)
        and _are_objects(list(report["errors"].values()))
        and isinstance(report.get("llm_tokens"), dict | None)
    )


def _are_objects(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(each, dict) for each in value)


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else repr(value)[:200]
