"""Reading an output schema: JSON Schema (draft 2020-12), or the short form; refused by the path of what is wrong. Pure.

The user's schema stays the truth: every answer is validated against it, just as it was given. So only what would be
misread is refused here: words that are no JSON Schema, references that lead nowhere, a root that makes no columns. What
a model cannot be *sent* is `derive`'s to say. `$schema` may name another draft; it is read as 2020-12 all the same,
and what that draft means otherwise is refused (a list as `items`, a boolean `exclusiveMinimum`, `dependencies`).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from quarry_core.structured.flat import DEFINITIONS, Node, NoSuchRef, Refs, Unmergeable
from quarry_core.structured.short import ShortFormError, long_form
from quarry_core.structured.words import LISTS, MAPS, ONE, REFUSED, WORDS
from quarry_core.text import shown_name

SCHEMA_BYTES_MAX = 64 * 1024
# Objects and lists in each other; an answer's columns are nested as deep.
DEPTH_MAX = 12
# With every reference followed, recursion apart.
NODES_MAX = 4_000
COLUMNS_MAX = 500
NAME_BYTES_MAX = 255

_DRAFTS = ("https://json-schema.org/", "http://json-schema.org/")


class SchemaError(ValueError):
    """A schema that is refused; the text names the path in it and the remedy."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)


class OutputSchema:
    """A schema that has been read.

    Attributes:
        text: the user's schema as JSON, short forms written out; the order of properties is kept.
        document: the same, decoded; without `$schema`, so that it is read as draft 2020-12.
        root: the root without `$ref` and `allOf`: an object with properties.
        refs: its references.
    """

    def __init__(self, text: str, document: Node, root: Node, refs: Refs) -> None:
        self.text = text
        self.document = document
        self.root = root
        self.refs = refs

    @property
    def properties(self) -> Mapping[str, Any]:
        """What becomes columns, in order."""
        found: Mapping[str, Any] = self.root["properties"]
        return found


def read_schema(given: object) -> OutputSchema:
    """Read what a manifest gives, or the text that was pinned.

    Raises:
        SchemaError: names the path and the remedy.
    """
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            raise SchemaError("", "must be an object (JSON Schema) or a list of texts, not a text") from None
    if isinstance(given, (list, tuple)):
        try:
            given = long_form(given)
        except ShortFormError as error:
            raise SchemaError("", str(error)) from error
    if not isinstance(given, Mapping):
        raise SchemaError("", 'must be a JSON Schema, or a list such as ["sentiment: string", "score: number"]')
    document: Node = {str(word): value for word, value in given.items()}
    _check_size(document)
    draft = document.pop("$schema", None)
    if draft is not None and not (isinstance(draft, str) and draft.startswith(_DRAFTS)):
        raise SchemaError("$schema", "must name a draft of JSON Schema: leave it out")
    _check_short(document)
    refs = Refs(document)
    for path, node in _nodes(document, "", 0):
        _check_node(path, node, refs)
    for path, node in _nodes(document, "", 0):
        _check_flat(path, node, refs)
    root = _root(document, refs)
    _check_expanded(root, refs)
    return OutputSchema(json.dumps(document, ensure_ascii=False, separators=(",", ":")), document, root, refs)


def _check_size(document: Node) -> None:
    try:
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        size_bytes = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise SchemaError("", f"cannot be written as JSON ({error})") from error
    if size_bytes > SCHEMA_BYTES_MAX:
        raise SchemaError(
            "", f"has {size_bytes} bytes; at most {SCHEMA_BYTES_MAX} are allowed, for it goes into every record"
        )


def _check_short(document: Node) -> None:
    """What was meant as `field: type` in an object."""
    if document and all(isinstance(value, (str, list)) for value in document.values()) and not WORDS.keys() & document:
        first = next(iter(document))
        raise SchemaError(
            _shown(first),
            "is no word of JSON Schema; the short form is a list:"
            f' ["{first}: {document[first] if isinstance(document[first], str) else "string"}", …]',
        )


# --------------------------------------------------------------------------- walking


