"""The words, names, values and signs that a condition is made of. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NoReturn

from quarry_core.text import shown_name

WHERE_CHARS_MAX = 16_384
_SHOWN_CHARS_MAX = 24

Op = Literal["=", "<>", "<", "<=", ">", ">="]


class WhereError(ValueError):
    """A condition that cannot be read; the text names the place, what stands there, and the remedy."""


Kind = Literal["word", "name", "text", "number", "sign", "end"]
_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?(?![\w.]))
  | (?P<word>[^\W\d]\w*)
  | (?P<text>'(?:[^']|'')*+')
  | (?P<name>"(?:[^"]|"")*+"|`(?:[^`]|``)*+`)
  | (?P<sign><>|!=|<=|>=|==|[=<>(),])
    """,
    re.VERBOSE,
)
SIGNS: dict[str, Op] = {"=": "=", "==": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
TURNED: dict[Op, Op] = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
WORDS = frozenset({"and", "or", "not", "in", "is", "null", "true", "false"})
# What SQL has besides, and what to write here.
OTHER_WORDS = {
    "like": "like is not supported; compare with =, or with in (…)",
    "ilike": "ilike is not supported; compare with =, or with in (…)",
    "between": "between is not supported; write column >= 1 and column <= 9",
    "select": "write the condition alone, as in lang = 'en'",
    "where": "write the condition alone, as in lang = 'en'",
    "exists": "exists is not supported; ask whether a column is null",
    "case": "case is not supported; write conditions with and and or",
}
_CURLY = dict.fromkeys("\u2018\u2019\u201a\u201b\u2032", "'") | dict.fromkeys(
    "\u201c\u201d\u201e\u2033\u00ab\u00bb", '"'
)


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    text: str  # a word in lower case; of names and texts what they stand for
    at: int
    raw: str


def tokens_of(text: str) -> Iterator[Token]:
    """The tokens of a condition, the last of which is its end. Raises WhereError."""
    if len(text) > WHERE_CHARS_MAX:
        raise WhereError(f"has {len(text)} characters, and at most {WHERE_CHARS_MAX} are allowed: shorten it")
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            _refuse_character(text, at)
        raw = found[0]
        match found.lastgroup:
            case "space":
                pass
            case "text":
                yield Token("text", raw[1:-1].replace("''", "'"), at, raw)
            case "name":
                yield Token("name", raw[1:-1].replace(raw[0] * 2, raw[0]), at, raw)
            case "number":
                yield Token("number", raw, at, raw)
            case "word":
                yield Token("word", raw.lower(), at, raw)
            case _:
                yield Token("sign", raw, at, raw)
        at = found.end()
    yield Token("end", "", len(text), "")


def _refuse_character(text: str, at: int) -> NoReturn:
    character = text[at]
    where = f"at character {at + 1}"
    if character in "'\"`":
        what = "a text" if character == "'" else "a name"
        raise WhereError(f"{where}, {what} begins that does not end; close it with {character}, and double one inside")
    if character in _CURLY:
        raise WhereError(f"{where} stands {shown_name(character)}; write the straight quote {_CURLY[character]}")
    hints = {
        ";": "write one condition, without ; behind it",
        "&": "write and",
        "|": "write or",
        "!": "write not, or <> between a column and a value",
        "[": "put a column's name into double quotes",
        "%": "numbers and texts are compared as they are; there are no calculations",
        "*": "there are no calculations; compare a column with a value",
        "+": "there are no calculations; compare a column with a value",
        "-": "there are no calculations, and no comments; a name with - stands in double quotes",
        "/": "there are no calculations, and no comments; compare a column with a value",
        ".": "a name with a dot stands in double quotes, and a number begins with a digit",
        "{": "where has no placeholders; write the column's name alone",
    }
    if character.isdigit():
        raise WhereError(
            f"{where} stands {shown_name(character)!r}; a name that begins with a digit stands in double quotes"
        )
    hint = hints.get(character, "it belongs neither to a condition nor to a bare name; put names into double quotes")
    raise WhereError(f"{where} stands {shown_name(character)!r}; {hint}")


def shown(token: Token) -> str:
    """What stands there, for a message."""
    text = token.raw if len(token.raw) <= _SHOWN_CHARS_MAX else token.raw[: _SHOWN_CHARS_MAX - 1] + "…"
    return shown_name(text)
