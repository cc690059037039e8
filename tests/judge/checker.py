"""The independent checker: judges what is left when all is over, by conservation and never by "all finished".

It shares no code with the product (a test holds its imports to that) and reads only what anybody with access to the account can read:
the objects in S3, the items of the table, the messages in the dead-letter queues, and the jobs that Bedrock lists. What
was asked for (`Asked`) comes from whoever sent the manifests. Simulation and chaos are judged by it alike.
"""

from __future__ import annotations

import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.parquet as pq

TERMINAL = {"SUCCEEDED", "SUCCEEDED_WITH_ERRORS", "FAILED", "CANCELLED"}
WITHOUT_MARKER = {"FAILED", "CANCELLED"}
ACTIVE = {"Submitted", "Validating", "Scheduled", "InProgress", "Stopping"}
HOLDING = {"ADMITTED", "SUBMITTED"}
JOB_NAME = re.compile(r".+-(?P<run>[a-z0-9.]+)-(?P<shard>\d{5})-(?P<attempt>\d{1,3})-(?P<env>[a-z0-9]{1,8})")
OUTCOME = ("response", "record_id", "status", "error_code", "error_message")
WHY_MAX = 12
FIGURES = (
    "lost",
    "duplicated",
    "over_quota",
    "paid_twice",
    "healthy_in_dlq",
    "leaked",
    "unexpected",
)


@dataclass(frozen=True)
class Asked:
    """A manifest that was sent.

    values: the input column `topic`, row by row; empty for a dry run.
    answers: what stands in each row's answer and in no other's; empty: the row's own value.
    """

    run_id: str
    values: Sequence[str]
    dry_run: bool = False
    # Where nothing goes wrong with records, all must be answered.
    all_answered: bool = True
    # Somebody asked that it be cancelled. Before it was planned it has no rows; else each has an answer or an error.
    cancelled: bool = False
    answers: Sequence[str] = ()
    attempts_max: int = 3
    # Where Bedrock refuses the model at some time, what is left is not asked again.
    denied: bool = False
    # Where a canary may end the run, likewise.
    may_fail: bool = False
    # Of a retry: the run whose rows with an error it asks again. Its rows are the next version of that run's dataset.
    retry_of: str = ""


@dataclass(frozen=True)
class Listed:
    """A job as Bedrock lists it; times in seconds, None: not over."""

    name: str
    arn: str
    status: str
    begun_s: float
    ended_s: float | None
    processed: int = 0


@dataclass
class Evidence:
    """What is left.

    objects: by key, the bodies of all versions, oldest first; a deletion is None.
    items: of the table.
    dead: by queue, the bodies of its dead-letter messages.
    jobs: as Bedrock lists them.
    quota: jobs that may be active at once in a pool; all here are of one.
    poison: bodies that must lie in a dead-letter queue, and may.
    prompts: what was asked of models on demand, request by request.
    asked_twice_max: so many of them may be repetitions, besides what the reports admit.
    over: whether all should be over, so that nothing may be held any more.
    month_usd: the largest budget that a calendar month ever had, in US dollars; None: at some time it had none.
    micros_of_a_million: what a million LLM tokens in and out cost in a batch, in millionths of a dollar; None: costs are not counted again.
    """

    asked: Sequence[Asked]
    objects: Mapping[str, Sequence[bytes | None]]
    items: Sequence[Mapping[str, object]]
    dead: Mapping[str, Sequence[str]]
    jobs: Sequence[Listed]
    quota: int
    env: str
    poison: Sequence[str] = ()
    prompts: Sequence[str] = ()
    asked_twice_max: int = 0
    over: bool = True
    month_usd: float | None = None
    micros_of_a_million: tuple[int, int] | None = None


@dataclass
class Verdict:
    """Figures in rows, jobs, messages and things held; `why` says what they come from, and what else is wrong."""

    figures: Counter[str] = field(default_factory=Counter)
    why: list[str] = field(default_factory=list)
    wrong: int = 0

    @property
    def right(self) -> bool:
        return not self.wrong and not any(self.figures[name] for name in FIGURES)

    def count(self, figure: str, number: int, words: str) -> None:
        if number > 0:
            self.figures[figure] += number
            self._say(f"{figure} {number}: {words}")

    def say(self, words: str) -> None:
        self.wrong += 1
        self._say(words)

    def _say(self, words: str) -> None:
        if len(self.why) < WHY_MAX:
            self.why.append(words[:400])


