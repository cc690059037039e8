"""What is told of a run when it has ended: `_report.json` and the marker `_SUCCESS`. Pure.

The report is a function of the run, its shards' accounts and times that the ledger holds: whoever closes the run
writes the same bytes. It is built only from accounts that add up, so it cannot claim a success that is not there
(promises S3 and H1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from quarry_collector.settle import NotConserved, Settlement, add_up, check_conservation
from quarry_core.contract.names import part_key, results_prefix, s3_uri
from quarry_core.contract.states import RunState
from quarry_core.contract.versions import RetryOf
from quarry_core.ledger.rows import Totals
from quarry_core.models.money import DOLLARS_DIGITS
from quarry_core.models.prices import on_demand_price_of, price_of, table
from quarry_core.planning.estimate import Estimate

REPORT_VERSION = 1
JOB_MESSAGES_MAX = 20
# The marker is there or it is not, as readers of other systems' results expect.
SUCCESS = b""


@dataclass(frozen=True, slots=True)
class ShardEnd:
    """One settled shard: how many attempts it took, the last job's status and message in Bedrock's words, its account.

    `status` is empty where no job was ever made. `part` says whether its part of the result stands. `on_demand`: its
    records were asked one by one, in the service tier `tier`; at most `asked_twice` of them twice, after a crash. `round`:
    above 1 its rows are records of earlier shards. `sent`: how many of them Bedrock was given.
    """

    shard: str
    rows: int
    attempts: int
    status: str
    message: str
    account: Settlement
    part: bool = True
    on_demand: bool = False
    tier: str = ""
    asked_twice: int = 0
    round: int = 1
    sent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What the report says of the run itself. Times are ISO 8601 in UTC, as the ledger holds them.

    `source_rows` counts all rows of the source, `planned_rows` those that the plan took; the rest was cut off by
    `max_num_jobs` or `max_records_total`. `state`, `reason`, `code` and `step` are the end that the ledger decided on;
    the last three say why a run is FAILED. `broken`: not all of its rows were enlisted, and those are told as `unread`.
    `dry_run`: nothing was to be sent. `estimate`: what was expected when the run was planned. `retry`: whose error rows it asks
    again; then records, tokens and cost are those of the retry alone.
    `canary`: where its canary got to, and what it came to; None where it had none.
    """

    run_id: str
    model_id: str
    model: str
    source_uri: str
    bucket: str
    accepted_at: str
    ended_at: str
    source_rows: int = 0
    planned_rows: int = 0
    rounds: int = 1
    state: RunState
    reason: str = ""
    code: str = ""
    step: str = ""
    broken: bool = False
    dry_run: bool = False
    estimate: Estimate | None = None
    retry: RetryOf | None = None
    canary: Mapping[str, Any] | None = None

    @property
    def planned(self) -> int:
        """Rows of the plan, also of one that was only made to be looked at."""
        return self.estimate.rows_planned if self.dry_run and self.estimate else self.planned_rows


def state_of(ok: int, error: int) -> RunState:
    """The end of a run by its rows: FAILED if none has a result."""
    if ok == 0:
        return RunState.FAILED
    return RunState.SUCCEEDED_WITH_ERRORS if error else RunState.SUCCEEDED


def build_report(run: RunFacts, shards: Sequence[ShardEnd]) -> bytes:
    """The bytes of `_report.json`, the same for the same facts.

    Args:
        run: the run.
        shards: every shard of the plan, in any order; none for a run that failed before it had a plan.

    Raises:
        NotConserved: the shards' rows are not the plan's rows, or an account does not add up, or a shard comes twice.
    """
    ordered = sorted(shards, key=lambda each: each.shard)
    if len({each.shard for each in ordered}) != len(ordered):
        raise NotConserved(f"run {run.run_id}: a shard is reported twice")
    for each in ordered:
        check_conservation(each.account, each.rows)
    total = msgspec.structs.replace(
        add_up([each.account for each in ordered]),
        # Records that went again are rows of the shards that asked them first; their last outcome counts.
        rows=sum(each.rows for each in ordered if each.round == 1),
        again={},
    )
    check_conservation(total, total.rows)
    if not run.broken:
        check_conservation(total, run.planned_rows)
    return _bytes(
        {
            "version": REPORT_VERSION,
            "run_id": run.run_id,
            "state": run.state,
            "reason": run.reason,
            "code": run.code,
            "step": run.step,
            "model_id": run.model_id,
            "source": run.source_uri,
            "accepted_at": run.accepted_at,
            "ended_at": run.ended_at,
            "dry_run": run.dry_run,
            "dataset": _dataset(run),
            "results_uri": s3_uri(run.bucket, results_prefix(run.run_id)),
            "rows": {
                "source": run.source_rows,
                "planned": run.planned,
                "left_out": run.source_rows - run.planned,
                "accepted": total.rows,
                "ok": total.ok,
                "error": total.error,
                "unread": 0 if run.dry_run else run.planned_rows - total.rows,
            },
            "records": _records(run, ordered),
            "llm_tokens": {"input": total.input_tokens, "output": total.output_tokens},
            "cost": _cost(run.model, ordered),
            "on_demand": _on_demand(run.model, ordered),
            "estimate": None if run.estimate is None else run.estimate.model_dump(mode="json"),
            "canary": run.canary,
            "errors": _errors(total),
            "unexpected": _unexpected(total),
            "job_messages": _job_messages(ordered),
            "parts": [
                {"uri": s3_uri(run.bucket, part_key(run.run_id, each.shard)), "rows": each.rows}
                for each in ordered
                if each.part
            ],
            "shards": [_shard(each) for each in ordered],
        }
    )


