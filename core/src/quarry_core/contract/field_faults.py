"""What is wrong with a field of a manifest or a prompt file, in a person's words: pydantic's are a programmer's. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MESSAGES = {
    "missing": "it is required",
    "string_type": "must be text in double quotes",
    "dict_type": "must be an object",
    "mapping_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt:,}",
    "less_than": "must be less than {lt:,}",
    "bool_type": "must be true or false",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge:,}",
    "less_than_equal": "must be at most {le:,}",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length:,} characters",
}
# Of the fields that a pattern holds, what the pattern asks for.
_SHAPES = {
    "run_id": "must be 1 to 32 of a-z, 0-9 and hyphens, with no hyphen at either end",
    "result_prefix": "must be 1 to 32 of A-Z, a-z, 0-9 and _, and not begin with a digit",
    "input_bucket_owner": "must be the 12 digits of an account",
}


def in_words(fault: Mapping[str, Any]) -> str:
    """The sentence for one of pydantic's faults, without the name of its field."""
    if fault["type"] == "string_pattern_mismatch" and fault["loc"]:
        shape = _SHAPES.get(str(fault["loc"][-1]))
        if shape is not None:
            return shape
    known = _MESSAGES.get(fault["type"])
    if known is not None:
        return known.format(**fault.get("ctx", {}))
    return str(fault["msg"]).removeprefix("Value error, ")
