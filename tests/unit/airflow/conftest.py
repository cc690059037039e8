"""The command's fixture, for runs that have ended."""

from tests.unit.cli.conftest import quarry

__all__ = ["quarry"]
