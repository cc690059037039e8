"""The limits of pools: what each was made from, and setting one by hand. A change is one conditional write, and is kept."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime, timedelta

import msgspec

from quarry_cli.client.caller import audit, caller
from quarry_cli.client.connections import Connections
from quarry_cli.errors import BadSetting
from quarry_core.contract.job_request import check_model_id
from quarry_core.errors import Stale
from quarry_core.ledger import moves
from quarry_core.ledger.ledger import HOLDERS_MAX
from quarry_core.ledger.limits import Limits
from quarry_core.ledger.rows import LimitChange, Month, Pool
from quarry_core.models import is_application_profile, pool_of
from quarry_core.planning.spending import MICRO, month_of
from quarry_core.text import one_line

TRIES_MAX = 20
POOLS_MAX = 200
CHANGES_SHOWN_MAX = 20
REASON_CHARS_MAX = 300
AUDIT_DAYS = 400


class PoolLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A pool's limit, in jobs that are active at once, and what it was made from. `None`: not known, or not so.

    `limit` is how many of ours may be active; `in_use` are. `set_to` is what an operator has set in place of
    QUARRY_JOB_QUOTA, by whom and when (ISO 8601 in UTC). `foreign` are active jobs that no environment of Quarry created,
    `siblings` those of other environments. `learned` is what is left after Bedrock refused a job.
    """

    pool: str
    limit: int
    in_use: int
    configured: int
    service_quota: int | None
    foreign: int
    siblings: int
    learned: int | None
    set_to: int | None
    set_by: str | None
    set_at: str | None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change by hand: when, by whom, and from what to what. `None`: QUARRY_JOB_QUOTA."""

    at: str
    by: str
    before: int | None
    after: int | None
    reason: str


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A model of which Bedrock refused to create a job, so that the next run of it is refused at once.

    Attributes:
        at: when it was, `until` when it is forgotten by itself, ISO 8601 in UTC.
        message: Bedrock's words to run `run_id`.
    """

    model_id: str
    region: str
    at: str
    until: str
    message: str
    run_id: str


class MonthBudget(msgspec.Struct, frozen=True, kw_only=True):
    """What the runs of the calendar month (`yyyy-mm`, UTC) come to together, in US dollars, and what they may come to.

    `spent_usd` is what settled shards cost, `running_usd` what those that run are likely to. `budget_usd` is QUARRY_BUDGET_USD as a
    scheduler went by it last; None: there is none.
    """

    month: str
    spent_usd: float
    running_usd: float
    budget_usd: float | None


class PoolLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What `quarry limits` prints. `changes` are of the one pool that was asked for, the newest first.

    `refused`: of it, or all. `month`: None where nothing was spent in it yet.
    """

    pools: list[PoolLimit]
    changes: list[Change]
    refused: list[Refused] = []
    month: MonthBudget | None = None


async def read_limits(connections: Connections, model: str | None) -> PoolLimits:
    """Of all pools that stand, or of one. Raises BadSetting."""
    ledger = connections.ledger
    names = sorted(await ledger.pools(POOLS_MAX)) if model is None else [pool_name(connections, model)]
    pools = [await ledger.pool(name) for name in names]
    changes = [] if model is None else await ledger.limit_changes(names[0], CHANGES_SHOWN_MAX)
    return PoolLimits(
        pools=[shown(pool) for pool in pools if pool is not None],
        changes=[
            Change(at=each.at, by=each.by, before=each.before, after=each.after, reason=each.reason) for each in changes
        ],
        refused=[
            Refused(
                model_id=each.model_id,
                region=each.region,
                at=each.at,
                until=datetime.fromtimestamp(each.expires_at, UTC).isoformat(),
                message=each.message,
                run_id=each.run_id,
            )
            for each in await ledger.refused_models()
            if each.counts(connections.clock.now().timestamp())
            and (model is None or pool_of(each.region, each.model_id) == names[0])
        ],
        month=month_budget(await ledger.month(month_of(connections.clock.now()))),
    )


def month_budget(month: Month | None) -> MonthBudget | None:
    """A month's item as people see it."""
    if month is None:
        return None
    return MonthBudget(
        month=month.month,
        spent_usd=month.spent_micros / MICRO,
        running_usd=max(0, month.projected_micros - month.spent_micros) / MICRO,
        budget_usd=None if month.budget_micros is None else month.budget_micros / MICRO,
    )