def children(node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(path below, schema) of every schema that stands in one, definitions included."""
    for word in ONE:
        if word in node:
            yield word, node[word]
    for word in LISTS:
        if isinstance(node.get(word), list):
            yield from ((f"{word}/{place}", one) for place, one in enumerate(node[word]))
    for word in MAPS:
        if isinstance(node.get(word), dict):
            yield from ((f"{word}/{name}", one) for name, one in node[word].items())


def _nodes(schema: Any, path: str, depth: int) -> Iterator[tuple[str, Node]]:
    if isinstance(schema, bool) and path:
        return
    if not isinstance(schema, dict):
        raise SchemaError(path, f"must be a schema, which is an object, true or false, not {_shown(schema)}")
    if depth > 2 * DEPTH_MAX:
        raise SchemaError(path, f"is nested too deep: at most {DEPTH_MAX} objects and lists may stand in each other")
    yield path, schema
    for below, one in children(schema):
        yield from _nodes(one, f"{path}/{below}" if path else below, depth + 1)


# --------------------------------------------------------------------------- single words


def _check_node(path: str, node: Node, refs: Refs) -> None:
    for word, value in node.items():
        at = f"{path}/{word}" if path else word
        if word in REFUSED:
            raise SchemaError(at, f"is not supported: {REFUSED[word]}")
        if word.startswith("x-"):
            continue
        known = WORDS.get(word)
        if known is None:
            near = difflib.get_close_matches(word, WORDS, n=1, cutoff=0.7)
            hint = (
                f"; did you mean {near[0]}?" if near else ": leave it out, or put a field of that name under properties"
            )
            raise SchemaError(f"{path}/{_shown(word)}" if path else _shown(word), f"is no word of JSON Schema{hint}")
        if word == "items" and isinstance(value, list):
            raise SchemaError(at, "must be one schema: write a tuple as prefixItems")
        if not known[0](value):
            raise SchemaError(at, f"must be {known[1]}, not {_shown(value)}")
    if "$ref" in node:
        try:
            refs.resolve(node["$ref"])
        except NoSuchRef as error:
            raise SchemaError(f"{path}/$ref" if path else "$ref", str(error)) from error


def _check_flat(path: str, node: Node, refs: Refs) -> None:
    """A reference that leads to itself and nowhere else says nothing."""
    seen: set[str] = set()
    while "$ref" in node:
        ref = node["$ref"]
        if ref in seen:
            raise SchemaError(f"{path}/$ref" if path else "$ref", f"{ref} refers to itself and says nothing else")
        seen.add(ref)
        found = refs.resolve(ref)
        if isinstance(found, bool):
            return
        node = found


# --------------------------------------------------------------------------- the root


def _root(document: Node, refs: Refs) -> Node:
    try:
        root = refs.flat(document)
    except Unmergeable as error:
        raise SchemaError("", f"the root must be one object: {error}") from error
    for word in ("anyOf", "oneOf", "not", "if", "enum", "const", "patternProperties"):
        if word in root:
            raise SchemaError(
                word, "is not possible at the root, whose properties become columns: put it inside of a property"
            )
    if root.get("type") != "object":
        found = f"it is {_shown(root['type'])}" if "type" in root else "there is none"
        raise SchemaError(
            "type",
            f'must be "object" at the root, whose properties become columns; {found}: put the answer into a property',
        )
    properties = root.get("properties")
    if not properties:
        raise SchemaError("properties", "there are none, and they become the columns: name at least one")
    if root.get("additionalProperties", False) is not False:
        raise SchemaError(
            "additionalProperties",
            "members without a name have no column: name them, or put them into a property that is an object",
        )
    missing = [name for name in root.get("required", ()) if name not in properties]
    if missing:
        raise SchemaError(
            "required", f"names {_shown(missing[0])}, which is not among the properties: correct one of them"
        )
    _check_names(list(properties))
    return {word: value for word, value in root.items() if word not in DEFINITIONS}


def _check_names(names: list[str]) -> None:
    if len(names) > COLUMNS_MAX:
        raise SchemaError("properties", f"there are {len(names)}, and at most {COLUMNS_MAX} become columns: nest them")
    folded: dict[str, str] = {}
    for name in names:
        at = f"properties/{_shown(name)}"
        if not name.strip() or "\0" in name:
            raise SchemaError(at, "is no name for a column: give it one that can be seen")
        if len(name.encode("utf-8", "replace")) > NAME_BYTES_MAX:
            raise SchemaError(at, f"is longer than {NAME_BYTES_MAX} bytes: shorten it")
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            raise SchemaError(
                at,
                f"differs from {_shown(other)} by upper and lower case alone, which DuckDB and Spark ignore: rename one",
            )


def _check_expanded(root: Node, refs: Refs) -> None:
    """Bound what the columns and the schema that is sent are made of."""
    count = 0

    def walk(schema: Any, path: str, depth: int, under: tuple[str, ...]) -> None:
        nonlocal count
        count += 1
        if count > NODES_MAX:
            raise SchemaError("", f"has more than {NODES_MAX} parts with its references followed: simplify it")
        if isinstance(schema, bool):
            return
        if depth > DEPTH_MAX:
            raise SchemaError(
                path, f"is nested too deep: at most {DEPTH_MAX} objects and lists may stand in each other"
            )
        ref = schema.get("$ref")
        if ref is not None and ref not in under:
            walk(refs.resolve(ref), path, depth, (*under, ref))
        for below, one in children(schema):
            if below.partition("/")[0] not in DEFINITIONS:
                nests = below.startswith(("properties/", "items", "prefixItems/", "additionalProperties"))
                walk(one, f"{path}/{below}" if path else below, depth + nests, under)

    walk(root, "", 0, ())


def _shown(value: object) -> str:
    return shown_name(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
