"""Answers held against the user's schema, by jsonschema-rs. For the services alone: the client does without it.

One validator per process and schema. Formats are checked, which drafts 2019-09 and 2020-12 leave to whoever validates.
Of an answer that fits nothing more is asked than that; why one does not is looked for only then.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import jsonschema_rs

from quarry_core.structured.schema import OutputSchema, SchemaError

DRAFT = "https://json-schema.org/draft/2020-12/schema"
REASONS_MAX = 3
REASON_CHARS_MAX = 300


def compiled(schema: OutputSchema) -> jsonschema_rs.Validator:
    """The validator of a schema.

    Raises:
        SchemaError: it cannot be compiled; the text names the place, as a pattern that is no regular expression.
    """
    return _compiled(schema.text)


@lru_cache(maxsize=8)
def _compiled(text: str) -> jsonschema_rs.Validator:
    try:
        return jsonschema_rs.validator_for({**json.loads(text), "$schema": DRAFT}, validate_formats=True)
    except jsonschema_rs.ValidationError as error:
        path = "/".join(map(str, error.instance_path))
        raise SchemaError(path, f"{error.message[:REASON_CHARS_MAX]}: correct it") from None
    except Exception as error:
        raise SchemaError("", f"it is no JSON Schema: {error}"[:REASON_CHARS_MAX]) from None


def reasons(validator: jsonschema_rs.Validator, answer: Any) -> str:
    """Where an answer does not fit, and why; the first few."""
    found: list[str] = []
    for error in validator.iter_errors(answer):
        if len(found) == REASONS_MAX:
            found.append("and more")
            break
        where = pointer(error.instance_path)
        found.append(f"{where}: {_short(error.message)}" if where else _short(error.message))
    return "; ".join(found)


def pointer(path: Any) -> str:
    """A JSON pointer."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def _short(text: str) -> str:
    return text if len(text) <= REASON_CHARS_MAX else text[: REASON_CHARS_MAX - 1] + "…"
