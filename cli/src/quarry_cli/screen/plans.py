"""What a run would be, or was expected to be: lines of a word and what it is. Pure but for the table.

Numbers that are exact stand as they are; what is estimated is said to be "about", and what is a bound "at most".
"""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.screen.wording import dollars, duration, plain, size
from quarry_core.planning.estimate import Duration, Estimate

NOTE_CHARS_MAX = 1_000


def plan_lines(estimate: Estimate) -> list[tuple[str, str]]:
    """Every line of a plan."""
    lines = [
        ("rows", _rows(estimate)),
        *(("left out", f"{each.rows:,} rows: {each.why}") for each in estimate.rows_left_out),
    ]
    if estimate.rows_unsent:
        # Of the whole source, which the plan may take a part of.
        most = "" if estimate.rows_planned == estimate.rows_source else "at most "
        lines.append(
            ("not sent", f"{most}{_count(estimate.rows_unsent, 'row')} without a value, or too large: error rows")
        )
    lines += [
        ("shards", f"{shards_of(estimate)}, of at most {_count(estimate.shard_rows_max, 'row')}"),
        ("input", f"about {size(estimate.input_bytes)}"),
    ]
    if tokens := tokens_of(estimate):
        lines.append(("tokens", tokens))
    lines.append(("cost", cost_of(estimate)))
    lines += [("time", line) for line in _times(estimate)]
    return lines + [("note", note) for note in estimate.notes]


def plan_table(estimate: Estimate) -> Table:
    """The lines as a table that folds at the width of the terminal."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    before = ""
    for word, text in plan_lines(estimate):
        table.add_row(Text("" if word == before else word, style="dim"), Text(plain(text, NOTE_CHARS_MAX)))
        before = word
    return table


def _rows(estimate: Estimate) -> str:
    if estimate.rows_planned == estimate.rows_source:
        return f"{estimate.rows_planned:,}"
    return f"{estimate.rows_planned:,} of {estimate.rows_source:,}"


def shards_of(estimate: Estimate) -> str:
    """`60 in 3 waves over 20 slots`."""
    return f"{estimate.shards:,} in {_count(estimate.waves, 'wave')} over {_count(estimate.slots, 'slot')}"


def tokens_of(estimate: Estimate) -> str:
    """LLM tokens of the whole run; empty where they are not known."""
    if estimate.input_tokens is None or estimate.tokens is None:
        return ""
    each = estimate.tokens.mean * estimate.input_factor
    text = f"about {estimate.input_tokens:,} in ({each:,.0f} a record)"
    if estimate.output_tokens:
        text += f", {'at most' if estimate.output_from == 'max_tokens' else 'about'} {estimate.output_tokens:,} out"
    return text


def cost_of(estimate: Estimate) -> str:
    if estimate.dollars is None:
        return "not known"
    text = dollars(estimate.dollars)
    if estimate.output_from == "max_tokens":
        text = text.replace("about", "at most")
    return f"{text} (prices of {estimate.prices_as_of})"


def _times(estimate: Estimate) -> list[str]:
    if estimate.duration is None:
        return ["not known"]
    found = [time_of(estimate.duration)]
    if estimate.ahead_shards:
        behind = duration(estimate.duration.behind_s)
        found.append(f"about {behind} beside the {_count(estimate.ahead_shards, 'shard')} that the pool has already")
    return found


def time_of(time: Duration) -> str:
    """`about 3 h 20 min (3 h to 3 h 40 min; from 12 jobs)`."""
    between = "" if time.low_s == time.high_s else f"{duration(time.low_s)} to {duration(time.high_s)}; "
    return f"about {duration(time.seconds)} ({between}from {_count(time.jobs, 'job')})"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def planned_of(view: RunView) -> str:
    """What was expected of a run when it was planned, in one line; empty where nothing was."""
    if view.estimate is None:
        return ""
    estimate = Estimate.model_validate(view.estimate)
    parts = [f"planned: {shards_of(estimate)}", tokens_of(estimate)]
    if estimate.dollars is not None:
        parts.append(cost_of(estimate))
    if estimate.duration is not None:
        parts.append(f"about {duration(estimate.duration.behind_s)}")
    return "; ".join(part for part in parts if part)
