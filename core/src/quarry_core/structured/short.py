"""The short form of an output schema: a list of `field: type`. Pure.

    ["sentiment: positive | negative | neutral",
     "score: number  # from 0 to 1, how sure",
     "tags: string[]",
     "published: date?"]

A list is always the short form, and an object always JSON Schema, so neither can be mistaken for the other. A field is
required; `?` at its end lets it be null or absent. `T[]` is a list. Words with `|` between them are the texts that it
may be, and one in double quotes is a text too, whatever it looks like. What follows ` # ` is told to the model. What
else a schema can say, needs JSON Schema.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

SHOWN_CHARS_MAX = 60

_FORMATS: Mapping[str, Mapping[str, Any]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
}
# What people write who know another language's names.
_OTHERS = {
    "str": "string",
    "text": "string",
    "varchar": "string",
    "int": "integer",
    "long": "integer",
    "int64": "integer",
    "float": "number",
    "double": "number",
    "decimal": "number",
    "bool": "boolean",
    "timestamp": "datetime",
    "date-time": "datetime",
    "list": "string[]",
    "array": "string[]",
}
_QUOTED = re.compile(r'"([^"]*)"')
_BARE = re.compile(r'[^"\[\]?|#{}:]+')


class ShortFormError(ValueError):
    """A field that cannot be read; the text names it and the remedy."""


def long_form(fields: Sequence[object]) -> dict[str, Any]:
    """The JSON Schema that a short form means.

    Raises:
        ShortFormError: names the entry, counted from 0, and the remedy.
    """
    properties: dict[str, Any] = {}
    required: list[str] = []
    for place, entry in enumerate(fields):
        if not isinstance(entry, str):
            raise ShortFormError(f'{place}: must be a text such as "score: number"')
        field, _, description = entry.partition(" # ")
        name, colon, kind = (part.strip() for part in field.partition(":"))
        if not colon or not name or not kind:
            raise ShortFormError(f'{place}: {_shown(entry)} is not of the form "field: type", such as "score: number"')
        if name in properties:
            raise ShortFormError(f"{place}: the field {_shown(name)} appears twice: name it once")
        optional = kind.endswith("?")
        shape = _shape(kind.removesuffix("?").strip(), place)
        properties[name] = _nullable(shape) if optional else shape
        if description.strip():
            properties[name]["description"] = description.strip()
        if not optional:
            required.append(name)
    if not properties:
        raise ShortFormError('the list is empty: name a field, such as "score: number"')
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _shape(kind: str, place: int) -> dict[str, Any]:
    if kind.endswith("[]"):
        return {"type": "array", "items": _shape(kind.removesuffix("[]").strip(), place)}
    if kind.startswith("(") and kind.endswith(")"):  # (a | b)[]
        kind = kind[1:-1].strip()
    words = [_word(word.strip(), place) for word in kind.split("|")] if kind else []
    if not words:
        raise ShortFormError(f"{place}: there is no type before []: write string[]")
    if len(words) == 1 and not words[0][1]:
        return _type_named(words[0][0], place)
    for word, quoted in words:
        if not quoted and word in _FORMATS:
            raise ShortFormError(
                f"{place}: {word} is a type, and beside | stand texts: write a union of types as JSON Schema,"
                f' or the text as "\\"{word}\\""'
            )
    texts = [word for word, _ in words]
    if len(set(texts)) < len(texts):
        raise ShortFormError(f"{place}: a text stands twice among {_shown(kind)}: keep one")
    return {"type": "string", "enum": texts}


def _word(word: str, place: int) -> tuple[str, bool]:
    quoted = _QUOTED.fullmatch(word)
    if quoted is not None:
        return quoted[1], True
    if not _BARE.fullmatch(word):
        raise ShortFormError(
            f"{place}: {_shown(word)} is no type and no plain text: put the text in double quotes, or write the"
            " output_schema as JSON Schema"
        )
    return word, False


def _type_named(name: str, place: int) -> dict[str, Any]:
    if name in _FORMATS:
        return dict(_FORMATS[name])
    near = _OTHERS.get(name.casefold()) or next(iter(difflib.get_close_matches(name.casefold(), _FORMATS, n=1)), None)
    hint = f"; did you mean {near}?" if near else ""
    raise ShortFormError(
        f"{place}: {_shown(name)} is not a type{hint} (types: {', '.join(_FORMATS)}, each also with [] or ?;"
        " texts: a | b)"
    )


def _nullable(shape: dict[str, Any]) -> dict[str, Any]:
    if "enum" in shape:
        return {**shape, "type": ["string", "null"], "enum": [*shape["enum"], None]}
    return {**shape, "type": [shape["type"], "null"]}


def _shown(text: str) -> str:
    shown = text if len(text) <= SHOWN_CHARS_MAX else text[: SHOWN_CHARS_MAX - 1] + "…"
    return repr(shown)