def judge(evidence: Evidence) -> Verdict:
    """Compare what was asked for with what is left."""
    verdict = Verdict()
    table = {(str(item["pk"]), str(item["sk"])): item for item in evidence.items}
    for asked in evidence.asked:
        _run(asked, evidence, table, verdict)
    _jobs(evidence, verdict)
    _dead(evidence, verdict)
    _held(evidence, table, verdict)
    _months(evidence, table, verdict)
    for key, versions in evidence.objects.items():
        if key.startswith(("results/", "outcomes/", "again/", "plans/", "on-demand/")) and len(set(versions)) > 1:
            verdict.say(f"{key} was published more than once, with other bytes")
    return verdict


# --------------------------------------------------------------------------- one run


def _run(asked: Asked, evidence: Evidence, table: Mapping[tuple[str, str], Mapping], verdict: Verdict) -> None:
    run_id = asked.run_id
    totals = table.get((f"run#{run_id}", "totals"))
    if totals is None:
        verdict.count("lost", max(1, len(asked.values)), f"{run_id} is not in the table")
        return
    state = str(totals["state"])
    if state not in TERMINAL:
        verdict.say(f"{run_id} is {state}")
    rows = _rows(run_id, evidence, verdict)
    if asked.dry_run:
        verdict.count("unexpected", len(rows), f"{run_id} is a dry run and has rows")
        if state != "SUCCEEDED" and not (state == "CANCELLED" and asked.cancelled):
            verdict.say(f"the dry run {run_id} is {state}: {totals.get('message')}")
        return
    if state == "CANCELLED" and not asked.cancelled:
        verdict.say(f"{run_id} is CANCELLED, and nobody asked for that")
    if state == "CANCELLED" and not totals.get("plan"):
        verdict.count("unexpected", len(rows), f"{run_id} was cancelled before it was planned and has rows")
        if asked.retry_of:
            return
        asked = replace(asked, values=(), answers=())
    there = Counter(row["topic"] for row in rows)
    wanted = Counter(asked.values)
    missing, more = wanted - there, there - wanted
    verdict.count("lost", missing.total(), f"{run_id} lacks rows: {_some(missing)}")
    known = sum(count for value, count in more.items() if value in wanted)
    verdict.count("duplicated", known, f"{run_id} has rows twice: {_some(more)}")
    verdict.count("unexpected", more.total() - known, f"{run_id} has rows that nobody sent: {_some(more)}")
    ids = Counter(row["record_id"] for row in rows)
    again = Counter({name: count - 1 for name, count in ids.items() if count > 1})
    verdict.count("duplicated", again.total(), f"{run_id} has record ids twice: {_some(again)}")
    if not missing and not more and [row["topic"] for row in rows] != list(asked.values):
        verdict.say(f"{run_id}: the rows are not in the order of their source")
    _answers(asked, rows, state, totals, verdict)
    if asked.retry_of:
        _retried(asked, rows, state, evidence, table, verdict)
        # What was carried over counts as its first attempt. Whether others were worth it depends on what was chosen.
        asked = replace(asked, attempts_max=asked.attempts_max + 1, may_fail=True)
    _attempts(asked, rows, state, evidence, verdict)
    _accounts(asked, rows, evidence, state, totals, verdict)


def _answers(asked: Asked, rows: Sequence[Mapping], state: str, totals: Mapping, verdict: Verdict) -> None:
    run_id = asked.run_id
    answered = [row for row in rows if row["status"] == "ok"]
    wanted = dict(zip(asked.values, asked.answers or asked.values, strict=True))
    others = [row for row in answered if wanted.get(row["topic"], row["topic"]) not in (row["response"] or "")]
    verdict.count("unexpected", len(others), f"{run_id} has answers to other rows: {others[:2]}")
    bare = [row for row in rows if row["status"] != "ok" and not row["error_code"]]
    if bare:
        verdict.say(f"{run_id} has {len(bare)} rows without an answer and without an error")
    if state == "CANCELLED":
        odd = Counter(row["error_code"] for row in rows if row["status"] != "ok" and row["error_code"] != "CANCELLED")
        if asked.all_answered and odd:
            verdict.say(f"{run_id} was cancelled, and has rows with other errors: {dict(odd)}")
    elif asked.all_answered and (state != "SUCCEEDED" or len(answered) != len(asked.values)):
        codes = Counter(row["error_code"] for row in rows if row["status"] != "ok")
        verdict.say(f"{run_id} is {state} with {len(answered)} answers: {dict(codes)} {totals.get('message', '')}")


