"""The manifest as a JSON Schema: what `quarry schema` prints. Pure."""

from __future__ import annotations

from typing import Any

from quarry_core.contract.manifest import Manifest


def manifest_schema() -> dict[str, Any]:
    """The JSON Schema that `quarry schema` prints."""
    schema = Manifest.model_json_schema()
    for shape in (schema, *schema.get("$defs", {}).values()):
        _allow_null(shape)
    one_source = {"anyOf": [{"required": ["s3_uri"]}, {"required": ["dataset_id"]}]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, **one_source}


def _allow_null(shape: dict[str, Any]) -> None:
    """Null means unset, wherever a field need not be there."""
    for name, field in shape.get("properties", {}).items():
        if name not in shape.get("required", ()) and "anyOf" not in field:
            kept = {key: field.pop(key) for key in ("title", "description", "default") if key in field}
            inner = dict(field)
            field.clear()
            field.update({"anyOf": [inner, {"type": "null"}], **kept})
