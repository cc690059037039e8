"""What a model is sent of a schema: three derivations, each by our own rules. Pure.

`native` is for the members of a body in which Bedrock itself enforces a schema. It enforces a part of JSON Schema, and a
record that asks for more fails, as does every other record of the run. So the schema is rewritten until it is of that
part and still says the same to the model: objects are closed, `oneOf` and lists of types become `anyOf`, `allOf` of
objects becomes one object, and bounds go into the description. What has no such form is refused by its path: an object
of unknown members, a tuple, recursion, `not` and `if`, a value of any kind. It is never sent another way in silence;
the user chooses one (`output_mode`). A property that is not required stays so.

`as_tool` is the schema as it is, for the input of a tool; `as_instruction` is it as text, for the end of the prompt.
Neither is enforced by Bedrock. Whatever was sent, answers are validated against the user's own schema.

Sources, read 2026-11-30: AWS's user guide on structured output; the subset and its limits (24 properties that are not
required, 16 unions) by Anthropic's page on structured outputs; what other clients rewrite, measured
(anthropic 2.14.0, litellm 1.110.2).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quarry_core.structured.flat import DEFINITIONS, NOTES, Node, Unmergeable
from quarry_core.structured.schema import OutputSchema, SchemaError

FORMATS_ENFORCED = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
OPTIONAL_MAX = 24
UNIONS_MAX = 16
REMEDY = 'or set "output_mode": "tool" or "instruction", which take any schema'
# Bounds, as the description says them.
_BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "greater than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "matches the regular expression {}",
    "format": "format {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} members",
    "maxProperties": "at most {} members",
    "default": "default {}",
}
_BY_TYPE = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "array": ("minItems", "maxItems", "uniqueItems", "items", "contains", "minContains", "maxContains", "prefixItems"),
    "object": (
        "properties",
        "required",
        "additionalProperties",
        "minProperties",
        "maxProperties",
        "patternProperties",
        "dependentRequired",
        "dependentSchemas",
        "propertyNames",
        "unevaluatedProperties",
    ),
}
_NO_FORM = {
    "not": "a negation",
    "if": "a condition",
    "dependentSchemas": "a condition",
    "prefixItems": "a tuple",
    "patternProperties": "an object of members whose names are not known",
    "contentSchema": "a text with a schema of its own",
}


def native(schema: OutputSchema, *, limited: bool = True) -> Node:
    """The schema as Bedrock enforces it.

    Args:
        schema: the user's.
        limited: whether the model bounds how many properties are optional and how many unions there are, as Claude does.

    Raises:
        SchemaError: names the path of what cannot be sent, and the remedies.
    """
    derived = _Native(schema)
    made = derived.document()
    if limited and derived.optional > OPTIONAL_MAX:
        raise SchemaError(
            "",
            f"{derived.optional} properties are not required, and the model takes {OPTIONAL_MAX}: require more, {REMEDY}",
        )
    if limited and derived.unions > UNIONS_MAX:
        raise SchemaError(
            "",
            f"{derived.unions} values are unions (anyOf, oneOf, a list of types, a value or null), and the model takes"
            f" {UNIONS_MAX}: give more of them one type, {REMEDY}",
        )
    return made


def as_tool(schema: OutputSchema) -> Node:
    """The schema as a tool's input, whose root must say that it is an object."""
    definitions = {word: schema.document[word] for word in DEFINITIONS if word in schema.document}
    return {**schema.root, **definitions}


def as_instruction(schema: OutputSchema) -> str:
    """What the end of the prompt asks for."""
    return (
        "\n\nAnswer with one JSON object and nothing else: no explanation, no code fence. It must be valid against this"
        f" JSON Schema:\n{schema.text}"
    )


