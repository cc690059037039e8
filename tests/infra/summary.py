"""What the tests found out, for the one line that `make infra` and `make infra-fast` end with."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

# What is not applied on the emulator, and what covers it instead.
LACKING = (
    "Application Auto Scaling (no such API in the emulator; terraform test covers it)",
    "saved queries of Logs Insights (no such API in the emulator; terraform test covers them)",
    "security group rules to prefix lists (the emulator forgets the list; terraform test covers them)",
)


@dataclass
class Summary:
    """One a session, filled by the tests."""

    directories: set[str] = field(default_factory=set)
    runs_passed: int = 0
    runs_failed: int = 0
    policies: int = 0
    grants: int = 0
    applied: set[str] = field(default_factory=set)
    drifts: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    notes: set[str] = field(default_factory=set)
    tests_passed: int = 0
    tests_failed: int = 0

    def line(self, name: str) -> str:
        passed, failed = self.tests_passed + self.runs_passed, self.tests_failed + self.runs_failed
        counted = f"{passed} tests passed ({self.runs_passed} of them terraform's), {failed} failed"
        parts = [f"{name}: {len(self.directories)} modules and roots, {counted}"]
        if self.policies:
            parts.append(f"{self.policies} policies linted")
        if self.grants:
            parts.append(f"{self.grants} grants held to be needed, one by one")
        if self.applied:
            kinds = Counter(drift.partition(".")[0] for drift in self.drifts)
            reported = ", ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items()))
            parts.append(
                f"applied {len(self.applied)}, drifts allowed {len(self.drifts)}{reported and f' ({reported})'}"
            )
        if self.notes:
            parts.append(f"note: {'; '.join(sorted(self.notes))}")
        if self.skipped:
            parts.append(f"skipped: {', '.join(sorted(self.skipped))}")
        return "; ".join(parts)


SUMMARY = Summary()
