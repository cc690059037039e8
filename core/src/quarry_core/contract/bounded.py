"""Text of unknown origin, made fit for an item, a log line or a terminal. Pure.

Manifests, model answers, file names and AWS's messages may hold anything: half a surrogate pair, which no UTF-8
can carry, control characters, which a terminal obeys, or 200 KB of it, which a DynamoDB item of 400 KB cannot
hold beside the rest. Every text that the ledger writes goes through `bounded_text`.
"""

from __future__ import annotations

import re

# A run's item, its totals and its lane hold one such text each, a shard and its job too.
ITEM_TEXT_BYTES_MAX = 8 * 1024
# Enough to recognize a key, a column or an id by.
NAME_CHARS_MAX = 80

SURROGATE = re.compile("[\ud800-\udfff]")
# C0 and C1 controls, surrogates, line and paragraph separators, marks that turn the direction of writing, and U+FEFF.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)


def visible(text: str) -> str:
    """The same text with what cannot be shown, or must not be, as its Python escape."""
    return _UNSAFE.sub(_escape, text)


def bounded_text(text: str, bytes_max: int = ITEM_TEXT_BYTES_MAX) -> str:
    """One line of at most `bytes_max` bytes of UTF-8, made `visible`; what is cut off is said at its end.

    Doing it again changes nothing.
    """
    # No character is shorter than a byte, so the rest need not be looked at; a long text costs no more than this.
    line = visible(text[: bytes_max + 1])
    data = line.encode()
    if len(data) <= bytes_max and len(text) <= bytes_max:
        return line
    reported = f"… (cut; it had {len(text)} characters)"
    kept = data[: max(bytes_max - len(reported.encode()), 0)].decode(errors="ignore")
    return (kept + reported) if kept else data[:bytes_max].decode(errors="ignore")


def shown_name(text: str) -> str:
    """A key, a column or an id as a sentence may name it: visible, and cut in the middle of nowhere if it is long."""
    name = visible(text[: NAME_CHARS_MAX + 1])
    return name if len(name) <= NAME_CHARS_MAX else name[: NAME_CHARS_MAX - 1] + "…"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] in _SHORT:
        return _SHORT[match[0]]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
