"""JSON in what a model said: the text itself, in a code fence, or with chatter around it. Pure.

Every object in the text that does not stand in another one is a candidate. They are tried from the last to the first,
for models reason first and answer last; the caller takes the first that is valid. A number is read exactly, and NaN and
infinities, which are no JSON, are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

ANSWER_BYTES_MAX = 4 << 20
# Openings of which no object came, before the rest is given up.
TRIES_MAX = 64
_BOM = "\ufeff"
_CUT = "it ends in the middle"
_NO_JSON = "there is no JSON object in the answer"
_MALFORMED = (msgspec.MsgspecError, UnicodeError, RecursionError)


class NoObject(ValueError):
    """There is no JSON object; the text says why."""


def whole_object(text: str) -> dict[str, Any] | None:
    """The object that the text is, without anything around it but white space; None if it is none."""
    try:
        found = msgspec.json.decode(text.strip().lstrip(_BOM))
    except _MALFORMED:
        return None
    return found if isinstance(found, dict) else None


def objects_in(text: str) -> list[dict[str, Any]]:
    """The objects in a text, last first.

    Raises:
        NoObject: there is none, or the last one does not end; the text says what is wrong with it.
    """
    found, why = [], ""
    for start, end, reason in _spans(text):
        if reason == _CUT:
            # What stands before it is no answer, or not the whole of it.
            raise NoObject(f"the answer is not JSON: {_CUT}")
        if not reason:
            try:
                value = msgspec.json.decode(text[start:end])
            except _MALFORMED as error:
                why = why or str(error)
            else:
                found.append(value)
        why = why or reason
    if found:
        return found[::-1]
    raise NoObject(f"the answer is not JSON: {why}" if why else _NO_JSON)


def _spans(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, "") of each outermost object, or (start, start, what is wrong) of one that cannot be read.

    What stands in an object that cannot be read is not looked into: the search goes on where the reading stopped, so a
    text is read once.
    """
    at = tries = 0
    while (start := text.find("{", at)) >= 0 and tries < TRIES_MAX:
        try:
            at = _DECODER.raw_decode(text, start)[1]
            yield start, at, ""
            continue
        except json.JSONDecodeError as error:
            if _is_cut(text, error):
                yield start, start, _CUT
                return
            reason, at = f"{error.msg} at character {error.pos + 1}", max(error.pos, start + 1)
        except (ValueError, RecursionError) as error:
            reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
            at = len(text)
        tries += 1
        yield start, start, reason


def _is_cut(text: str, error: json.JSONDecodeError) -> bool:
    """Whether the text ends inside of the object, and not merely has a brace in it."""
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return True
    return not error.msg.startswith("Expecting property name") and "}" not in text[error.pos :]


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_int=len, strict=False)
