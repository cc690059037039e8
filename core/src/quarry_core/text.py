"""Text of unknown origin, made fit for an item, a log line, a sentence or a terminal. Pure.

Manifests, model answers, file names and AWS's messages may hold anything: half a surrogate pair, which no UTF-8 can
carry, control characters, which a terminal obeys, marks that turn or hide text, or 200 KB of it, which a DynamoDB item
of 400 KB cannot hold beside the rest. Each place needs another form, and all of them are here:

| Where | What | By |
| --- | --- | --- |
| the ledger | one line of so many bytes, which can be read back | `bounded_text` |
| a sentence that names a key, a column or an id | short, which can be read back | `shown_name` |
| the sentence of a failure | one line of so many characters, without what cannot be shown | `one_line` |
| a screen | one line with a mark for what cannot be shown; or a line with its spaces | `one_line`, `marked` |
| JSON on a terminal | the same JSON, which reads back the same | `json_escaped` |
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# A run's item, its totals and its lane hold one such text each, a shard and its job too.
ITEM_TEXT_BYTES_MAX = 8 * 1024
# Enough to recognize a key, a column or an id by.
NAME_CHARS_MAX = 80
# Marks on one character. Hebrew with vowels and accents takes four, Tibetan five.
STACKED_MAX = 8
# In place of what cannot be shown.
MARK = "\N{REPLACEMENT CHARACTER}"

SURROGATE = re.compile("[\ud800-\udfff]")

_C1 = "\x7f-\x9f"  # and DEL
_DIRECTION = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks that turn the direction of writing
_LINES = "\u2028\u2029"  # line and paragraph separators
_NONE = "\ufeff"  # no width, and the byte order mark
# What UTF-8 cannot carry, what a terminal obeys, and what makes a text look like another one. Joiners stay: scripts and
# emoji need them.
_UNSAFE = re.compile(f"[\x00-\x1f{_C1}{_DIRECTION}{_LINES}{_NONE}\ufffe\uffff\ud800-\udfff]")
# What JSON leaves as it is and a terminal obeys. Escaped it reads back the same, so all that hides or joins is in it too.
_OBEYED = re.compile(f"[{_C1}{_DIRECTION}{_LINES}{_NONE}\u00ad\u200b-\u200d\u2060-\u2065\u206a-\u206f\ufff9-\ufffb]")


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


def one_line(text: str, chars_max: int, mark: str = MARK) -> str:
    """One line of at most `chars_max` characters, spaces and line ends as one space, `mark` for what cannot be shown.

    A space as `mark` leaves those out. A pair of surrogates becomes its character, half of one cannot be shown.
    """
    text = text[: 4 * chars_max]  # a long text costs no more than this
    if SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    line = " ".join(marked(" ".join(text.split()), mark).split())
    return line if len(line) <= chars_max else line[: max(chars_max - 1, 0)].rstrip() + "…"


def marked(line: str, mark: str = MARK) -> str:
    """A line with all its spaces, `mark` in the place of each character that cannot be shown.

    Joiners stay where scripts and emoji need them, between two characters that are not ASCII's; of the marks that stand on one
    character, those stay that scripts need: a heap of them would cover the lines above and below.
    """
    if line.isascii() and line.isprintable():
        return line
    return "".join(_shown(line, mark))


def _shown(line: str, mark: str) -> Iterator[str]:
    height = 0
    for place, each in enumerate(line):
        category = unicodedata.category(each)
        height = height + 1 if category in _STACKED else 0
        if height > STACKED_MAX or (category in _HIDDEN and not (each in _JOINERS and _joins(line, place))):
            yield mark
        else:
            yield each


def _joins(line: str, place: int) -> bool:
    beside = line[place - 1 : place] + line[place + 1 : place + 2]
    return len(beside) == 2 and all(
        not each.isascii() and not each.isspace() and unicodedata.category(each) not in _HIDDEN for each in beside
    )


def json_escaped(text: str) -> str:
    """JSON text with what a terminal would obey as JSON's escapes, so that it reads back the same."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] in _SHORT:
        return _SHORT[match[0]]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Unicode's categories: controls, formats, surrogates, private and unassigned characters, line and paragraph separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_STACKED = frozenset({"Mn", "Me"})
_JOINERS = "\u200c\u200d"
