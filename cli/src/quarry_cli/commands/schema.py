"""`quarry schema`: prints the JSON Schema of the manifest."""

from __future__ import annotations

import json

import typer


def schema() -> None:
    """Print the JSON Schema of the manifest, for editors and for your own checks."""
    from quarry_core.contract.manifest_schema import manifest_schema  # noqa: PLC0415 beside its only user

    typer.echo(json.dumps(manifest_schema(), indent=2))
