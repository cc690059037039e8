"""The rules that ship: promtool takes them, each alert has its tests, its runbook and its fault, and they name only what is."""

from __future__ import annotations

import re
import shutil
from itertools import chain
from pathlib import Path

import pytest
import yaml
from tools.generate_docs import slug

from tests.deploy.prometheus import (
    ROOT,
    RULE_TESTS,
    RULES,
    groups,
    named,
    promtool,
    rules,
    squeezed,
    squeezed_s,
    unknown,
    write_squeezed_rules,
)

ALERTS = {
    "QuarryOldestShardTooOld",
    "QuarryRowErrorBurn",
    "QuarryRowsUnaccounted",
    "QuarrySlotStuck",
    "QuarrySchedulerStalled",
    "QuarryDeadLetterQueueNotEmpty",
    "QuarryJobEventsMissing",
    "QuarrySweepStale",
    "QuarrySubmissionThrottled",
    "QuarryBudgetAlmostSpent",
    "QuarryTargetDown",
}
CASES = {path.stem: yaml.safe_load(path.read_text())["tests"] for path in sorted(RULE_TESTS.glob("*.yaml"))}
BORN = re.compile(
    r"last_over_time\((\w+)_total(\{[^}]*\})?\[(\w+)\]\)\s+"
    r"and last_over_time\(\1_created(?:\{[^}]*\})?\[\3\]\) > time\(\) - \((\d+) \* (\d+)\)\)\s+"
    r"or increase\(\1_total(?:\{[^}]*\})?\[\3\]\)"
)


def test_promtool_takes_the_rules():
    done = promtool("check", "rules", *map(str, sorted(RULES.glob("*.yaml"))))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 rules found" in done.stdout


@pytest.mark.parametrize("name", CASES)
def test_each_unit_test_of_the_rules_passes(name):
    done = promtool("test", "rules", str(RULE_TESTS / f"{name}.yaml"))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("row_error_burn", 'outcome="ok"', 'outcome="model_error"'),
        ("row_error_burn", "_created[1h]) > time()", "_created[1h]) < time()"),
        ("slot_stuck", "(30 * 60)", "(60 * 60)"),
        ("target_down", 'collector)"} == 0', 'collector)"} < 2'),
        ("scheduler_stalled", '"PENDING"}[6h]', '"PENDING"}[1m]'),
    ],
)
def test_the_unit_tests_see_a_rule_that_is_wrong(name, right, wrong, tmp_path):
    shutil.copytree(RULES.parent, tmp_path / "prometheus")
    for file in (tmp_path / "prometheus" / "rules").glob("*.yaml"):
        file.write_text(file.read_text().replace(right, wrong))

    done = promtool("test", "rules", str(tmp_path / "prometheus" / "tests" / f"{name}.yaml"))

    assert done.returncode != 0
    assert "alertname" in done.stdout + done.stderr


def test_there_are_the_eleven_alerts():
    assert {rule["alert"] for rule in rules("alert")} == ALERTS


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(alert):
    cases = [
        case
        for each in chain.from_iterable(CASES.values())
        for case in each.get("alert_rule_test", ())
        if case["alertname"] == alert
    ]

    assert any(case.get("exp_alerts") for case in cases)
    assert any(not case.get("exp_alerts") for case in cases)