def _attempts(asked: Asked, rows: Sequence[Mapping], state: str, evidence: Evidence, verdict: Verdict) -> None:
    """Each row shows the last of its record's outcomes; there are no more than allowed, and no fewer where it is worth it."""
    run_id = asked.run_id
    outcomes: defaultdict[str, list[tuple[str, Mapping]]] = defaultdict(list)
    for key in evidence.objects:
        found = re.fullmatch(rf"outcomes/{run_id}/(\d{{5}})-\d+\.parquet", key)
        body = _standing(evidence.objects[key]) if found else None
        if found is None or body is None:
            continue
        for row in _table(body, list(OUTCOME)).to_pylist():
            outcomes[row["record_id"]].append((found[1], row))
    for row in rows:
        # A retry shard's number is above those of the shards before it.
        every = sorted(outcomes[row["record_id"]], key=lambda each: each[0])
        if every and {name: row.get(name) for name in OUTCOME} != every[-1][1]:
            verdict.say(f"{run_id}: {row['record_id']} shows {row}, its last outcome is {every[-1][1]}")
        if len(every) > asked.attempts_max:
            verdict.count(
                "paid_twice", len(every) - asked.attempts_max, f"{run_id}: {row['record_id']} was asked too often"
            )
        fixable = row["error_code"] == "MISSING" or (row["error_message"] or "").startswith("429:")
        ends_early = asked.denied or asked.cancelled or asked.may_fail
        if fixable and len(every) < asked.attempts_max and state != "FAILED" and not ends_early:
            verdict.say(f"{run_id}: {row['record_id']} was asked {len(every)} times and ends with {row}")


def _retried(
    asked: Asked,
    rows: Sequence[Mapping],
    state: str,
    evidence: Evidence,
    table: Mapping[tuple[str, str], Mapping],
    verdict: Verdict,
) -> None:
    """What was answered stays as it was and is not asked again; and the dataset has a new version if all of it stands."""
    run_id, of = asked.run_id, asked.retry_of
    before = {row["record_id"]: row for row in _rows(of, evidence, verdict)}
    for row in rows:
        was = before.get(row["record_id"])
        if was is None or was["topic"] != row["topic"]:
            verdict.say(f"{run_id}: {row['record_id']} is of {row['topic']}, in {of} it is of {was and was['topic']}")
        elif was["status"] == "ok" and was != row:
            verdict.say(f"{run_id}: {row['record_id']} was {was} in {of}, and is {row}")
    answered = {name for name, row in before.items() if row["status"] == "ok"}
    for key, versions in evidence.objects.items():
        if key.startswith(f"batch-input/{run_id}/"):
            ids = {json.loads(line)["recordId"] for body in versions if body for line in body.splitlines()}
            verdict.count("paid_twice", len(ids & answered), f"{key} asks records that {of} has answers to")
    newest = str(table["run#" + of, "totals"].get("newest", "")) == run_id
    if newest and len(rows) != len(asked.values):
        verdict.count(
            "lost", len(asked.values) - len(rows), f"{run_id} is the newest version of {of}, and is not whole"
        )
    elif not newest and state not in WITHOUT_MARKER:
        verdict.say(f"{run_id} is {state}, and is not the newest version of {of}")


def _accounts(
    asked: Asked, rows: Sequence[Mapping], evidence: Evidence, state: str, totals: Mapping, verdict: Verdict
) -> None:
    """Table, report and marker must say what a recount says."""
    run_id = asked.run_id
    ok = sum(row["status"] == "ok" for row in rows)
    recount = {"accepted": len(asked.values), "ok": ok, "error": len(rows) - ok}
    reported = {name: int(totals[name]) for name in recount}
    if state in TERMINAL and (reported != recount or int(totals["open"]) or int(totals["again"])):
        verdict.say(f"{run_id}: the table says {reported} and {totals['open']} open, a recount {recount}")
    body = _standing(evidence.objects.get(f"results/{run_id}/_report.json"))
    if state in TERMINAL and body is None:
        verdict.say(f"{run_id} is {state} and has no report")
    if body is not None:
        report = json.loads(body)
        if {name: report["rows"][name] for name in recount} != recount:
            verdict.say(f"{run_id}: the report says {report['rows']}, a recount {recount}")
        if state in TERMINAL and report["state"] != state:
            verdict.say(f"{run_id}: the report says {report['state']}, the table {state}")
    marked = _standing(evidence.objects.get(f"results/{run_id}/_SUCCESS")) is not None
    if state in TERMINAL and marked is (state in WITHOUT_MARKER):
        verdict.say(f"{run_id} is {state}, and its marker {'stands' if marked else 'is missing'}")