async def set_limit(connections: Connections, model: str, limit: int | None, reason: str) -> PoolLimits:
    """Set a pool's configured limit, or let QUARRY_JOB_QUOTA hold again (`None`). No job is stopped for a smaller one.

    Args:
        model: a model, or the name of its pool.
        limit: 0 admits nothing.
        reason: kept with the change.

    Raises:
        BadSetting.
    """
    if limit is not None and (isinstance(limit, bool) or not 0 <= limit <= HOLDERS_MAX):
        raise BadSetting(f"limit: {limit} is not a whole number from 0 to {HOLDERS_MAX}")
    name = pool_name(connections, model)
    ledger, clock = connections.ledger, connections.clock
    by = await _who(connections)
    for _ in range(TRIES_MAX):
        pool = await ledger.pool(name)
        now = clock.now()
        expires_at = int((now + timedelta(days=AUDIT_DAYS)).timestamp())
        try:
            if pool is None:
                if limit is None:
                    raise BadSetting(f"pool {name} does not exist: no limit is set for it")
                await ledger.apply(moves.open_pool(name, Limits(limit)))
                continue
            if pool.set_to != limit:
                why = one_line(reason, REASON_CHARS_MAX)
                change = LimitChange(name, pool.set_to, limit, by, now.isoformat(), why)
                before, after = ("QUARRY_JOB_QUOTA" if each is None else each for each in (pool.set_to, limit))
                what = f"{before} -> {after}{f': {why}' if why else ''}"
                kept = audit(connections, "limit", by, now.isoformat(), subject=name, what=what)
                await ledger.apply([*moves.set_limit(pool, change, clock.token(), expires_at), *kept])
        except Stale:
            continue
        return await read_limits(connections, name)
    raise BadSetting(f"pool {name} is being changed too fast: {TRIES_MAX} tries; run the command again")


async def forget_refused(connections: Connections, model_id: str, reason: str) -> PoolLimits:
    """Let the next run of a model be sent, though Bedrock refused the last one. Raises BadSetting: it is not remembered."""
    ledger, clock = connections.ledger, connections.clock
    by = await _who(connections)
    for _ in range(TRIES_MAX):
        standing = await ledger.refused_model(connections.region, model_id)
        now = clock.now()
        if standing is None or not standing.counts(now.timestamp()):
            known = [each.model_id for each in await ledger.refused_models() if each.counts(now.timestamp())]
            listed = f": {', '.join(known)} are" if known else ": none is"
            raise BadSetting(f"model: it is not remembered that {model_id} was refused{listed}")
        why = one_line(reason, REASON_CHARS_MAX)
        kept = audit(connections, "forget", by, now.isoformat(), subject=model_id, what=why)
        try:
            await ledger.apply([*moves.forget_refused_model(standing, moves.By(now.isoformat(), by)), *kept])
        except Stale:
            continue  # it has just been refused again, or somebody else was faster
        return await read_limits(connections, None)
    raise BadSetting(f"model: {model_id} is refused faster than it can be forgotten; run the command again")


def pool_name(connections: Connections, model: str) -> str:
    """The pool of a model's id, profile or ARN; or what is a pool's name already. Raises BadSetting."""
    _, mark, rest = model.partition("#")
    named = rest if mark else model
    try:
        check_model_id(named)
    except ValueError as error:
        raise BadSetting(f"model: {error}") from error
    if is_application_profile(named):
        raise BadSetting(f"model: {named} hides which model it stands for: give that model, whose pool it shares")
    return model if mark else pool_of(connections.region, model)


async def _who(connections: Connections) -> str:
    """The caller's ARN, else the name of who is logged in."""
    if arn := await caller(connections):
        return arn
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user, as in a container
        return "unknown"


def shown(pool: Pool) -> PoolLimit:
    """A pool as people see it."""
    return PoolLimit(
        pool=pool.pool,
        limit=pool.admit_limit,
        in_use=pool.in_use,
        configured=pool.configured,
        service_quota=pool.service_quota,
        foreign=pool.foreign,
        siblings=pool.siblings,
        learned=pool.learned,
        set_to=pool.set_to,
        set_by=(pool.set_by or None) if pool.set_to is not None else None,
        set_at=(pool.set_at or None) if pool.set_to is not None else None,
    )