@pytest.mark.parametrize("rule", rules("alert"), ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_each_alert_says_how_urgent_it_is_what_it_saw_and_where_to_read_on(rule):
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert "{{" in rule["annotations"]["description"]
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{slug(rule['alert'])}"


def test_the_runbook_has_a_heading_for_each_alert():
    headings = re.findall(r"^## (Quarry\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)

    assert sorted(headings) == sorted(ALERTS)


def test_each_metric_and_label_in_a_rule_is_one_that_the_code_registers():
    queries = {rule.get("record") or rule["alert"]: rule["expr"] for rule in rules("expr")}

    assert unknown(queries) == []


def test_a_metric_or_a_label_that_nothing_registers_is_found():
    assert unknown({"one": "rate(quarry_rows_finsihed_total[5m])"}) == [
        "one: nothing registers quarry_rows_finsihed_total"
    ]
    assert unknown({"two": 'quarry_shards{status="PENDING"}'}) == ["two: quarry_shards has no label status"]
    assert unknown({"three": "sum by (pol) (quarry_slots_in_use)"}) == ["three: groups by pol, which nothing in it has"]
    assert unknown({"four": 'max by (env) (up{job="x"} * on (env, instance) quarry:shards:max)'}) == []


def test_each_recorded_name_is_used_by_an_alert_a_rule_or_the_budgets_panels():
    used = {
        selector["name"] for asked in named([rule["expr"] for rule in rules("expr")]) for selector in asked["selectors"]
    }
    to_be_looked_at = {"quarry:cost_dollars:projected30d"}

    assert {rule["record"] for rule in rules("record")} - used == to_be_looked_at


def test_an_increase_that_counts_the_newborn_asks_for_one_window_throughout():
    increases = [rule for rule in rules("record") if "increase(" in rule["expr"]]

    assert len(increases) == 8
    for rule in increases:
        found = BORN.search(rule["expr"])
        assert found, rule["record"]
        length, unit = int(found[3][:-1]), found[3][-1]
        assert (int(found[4]), {"60": "m", "3600": "h"}[found[5]]) == (length, unit)
        assert rule["record"].endswith(f":increase{found[3]}")


def test_gauges_that_every_scheduler_sets_are_not_added_up():
    ledger = (
        r"quarry_(runs|shards|rows_open|rows_unaccounted|slots_\w+|slot_oldest\w+|oldest_pending\w+|queue_messages)\b"
    )
    summed = [rule for rule in rules("expr") if re.search(rf"sum (by|without) \([^)]*\) \({ledger}", rule["expr"])]

    assert summed == []


# ------------------------------------------------------------------ squeezed time


def test_squeezing_keeps_the_order_of_all_times_and_touches_nothing_else():
    times = [60, 300, 600, 900, 1_800, 3_600, 21_600, 86_400, 604_800, 2_592_000]
    assert sorted(times, key=squeezed_s) == times
    assert squeezed_s(300) == pytest.approx(6)

    assert squeezed("10m") == "7560ms"
    assert squeezed('a{b="c"} > 0.8 * 5 or x[5m] > (5 * 60)') == 'a{b="c"} > 0.8 * 5 or x[6000ms] > 6.000'
    assert squeezed("sum_over_time(x[30d:1h])") == "sum_over_time(x[123118ms:13737ms])"


def test_no_time_of_the_rules_escapes_the_squeezing(tmp_path):
    before = [rule for file in sorted(RULES.glob("*.yaml")) for group in groups(file.name) for rule in group["rules"]]
    copied = write_squeezed_rules(tmp_path / "rules")
    read = [yaml.safe_load(path.read_text())["groups"] for path in sorted(copied.glob("*.yaml"))]
    after = [rule for file in read for group in file for rule in group["rules"]]

    for rule in after:
        times = [rule["expr"], rule.get("for", ""), rule.get("keep_firing_for", "")]
        assert not [
            time for time in times if re.search(r"\d+[smhd]\b|\* (60|3600|86400)\b", re.sub(r"\d+ms|:\w+", "", time))
        ]
    assert [rule.get("alert", rule.get("record")) for rule in after] == [
        rule.get("alert", rule.get("record")) for rule in before
    ]
    done = promtool("check", "rules", *map(str, copied.glob("*.yaml")))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_names_each_alert_with_its_severity():
    page = (ROOT / "docs" / "alerts.md").read_text()
    rows = re.findall(r"^\| \[(Quarry\w+)\]\(runbook\.md#(\w+)\) \| ([a-z, ]+) \|", page, re.MULTILINE)

    written = {alert: set(severities.split(", ")) for alert, _, severities in rows}
    assert written == {
        alert: {rule["labels"]["severity"] for rule in rules("alert") if rule["alert"] == alert} for alert in ALERTS
    }
    assert all(anchor == slug(alert) for alert, anchor, _ in rows)


def test_the_fetching_script_names_no_host():
    text = Path(ROOT, "tools", "fetch_prometheus.sh").read_text()

    assert "://" not in text
