"""What a view is made of: the structures that `quarry status --json` prints. Numbers and texts, no decision."""

from __future__ import annotations

from typing import Any

import msgspec

from quarry_core.contract.states import RunState


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of rows. `accepted = ok + error + again + open`, always.

    `source` are in the source, `planned` in the plan (the same as accepted), `left_out` in the source but cut by the
    manifest's limits. `enlisted` are in shards that stand. `processed` of the open ones have been processed by the
    model, as Bedrock tells it, and are not settled yet.
    """

    accepted: int
    ok: int
    error: int
    open: int
    again: int
    source: int
    planned: int
    left_out: int
    enlisted: int
    processed: int


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A Bedrock job. `status` is Bedrock's word; counts are None until Bedrock tells them."""

    name: str
    arn: str
    status: str
    attempt: int
    shard: str
    message: str
    submitted_at: str
    ended_at: str
    total_records: int | None
    processed_records: int | None
    success_records: int | None
    error_records: int | None


class JobMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What Bedrock said of `jobs` jobs that ended with `status`; `example` is one of them."""

    status: str
    message: str
    jobs: int
    example: str


class Slots(msgspec.Struct, frozen=True, kw_only=True):
    """The pool's slots: `in_use` by all runs, `held` of them by this one, which is served by its `class` and `weight`."""

    pool: str
    limit: int
    in_use: int
    held: int
    admission_class: str | None = msgspec.field(name="class", default=None)
    weight: int | None = None


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """LLM tokens of the settled shards, and what they cost by the table of prices (an estimate, in US dollars).

    `dollars` is None where the model has no price in the table of `prices_as_of`.
    """

    input_tokens: int
    output_tokens: int
    dollars: float | None
    prices_as_of: str


class VersionView(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the dataset: the run that makes it, and that run's state. `newest`: it is what `quarry results` takes."""

    version: int
    run_id: str
    state: RunState
    newest: bool


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run is HELD, of which kind, and since when. `remedy` is what to do: a command, or of the month's budget a sentence."""

    kind: str
    reason: str
    at: str
    remedy: str


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """A run's budget in US dollars: what of it is spent by settled shards, and what those that run are likely to cost."""

    budget_usd: float
    spent_usd: float
    committed_usd: float


class CanaryView(msgspec.Struct, frozen=True, kw_only=True):
    """A run's canary: `state` is waiting, passed, exceeded or approved, by whom and when. `judgement` is None while it waits.

    `judgement` has the fields of `quarry_core.planning.canary.Judgement`.
    """

    state: str
    judgement: dict[str, Any] | None = None
    approved_at: str | None = None
    approved_by: str | None = None


class Compact(msgspec.Struct, frozen=True, kw_only=True):
    """A run's results once more, in `parts` larger parts at `uri`; since `at`, by the ARN `by`, None where it is not known."""

    uri: str
    parts: int
    at: str
    by: str | None


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """What `quarry status --json` prints. Times are ISO 8601 in UTC; `eta_s` is None while nothing can be said.

    `round` is the pass over records that the run is in, `retried` how many were asked again so far; both are 1 and 0 while
    nothing was. `errors` counts the error rows of settled shards by code. `spent` is None until a shard is settled. `elapsed_s` runs
    from the run's acceptance to its end, or until now; `rows_per_minute` is None until a row is done. `result_prefix` goes
    before the names of our columns in the parts. `code` and `step` say why a run is FAILED, beside the sentence `error`.
    `estimate` is what was expected when the run was planned (`quarry plan --json` has the same fields); None where nothing
    was, or it cannot be read. Of a `dry_run` it is all there is. `cancelled_at` and `paused_at` are None where the run is
    neither; `cancelled_by` and `paused_by` are ARNs, None where it is not known who it was. `held` is None where it is not HELD:
    a held run is RUNNING, and admits nothing more. `canary` and `budget` are None where it has none. Likewise `erased_at`, from
    which on only numbers are left of the run. Its results are `version` of the dataset of run `of`, itself unless it is a retry;
    `versions` are all that there are, and empty while there is only one. `job_messages` has each sentence of Bedrock's about one of
    `jobs` once, the commonest first. `compact` is None unless its results were compacted. `eta_low_s` and `eta_high_s` are
    between which `eta_s` lies by what the model's jobs have taken so far; None where nothing is known of them.
    """

    run_id: str
    state: RunState
    error: str | None
    code: str | None
    step: str | None
    rows: Rows
    round: int
    retried: int
    shards: dict[str, int]
    errors: dict[str, int]
    spent: Spent | None
    jobs: list[JobView]
    slots: Slots | None
    waits_for: list[str]
    elapsed_s: int
    rows_per_minute: float | None
    eta_s: int | None
    results_uri: str | None
    result_prefix: str
    model_id: str | None
    source_uri: str | None
    accepted_at: str
    ended_at: str | None
    dry_run: bool
    estimate: dict[str, Any] | None
    cancelled_at: str | None = None
    cancelled_by: str | None = None
    paused_at: str | None = None
    paused_by: str | None = None
    held: Hold | None = None
    canary: CanaryView | None = None
    budget: Money | None = None
    erased_at: str | None = None
    erased_by: str | None = None
    of: str = ""
    version: int = 1
    versions: list[VersionView] = []
    job_messages: list[JobMessage] = []
    compact: Compact | None = None
    eta_low_s: int | None = None
    eta_high_s: int | None = None
