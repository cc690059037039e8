"""What report, plan and ledger say of a run, held against what was counted of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import pyarrow.compute as pc

from quarry_cli.client.results.parts import batches_of, open_part
from quarry_cli.client.verification.verified import Counted, Findings
from quarry_cli.errors import Unreadable
from quarry_core.contract.names import (
    outcome_key,
    part_key,
    plan_key,
    report_key,
    results_prefix,
    shard_id,
)
from quarry_core.errors import PortError
from quarry_core.ledger.rows import Totals
from quarry_core.planning.plan import Plan
from quarry_core.ports import ObjectRef, Objects

ROWS_AT_ONCE = 1_024


class Claims:
    """Each method holds one thing that says something of the run against what was counted."""

    def __init__(self, objects: Objects, run_id: str, totals: Totals, findings: Findings) -> None:
        self._objects = objects
        self._run_id = run_id
        self._totals = totals
        self._findings = findings

    def report(self, report: Mapping[str, Any], counted: Mapping[str, Counted], total: Counted) -> None:
        key, findings, rows = report_key(self._run_id), self._findings, report["rows"]
        listed = {uri.rpartition("/")[2] for part in report["parts"] if isinstance(uri := part.get("uri"), str)}
        standing = {part_key(self._run_id, shard).rpartition("/")[2] for shard in counted}
        for name in sorted(listed - standing):
            findings.differ(results_prefix(self._run_id) + name, "the report lists it, and it is missing")
        for name in sorted(standing - listed):
            findings.differ(results_prefix(self._run_id) + name, "it stands, and the report does not list it")
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
        if _is_retry(report):
            # Of a retry's rows those that were carried over were paid for by the version before.
            paid = self._with_other_attempts(Counted(), {}, retries)
        else:
            paid = self._with_other_attempts(total, counted, [*retries, *filter(_went_again, report["shards"])])
        if tokens and paid is not None:
            findings.compare(key, "input tokens", tokens.get("input"), paid.input_tokens)
            findings.compare(key, "output tokens", tokens.get("output"), paid.output_tokens)

    def _with_other_attempts(
        self, total: Counted, counted: Mapping[str, Counted], shards: Sequence[Mapping[str, Any]]
    ) -> Counted | None:
        """The LLM tokens of all attempts: of shards that others asked again, and of those others, by their outcomes."""
        sums = Counted(input_tokens=total.input_tokens, output_tokens=total.output_tokens)
        for each in shards:
            key = outcome_key(self._run_id, str(each.get("shard")), _number(each, "attempts"))
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

    def plan(self, plan: Plan, report: Mapping[str, Any], counted: Mapping[str, Counted]) -> None:
        key, findings = plan_key(self._run_id), self._findings
        unread = report["rows"].get("unread") or 0
        findings.compare(key, "rows planned", plan.rows_planned, sum(each.rows for each in counted.values()) + unread)
        findings.compare(report_key(self._run_id), "rows planned", report["rows"].get("planned"), plan.rows_planned)
        if unread:
            findings.not_checked(f"{unread:,} rows were never read, and are in no part")
            return
        for planned in plan.shards():
            halves = [counted.get(shard_id(number)) for number in (planned.number, planned.number + 1)]
            there = sum(half.rows for half in halves if half is not None)
            if there != planned.rows:
                findings.differ(
                    part_key(self._run_id, shard_id(planned.number)),
                    f"with its other half, if it has one, it has {there:,} of the {planned.rows:,} rows of the plan",
                )

    def ledger(self, total: Counted, *, whole: bool) -> None:
        totals, where = self._totals, "the ledger"
        if totals.accepted != totals.ok + totals.error:
            self._findings.differ(where, f"{totals.ok:,} ok + {totals.error:,} error rows are not {totals.accepted:,}")
        self._findings.compare(where, "rows ok", totals.ok, total.ok)
        if whole:
            self._findings.compare(where, "rows error", totals.error, total.error)


def _number(shard: Mapping[str, Any], name: str) -> int:
    """A count of the report; 0 where it has none, as those of releases before."""
    value = shard.get(name)
    return value if isinstance(value, int) else 0


def _is_retry(report: Mapping[str, Any]) -> bool:
    dataset = report.get("dataset")
    return isinstance(dataset, dict) and _number(dataset, "version") > 1


def _went_again(shard: Mapping[str, Any]) -> bool:
    return _number(shard, "again") > 0 and _number(shard, "round") <= 1


def is_report(report: Any) -> bool:
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
