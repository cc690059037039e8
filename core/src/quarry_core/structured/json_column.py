"""Columns that hold JSON as text: how they are marked. Pure.

A column of JSONL that holds texts in some rows and lists, objects or numbers in others has no Arrow type. It is a
column of strings, each the value's own JSON as it stands in the file, and the field's metadata says so: a reader who
does not know the mark sees text, and none of it has changed.
"""

from __future__ import annotations

import pyarrow as pa

JSON_KEY = b"quarry.json"
JSON_METADATA = {JSON_KEY: b"value"}


def json_field(name: str) -> pa.Field:
    """A column of JSON values as text; null is null."""
    return pa.field(name, pa.string(), metadata=JSON_METADATA)


def is_json(field: pa.Field) -> bool:
    return JSON_KEY in (field.metadata or {})
