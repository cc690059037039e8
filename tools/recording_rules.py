"""Write the growth of counters into deploy/prometheus/rules/recording.yaml. With `--check`, name what is stale and exit 1.

    python tools/recording_rules.py [--check]

Only the expressions of the rules below are written; everything else in the file is written by hand.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.growth import TILE, grown, steps_of, summed

RULES = Path(__file__).resolve().parents[1] / "deploy" / "prometheus" / "rules" / "recording.yaml"
EXPRESSION_INDENT = " " * 10

# The labels that tell environments apart: `cluster` and `namespace` are there where the scrape configuration sets them.
ENVIRONMENT = ("cluster", "namespace", "env")

# By the middle of the rules' names: the counter, the labels that stay, matchers.
COUNTED: dict[str, tuple[str, list[str], list[str]]] = {
    "rows_finished": ("quarry_rows_finished_total", [*ENVIRONMENT, "outcome"], []),
    "shards_enlisted": ("quarry_shards_enlisted_total", [*ENVIRONMENT], []),
    "ticks": ("quarry_tick_seconds_count", [*ENVIRONMENT], []),
    "jobs_submitted": ("quarry_jobs_submitted_total", [*ENVIRONMENT, "pool", "outcome"], []),
    "jobs_ended": ("quarry_jobs_ended_total", [*ENVIRONMENT], []),
    "on_demand_requests": ("quarry_on_demand_requests_total", [*ENVIRONMENT, "pool", "outcome"], []),
    "jobs_ended_by_sweep": ("quarry_sweep_corrections_total", [*ENVIRONMENT], ['kind="ended"']),
    "cost_dollars": ("quarry_cost_dollars_total", [*ENVIRONMENT, "model"], []),
}
WINDOWS = {
    "rows_finished": ["5m", "30m", "1h", "6h"],
    "shards_enlisted": ["10m"],
    "ticks": ["10m"],
    "jobs_submitted": ["30m"],
    "jobs_ended": ["6h"],
    "on_demand_requests": ["10m", "30m"],
    "jobs_ended_by_sweep": ["6h"],
    "cost_dollars": ["1h"],
}


def _tile(name: str) -> str:
    return f"quarry:{name}:increase{TILE}"


WRITTEN = {
    **{_tile(name): grown(counter, by, TILE, steps_of(TILE), where) for name, (counter, by, where) in COUNTED.items()},
    **{
        f"quarry:{name}:increase{window}": summed(_tile(name), COUNTED[name][1], window)
        for name, windows in WINDOWS.items()
        for window in windows
    },
    "quarry:cost_dollars:spent30d": summed(_tile("cost_dollars"), [*ENVIRONMENT], "30d"),
    "quarry:cost_dollars:projected30d": f"{summed(_tile('cost_dollars'), ['env'], '7d')} * 30 / 7",
}


def filled(text: str) -> str:
    """The file as it should be.

    Raises:
        ValueError: it lacks one of the rules.
    """
    for name, expression in WRITTEN.items():
        rule = re.compile(
            rf"(^      - record: {re.escape(name)}\n        expr:)(?: \|\n(?:{EXPRESSION_INDENT}.*\n)+| .+\n)",
            re.MULTILINE,
        )
        lines = "\n" in expression
        body = f" |\n{textwrap.indent(expression, EXPRESSION_INDENT)}\n" if lines else f" {expression}\n"
        text, count = rule.subn(lambda found, body=body: found[1] + body, text)
        if count != 1:
            raise ValueError(f"{RULES.name} has {count} rules {name}, and not one")
    return text


def main(arguments: list[str]) -> int:
    there = RULES.read_text(encoding="utf-8")
    if (wanted := filled(there)) == there:
        return 0
    if arguments == ["--check"]:
        print("stale: deploy/prometheus/rules/recording.yaml (make docs)", file=sys.stderr)
        return 1
    RULES.write_text(wanted, encoding="utf-8")
    print("wrote deploy/prometheus/rules/recording.yaml")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
