"""How numbers, times and texts are worded, on a screen and in a log alike. Pure.

Texts that came from elsewhere (Bedrock's messages, answers of a model, names) are made plain first: a control
character in them must not reach a terminal.
"""

from __future__ import annotations

from quarry_cli.client.runs.view.shown import JobView, RunView
from quarry_core.contract.share import CLASS_DEFAULT, WEIGHT_DEFAULT
from quarry_core.contract.states import HELD, RunState
from quarry_core.models.money import dollars as exact_dollars
from quarry_core.models.money import dollars_apart
from quarry_core.planning.canary import Judgement, Share
from quarry_core.planning.costs import Range
from quarry_core.text import one_line

TEXT_CHARS_MAX = 300
JOB_MESSAGES_SHOWN = 3


def plain(text: str, chars_max: int = TEXT_CHARS_MAX) -> str:
    """One line without control characters, cut to a length."""
    return one_line(text, chars_max)


def duration(seconds: float) -> str:
    """About how long: `40 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def state_of(view: RunView) -> str:
    """The state, and what somebody has asked of the run meanwhile: `RUNNING, paused since 2026-...`."""
    if view.cancelled_at and not view.state.terminal:
        return f"{view.state.value}, cancelled at {view.cancelled_at}{_by(view.cancelled_by)}"
    if view.erased_at:
        return f"{view.state.value}, erased at {view.erased_at}{_by(view.erased_by)}"
    if view.held:
        return f"{HELD} since {view.held.at}{', and paused' if view.paused_at else ''}"
    if view.paused_at:
        return f"{view.state.value}, paused since {view.paused_at}{_by(view.paused_by)}"
    return view.state.value


def _by(who: str | None) -> str:
    return f" by {plain(who)}" if who else ""


def held_of(view: RunView) -> str:
    """Why a run is held, and what to do: `held: ...; let it go on: quarry approve r1; or end it: quarry cancel r1`."""
    if view.held is None:
        return ""
    return f"held: {plain(view.held.reason, 1_000)}; to let it go on: {view.held.remedy}; to end it: quarry cancel {view.run_id}"


def budget_of(view: RunView) -> str:
    """`budget: $5.00, about $1.20 spent, about $0.40 in jobs that run`."""
    money = view.budget
    if money is None:
        return ""
    budget, spent, committed = dollars_apart(money.budget_usd, money.spent_usd, money.committed_usd)
    text = f"budget: {budget}, {_about(spent)} spent"
    return f"{text}, {_about(committed)} in jobs that run" if money.committed_usd else text


def canary_of(view: RunView) -> str:
    """What the canary came to: `canary: 1,000 rows, 0.4% with an error (0.2% to 1.0%), ...; the run about $31.20`."""
    canary = view.canary
    if canary is None:
        return ""
    if canary.judgement is None:
        return "" if view.state.terminal else "canary: the first shard is asked alone"
    found = Judgement.model_validate(canary.judgement)
    text = f"canary: {found.rows:,} rows, {_share(found.error)} with an error"
    if found.truncated.share:
        text += f", {_share(found.truncated)} cut off"
    if found.dollars is not None and found.dollars.likely is not None:
        text += f"; the run {dollars(found.dollars.likely)} ({_between(found.dollars)})"
        estimate = view.estimate or {}
        if estimate.get("dollars") is not None:
            bound = "at most" if estimate["output_from"] == "max_tokens" else "at"
            text += f", planned {bound} {exact_dollars(estimate['dollars'])}"
    if found.input_tokens is not None and found.output_tokens is not None:
        text += f", with about {found.input_tokens.likely:,.0f} tokens in and {found.output_tokens.likely:,.0f} out"
    if found.left is not None and not view.state.terminal:
        text += f", {duration(found.left.seconds)} after it"
    if canary.approved_at:
        text += f"; approved at {canary.approved_at}{_by(canary.approved_by)}"
    return text


def _share(share: Share) -> str:
    return f"{share.share:.1%} ({share.low:.1%} to {share.high:.1%})"


def _between(amounts: Range) -> str:
    return " to ".join(exact_dollars(amount) for amount in (amounts.low, amounts.high))


def parts_of(parts: int) -> str:
    return "1 part" if parts == 1 else f"{parts:,} parts"


def rows_of(view: RunView) -> str:
    rows = view.rows
    if view.dry_run and view.state is RunState.SUCCEEDED:
        return "a dry run: nothing was sent"
    if not rows.accepted:
        return "rows not counted yet" if not view.state.terminal else "no rows"
    text = f"{rows.ok + rows.error:,} of {rows.accepted:,} rows"
    if rows.error:
        text += f", {rows.error:,} with an error"
    if rows.again:
        text += f", {rows.again:,} to be asked again"
    if rows.processed:
        text += f", {rows.processed:,} more processed"
    return text


def versions_of(view: RunView) -> str:
    """Which version of a dataset the run makes, and which others there are; empty while there is only one."""
    if not view.versions:
        return ""
    others = [
        f"version {each.version} {'is this run' if each.run_id == view.run_id else f'by {each.run_id}'}"
        f" ({each.state}{', the newest' if each.newest else ''})"
        for each in view.versions
    ]
    return f"dataset of run {view.of}: {'; '.join(others)}"


def job_messages_of(view: RunView) -> str:
    """What Bedrock says of jobs, a line each, at most `JOB_MESSAGES_SHOWN`."""
    shown = [
        f"{each.jobs:,} job{'' if each.jobs == 1 else 's'} {plain(each.status)}: {plain(each.message)}"
        for each in view.job_messages[:JOB_MESSAGES_SHOWN]
    ]
    more = len(view.job_messages) - len(shown)
    return "\n".join([*shown, *([f"and {more} other messages of jobs"] if more > 0 else [])])


def rounds_of(view: RunView) -> str:
    """What was asked again: `round 2: 4,013 records asked again`."""
    return f"round {view.round}: {view.retried:,} records asked again" if view.round > 1 else ""


def left_out_of(view: RunView) -> str:
    """What is not taken is told."""
    rows = view.rows
    return f"{rows.left_out:,} of {rows.source:,} rows of the source are left out" if rows.left_out else ""


def shards_of(view: RunView) -> str:
    reported = [f"{count:,} {state}" for state, count in view.shards.items() if count]
    return "shards: " + (", ".join(reported) or "none yet")


def slots_of(view: RunView) -> str:
    if view.slots is None:
        return ""
    slots = view.slots
    usual = (slots.admission_class or CLASS_DEFAULT, slots.weight or WEIGHT_DEFAULT) == (CLASS_DEFAULT, WEIGHT_DEFAULT)
    share = "" if usual else f" (class {slots.admission_class}, weight {slots.weight})"
    return f"slots: {slots.in_use} of {slots.limit} in use, {slots.held} by this run{share}"


def waits_of(view: RunView) -> str:
    """Whom the run waits for: `waits for Bedrock: 20 jobs; a collector: 3 shards to be settled`."""
    return f"waiting for {'; '.join(plain(each) for each in view.waits_for)}" if view.waits_for else ""


def eta_of(view: RunView) -> str:
    return f"about {duration(view.eta_s)} left" if view.eta_s is not None else ""


def pace_of(view: RunView) -> str:
    """How long it has been, and how fast it goes: `3 h 20 min, 1,200 rows/min`."""
    pace = [duration(view.elapsed_s)] if view.elapsed_s else []
    if view.rows_per_minute is not None:
        pace.append(f"{view.rows_per_minute:,.{0 if view.rows_per_minute >= 10 else 1}f} rows/min")
    return ", ".join(pace)


def spent_of(view: RunView) -> str:
    """LLM tokens and dollars of what is settled."""
    spent = view.spent
    if spent is None:
        return ""
    text = f"tokens: {spent.input_tokens:,} in, {spent.output_tokens:,} out"
    return text if spent.dollars is None else f"{text}, {dollars(spent.dollars)}"


def dollars(amount: float) -> str:
    """`about $1,234.50`; below ten cents with what it takes to see something. Nothing is `$0`."""
    return _about(exact_dollars(amount))


def _about(sum_: str) -> str:
    return sum_ if sum_ == "$0" else f"about {sum_}"


def errors_of(view: RunView) -> str:
    """Error rows by code, the most frequent first."""
    reported = [f"{plain(code)} {count:,}" for code, count in view.errors.items()]
    return f"errors: {', '.join(reported)}" if reported else ""


def records_of(job: JobView) -> str:
    if job.processed_records is None:
        return ""
    text = f"{job.processed_records:,}"
    if job.total_records is not None:
        text += f" of {job.total_records:,}"
    return text + (f", {job.error_records:,} with an error" if job.error_records else "")


def end_of(view: RunView) -> str:
    """The last word on a run: its state, its rows, why, and where the results are."""
    reported = [f"{view.state.value}: {rows_of(view)}"]
    if view.error:
        reported.append(plain(view.error))
    reported += [part for part in (rounds_of(view), errors_of(view), spent_of(view), pace_of(view)) if part]
    if view.results_uri:
        reported.append(f"results in {view.results_uri}")
    return "; ".join(reported)


def size(size_bytes: int) -> str:
    """`512 B`, `3.4 GB`; decimal, as S3 bills."""
    amount, unit = float(size_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1_000 or unit == "TB":
            break
        amount /= 1_000
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
