"""The rules that ship: promtool takes them, each alert has its tests, its runbook and its fault, and they name only what is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import yaml
from tools import recording_rules
from tools.dashboards.asking import boards
from tools.growth import created, grown
from tools.pages.promises import slug

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
    "QuarryOnDemandStalled",
    "QuarryOnDemandThrottled",
    "QuarrySubmissionThrottled",
    "QuarryBudgetAlmostSpent",
    "QuarryMonthBudgetAlmostSpent",
    "QuarryTargetDown",
    "QuarryConsumerStopped",
    "QuarryAuditBreach",
    "QuarryRunHeld",
}
CASES = {path.stem: yaml.safe_load(path.read_text())["tests"] for path in sorted(RULE_TESTS.glob("*.yaml"))}


def test_promtool_takes_the_rules():
    done = promtool("check", "rules", *map(str, sorted(RULES.glob("*.yaml"))))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "18 rules found" in done.stdout
    assert f"{len(rules('record'))} rules found" in done.stdout


@pytest.mark.parametrize("name", CASES)
def test_each_unit_test_of_the_rules_passes(name):
    done = promtool("test", "rules", str(RULE_TESTS / f"{name}.yaml"))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("row_error_burn", 'outcome="ok"', 'outcome="model_error"'),
        ("row_error_burn", "_created[15s]) > time() - (1", "_created[15s]) < time() - (1"),
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


def test_there_are_the_sixteen_alerts():
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
    to_be_looked_at = {"quarry:cost_dollars:increase1h", "quarry:cost_dollars:projected30d"}

    assert {rule["record"] for rule in rules("record")} - used == to_be_looked_at


# ------------------------------------------------------------------ growth


def test_what_is_written_by_the_tool_is_fresh():
    done = subprocess.run(
        [sys.executable, "tools/recording_rules.py", "--check"], capture_output=True, text=True, cwd=ROOT, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_no_rule_takes_a_rise_but_in_the_one_form():
    """`increase` alone misses births, and whatever else somebody thinks of misses restarts."""
    by_hand = [rule for rule in rules("expr") if rule.get("record") not in recording_rules.WRITTEN]

    assert [rule for rule in by_hand if re.search(r"\b(increase|i?rate|i?delta|_total|_count)\b", rule["expr"])] == []
    assert set(recording_rules.WRITTEN) <= {rule["record"] for rule in rules("record")}


def test_dashboards_take_a_rise_in_the_same_form():
    written = grown("quarry_cost_dollars_total", ["model"], "5m", "5m")
    asked = [target.query for panels in boards().values() for panel in panels for target in panel.targets]
    for query in asked:
        for counter, where in re.findall(r"increase\((\w+)\{([^}]*)\}", query):
            by = re.search(r"sum by \(([^)]*)\) \(\n  sum_over_time", query)
            assert by, query
            labels = [label for label in by[1].split(", ") if label]
            assert grown(counter, labels, "${window}s", "${window}s", where.split(",")) in query
    where = '{cluster=~"$cluster",namespace=~"$namespace",env=~"$env"}'
    assert written in {query.replace("${window}s", "5m").replace(where, "") for query in asked}


GROWTH = """
  - name: {name}
    interval: 1m
    input_series:
{series}
    promql_expr_test:
      - {{expr: '{expr}', eval_time: {at}m, exp_samples: [{{labels: '{labels}', value: {value}}}]}}
