"""JSON Schemas that records carry: whether one is a schema at all, and a value that fits it. Pure.

A value is made from the prompt's digest, so it repeats, and its texts carry the digest as every answer does. It is made
by following the schema and then held against it; what a schema asks beyond that (`not`, exclusive `oneOf`) is met by
trying again with other numbers. A schema for which no value is found fails its record: live Bedrock would answer some of
these, and refuse others for features that its own subset of JSON Schema lacks, which is not judged here.
"""

from __future__ import annotations

import math
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from quarry_local.bedrock.families.patterns import text_for

_TRIES = 12
_DEPTH_MAX = 24
_DEPTH_EASY = 5  # deeper than this only what is required is made
_NODES_MAX = 4_000
_SCHEMA_BYTES_MAX = 1 << 20
_MERGED = ("properties", "$defs", "definitions", "patternProperties")
_ANY = ["string", "integer", "object", "array", "boolean", "null"]
_KINDS = {
    "properties": "object",
    "required": "object",
    "additionalProperties": "object",
    "items": "array",
    "prefixItems": "array",
    "minItems": "array",
    "minimum": "number",
    "maximum": "number",
    "multipleOf": "number",
}
_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}


class NoSchema(ValueError):
    """It is no JSON Schema of draft 2020-12; the text says why."""


class NoValue(ValueError):
    """No value that fits the schema was found."""


def schema_of(found: Any) -> Schema:
    """A schema from decoded JSON, or from JSON text.

    Raises:
        NoSchema: it is none.
    """
    text = found.encode("utf-8", "replace") if isinstance(found, str) else msgspec.json.encode(found)
    if len(text) > _SCHEMA_BYTES_MAX:
        raise NoSchema(f"the schema is larger than {_SCHEMA_BYTES_MAX} bytes")
    return _read(text)


@lru_cache(maxsize=256)
def _read(text: bytes) -> Schema:
    # Every record of a job usually carries the same schema.
    try:
        found = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise NoSchema("the schema is not valid JSON") from None
    if not isinstance(found, dict):
        raise NoSchema("the schema is not an object")
    try:
        Draft202012Validator.check_schema(found)
    except SchemaError as wrong:
        where = "/".join(map(str, wrong.absolute_path))
        raise NoSchema(f"{where or '#'}: {wrong.message[:200]}") from None
    except RecursionError:
        raise NoSchema("the schema is nested too deep") from None
    return Schema(found, len(text))


class Schema:
    """A schema that was checked. `size_bytes`: of its text, which the model reads."""

    def __init__(self, root: dict[str, Any], size_bytes: int) -> None:
        self.root = root
        self.size_bytes = size_bytes
        self._validator = Draft202012Validator(root)

    def fits(self, value: Any) -> bool:
        return bool(self._validator.is_valid(value))

    def value(self, digest: str) -> Any:
        """A value that fits, the same for the same digest.

        Raises:
            NoValue: none was found.
        """
        why = "what was tried does not fit it"
        for number in range(_TRIES):
            try:
                made = _Maker(self.root, self._validator, digest, number).make(self.root, 0)
                if self.fits(made):
                    return made
            except NoValue as wrong:
                why = str(wrong)
            except Exception as wrong:  # a reference that leads nowhere, a pattern that Python's `re` does not know
                raise NoValue(f"{type(wrong).__name__}: {wrong}"[:200]) from None
        raise NoValue(why)


