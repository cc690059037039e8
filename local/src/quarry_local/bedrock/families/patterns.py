"""A text that matches a regular expression, for values of schemas with a `pattern`. Pure.

Python's own parser takes the expression apart; for each piece the simplest text is made. Look-around and references
back are not followed: the caller holds the text against the pattern and says that none was found.
"""

from __future__ import annotations

import re
import re._constants as tokens  # type: ignore[import-not-found]  # the parser of `re`, which has no public name
import re._parser as parser  # type: ignore[import-not-found]
from typing import Any

_REPEATS_MAX = 256
_CATEGORIES = {
    tokens.CATEGORY_DIGIT: "0",
    tokens.CATEGORY_NOT_DIGIT: "a",
    tokens.CATEGORY_SPACE: " ",
    tokens.CATEGORY_NOT_SPACE: "a",
    tokens.CATEGORY_WORD: "a",
    tokens.CATEGORY_NOT_WORD: " ",
}
_CANDIDATES = "a0A_- .x1Zz/:@é"


def text_for(pattern: str, number: int, chars_min: int = 0) -> str:
    """A text in which the pattern is found; `number` picks among branches, open ends repeat up to `chars_min`."""
    tree = parser.parse(pattern)
    made = _made(tree, number, 0)
    if len(made) < chars_min:
        made = _made(tree, number, chars_min - len(made))
    if len(made) < chars_min:
        made += "x" * (chars_min - len(made))
    return made


def _made(tree: Any, number: int, more: int) -> str:
    texts: list[str] = []
    for kind, reported in tree:
        if kind is tokens.LITERAL:
            texts.append(chr(reported))
        elif kind is tokens.NOT_LITERAL:
            texts.append(next(one for one in _CANDIDATES if ord(one) != reported))
        elif kind is tokens.ANY:
            texts.append("a")
        elif kind is tokens.IN:
            texts.append(_one_of(reported))
        elif kind is tokens.BRANCH:
            branches = reported[1]
            texts.append(_made(branches[number % len(branches)], number, more))
        elif kind is tokens.SUBPATTERN:
            texts.append(_made(reported[-1], number, more))
        elif kind in {tokens.MAX_REPEAT, tokens.MIN_REPEAT, tokens.POSSESSIVE_REPEAT}:
            least, most, inner = reported
            wanted = max(least, min(1 + more, 1 if not more else most))
            count = min(int(most), wanted, max(least, _REPEATS_MAX))
            texts.append(_made(inner, number, 0) * count)
        elif kind is tokens.CATEGORY:
            texts.append(_CATEGORIES[reported])
    return "".join(texts)


def _one_of(members: Any) -> str:
    """One character of a class such as `[a-z_]` or `[^0-9]`."""
    if members[0][0] is tokens.NEGATE:
        return next(one for one in _CANDIDATES if not any(_holds(member, one) for member in members[1:]))
    kind, reported = members[0]
    if kind is tokens.RANGE:
        return chr(reported[0])
    return _CATEGORIES[reported] if kind is tokens.CATEGORY else chr(reported)


def _holds(member: Any, one: str) -> bool:
    kind, reported = member
    if kind is tokens.RANGE:
        return bool(reported[0] <= ord(one) <= reported[1])
    if kind is tokens.CATEGORY:
        return re.fullmatch(_CLASSES[reported], one) is not None
    return bool(ord(one) == reported)


_CLASSES = {
    tokens.CATEGORY_DIGIT: r"\d",
    tokens.CATEGORY_NOT_DIGIT: r"\D",
    tokens.CATEGORY_SPACE: r"\s",
    tokens.CATEGORY_NOT_SPACE: r"\S",
    tokens.CATEGORY_WORD: r"\w",
    tokens.CATEGORY_NOT_WORD: r"\W",
}
