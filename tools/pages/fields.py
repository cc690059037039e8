"""Fields of pydantic models as rows of tables: types, defaults, limits and units, from their JSON Schema."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo
from tools.pages.text import code

SETTING_HEAD = ("Variable", "Default", "Unit, limits", "What it is")
FIELD_HEAD = ("Field", "Type", "Default", "Limits", "What it is")


# Between the words of a class's name.
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


def limits_of(schema: Mapping[str, Any]) -> str:
    """What a field's JSON Schema allows, in words; empty where it says nothing beyond the type."""
    shapes = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    shape = shapes[0] if shapes else schema
    words = []
    low, high = shape.get("minimum"), shape.get("maximum")
    above, below = shape.get("exclusiveMinimum"), shape.get("exclusiveMaximum")
    if above is not None:
        words.append(f"more than {above:,}")
    if below is not None:
        words.append(f"less than {below:,}")
    if low is not None and high is not None:
        words.append(f"{low:,} to {high:,}")
    elif low is not None:
        words.append(f"at least {low:,}")
    elif high is not None:
        words.append(f"at most {high:,}")
    if "maxLength" in shape:
        words.append(f"{shape.get('minLength', 0)} to {shape['maxLength']:,} characters")
    if "enum" in shape:
        words.append(" or ".join(code("\\t" if each == "\t" else each) for each in shape["enum"]))
    if "pattern" in shape:
        words.append(code(shape["pattern"]))
    return ", ".join(words)


def type_of(schema: Mapping[str, Any]) -> str:
    shapes = schema.get("anyOf", [schema])
    kinds = []
    for shape in shapes:
        if "$ref" in shape:
            kinds.append(_WORDS.sub(" ", shape["$ref"].rsplit("/", 1)[-1]).lower())
        elif shape.get("type") == "array":
            kinds.append(f"list of {_several(type_of(shape.get('items', {})))}")
        elif shape.get("type") == "object":
            kinds.append("object")
        elif "enum" in shape:
            kinds.append("string")
        else:
            kinds.append(str(shape.get("type", "any")))
    return " or ".join(dict.fromkeys(kinds))


def _several(kind: str) -> str:
    """`string or object` as `strings or objects`."""
    names = {"number": "numbers", "integer": "numbers"}
    return " or ".join(names.get(one, f"{one}s") for one in kind.split(" or "))


def default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ("", ()):
        return "unset"
    if isinstance(value, tuple):
        return code(",".join(f"{each:g}" for each in value))
    if isinstance(value, dict):
        return code("{}")
    return code(json.dumps(value) if isinstance(value, bool) else value)


def unit_of(name: str) -> str:
    words = name.split("_")
    for word, unit in (("s", "seconds"), ("hours", "hours"), ("bytes", "bytes")):
        if word in words[1:]:
            return unit
    return ""


def variables_of(name: str, field: FieldInfo) -> str:
    match field.validation_alias:
        case None:
            return code(f"QUARRY_{name.upper()}")
        case AliasChoices(choices=choices):
            return ", ".join(code(each) for each in choices)
        case alias:
            return code(alias)


def setting_rows(model: type[BaseModel], variables: Callable[[str, FieldInfo], str]) -> Iterator[list[str]]:
    schema = model.model_json_schema(by_alias=False)["properties"]
    for name, field in model.model_fields.items():
        limits = ", ".join(each for each in (unit_of(name), limits_of(schema[name])) if each)
        yield [variables(name, field), default_of(field), limits, field.description or ""]


def field_rows(model: type[BaseModel], schema: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, field in model.model_fields.items():
        key = field.alias or name
        shape = schema[key]
        description = field.description or ""
        yield [code(key), type_of(shape), default_of(field), limits_of(shape), description]