"""
# By what is recorded over a long window: the counter, and the labels that stay, with values.
COUNTERS = {
    "quarry:cost_dollars:spent30d": ("quarry_cost_dollars_total", '{env="e"}', 'model="m"'),
    "quarry:cost_dollars:increase1h": ("quarry_cost_dollars_total", '{env="e",model="m"}', 'model="m"'),
    "quarry:rows_finished:increase1h": ("quarry_rows_finished_total", '{env="e",outcome="ok"}', 'outcome="ok"'),
    "quarry:rows_finished:increase6h": ("quarry_rows_finished_total", '{env="e",outcome="ok"}', 'outcome="ok"'),
    "quarry:jobs_ended:increase6h": ("quarry_jobs_ended_total", '{env="e"}', 'pool="p",status="Completed"'),
    "quarry:jobs_ended_by_sweep:increase6h": ("quarry_sweep_corrections_total", '{env="e"}', 'kind="ended"'),
    "quarry:on_demand_requests:increase30m": (
        "quarry_on_demand_requests_total",
        '{env="e",outcome="ok",pool="p"}',
        'outcome="ok",pool="p"',
    ),
    "quarry:jobs_submitted:increase30m": (
        "quarry_jobs_submitted_total",
        '{env="e",outcome="created",pool="p"}',
        'outcome="created",pool="p"',
    ),
}
# What happened: values and births of each target, and what was counted in all. All of it lies within half an hour.
HAPPENED: dict[str, tuple[list[tuple[str, str]], int]] = {
    "it grows": ([("0+10x40", "0x40")], 250),
    "a container restarts in its pod": ([("0x19 100+100x9 1000x2 2x10", "0x31 1860x10")], 1002),
    "it restarts and comes to the very value that it had": ([("0x19 1000x5 1000x20", "0x25 1530x20")], 2000),
    "it restarts and passes the value that it had": ([("0x19 1000x5 1200x20", "0x25 1530x20")], 2200),
    "it restarts three times": ([("0x19 50x1 20x1 70x1 5x20", "0x21 1290x1 1410x1 1530x20")], 145),
    "it is born with most of its value": ([("_x20 500x20", "_x20 1190x20")], 500),
    "it is born and restarts": ([("_x20 500x3 7x20", "_x20 1190x3 1430x20")], 507),
    "it is born and restarts twice, each life for one scrape": ([("_x20 500 40 7x20", "_x20 1190 1250 1310x20")], 547),
    "its pod is replaced": ([("0x19 300x5 stale", "0x24 stale"), ("_x28 40x20", "_x28 1670x20")], 340),
    "it is down for a while and comes back empty": ([("0x19 300x5 _x5 30x20", "0x25 _x5 1850x20")], 330),
    "it is not scraped for a while": ([("0x19 300x3 _x6 900x20", "0x23 _x6 0x20")], 900),
    "it falls, and says nothing of a restart": ([("0x19 300x5 2x20", "0x50")], 302),
    "it says nothing of births at all": ([("0x19 300x5 2x20", "")], 302),
    "it is old, and was never scraped before": ([("_x20 5000x5 5010x20", "_x20 -90000x26")], 10),
    "it is scraped for the last time as it ends": ([("0x19 300 700 stale", "0x21 stale")], 700),
}


def _growth(recorded: str, happened: str, expr: str = "") -> str:
    """A case for promtool; `expr` may be asked in the place of the rule."""
    counter, labels, own = COUNTERS[recorded]
    targets, wanted = HAPPENED[happened]
    lines = []
    for place, (values, births) in enumerate(targets):
        series = f'{{env="e",instance="{place}",{own}}}'
        lines.append(f"      - {{series: '{counter}{series}', values: '{values}'}}")
        if births:
            lines.append(f"      - {{series: '{created(counter)}{series}', values: '{births}'}}")
    return GROWTH.format(
        name=happened,
        series="\n".join(lines),
        expr=f"round({expr or recorded}, 0.001)",
        at=25 if happened == "it grows" else 40,
        labels=labels,
        value=wanted,
    )


def _judged(cases: str, rules: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "growth.yaml"
    file.write_text(f"rule_files: [{rules}]\nevaluation_interval: 1m\ntests:\n{cases}")
    return promtool("test", "rules", str(file))


@pytest.mark.parametrize("recorded", COUNTERS)
def test_a_window_holds_what_was_counted_in_it(recorded, tmp_path):
    done = _judged("".join(_growth(recorded, each) for each in HAPPENED), RULES / "recording.yaml", tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_panel_s_window_holds_it_too(tmp_path):
    name = "quarry:cost_dollars:spent30d"
    asked = " ".join(grown(COUNTERS[name][0], ["env"], "30m", "30m").split())

    done = _judged("".join(_growth(name, each, asked) for each in HAPPENED), RULES / "recording.yaml", tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_form_that_takes_a_series_whole_or_by_its_increase_is_found_wrong(tmp_path):
    """As the rules had it before: the life after a restart hid the one before."""
    name = "quarry:cost_dollars:spent30d"
    total, born = "quarry_cost_dollars_total", "quarry_cost_dollars_created"
    whole = f"last_over_time({total}[1h]) and last_over_time({born}[1h]) > time() - 3600"
    groups = [
        {"record": "x", "expr": f"sum by (env) (({whole}) or increase({total}[1h]))"},
        {"record": name, "expr": "sum by (env) (sum_over_time(x[30d:1h]))"},
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": groups}]}))

    done = _judged(_growth(name, "a container restarts in its pod").replace("40m", "60m"), file, tmp_path)

    assert "1.002E+03" in done.stdout + done.stderr
    assert done.returncode != 0


def test_an_hour_never_has_more_than_the_30_days_that_it_lies_in(tmp_path):
    """At each minute, on the hour and off it."""
    expr = "quarry:cost_dollars:spent30d < bool sum by (env) (quarry:cost_dollars:increase1h)"
    asked = f"      - {{{{expr: '{expr}', eval_time: {{at}}m, exp_samples: [{{{{labels: '{{{{env=\"e\"}}}}', value: 0}}}}]}}}}"
    cases = _growth("quarry:cost_dollars:spent30d", "a container restarts in its pod").splitlines()[:-1]
    cases += [asked.format(at=at) for at in range(21, 100, 3)]

    done = _judged("\n".join(cases), RULES / "recording.yaml", tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_gauges_that_every_scheduler_sets_are_not_added_up():
    ledger = r"quarry_(runs|shards|rows_open|rows_unaccounted|slots_\w+|slot_oldest\w+|oldest_(?:pending|on_demand)\w+|queue_messages)\b"
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
    assert squeezed("x[4m59s999ms:15s] offset 15s") == "x[6000ms:2210ms] offset 2210ms"


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
