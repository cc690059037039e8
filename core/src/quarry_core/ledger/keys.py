"""The keys under which the ledger's items stand: one DynamoDB table, `pk` and `sk`, no index. Architecture section 4."""

from __future__ import annotations

from quarry_core.ports import Key

OPEN = "open"
POOLS = "pools"
HISTORY = "history#"
AUDIT = "audit#"
VERSION = "version#"
REFUSED_MODELS = "refused-models"
MONTHS = "months"
REFUSED_MODEL = "model#"


def run_pk(run_id: str) -> str:
    return f"run#{run_id}"


def run_key(run_id: str) -> Key:
    return run_pk(run_id), "run"


def text_key(run_id: str) -> Key:
    """Prompt and inference parameters of the run, which go some time after its end; the rest of the pins stays."""
    return run_pk(run_id), "text"


def totals_key(run_id: str) -> Key:
    return run_pk(run_id), "totals"


def version_key(run_id: str, number: int) -> Key:
    """One version of the run's dataset after its first: who makes it. Written once, so each number has one retry."""
    return run_pk(run_id), f"{VERSION}{number:04d}"


def slice_key(run_id: str, number: int) -> Key:
    return run_pk(run_id), f"slice#{number:05d}"


def shard_key(run_id: str, shard: str) -> Key:
    return run_pk(run_id), f"shard#{shard}"


def job_key(run_id: str, shard: str, attempt: int) -> Key:
    return run_pk(run_id), f"job#{shard}#{attempt}"


def wait_key(run_id: str, shard: str, attempt: int) -> Key:
    """Stands exactly while the shard is PENDING. Repeats come before first attempts."""
    return run_pk(run_id), f"wait#{0 if attempt > 1 else 1}#{shard}"


def todo_key(run_id: str, shard: str) -> Key:
    """Stands exactly while the shard is ENDED."""
    return run_pk(run_id), f"todo#{shard}"


def invoke_key(run_id: str, shard: str) -> Key:
    """Stands exactly while a shard that is asked on demand is PENDING or INVOKING."""
    return run_pk(run_id), f"invoke#{shard}"


def failure_key(run_id: str, step: str, subject: str) -> Key:
    return run_pk(run_id), f"failure#{step}#{subject}"


def begun_key(run_id: str, step: str, subject: str) -> Key:
    return run_pk(run_id), f"begun#{step}#{subject}"


def pool_key(pool: str) -> Key:
    return f"pool#{pool}", "quota"


def listed_pool_key(pool: str) -> Key:
    """Stands exactly while the pool's row does, so that the pools there are can be read."""
    return POOLS, pool


def audit_key(pool: str, at: str, token: str) -> Key:
    """One change of a pool's limit. `at` is ISO 8601 in UTC, so that string order is time order."""
    return f"pool#{pool}", f"{AUDIT}{at}#{token}"


def trail_pk(month: str) -> str:
    """The audit trail of a month (`yyyy-mm`, UTC)."""
    return f"trail#{month}"


def trail_key(at: str, token: str) -> Key:
    """One entry of the audit trail."""
    return trail_pk(at[:7]), f"{at}#{token}"


def month_key(month: str) -> Key:
    """What the shards came to that were booked in a month (`yyyy-mm`, UTC), over all runs. It stays."""
    return MONTHS, month


def origin_key(origin_id: str) -> Key:
    return f"origin#{origin_id}", "sender"


def refused_model_key(region: str, model_id: str) -> Key:
    return REFUSED_MODELS, f"{REFUSED_MODEL}{region}#{model_id}"


def history_key(pool: str, week: str) -> Key:
    """What was seen of a pool's jobs in a week. It outlives the pool's row, which goes when the pool is idle."""
    return f"pool#{pool}", f"{HISTORY}{week}"


def lane_key(pool: str, run_id: str) -> Key:
    return f"pool#{pool}", f"lane#{run_id}"


def canary_key(run_id: str) -> Key:
    """What a run's canary came to, as JSON; stands from its judgement on."""
    return run_pk(run_id), "canary"


def open_key(run_id: str) -> Key:
    return OPEN, run_id


def done_key(ended_at: str, run_id: str) -> Key:
    """`ended_at` is ISO 8601 in UTC, so that string order is time order."""
    return f"done#{ended_at[:7]}", f"{ended_at}#{run_id}"
