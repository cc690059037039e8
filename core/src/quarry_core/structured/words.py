"""The words of JSON Schema (draft 2020-12) that an output schema may have, and what each may be. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from quarry_core.structured.flat import DEFINITIONS

TYPES = ("string", "integer", "number", "boolean", "object", "array", "null")
# Words that hold one schema, a list of schemas, and schemas by name.
ONE: tuple[str, ...] = (
    "items",
    "additionalProperties",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
)
LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
MAPS = ("properties", "patternProperties", "dependentSchemas", *DEFINITIONS)

# Words that are refused, and what to do instead.
_ELSEWHERE = "write every reference as #/$defs/…"
REFUSED = {
    "$id": _ELSEWHERE,
    "id": "leave it out; to describe a field named id, put it under properties",
    "$anchor": _ELSEWHERE,
    "$dynamicRef": _ELSEWHERE,
    "$dynamicAnchor": _ELSEWHERE,
    "$recursiveRef": _ELSEWHERE,
    "$recursiveAnchor": _ELSEWHERE,
    "$vocabulary": "leave it out",
    "dependencies": "write dependentRequired or dependentSchemas, as draft 2020-12 does",
    "additionalItems": "write prefixItems and items, as draft 2020-12 does",
    "nullable": 'write "type": ["string", "null"] or the like',
}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value) and len(set(value)) == len(value)


def _is_type(value: object) -> bool:
    kinds = [value] if isinstance(value, str) else value
    return isinstance(kinds, list) and bool(kinds) and _is_names(kinds) and all(one in TYPES for one in kinds)


def _is_values(value: object) -> bool:
    return isinstance(value, list) and bool(value)


def _is_map(value: object) -> bool:
    return isinstance(value, dict)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_named_lists(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_names, value.values()))


def _any(_value: object) -> bool:
    return True


_COUNT = (_is_count, "a whole number from 0 on")
_NUMBER = (_is_number, "a number")
_TEXT = (_is_text, "a text")
_BOOL = (_is_bool, "true or false")
_MAP = (_is_map, "an object of schemas")
_LIST = (_is_values, "a list of schemas that is not empty")
_ANY = (_any, "")
# Each word that is known: what it may be, for the check and in words.
WORDS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "type": (_is_type, f"one of {', '.join(TYPES)}, or a list of them"),
    "enum": (_is_values, "a list of values that is not empty"),
    "const": _ANY,
    "multipleOf": (lambda value: _is_number(value) and value > 0, "a number above 0"),  # type: ignore[operator]
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _NUMBER),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains"), _COUNT),
    **dict.fromkeys(("minProperties", "maxProperties"), _COUNT),
    **dict.fromkeys(("pattern", "format", "contentEncoding", "contentMediaType", "$ref"), _TEXT),
    **dict.fromkeys(("title", "description", "$comment"), _TEXT),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), _BOOL),
    **dict.fromkeys(MAPS, _MAP),
    **dict.fromkeys(LISTS, _LIST),
    **dict.fromkeys(ONE, _ANY),
    "required": (_is_names, "a list of names, each once"),
    "dependentRequired": (_is_named_lists, "an object of lists of names"),
    "default": _ANY,
    "examples": _ANY,
    "discriminator": _ANY,  # OpenAPI's word, which pydantic writes; it says what the branches say themselves
}
