"""A run's report as one page that can be mailed: `_report.html`. Pure.

Theory of operation. The page says what `_report.json` says, and draws when which job ran. It needs nothing else: no script, no
picture, no font, and its own policy lets a browser load none. Whatever comes from elsewhere (messages, names, a prompt, answers)
is escaped, with a mark for what cannot be shown; so it is text in a mail, on a disk and in a browser. It is bounded: what is
left out is said.

The collector writes it beside the report, without rows and prompt: a prompt leaves the ledger some days after its run
(decision 0031), and is not to stay in the results. Who asks for them, by `quarry report`, adds them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

from quarry_core.models.money import dollars
from quarry_core.text import marked, one_line

PAGE_BYTES_MAX = 1 << 20
JOBS_DRAWN_MAX = 2_000
LANES_DRAWN_MAX = 80
CODES_SHOWN_MAX = 30
EXAMPLES_SHOWN_MAX = 3
SHARDS_SHOWN_MAX = 30
ROWS_SHOWN_MAX = 10
COLUMNS_SHOWN_MAX = 12
LINE_CHARS_MAX = 400
CELL_CHARS_MAX = 400
PROMPT_CHARS_MAX = 20_000
WIDTH = 1_000
LANE = 9
_NOTHING = "\N{EN DASH}"
_STATES = {
    "SUCCEEDED": ("ok", "Every row has an answer."),
    "SUCCEEDED_WITH_ERRORS": ("warn", "Some rows have an error in place of an answer."),
    "FAILED": ("bad", "The run failed."),
    "CANCELLED": ("warn", "The run was cancelled; what was answered until then is kept."),
}
_STATUSES = {"Completed": "ok", "PartiallyCompleted": "warn", "Failed": "bad", "Expired": "bad", "Stopped": "warn"}
_STYLE = """
:root{color-scheme:light dark;--paper:#f6f6f3;--card:#fff;--ink:#1c1f23;--soft:#5b626b;--line:#e3e3de;--ok:#2f7d5b;--bad:#b23b25;--warn:#d9a441;--run:#3a82b8;--track:#e7e8e4}
@media(prefers-color-scheme:dark){:root{--paper:#15181b;--card:#1d2125;--ink:#e8e9ea;--soft:#a3abb3;--line:#30363c;--ok:#4da47e;--bad:#e8836d;--warn:#d0a04a;--run:#5b9fd0;--track:#2c3237}}
*{box-sizing:border-box}body{margin:0;overflow-wrap:anywhere;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
main{max-width:60rem;margin:0 auto;padding:2rem 1.25rem}h1{font-size:1.6rem;line-height:1.25;margin:0;overflow-wrap:anywhere}
h2{font-size:1rem;margin:0 0 .75rem}p{margin:.4rem 0}.soft{color:var(--soft);font-size:.875rem;overflow-wrap:anywhere}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1.25rem 1.5rem;margin:1.25rem 0}
.big{font-size:2rem;font-weight:650;line-height:1.2;margin:.5rem 0}.state{font-weight:600}.dot{display:inline-block;width:.6rem;height:.6rem;border-radius:50%;margin-right:.5rem}
.dot.ok{background:var(--ok)}.dot.bad{background:var(--bad)}.dot.warn{background:var(--warn)}
svg{display:block;width:100%}rect.track{fill:var(--track)}rect.ok{fill:var(--ok)}rect.bad{fill:var(--bad)}rect.warn{fill:var(--warn)}rect.run{fill:var(--run)}
dl{display:grid;grid-template-columns:9rem 1fr;gap:.35rem 1rem;margin:0}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.tiles{grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:1rem}.tiles dd{font-size:1.3rem;font-weight:600}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.45rem .6rem .45rem 0;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
thead th{font-weight:500;color:var(--soft);font-size:.8125rem}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.wide{overflow-x:auto}.wide td{min-width:6rem;font-size:.875rem}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0;font-size:.85rem}code{font-size:.85em}
@media(max-width:40rem){dl:not(.tiles){grid-template-columns:1fr;gap:0}section{padding:1rem}}
@media print{body{background:#fff}section{break-inside:avoid}}
""".replace("\n", "")


@dataclass(frozen=True, slots=True)
class JobSpan:
    """When a job was there, as far as that is known; times are ISO 8601."""

    shard: str
    attempt: int
    status: str
    begun_at: str
    ended_at: str


@dataclass(frozen=True, slots=True)
class SomeRows:
    """Rows of the result, for who wants some on the page; values as texts, None for null."""

    names: Sequence[str]
    rows: Sequence[Sequence[str | None]]


def build_page(
    report: Mapping[str, Any],
    jobs: Iterable[JobSpan],
    *,
    name: str = "",
    prompt: str = "",
    rows: SomeRows | None = None,
) -> bytes:
    """The page, UTF-8, at most `PAGE_BYTES_MAX` bytes; the same for the same facts.

    Args:
        report: what `_report.json` holds.
        jobs: in any order.
        name: the manifest's `job_name_prefix`.
        prompt: what was asked, if it is to be on the page.
        rows: some of what came, likewise.
    """
    title = name or str(report["run_id"])
    body = [
        _head(report, title),
        _result(report),
        _asked(report, prompt),
        _time_line(report, list(jobs)),
        _errors(report),
        _shards(report),
        _some_rows(rows),
        _foot(report),
    ]
    page = (
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width,initial-scale=1'>"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<meta name=referrer content=no-referrer>"
        f"<title>{_text(title, 80)}: {_text(_word(report['state']))}</title><style>{_STYLE}</style></head><body><main>"
        f"{''.join(body)}</main></body></html>\n"
    ).encode("utf-8", "replace")
    assert len(page) <= PAGE_BYTES_MAX, f"the page has {len(page)} bytes"
    return page


def _foot(report: Mapping[str, Any]) -> str:
    as_of = (report.get("cost") or {}).get("prices_as_of")
    prices = f" Dollars are an estimate by the table of prices of {_text(as_of)}." if as_of else ""
    return f"<p class=soft>Written by Quarry.{prices} Times are in UTC.</p>"


def _head(report: Mapping[str, Any], title: str) -> str:
    kind, sentence = _STATES.get(str(report["state"]), ("warn", ""))
    if report.get("dry_run"):
        sentence = "A dry run: nothing was sent."
    reason = f"<p>{_text(report['reason'], 2_000)}</p>" if report.get("reason") else ""
    code = f" <code>{_text(report['code'])}</code>" if report.get("code") else ""
    return (
        f"<h1>{_text(title, 120)}</h1><p class=soft>Run {_text(report['run_id'])}{_version(report)}</p>"
        f"<section><p class=state><span class='dot {kind}'></span>{_text(_word(report['state']))}{code}</p>"
        f"<p>{sentence}</p>{reason}</section>"
    )


def _version(report: Mapping[str, Any]) -> str:
    """Of a retry: which version of which run's dataset its results are, and whose answers were carried over."""
    dataset = report.get("dataset") or {}
    if not dataset.get("carried_from"):
        return ""
    carried = f"carried over from {_text(dataset['carried_from'])}"
    return f" · version {_number(dataset['version'])} of the dataset of {_text(dataset['run_id'])}, {carried}"


def _result(report: Mapping[str, Any]) -> str:
    rows = report["rows"]
    accepted, ok, error = (_whole(rows.get(key)) for key in ("accepted", "ok", "error"))
    unread = _whole(rows.get("unread"))
    whole = accepted + unread
    tokens, cost = report.get("llm_tokens") or {}, report.get("cost") or {}
    good = round(WIDTH * ok / whole) if whole else 0
    bad = round(WIDTH * (error + unread) / whole) if whole else 0
    bar = (
        f"<svg viewBox='0 0 {WIDTH} 12' height=12 preserveAspectRatio=none role=img aria-label='Rows with an answer, and with an error'>"
        f"<rect class=track width={WIDTH} height=12 />"
        f"<rect class=ok width={good} height=12 /><rect class=bad x={WIDTH - bad} width={bad} height=12 /></svg>"
    )
    left_out = _whole(rows.get("left_out"))
    tiles = {
        "Rows": _number(whole),
        "With an answer": _number(ok),
        "With an error": _number(error + unread),
        "Tokens in": _number(tokens.get("input")),
        "Tokens out": _number(tokens.get("output")),
        "Cost": _dollars(cost.get("dollars")),
        "Time": _duration(report),
    }
    notes = [
        f"{_number(left_out)} rows of the source were left out by the manifest's limits." if left_out else "",
        f"{_number(unread)} rows were not read: reading the source broke off before them." if unread else "",
    ]
    return (
        f"<section><h2>What came</h2>{bar}<dl class=tiles style='margin-top:1rem'>{_pairs(tiles, wrap=True)}</dl>"
        f"{''.join(f'<p class=soft>{note}</p>' for note in notes if note)}</section>"
    )


def _asked(report: Mapping[str, Any], prompt: str) -> str:
    records = report.get("records") or {}
    on_demand = report.get("on_demand") or {}
    facts = {
        "Model": _text(report.get("model_id") or _NOTHING),
        "Source": _text(report.get("source") or _NOTHING, 600),
        "Accepted": _when(report.get("accepted_at")),
        "Ended": _when(report.get("ended_at")),
        "Results": _text(report.get("results_uri") or _NOTHING, 600),
        "Parts": _number(len(report.get("parts") or ())),
    }
    if records.get("retried"):
        facts["Asked again"] = f"{_number(records['retried'])} records, in {_number(records.get('rounds'))} rounds"
    if on_demand.get("rows"):
        facts["On demand"] = f"{_number(on_demand['rows'])} rows, {_dollars(on_demand.get('dollars'))}"
    text = f"<h2 style='margin-top:1.25rem'>Prompt</h2><pre>{_block(prompt, PROMPT_CHARS_MAX)}</pre>" if prompt else ""
    return f"<section><h2>What was asked</h2><dl>{_pairs(facts)}</dl>{text}</section>"


def _time_line(report: Mapping[str, Any], jobs: Sequence[JobSpan]) -> str:
    begin, end = _moment(report.get("accepted_at")), _moment(report.get("ended_at"))
    spans = []
    for job in jobs:
        begun, over = _moment(job.begun_at), _moment(job.ended_at) or end
        if begun is not None and over is not None:
            spans.append((begun, max(over, begun), job))
    if begin is None or end is None or not spans:
        return ""
    spans.sort(key=lambda each: (each[0], each[1], each[2].shard, each[2].attempt))
    step = -(-len(spans) // JOBS_DRAWN_MAX)
    drawn = spans[::step]
    first, last = min(begin, spans[0][0]), max(end, *(over for _, over, _ in spans))
    seconds = max((last - first).total_seconds(), 1.0)
    # A lane is free again when its job is over, so there are as many lanes as jobs at once.
    free: list[tuple[datetime, int]] = []
    lanes, rects, hidden = 0, [], 0
    for begun, over, job in drawn:
        if free and free[0][0] <= begun:
            lane = heapq.heappop(free)[1]
        else:
            lane, lanes = lanes, lanes + 1
        heapq.heappush(free, (over, lane))
        if lane >= LANES_DRAWN_MAX:
            hidden += 1
            continue
        x = round(WIDTH * (begun - first).total_seconds() / seconds, 1)
        width = max(1.0, round(WIDTH * (over - begun).total_seconds() / seconds, 1))
        rects.append(
            f"<rect class={_STATUSES.get(job.status, 'run')} x={x} y={lane * LANE} width={width} height={LANE - 2}>"
            f"<title>{_text(job.shard, 20)}, attempt {job.attempt}: {_text(job.status, 40)}</title></rect>"
        )
    height = LANE * max(1, min(lanes, LANES_DRAWN_MAX))
    left = len(spans) - len(drawn) + hidden
    note = f" {_number(len(spans) - left)} of {_number(len(spans))} jobs are drawn." if left else ""
    return (
        f"<section><h2>Jobs over time</h2><svg viewBox='0 0 {WIDTH} {height}' height={height} preserveAspectRatio=none role=img"
        f" aria-label='{_number(len(spans))} jobs over time'>{''.join(rects)}</svg>"
        f"<p class=soft>{_when(first.isoformat())} to {_when(last.isoformat())}; {_number(len(spans))} jobs,"
        f" at most {_number(_peak(spans))} at once.{note}</p></section>"
    )


def _peak(spans: Sequence[tuple[datetime, datetime, JobSpan]]) -> int:
    moves = sorted([(begun, 1) for begun, _, _ in spans] + [(over, -1) for _, over, _ in spans])
    most = now = 0
    for _, step in moves:
        now += step
        most = max(most, now)
    return most


def _errors(report: Mapping[str, Any]) -> str:
    found = sorted((report.get("errors") or {}).items(), key=lambda each: (-_whole(each[1].get("rows")), each[0]))
    if not found:
        return ""
    lines = []
    for code, each in found[:CODES_SHOWN_MAX]:
        examples = "".join(
            f"<p class=soft>{_text(one.get('record_id'), 20)}: {_text(one.get('message'))}</p>"
            for one in (each.get("examples") or ())[:EXAMPLES_SHOWN_MAX]
        )
        lines.append(
            f"<tr><td><code>{_text(code, 60)}</code>{examples}</td><td class=n>{_number(each.get('rows'))}</td></tr>"
        )
    more = (
        f"<p class=soft>and {_number(len(found) - CODES_SHOWN_MAX)} other codes</p>"
        if len(found) > CODES_SHOWN_MAX
        else ""
    )
    return (
        "<section><h2>Errors by code</h2><table><thead><tr><th>Code</th><th class=n>Rows</th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>{more}</section>"
    )


def _shards(report: Mapping[str, Any]) -> str:
    """Those of which somebody may want to know: more than one attempt, or a job that did not complete."""
    shards = report.get("shards") or ()
    odd = [
        each for each in shards if _whole(each.get("attempts")) > 1 or each.get("status") not in ("Completed", "", None)
    ]
    odd = [each for each in odd if not each.get("on_demand")]
    if not odd:
        return ""
    lines = "".join(
        f"<tr><td>{_text(each.get('shard'), 20)}</td><td class=n>{_number(each.get('attempts'))}</td>"
        f"<td>{_text(each.get('status') or _NOTHING, 40)}</td><td>{_text(each.get('message'))}</td></tr>"
        for each in odd[:SHARDS_SHOWN_MAX]
    )
    more = f"<p class=soft>and {_number(len(odd) - SHARDS_SHOWN_MAX)} others</p>" if len(odd) > SHARDS_SHOWN_MAX else ""
    return (
        f"<section><h2>Shards that took more than one job, or whose job did not complete</h2><table><thead><tr><th>Shard</th>"
        f"<th class=n>Attempts</th><th>Status</th><th>Message</th></tr></thead><tbody>{lines}</tbody></table>{more}</section>"
    )


def _some_rows(some: SomeRows | None) -> str:
    if some is None or not some.rows:
        return ""
    head = "".join(f"<th>{_text(name, 60)}</th>" for name in some.names[:COLUMNS_SHOWN_MAX])
    lines = "".join(
        "<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row[:COLUMNS_SHOWN_MAX]) + "</tr>"
        for row in some.rows[:ROWS_SHOWN_MAX]
    )
    left = len(some.names) - COLUMNS_SHOWN_MAX
    more = f"<p class=soft>{_number(left)} columns are not shown.</p>" if left > 0 else ""
    return (
        f"<section><h2>First rows</h2><div class=wide tabindex=0><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody>"
        f"</table></div>{more}</section>"
    )


# --------------------------------------------------------------------------- texts


def _text(value: Any, chars_max: int = LINE_CHARS_MAX) -> str:
    return escape(one_line("" if value is None else str(value), chars_max))


def _cell(value: str | None) -> str:
    return "<span class=soft>null</span>" if value is None else _block(value, CELL_CHARS_MAX)


def _block(text: str, chars_max: int) -> str:
    """A text with its lines."""
    cut = text[:chars_max] + ("…" if len(text) > chars_max else "")
    return escape("\n".join(marked(line) for line in cut.replace("\r\n", "\n").expandtabs(4).split("\n")))


def _word(state: Any) -> str:
    return str(state).replace("_", " ").capitalize()


def _pairs(facts: Mapping[str, str], *, wrap: bool = False) -> str:
    """`facts` are HTML already."""
    pairs = (f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items())
    return "".join(f"<div>{pair}</div>" if wrap else pair for pair in pairs)


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else _NOTHING


def _dollars(value: Any) -> str:
    return dollars(value) if isinstance(value, int | float) else _NOTHING


def _moment(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if text else None
    except (TypeError, ValueError):
        return None
    return None if found is None else found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _when(text: Any) -> str:
    moment = _moment(text)
    return _NOTHING if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _duration(report: Mapping[str, Any]) -> str:
    begin, end = _moment(report.get("accepted_at")), _moment(report.get("ended_at"))
    if begin is None or end is None:
        return _NOTHING
    minutes = max(0, round((end - begin).total_seconds() / 60))
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