class _Maker:
    """Makes one value; what is tried first differs by `number`."""

    def __init__(self, root: dict[str, Any], validator: Any, digest: str, number: int) -> None:
        self._root = root
        self._validator = validator
        self._digest = digest
        self._number = number
        self._nodes = 0

    def make(self, schema: Any, depth: int) -> Any:
        self._nodes += 1
        if depth > _DEPTH_MAX or self._nodes > _NODES_MAX:
            raise NoValue("the schema refers to itself without end, or is too large")
        if schema is False:
            raise NoValue("nothing fits `false`")
        if schema is True or not schema:
            return self._digest
        schema = self._flat(schema, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._fitting(schema, list(schema["enum"]))
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                return self._branch(schema, choice, depth)
        return self._typed(schema, depth)

    def _flat(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """References and `allOf` taken into the schema itself."""
        for _ in range(_DEPTH_MAX):
            if "$ref" in schema:
                rest = {name: value for name, value in schema.items() if name != "$ref"}
                schema = _merge(self._referred(schema["$ref"]), rest)
            elif "allOf" in schema:
                parts = schema["allOf"]
                schema = {name: value for name, value in schema.items() if name != "allOf"}
                for part in parts:
                    schema = _merge(schema, self._flat(part, depth) if isinstance(part, dict) else {})
            else:
                return schema
        raise NoValue("the schema refers to itself without end")

    def _referred(self, reference: str) -> dict[str, Any]:
        if not reference.startswith("#"):
            raise NoValue(f"references to other documents are not followed: {reference[:100]}")
        found: Any = self._root
        for step in reference[1:].split("/"):
            if step:
                found = found[step.replace("~1", "/").replace("~0", "~")]
        if not isinstance(found, dict):
            raise NoValue(f"nothing can be made of {reference[:100]}")
        return found

    def _branch(self, schema: dict[str, Any], choice: str, depth: int) -> Any:
        rest = {name: value for name, value in schema.items() if name != choice}
        branches = sorted(schema[choice], key=lambda branch: branch == {"type": "null"})
        why = "no branch fits"
        for turn in range(len(branches)):
            branch = branches[(turn + self._number) % len(branches)]
            try:
                made = self.make(_merge(rest, branch) if isinstance(branch, dict) else branch, depth + 1)
            except NoValue as wrong:
                why = str(wrong)
                continue
            if self._validator.evolve(schema=schema).is_valid(made):
                return made
        raise NoValue(why)

    def _fitting(self, schema: dict[str, Any], values: list[Any]) -> Any:
        first = self._draw(len(values))
        for value in values[first:] + values[:first]:
            if self._validator.evolve(schema=schema).is_valid(value):
                return value
        raise NoValue("no value of the enum fits")

    def _typed(self, schema: dict[str, Any], depth: int) -> Any:
        kinds = schema.get("type") or next((kind for word, kind in _KINDS.items() if word in schema), _ANY)
        if isinstance(kinds, list):
            kinds = sorted(kinds, key=lambda kind: kind == "null")[self._number % len(kinds)]
        match kinds:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer" | "number":
                return self._number_for(schema, whole=kinds == "integer")
            case "boolean":
                return self._draw(2) == 0
            case "null":
                return None
            case _:
                return self._text(schema)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties: dict[str, Any] = schema.get("properties", {})
        required = list(schema.get("required", ()))
        more = schema.get("additionalProperties", True)
        made: dict[str, Any] = {}
        for name, inner in properties.items():
            if name in required:
                made[name] = self.make(inner, depth + 1)
            elif depth < _DEPTH_EASY and inner is not False:
                try:
                    made[name] = self.make(inner, depth + 1)
                except NoValue:
                    continue
        for name in required:
            if name not in made:
                made[name] = self.make(more, depth + 1)
        for number in range(int(schema.get("minProperties", 0)) - len(made)):
            made[f"more_{number}"] = self.make(more, depth + 1)
        most = schema.get("maxProperties")
        for name in [name for name in made if name not in required]:
            if most is not None and len(made) > most:
                del made[name]
        return made

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        first = list(schema.get("prefixItems", ()))
        items = schema.get("items", True)
        least, most = int(schema.get("minItems", 0)), int(schema.get("maxItems", _NODES_MAX))
        wanted = max(least, len(first), 0 if depth > _DEPTH_EASY or items is False else 1)
        made = [self.make(inner, depth + 1) for inner in first[:most]]
        if "contains" in schema:
            made += [self.make(schema["contains"], depth + 1) for _ in range(int(schema.get("minContains", 1)))]
        while len(made) < min(wanted, most):
            try:
                made.append(self.make(items, depth + 1))
            except NoValue:
                if len(made) < least:
                    raise
                break
            if schema.get("uniqueItems"):
                self._digest = blake2b(self._digest.encode(), digest_size=8).hexdigest()
        return made

    def _number_for(self, schema: dict[str, Any], *, whole: bool) -> float:
        step: float = schema.get("multipleOf", 1 if whole else 0.5)
        if whole and step != int(step):
            step = 1
        lows = [schema[word] for word in ("minimum", "exclusiveMinimum") if word in schema]
        highs = [schema[word] for word in ("maximum", "exclusiveMaximum") if word in schema]
        low: float = max(lows) if lows else min([0, *(high - 100 * step for high in highs)])
        high: float = min(highs) if highs else low + 100 * step
        least, most = math.ceil(low / step), math.floor(high / step)
        least += "exclusiveMinimum" in schema and least * step <= schema["exclusiveMinimum"]
        most -= "exclusiveMaximum" in schema and most * step >= schema["exclusiveMaximum"]
        if least > most:
            if whole or "multipleOf" in schema:
                raise NoValue("no number lies between the limits")
            return (low + high) / 2
        made = (least + self._draw(most - least + 1)) * step
        return int(made) if made == int(made) else made

    def _text(self, schema: dict[str, Any]) -> str:
        if "pattern" in schema:
            return text_for(schema["pattern"], self._number, int(schema.get("minLength", 0)))
        made = _FORMATS.get(schema.get("format", ""), f"simulated [{self._digest}]")
        least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
        made += "x" * (least - len(made))
        # The digest first, where it does not fit with the word before it.
        return made if most is None or len(made) <= most else (self._digest + made)[: int(most)]

    def _draw(self, below: int) -> int:
        drawn = blake2b(f"{self._digest}/{self._number}/{self._nodes}".encode(), digest_size=4).digest()
        return int.from_bytes(drawn, "big") % below


def _merge(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Both schemas as one, as far as that is a matter of names."""
    merged = {**first, **second}
    for name in _MERGED:
        if name in first and name in second:
            merged[name] = {**first[name], **second[name]}
    if "required" in first and "required" in second:
        merged["required"] = list(dict.fromkeys([*first["required"], *second["required"]]))
    if "allOf" in first and "allOf" in second:
        merged["allOf"] = [*first["allOf"], *second["allOf"]]
    return merged