def short_report(totals: Totals, bucket: str, parts: Sequence[str]) -> bytes:
    """What the ledger's totals alone can tell, and the keys of the parts that stand: where no whole report can be made."""
    return _bytes(
        {
            "version": REPORT_VERSION,
            "run_id": totals.run_id,
            "state": totals.end_state,
            "reason": totals.end_message,
            "code": totals.end_code,
            "step": totals.end_step,
            "model_id": None,
            "source": None,
            "accepted_at": totals.started_at,
            "ended_at": totals.closing_at,
            "dry_run": False,
            "dataset": None,
            "results_uri": s3_uri(bucket, results_prefix(totals.run_id)),
            "rows": {
                "source": totals.rows_source,
                "planned": totals.accepted,
                "left_out": totals.rows_source - totals.accepted,
                "accepted": totals.ok + totals.error + totals.again,
                "ok": totals.ok,
                "error": totals.error + totals.again,
                "unread": totals.open,
            },
            "records": None,
            "llm_tokens": None,
            "cost": None,
            "on_demand": None,
            "estimate": None,
            "canary": None,
            "errors": {},
            "unexpected": {},
            "job_messages": [],
            "parts": [{"uri": s3_uri(bucket, key), "rows": None} for key in parts],
            "shards": [],
        }
    )


def _dataset(run: RunFacts) -> dict[str, Any]:
    """Which version of which run's dataset the results are, and from which run's results they were carried over."""
    if run.retry is None:
        return {"run_id": run.run_id, "version": 1, "carried_from": None}
    return {"run_id": run.retry.root, "version": run.retry.version, "carried_from": run.retry.base}


def _records(run: RunFacts, shards: Sequence[ShardEnd]) -> dict[str, int]:
    """What Bedrock was given: each record once, and again in every round in which it was retried."""
    first = sum(each.sent for each in shards if each.round == 1)
    retried = sum(each.sent for each in shards if each.round > 1)
    return {"rounds": run.rounds, "first": first, "retried": retried, "paid": first + retried}


def _cost(model_id: str, shards: Sequence[ShardEnd]) -> dict[str, Any]:
    """What the tokens come to by the table of prices: an estimate; null where the model is not in it."""
    return {"dollars": _dollars(model_id, shards), "prices_as_of": table().as_of}


def _dollars(model_id: str, shards: Sequence[ShardEnd]) -> float | None:
    sums = []
    for way in sorted({(each.on_demand, each.tier) for each in shards}):
        price = on_demand_price_of(model_id, way[1]) if way[0] else price_of(model_id)
        if price is None:
            return None
        total = add_up([each.account for each in shards if (each.on_demand, each.tier) == way])
        sums.append(price.dollars(total.input_tokens, total.output_tokens))
    return None if price_of(model_id) is None else round(sum(sums), DOLLARS_DIGITS)


def _on_demand(model_id: str, shards: Sequence[ShardEnd]) -> dict[str, Any]:
    """What of the above was asked record by record, and what it came to; batch would have cost half of the default tier."""
    asked = [each for each in shards if each.on_demand]
    total = add_up([each.account for each in asked])
    return {
        "rows": total.rows,
        "ok": total.ok,
        "error": total.error,
        "asked_twice_at_most": sum(each.asked_twice for each in asked),
        "service_tiers": sorted({each.tier or "default" for each in asked}),
        "llm_tokens": {"input": total.input_tokens, "output": total.output_tokens},
        "dollars": _dollars(model_id, asked),
    }


def _errors(total: Settlement) -> dict[str, Any]:
    return {
        code: {
            "rows": total.errors[code],
            "examples": [
                {"record_id": example.record_id, "message": example.message} for example in total.examples.get(code, ())
            ],
        }
        for code in sorted(total.errors)
    }


def _job_messages(shards: Sequence[ShardEnd]) -> list[dict[str, Any]]:
    """What Bedrock said of jobs at their end, each sentence once, with how many shards' last jobs it was said of."""
    said: dict[tuple[str, str], list[str]] = {}
    for each in shards:
        if each.message and each.status:
            said.setdefault((each.status, each.message), []).append(each.shard)
    commonest = sorted(said.items(), key=lambda each: (-len(each[1]), each[0]))
    return [
        {"status": status, "message": message, "shards": len(where), "example": where[0]}
        for (status, message), where in commonest[:JOB_MESSAGES_MAX]
    ]


def _unexpected(total: Settlement) -> dict[str, Any]:
    """What the jobs wrote that was not one line for one record: nothing of it is in the result."""
    return {
        "duplicated_lines": total.seen.duplicated,
        "foreign_lines": total.seen.unexpected,
        "foreign_ids": list(total.seen.unexpected_ids),
        "corrupt_lines": total.seen.corrupt,
        "corrupt_heads": list(total.seen.corrupt_heads),
    }


def _shard(each: ShardEnd) -> dict[str, Any]:
    return {
        "shard": each.shard,
        "rows": each.rows,
        "ok": each.account.ok,
        "error": each.account.error,
        "again": each.account.records_again,
        "round": each.round,
        "attempts": each.attempts,
        "on_demand": each.on_demand,
        "status": each.status,
        "message": each.message,
    }


def _bytes(report: Mapping[str, Any]) -> bytes:
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace") + b"\n"