def _rows(run_id: str, evidence: Evidence, verdict: Verdict) -> list[Mapping]:
    found: list[Mapping] = []
    prefix = f"results/{run_id}/part-"
    for key in sorted(key for key in evidence.objects if key.startswith(prefix)):
        body = _standing(evidence.objects[key])
        if body is None:
            continue
        try:
            part = _table(body)
        except Exception as error:
            verdict.say(f"{key} cannot be read: {error}")
            continue
        names = [name for name in ("topic", *OUTCOME) if name in part.column_names]
        found += [{"response": None} | row for row in part.select(names).to_pylist()]
    return found


# --------------------------------------------------------------------------- what was paid, dead-lettered, held


def _jobs(evidence: Evidence, verdict: Verdict) -> None:
    names: defaultdict[str, list[Listed]] = defaultdict(list)
    ours = [job for job in evidence.jobs if (found := JOB_NAME.fullmatch(job.name)) and found["env"] == evidence.env]
    for job in ours:
        names[job.name].append(job)
    for name, jobs in names.items():
        paid = [job for job in jobs if job.processed or job.status in ACTIVE]
        verdict.count("paid_twice", len(paid) - 1, f"{name} has {len(paid)} jobs that were worked on")
    now: set[str] = set()
    # One that ends at the moment at which another begins has made room for it.
    moments = sorted(
        [(job.begun_s, 1, job.arn) for job in ours]
        + [(job.ended_s, 0, job.arn) for job in ours if job.ended_s is not None]
    )
    over = 0
    for _, begins, arn in moments:
        if begins:
            now.add(arn)
            over += len(now) > evidence.quota
        else:
            now.discard(arn)
    verdict.count("over_quota", over, f"jobs began when {evidence.quota} others of ours were active")
    if evidence.over:
        active = [job.name for job in ours if job.status in ACTIVE]
        verdict.count("leaked", len(active), f"jobs are still active: {active}")
    admitted = sum(_asked_twice(evidence)) + sum(_asked_again(evidence))
    again = sum(count - 1 for count in Counter(evidence.prompts).values() if count > 1)
    allowed = admitted + evidence.asked_twice_max
    verdict.count("paid_twice", again - allowed, f"{again} records were asked twice on demand, {allowed} may be")


def _asked_twice(evidence: Evidence) -> Iterable[int]:
    for key, versions in evidence.objects.items():
        body = _standing(versions)
        if key.startswith("results/") and key.endswith("/_report.json") and body is not None:
            yield int(json.loads(body).get("on_demand", {}).get("asked_twice_at_most", 0))


def _asked_again(evidence: Evidence) -> Iterable[int]:
    """Rows that a retry asked on demand may have been asked on demand before; what had an answer is looked at by itself."""
    for asked in evidence.asked:
        body = _standing(evidence.objects.get(f"results/{asked.run_id}/_report.json")) if asked.retry_of else None
        if body is not None:
            yield int(json.loads(body).get("on_demand", {}).get("rows", 0))


def _dead(evidence: Evidence, verdict: Verdict) -> None:
    found = Counter(body for bodies in evidence.dead.values() for body in bodies)
    poison = set(evidence.poison)
    healthy = {queue: [body for body in bodies if body not in poison] for queue, bodies in evidence.dead.items()}
    number = sum(map(len, healthy.values()))
    verdict.count("healthy_in_dlq", number, str({queue: bodies[:2] for queue, bodies in healthy.items() if bodies}))
    if evidence.over and (missing := [body for body in poison if body not in found]):
        verdict.say(f"poison lies in no dead-letter queue: {missing}")


def _held(evidence: Evidence, table: Mapping[tuple[str, str], Mapping], verdict: Verdict) -> None:
    rows = {
        f"{item['run_id']}/{item['shard']}/{item['attempt']}"
        for (pk, sk), item in table.items()
        if pk.startswith("run#") and sk.startswith("shard#") and item["state"] in HOLDING
    }
    for (pk, sk), item in table.items():
        if not (pk.startswith("pool#") and sk == "quota"):
            continue
        holders = set(item.get("holders") or ())
        if int(item["in_use"]) != len(holders) or not holders <= rows:
            verdict.count("leaked", max(1, len(holders - rows)), f"{pk}: {item['in_use']} in use by {sorted(holders)}")
        elif evidence.over and holders:
            verdict.count("leaked", len(holders), f"{pk}: slots are still held by {sorted(holders)}")
    if not evidence.over:
        return
    kinds = ("wait#", "todo#", "invoke#")
    markers = [f"{pk} {sk}" for pk, sk in table if pk.startswith("run#") and sk.startswith(kinds)]
    verdict.count("leaked", len(markers), f"markers are left: {markers[:5]}")
    lanes = [f"{pk} {sk}" for pk, sk in table if sk.startswith("lane#") or pk == "open"]
    verdict.count("leaked", len(lanes), f"lanes or open runs are left: {lanes[:5]}")
    inputs = [
        key for key, body in evidence.objects.items() if key.startswith("batch-input/") and _standing(body) is not None
    ]
    verdict.count("leaked", len(inputs), f"inputs are left: {inputs[:5]}")


