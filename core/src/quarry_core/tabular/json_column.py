"""Columns that hold JSON as text, under the name by which the readers of tables know them."""

from quarry_core.structured.json_column import JSON_KEY, JSON_METADATA, is_json, json_field

__all__ = ["JSON_KEY", "JSON_METADATA", "is_json", "json_field"]
