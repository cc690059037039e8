"""The ready queries over the logs: the page has those that Terraform saves, and they ask for what the services write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "logs.md").read_text()
SAVED = {
    name: text.replace('\\"', '"')
    for name, text in re.findall(
        r'^    ([\w-]+)\s+= "(.*)"$', (ROOT / "terraform/modules/ecs_services/queries.tf").read_text(), re.MULTILINE
    )
}
SHOWN = {
    name: (insights, loki)
    for name, insights, loki in re.findall(
        r"^### ([\w-]+)\n.*?^```\n(.*?)\n```\n.*?^```logql\n(.*?)\n```", PAGE, re.MULTILINE | re.DOTALL
    )
}
SOURCES = "\n".join(
    path.read_text() for folder in ("core", "services") for path in sorted((ROOT / folder).rglob("src/**/*.py"))
)
EVENTS = set(re.findall(r'log\.\w+\(\s*(?:#[^\n]*\n\s*)?"(\w+)"', SOURCES))
ALWAYS = {"timestamp", "message", "service", "event", "level", "run_id", "shard", "attempt"}
WORDS = {
    "fields",
    "filter",
    "sort",
    "asc",
    "desc",
    "limit",
    "like",
    "or",
    "and",
    "in",
    "stats",
    "count",
    "by",
    "as",
    "bin",
}
WORDS |= {"earliest", "latest", "lines", "first", "last", "messages", "sweeps"}


def test_the_page_shows_the_queries_that_terraform_saves():
    assert len(SAVED) == 6
    assert {name: insights for name, (insights, _) in SHOWN.items()} == SAVED


def _events(text: str) -> set[str]:
    one = re.findall(r'event ?=~? ?"([\w|]+)"', text)
    several = re.findall(r"event in \[([^\]]*)\]", text)
    return {name for each in one for name in each.split("|")} | set(re.findall(r"\w+", " ".join(several)))


@pytest.mark.parametrize("name", SHOWN)
def test_both_queries_ask_for_the_same_events_and_the_services_write_them(name):
    insights, loki = SHOWN[name]

    assert _events(insights) == _events(loki)
    assert _events(insights) <= EVENTS, "no service writes this"


@pytest.mark.parametrize("name", SAVED)
def test_each_field_is_one_that_is_written(name):
    text = re.sub(r'"[^"]*"', "", SAVED[name])
    asked = set(re.findall(r"@?\b([a-z_]+)\b", text)) - WORDS

    written = set(re.findall(r"[(,{ ]\"?(\w+)\"?(?:=|: )", SOURCES))
    assert asked - ALWAYS <= written, "no service writes this"
    assert asked


@pytest.mark.parametrize("name", [name for name in SHOWN if name.startswith("one-run")])
def test_what_is_about_one_run_says_where_its_id_goes(name):
    assert all("RUN_ID" in query for query in SHOWN[name])