# --------------------------------------------------------------------------- what months cost


def _months(evidence: Evidence, table: Mapping[tuple[str, str], Mapping], verdict: Verdict) -> None:
    """Each month comes to what its shards do, each once; and not to more than its budget, but for what jobs cost more than was booked."""
    shards = [item for (pk, sk), item in table.items() if pk.startswith("run#") and sk.startswith("shard#")]
    months = {sk: item for (pk, sk), item in table.items() if pk == "months"}
    if strangers := {str(shard["month"]) for shard in shards if shard.get("month")} - months.keys():
        verdict.say(f"shards are booked in {sorted(strangers)}, which the table does not have")
    for name, month in months.items():
        ours = [shard for shard in shards if shard.get("month") == name]
        booked = sum(int(shard.get("booked_micros", 0)) for shard in ours)
        settled = [shard for shard in ours if shard["state"] == "SETTLED"]
        unbooked = sum(int(shard.get("booked_micros", 0)) for shard in settled)
        sums = {key: int(month[f"{key}_micros"]) for key in ("spent", "booked", "unbooked", "projected")}
        # More may be spent in it, by shards that were asked without having been booked.
        expected = {"spent": sums["spent"], "booked": booked, "unbooked": unbooked}
        expected["projected"] = sums["spent"] + booked - unbooked
        if sums != expected or sums["spent"] < sum(_spent(shard) for shard in settled):
            verdict.say(f"month {name} says {sums}, its shards {expected}")
        if evidence.over:
            left = sums["booked"] - sums["unbooked"]
            verdict.count("leaked", int(left != 0), f"{left} millionths of a dollar of {name} are still booked")
        dearer = sum(max(0, _spent(shard) - int(shard.get("booked_micros", 0))) for shard in settled)
        if evidence.month_usd is not None and sums["spent"] > (most := round(evidence.month_usd * 1_000_000) + dearer):
            verdict.say(f"month {name} has spent {sums['spent']} millionths of a dollar, and may {most}")
    spent, of_shards = sum(int(month["spent_micros"]) for month in months.values()), sum(map(_spent, shards))
    if spent != of_shards:
        verdict.say(f"the months have spent {spent} millionths of a dollar, their shards {of_shards}")
    if evidence.micros_of_a_million is not None:
        for shard in shards:
            _cost(shard, evidence, evidence.micros_of_a_million, verdict)


def _spent(shard: Mapping) -> int:
    return int(shard.get("spent_micros") or 0)


def _cost(shard: Mapping, evidence: Evidence, prices: tuple[int, int], verdict: Verdict) -> None:
    """A settled shard cost what the LLM tokens of its rows do; what was carried over was paid for before."""
    if shard["state"] != "SETTLED":
        return
    run_id, name = shard["run_id"], f"{shard['shard']}-{shard['attempt']}"
    plain = bool(shard.get("without_outcome"))
    key = f"results/{run_id}/part-{shard['shard']}.parquet" if plain else f"outcomes/{run_id}/{name}.parquet"
    body = _standing(evidence.objects.get(key))
    tokens = [0, 0]
    if body is not None and shard.get("ended_status") != "CARRIED":
        try:
            rows = _table(body, ["input_tokens", "output_tokens"])
        except Exception as error:
            verdict.say(f"{key} cannot be read: {error}")
            return
        tokens = [sum(each or 0 for each in column.to_pylist()) for column in rows.columns]
    dear = 2 if shard.get("kind") == "on_demand" and not shard.get("tier") else 1
    cost = dear * (prices[0] * tokens[0] + prices[1] * tokens[1]) / 1_000_000
    if abs(_spent(shard) - cost) > 1:
        verdict.say(f"{run_id}/{name} cost {_spent(shard)} millionths of a dollar, its rows {cost:.1f}")


def _table(body: bytes, columns: list[str] | None = None) -> pa.Table:
    """In this thread alone: what pyarrow's others hold when a process ends aborts it."""
    with pq.ParquetFile(io.BytesIO(body), pre_buffer=False) as file:
        return file.read(columns, use_threads=False)


def _standing(versions: Sequence[bytes | None] | None) -> bytes | None:
    return versions[-1] if versions else None


def _some(counted: Counter[str]) -> str:
    return f"{list(counted)[:3]}"
