"""A report as text: one line for each check, and below a failed one what to do and the very thing to add."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rich.text import Text

from quarry_cli.aws.finding import Fault, Finding, Fix, Outcome
from quarry_cli.doctor.report import Report
from quarry_cli.screen.wording import plain
from quarry_core.text import marked

COLOURS = {Outcome.OK: "green", Outcome.FAILED: "red", Outcome.UNKNOWN: "yellow"}
REPORTED_CHARS_MAX = 2_000
NAME_CHARS = 20


def lines(report: Report) -> Iterator[Text]:
    """The whole report. What came from elsewhere is made plain: no control character reaches a terminal."""
    yield Text(f"environment {report.env} in account {report.account}, {report.region}")
    for finding in report.checks:
        yield _line(finding)
        for fault in finding.faults:
            yield from _fault(fault, alone=len(finding.faults) == 1)
    counted = ", ".join(f"{report.count(outcome)} {outcome}" for outcome in Outcome)
    yield Text(counted)
    if not report.healthy:
        yield Text("Where Terraform made the environment, `terraform apply` restores what was changed by hand.")


def _line(finding: Finding) -> Text:
    return Text.assemble(
        (f"{finding.outcome:<7}", COLOURS[finding.outcome]),
        f" {finding.check:<{NAME_CHARS}} {plain(finding.message, REPORTED_CHARS_MAX)}",
    )


def _fault(fault: Fault, *, alone: bool) -> Iterator[Text]:
    if not alone:
        yield Text(f"        {plain(fault.message, REPORTED_CHARS_MAX)}:")
    yield Text(f"        {plain(fault.remedy, REPORTED_CHARS_MAX)}")
    if fault.fix is not None:
        yield from _fix(fault.fix)


def _fix(fix: Fix) -> Iterator[Text]:
    if fix.kind == "command":
        yield Text(f"          {marked(str(fix.value))}")
        return
    yield Text(f"        in: {plain(fix.where, REPORTED_CHARS_MAX)}")
    text = fix.value if isinstance(fix.value, str) else ",\n".join(json.dumps(one, indent=2) for one in fix.value)
    for line in text.splitlines():
        yield Text(f"          {marked(line)}")