class _Native:
    def __init__(self, schema: OutputSchema) -> None:
        self._schema = schema
        self._refs = schema.refs
        self._kept: dict[str, str] = {}
        self._definitions: Node = {}
        self.optional = 0
        self.unions = 0

    def document(self) -> Node:
        made = self._node(self._schema.root, "")
        return {**made, "$defs": self._definitions} if self._definitions else made

    def _node(self, schema: Any, path: str) -> Node:
        if not isinstance(schema, dict) or not schema.keys() - NOTES:
            what = "no value at all" if schema is False else "a value of any kind"
            raise _cannot(path, what, "give it a type")
        if "$ref" in schema:
            if self._refs.recursive(schema["$ref"]):
                raise _cannot(f"{path}/$ref", "recursion", "write out as many levels as there are")
            if schema.keys() == {"$ref"}:
                return {"$ref": self._definition(schema["$ref"], path)}
        try:
            flat = self._refs.flat(schema)
        except Unmergeable as error:
            raise SchemaError(path, f"cannot be sent: {error}; write it as one schema, {REMEDY}") from error
        for word, what in _NO_FORM.items():
            if word in flat:
                raise _cannot(f"{path}/{word}", what, "leave it out")
        if "anyOf" in flat or "oneOf" in flat:
            return self._union(flat, path)
        kinds = flat.get("type")
        if isinstance(kinds, list):
            if len(kinds) > 1:
                return self._of_types(flat, kinds, path)
            kinds = kinds[0]
        return self._typed(flat, kinds, path)

    def _definition(self, ref: str, path: str) -> str:
        """Each definition is derived once, under a name of its own."""
        if ref not in self._kept:
            name = ref.rpartition("/")[2].replace("~1", "_").replace("~0", "_") or "root"
            while name in self._definitions:
                name += "_"
            self._kept[ref] = f"#/$defs/{name}"
            self._definitions[name] = {}
            self._definitions[name] = self._node(self._refs.resolve(ref), ref.removeprefix("#/") or path)
        return self._kept[ref]

    def _union(self, flat: Node, path: str) -> Node:
        if "anyOf" in flat and "oneOf" in flat:
            raise _cannot(f"{path}/oneOf", "anyOf and oneOf together", "write one of them")
        word = "anyOf" if "anyOf" in flat else "oneOf"
        rest = {name: value for name, value in flat.items() if name != word and name not in NOTES}
        rest.pop("discriminator", None)
        self.unions += 1
        branches = [
            self._node({"allOf": [rest, branch]} if rest else branch, f"{path}/{word}/{place}")
            for place, branch in enumerate(flat[word])
        ]
        return _noted({"anyOf": branches}, flat, ())

    def _of_types(self, flat: Node, kinds: list[str], path: str) -> Node:
        self.unions += 1
        branches = []
        for kind in kinds:
            words = {"enum", "const", *_BY_TYPE.get(kind, ())}
            inner = {word: value for word, value in flat.items() if word in words}
            if "enum" in inner:
                inner["enum"] = [value for value in inner["enum"] if _is_of(value, kind)]
                if not inner["enum"]:
                    continue
                if kind == "null":
                    inner = {}
            branches.append(self._typed(inner, kind, path))
        if not branches:
            raise _cannot(f"{path}/enum", "an enumeration of none of its types", "correct type or enum")
        notes = {word: flat[word] for word in NOTES if word in flat}
        return _noted({"anyOf": branches} if len(branches) > 1 else branches[0], notes, ())

    def _typed(self, flat: Node, kind: str | None, path: str) -> Node:
        if "const" in flat or "enum" in flat:
            word = "const" if "const" in flat else "enum"
            values = [flat["const"]] if word == "const" else flat["enum"]
            if any(isinstance(value, (dict, list)) for value in values):
                raise _cannot(f"{path}/{word}", "an object or a list as a constant", "describe it by properties")
            made: Node = {"type": kind} if kind is not None else {}
            return _noted({**made, word: flat[word]}, flat, ())
        match kind:
            case None:
                raise _cannot(path, "a value of any kind", "give it a type")
            case "object":
                return self._object(flat, path)
            case "array":
                return self._array(flat, path)
            case "string":
                kept = {"format": flat["format"]} if flat.get("format") in FORMATS_ENFORCED else {}
                return _noted({"type": kind, **kept}, flat, tuple(kept))
            case _:
                return _noted({"type": kind}, flat, ())

    def _object(self, flat: Node, path: str) -> Node:
        properties: Mapping[str, Any] = flat.get("properties") or {}
        if flat.get("additionalProperties", False) is not False:
            raise _cannot(
                f"{path}/additionalProperties", "an object of members whose names are not known", "name them all"
            )
        if not properties:
            raise _cannot(path, "an object without properties", "name its properties")
        required = flat.get("required", [])
        unknown = [name for name in required if name not in properties]
        if unknown:
            raise SchemaError(
                f"{path}/required" if path else "required",
                f"names {unknown[0]!r}, which is not among the properties: correct one of them",
            )
        self.optional += len(properties) - len(required)
        below = f"{path}/properties" if path else "properties"
        made = {
            "type": "object",
            "properties": {name: self._node(inner, f"{below}/{name}") for name, inner in properties.items()},
            "required": required,
            "additionalProperties": False,
        }
        return _noted(made, flat, ())

    def _array(self, flat: Node, path: str) -> Node:
        if "items" not in flat:
            raise _cannot(path, "a list of values of any kind", "say what its items are")
        made: Node = {"type": "array", "items": self._node(flat["items"], f"{path}/items")}
        kept = ("minItems",) if flat.get("minItems") in (0, 1) else ()
        return _noted({**made, **{word: flat[word] for word in kept}}, flat, kept)


def _noted(made: Node, flat: Node, kept: tuple[str, ...]) -> Node:
    """With the description, and in it what Bedrock does not enforce."""
    bounds = [
        phrase.format(json.dumps(flat[word], ensure_ascii=False))
        for word, phrase in _BOUNDS.items()
        if word in flat and word not in kept and not (word == "default" and flat[word] is None)
    ]
    if flat.get("uniqueItems"):
        bounds.append("no item twice")
    words = [word for word in ("contains", "propertyNames", "dependentRequired") if word in flat]
    bounds += [f"{word} {json.dumps(flat[word], ensure_ascii=False)}" for word in words]
    description = flat.get("description", "")
    if bounds:
        description = f"{description} ({'; '.join(bounds)})" if description else "; ".join(bounds).capitalize()
    return {**made, "description": description} if description else made


def _is_of(value: Any, kind: str) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "integer":
            return (isinstance(value, int) and not isinstance(value, bool)) or (
                isinstance(value, float) and value.is_integer()
            )
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "object":
            return isinstance(value, dict)
        case _:
            return isinstance(value, list)


def _cannot(path: str, what: str, remedy: str) -> SchemaError:
    return SchemaError(path.lstrip("/"), f"{what} cannot be sent as a schema that Bedrock enforces: {remedy}, {REMEDY}")
