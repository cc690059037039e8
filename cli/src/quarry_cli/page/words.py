"""How the page words numbers, times and texts: the filters of its templates. Pure.

Texts are strangers': a filter makes what cannot be shown visible and cuts what is long; escaping is the templates'.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from quarry_cli.screen import wording
from quarry_core.models.money import dollars_apart
from quarry_core.text import marked, one_line

LINE_CHARS_MAX = 300
BLOCK_CHARS_MAX = 20_000
BLOCK_LINES_MAX = 1_000
TABS = 4
NOTHING = "\N{EN DASH}"


def line(value: object, chars_max: int = LINE_CHARS_MAX) -> str:
    """One line of a text."""
    return one_line(str(value), chars_max)


def block(value: object, chars_max: int = BLOCK_CHARS_MAX) -> str:
    """A text with its lines, in which whatever a browser would obey or hide is a mark."""
    text = str(value)
    cut = text[:chars_max]
    lines = cut.replace("\r\n", "\n").expandtabs(TABS).split("\n")
    shown = "\n".join(marked(one) for one in lines[:BLOCK_LINES_MAX])
    left = len(text) - len(cut)
    if left or len(lines) > BLOCK_LINES_MAX:
        shown += f"\n… (cut; it has {len(text):,} characters)"
    return shown


def pretty(value: object, chars_max: int = BLOCK_CHARS_MAX) -> str:
    """JSON text, indented if it is JSON."""
    text = str(value)
    if len(text) <= chars_max:
        with contextlib.suppress(ValueError, RecursionError):
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return block(text, chars_max)


def cell(value: Any, chars_max: int = 600) -> str:
    """A value of a result."""
    if isinstance(value, list):
        head = ", ".join(f"{each:.4g}" if isinstance(each, float) else line(each, 60) for each in value[:4])
        return line(f"[{head}{', …' if len(value) > 4 else ''}] ({len(value):,})", chars_max)
    if isinstance(value, dict):
        return block(json.dumps(value, ensure_ascii=False, default=str), chars_max)
    return block(value, chars_max)


def number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def short(value: float | None) -> str:
    """`1,234`, `56.2 k`, `3.4 M`."""
    if value is None:
        return NOTHING
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= limit:
            scaled = value / (1e3 if unit == "k" else limit)
            return f"{scaled:,.1f} {unit}" if scaled < 100 else f"{scaled:,.0f} {unit}"
    return f"{value:,.0f}"


def dollars(value: float | None, beside: float | None = None) -> str:
    """`$12.50`; told apart from the sum that stands beside it."""
    return NOTHING if value is None else dollars_apart(value, beside or 0)[0]


def percent(part: float, whole: float) -> str:
    """Never rounded up to 100 %, nor down to nothing."""
    if not whole:
        return NOTHING
    share = 100 * part / whole
    if share <= 0 or share >= 100:
        return f"{max(0, min(100, round(share)))} %"
    return f"{min(99.9, max(0.1, share)):.1f} %" if share < 10 or share > 99 else f"{share:.0f} %"


def when(text: str | None) -> str:
    """`2026-11-30 23:08 UTC`."""
    moment = moment_of(text)
    return NOTHING if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def moment_of(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def state(text: str) -> str:
    """`Succeeded with errors`."""
    return str(text).replace("_", " ").capitalize()


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def amount(dollars: float) -> str:
    """As a field takes it: `25`, `0.5`."""
    return f"{dollars:.6f}".rstrip("0").rstrip(".")


def count(value: int, what: str) -> str:
    return f"{value:,} {what}{'' if value == 1 else 's'}"


FILTERS: Mapping[str, Callable[..., str]] = {
    "line": line,
    "block": block,
    "pretty": pretty,
    "cell": cell,
    "number": number,
    "short": short,
    "dollars": dollars,
    "when": when,
    "state": state,
    "amount": amount,
    "count": count,
    "duration": wording.duration,
}
