"""References and `allOf` taken into a schema itself, as far as that is possible. Pure.

What two schemas ask of one value is merged keyword by keyword: the wider demand gives way to the narrower one. Where
that cannot be said in one schema, `Unmergeable` names the keyword. Recursion is not followed: see `Refs.recursive`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

# Words that say something of a value to people alone; the outer one holds.
NOTES = frozenset({"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"})
DEFINITIONS = ("$defs", "definitions")
_LARGER = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"})
_SMALLER = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"})

Node = dict[str, Any]


class Unmergeable(ValueError):
    """Two demands that one schema cannot state together; the text names the keyword."""


class NoSuchRef(ValueError):
    """A reference that leads to no schema of this document; the text says why."""


class Refs:
    """The references of one schema document.

    Args:
        root: the document.
    """

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root

    def resolve(self, ref: str) -> Any:
        """What a reference names: an object, true or false. Raises NoSuchRef."""
        if not ref.startswith("#"):
            raise NoSuchRef("references to other documents are not followed: put it under $defs")
        found: Any = self.root
        for step in ref[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdigit() and int(name) < len(found):
                found = found[int(name)]
            elif isinstance(found, dict) and name in found:
                found = found[name]
            else:
                raise NoSuchRef(f"{ref} is not there: define it, or correct the reference")
        if ref not in ("#", "#/") and not ref.startswith("#/"):
            raise NoSuchRef(f"{ref} is an anchor: write it as #/$defs/…")
        if not isinstance(found, (dict, bool)):
            raise NoSuchRef(f"{ref} is no schema")
        return found

    def recursive(self, ref: str) -> bool:
        """Whether what a reference names refers to itself."""
        return ref in self._recursive

    @cached_property
    def _recursive(self) -> frozenset[str]:
        """Every reference that can be reached from itself."""
        edges = {ref: _refs_in(self.resolve(ref)) for ref in _refs_in(self.root)}

        def reached(start: str) -> set[str]:
            seen: set[str] = set()
            waiting = list(edges[start])
            while waiting:
                ref = waiting.pop()
                if ref not in seen:
                    seen.add(ref)
                    waiting += edges.get(ref, ())
            return seen

        return frozenset(ref for ref in edges if ref == "#" or ref in reached(ref))

    def flat(self, schema: Node) -> Node:
        """A schema without `$ref` and `allOf` at its top; what stands inside stays as it is.

        Raises:
            Unmergeable: it cannot be said in one schema, or refers to itself.
        """
        return self._flat(schema, frozenset())

    def _flat(self, schema: Node, under: frozenset[str]) -> Node:
        if "$ref" not in schema and "allOf" not in schema:
            return schema
        rest = {word: value for word, value in schema.items() if word not in ("$ref", "allOf", *DEFINITIONS)}
        parts: list[Any] = []
        if "$ref" in schema:
            ref = schema["$ref"]
            if ref in under or ref == "#":
                raise Unmergeable(f"{ref} refers to itself")
            found = self.resolve(ref)
            parts.append(self._flat(found, under | {ref}) if isinstance(found, dict) else found)
        parts += [self._flat(part, under) if isinstance(part, dict) else part for part in schema.get("allOf", ())]
        merged: Node = {}
        for part in [*parts, rest]:
            if part is False:
                raise Unmergeable("no value fits `false`")
            if part is not True:
                merged = merge(merged, part)
        return merged


def _refs_in(schema: Any) -> set[str]:
    found: set[str] = set()
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(one.get("$ref"), str):
                found.add(one["$ref"])
            # The texts of an enumeration, of a default or of an example are no schemas.
            waiting += [value for word, value in one.items() if word not in ("enum", "const", "default", "examples")]
        elif isinstance(one, list):
            waiting += one
    return found


def merge(first: Node, second: Node) -> Node:
    """What fits both, as one schema; notes are those of the second. Raises Unmergeable."""
    _check_closed(first, second)
    _check_closed(second, first)
    merged = dict(first)
    for word, value in second.items():
        if word in DEFINITIONS:
            continue
        merged[word] = _both(word, merged[word], value) if word in merged and word not in NOTES else value
    return merged


def _both(word: str, one: Any, two: Any) -> Any:
    if one == two and type(one) is type(two):
        return one
    if word in _LARGER:
        return max(one, two)
    if word in _SMALLER:
        return min(one, two)
    match word:
        case "properties":
            return {**one, **{name: _all_of(one[name], inner) if name in one else inner for name, inner in two.items()}}
        case "required":
            return [*one, *(name for name in two if name not in one)]
        case "items" | "additionalProperties" | "contains" | "propertyNames":
            return _all_of(one, two)
        case "type":
            return _types(one, two)
        case "enum":
            shared = [each for each in one if each in two]
            if shared:
                return shared
        case "uniqueItems":
            return one or two
    raise Unmergeable(f"{word} is asked for twice, differently")


def _all_of(one: Any, two: Any) -> Any:
    if one == two:
        return one
    if False in (one, two):
        return False
    if one is True:
        return two
    return one if two is True else {"allOf": [one, two]}


def _types(one: str | Sequence[str], two: str | Sequence[str]) -> str | list[str]:
    first, second = ([each] if isinstance(each, str) else list(each) for each in (one, two))
    shared = [kind for kind in first if kind in second or (kind == "integer" and "number" in second)]
    shared += [kind for kind in second if kind == "integer" and "number" in first and kind not in shared]
    if not shared:
        raise Unmergeable("type is asked for twice, and no value has both")
    return shared[0] if len(shared) == 1 else shared


def _check_closed(one: Node, two: Node) -> None:
    if one.get("additionalProperties") is not False or "patternProperties" in one:
        return
    others = [name for name in two.get("properties", {}) if name not in one.get("properties", {})]
    if others:
        raise Unmergeable(
            f"additionalProperties: false of one part forbids {others[0]!r} of another: close the whole instead"
        )
