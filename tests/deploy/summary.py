"""What the tests found out, for the one line that `make deploy-check` ends with.

A test that is skipped proves nothing. Which skips are allowed, and why, stands in `allowed_skips.json`: a glob for the
test, a pattern for the whole reason, and the sentence that excuses it. Any other skip fails the run; so does an expected
failure.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ALLOWED = Path(__file__).with_name("allowed_skips.json")
Report = pytest.TestReport | pytest.CollectReport


@dataclass(frozen=True)
class Allowed:
    """`test`: a glob over test ids; `reason`: a pattern that the whole reason matches; `why`: why it may be so."""

    test: str
    reason: str
    why: str

    def __contains__(self, skip: Skip) -> bool:
        return fnmatch.fnmatchcase(skip.test, self.test) and re.fullmatch(self.reason, skip.reason) is not None


@dataclass(frozen=True)
class Skip:
    test: str
    reason: str


def allowed(file: Path = ALLOWED) -> list[Allowed]:
    return [Allowed(**one) for one in json.loads(file.read_text())]


@dataclass
class Summary:
    """One a session. Tests may add to `notes`: a figure that the reader of the last line wants to see."""

    passed: int = 0
    failed: int = 0
    skips: list[Skip] = field(default_factory=list)
    notes: set[str] = field(default_factory=set)

    def see(self, report: Report) -> None:
        """Count one report of pytest's: of a file's collection, or of a test's setup, call or teardown."""
        if report.failed:
            self.failed += 1
        elif report.skipped:
            self.skips.append(Skip(report.nodeid, _reason(report)))
        elif report.when == "call":
            self.passed += 1

    def unforeseen(self, excused: Sequence[Allowed]) -> list[Skip]:
        """The skips that nothing excuses."""
        return [skip for skip in self.skips if not any(skip in one for one in excused)]

    def line(self, name: str, excused: Sequence[Allowed]) -> str:
        parts = [f"{name}: {self.passed} tests passed, {self.failed} failed, {len(self.skips)} skipped"]
        unforeseen = self.unforeseen(excused)
        if foreseen := [skip for skip in self.skips if skip not in unforeseen]:
            parts.append(f"allowed skips: {_named(foreseen)}")
        if unforeseen:
            parts.append(f"SKIPS NOT ALLOWED: {_named(unforeseen)}")
        parts += sorted(self.notes)
        return "; ".join(parts)


def _reason(report: Report) -> str:
    if hasattr(report, "wasxfail"):
        return f"expected to fail: {report.wasxfail}"
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return said.removeprefix("Skipped: ")


def _named(skips: Sequence[Skip]) -> str:
    reasons = Counter((Path(skip.test.split("::")[0]).name, skip.reason) for skip in skips)
    return ", ".join(f"{count} of {file} ({reason})" for (file, reason), count in sorted(reasons.items()))


SUMMARY = Summary()
