"""The client that operators, sensors, triggers and the adapter share. In a place of its own, so that tests bring another."""

from __future__ import annotations

from quarry_cli import Client


def open_client(env: str | None) -> Client:
    """Of a profile of `quarry config`, or of the process's variables. Raises NotConfigured when it is used."""
    return Client(env=env)
