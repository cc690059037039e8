"""From a message's text to the JSON object in it. Pure.

Everything that parses may still hold what nothing else can carry: half a surrogate pair, nesting without end. Both
are found here by walking, never by recursion, so that no text makes an exception further on. So is a key that stands
twice in one object, of which a parser keeps the last and tells nobody.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from quarry_core.text import SURROGATE, bounded_text, shown_name

# Python's parser itself ends near 1,000, wherever it is called from.
NESTING_PARSED_MAX = 500
ENCODED_TIMES_MAX = 4
_REASON_BYTES_MAX = 500
_MARK = "\ufeff"
_TYPES = {list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number"}


class _Repeating(dict[str, Any]):
    """An object in which keys stand twice; each has its last value."""

    def __init__(self, pairs: list[tuple[str, Any]], repeated: list[str]) -> None:
        super().__init__(pairs)
        self.repeated = repeated


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) == len(pairs):
        return data
    times = Counter(key for key, _ in pairs)
    return _Repeating(pairs, [key for key in data if times[key] > 1])


class NotAnObject(ValueError):
    """Text that holds no JSON object. The message says what it is, and what to do: "not JSON: ..."."""


def parse_object(text: str) -> Mapping[str, Any] | str:
    """The JSON object of a text; a byte order mark in front says nothing.

    Returns:
        The object; or the text of an object that stands inside a JSON string.

    Raises:
        NotAnObject: it is none, or nested more than `NESTING_PARSED_MAX` deep.
    """
    data = _loaded(text.lstrip(_MARK))
    if isinstance(data, str) and inner_object(data) is not None:
        return data
    if not isinstance(data, dict):
        kind = "null" if data is None else _TYPES.get(type(data), type(data).__name__)
        many = ": send each object as a message of its own" if isinstance(data, list) else ""
        raise NotAnObject(f"not a JSON object but {kind}{many}")
    return data


def inner_object(text: str) -> Mapping[str, Any] | None:
    """The JSON object that a string holds, if it holds one, be it encoded `ENCODED_TIMES_MAX` times."""
    for _ in range(ENCODED_TIMES_MAX):
        stripped = text.strip().lstrip(_MARK)
        if stripped[:1] not in ("{", '"'):
            return None
        try:
            data = _loaded(stripped)
        except NotAnObject:
            return None
        if isinstance(data, dict):
            return data
        text = data if isinstance(data, str) else ""
    return None


def _loaded(text: str) -> Any:
    try:
        data = json.loads(text, object_pairs_hook=_object)
    except RecursionError as error:
        raise NotAnObject(f"nested more than {NESTING_PARSED_MAX} deep") from error
    except json.JSONDecodeError as error:
        hint = "; send each object as a message of its own" if error.msg == "Extra data" else _hint(text)
        raise NotAnObject(bounded_text(f"not JSON: {error}{hint}", _REASON_BYTES_MAX)) from error
    except ValueError as error:  # a number of more digits than Python reads
        raise NotAnObject("not JSON that can be read: a number has thousands of digits") from error
    if nested(data) > NESTING_PARSED_MAX:
        raise NotAnObject(f"nested more than {NESTING_PARSED_MAX} deep")
    return data


def _hint(text: str) -> str:
    if text[:1] == "'" or text[:2] == "{'":
        return "; JSON has double quotes (in Python: json.dumps, not str)"
    try:
        decoded = base64.b64decode(text[:64], validate=True)
    except (binascii.Error, ValueError):
        return ""
    return "; it is base64: send the JSON itself" if decoded.lstrip().startswith(b"{") else ""


# --------------------------------------------------------------------------- walking


def nested(data: object) -> int:
    """How deep lists and objects stand in each other: 1 for a flat object, 0 for a plain value."""
    depth, level = 0, [data]
    while level := [each for each in level if isinstance(each, (dict, list))]:
        depth += 1
        level = [one for each in level for one in (each.values() if isinstance(each, dict) else each)]
    return depth


def half_pairs(data: object) -> Iterator[tuple[str, str]]:
    """(field, sentence) for every text with half a surrogate pair: JSON can spell it, UTF-8 cannot carry it."""
    waiting: list[tuple[str, object]] = [("", data)]
    while waiting:
        where, value = waiting.pop()
        match value:
            case str() if found := SURROGATE.search(value):
                yield (
                    where,
                    f"character {found.start() + 1} is half of a surrogate pair ({shown_name(found[0])}); {_WHOLE}",
                )
            case dict():
                for key, one in value.items():
                    name = shown_name(str(key))  # YAML has keys that are no text
                    field = f"{where}.{name}" if where else name
                    if SURROGATE.search(str(key)):
                        yield field, f"the key holds half of a surrogate pair; {_WHOLE}"
                    waiting.append((field, one))
            case list():
                waiting += [(f"{where}.{place}", one) for place, one in enumerate(value)]


def repeated_keys(data: object) -> Iterator[tuple[str, str]]:
    """(field, sentence) for every key that stands twice in an object, of what `parse_object` gave."""
    waiting: list[tuple[str, object]] = [("", data)]
    while waiting:
        where, value = waiting.pop()
        if isinstance(value, _Repeating):
            for key in value.repeated:
                yield _below(where, key), "the key appears twice in its object: keep one"
        if isinstance(value, dict):
            waiting += [(_below(where, str(key)), one) for key, one in value.items()]
        elif isinstance(value, list):
            waiting += [(_below(where, str(place)), one) for place, one in enumerate(value)]


def _below(where: str, key: str) -> str:
    return f"{where}.{shown_name(key)}" if where else shown_name(key)


_WHOLE = "send whole characters (the text was cut inside one, such as an emoji)"


def fixed(data: Any) -> Any:
    """The same with U+FFFD for half pairs, so that the rest can be judged. Nested at most `NESTING_PARSED_MAX`."""
    match data:
        case str():
            return SURROGATE.sub("\ufffd", data)
        case dict():
            return {SURROGATE.sub("\ufffd", key): fixed(value) for key, value in data.items()}
        case list():
            return [fixed(value) for value in data]
        case _:
            return data


def without_nulls(data: Any) -> Any:
    """The same without the keys that are null, at any depth: null means unset."""
    match data:
        case dict():
            return {key: without_nulls(value) for key, value in data.items() if value is not None}
        case list():
            return [without_nulls(value) for value in data]
        case _:
            return data
