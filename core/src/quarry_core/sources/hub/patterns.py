"""Patterns of file names, as a dataset's README gives them and as the conventions of `datasets` use them. Pure.

The meaning is that of fsspec's glob: `*`, `?` and `[...]` inside a segment, `**` as a whole segment for any number of
them, and as the last one for all that is below. A file whose name is the pattern, letter for letter, is always one of
its files. Matching takes time in proportion to pattern and name, whatever a README makes of its stars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PATTERN_CHARS_MAX = 1_000
_ANY = "**"


class BadPattern(ValueError):
    """The text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class _One:
    """One character: any but a few, or one of a few. `ranges` are pairs of the first and the last."""

    ranges: tuple[tuple[str, str], ...]
    inside: bool

    def takes(self, char: str) -> bool:
        return any(first <= char <= last for first, last in self.ranges) == self.inside


_ANY_ONE = _One((), inside=False)
_Token = _One | None  # None: any number of characters


class Pattern:
    """Raises BadPattern."""

    def __init__(self, text: str) -> None:
        if len(text) > PATTERN_CHARS_MAX:
            raise BadPattern(f"a pattern of {len(text)} characters; at most {PATTERN_CHARS_MAX} are allowed")
        self.text = text.removeprefix("./")
        self._segments: list[str | list[_Token]] = []
        for segment in self.text.split("/"):
            if segment == _ANY:
                if self._segments[-1:] != [_ANY]:
                    self._segments.append(_ANY)
            elif _ANY in segment:
                raise BadPattern(f"the pattern {text!r}: ** can only stand alone between slashes")
            else:
                self._segments.append(_tokens(segment))

    @property
    def prefix(self) -> str:
        """What the path of each of its files begins with."""
        begins = min((at for char in "*?[" if (at := self.text.find(char)) >= 0), default=len(self.text))
        return self.text[:begins]

    def matches(self, path: str) -> bool:
        if path == self.text:
            return True
        names = path.split("/")
        # Which numbers of segments of the pattern can have taken the names so far.
        reached = {0}
        for place, name in enumerate(names):
            following: set[int] = set()
            for at in self._spread(reached):
                segment = self._segments[at] if at < len(self._segments) else None
                if segment == _ANY:
                    following.add(at)
                    if at == len(self._segments) - 1:
                        return True
                elif isinstance(segment, list) and _takes(segment, name):
                    following.add(at + 1)
            if not following:
                return False
            reached = following
            if place == len(names) - 1:
                return len(self._segments) in reached
        return False

    def _spread(self, reached: set[int]) -> set[int]:
        """And those that are reached by letting `**` take nothing."""
        found = set(reached)
        for at in reached:
            if at < len(self._segments) - 1 and self._segments[at] == _ANY:
                found.add(at + 1)
        return found


def _tokens(segment: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(segment):
        char = segment[at]
        at += 1
        if char == "*":
            if tokens[-1:] != [None]:
                tokens.append(None)
        elif char == "?":
            tokens.append(_ANY_ONE)
        elif char == "[" and (end := segment.find("]", at + (segment[at : at + 1] == "!") + 1)) > 0:
            inside = segment[at] != "!"
            tokens.append(_One(_ranges(segment[at + (not inside) : end]), inside))
            at = end + 1
        else:
            tokens.append(_One(((char, char),), inside=True))
    return tokens


def _ranges(text: str) -> tuple[tuple[str, str], ...]:
    ranges, at = [], 0
    while at < len(text):
        if text[at + 1 : at + 2] == "-" and at + 2 < len(text):
            ranges.append((text[at], text[at + 2]))
            at += 3
        else:
            ranges.append((text[at], text[at]))
            at += 1
    return tuple(ranges)


def _takes(tokens: Sequence[_Token], name: str) -> bool:
    """Greedy, with one way back: to the last star."""
    at = place = 0
    star, resume = -1, 0
    while place < len(name):
        token = tokens[at] if at < len(tokens) else _NOTHING
        if token is None:
            star, resume = at, place
            at += 1
        elif token.takes(name[place]):
            at += 1
            place += 1
        elif star >= 0:
            resume += 1
            at, place = star + 1, resume
        else:
            return False
    return all(token is None for token in tokens[at:])


_NOTHING = _One((), inside=True)
