"""The dashboards that ship: generated, sound, named after what the code registers, and full of a real run's data."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
from tools.dashboards.asking import MADE, Panel, Prometheus, boards, filled
from tools.run_for_dashboards import FEW_ROWS, a_run

from quarry_local.emulator import EmulatorUnavailable
from quarry_local.stack import StackError
from tests.deploy.prometheus import PYTHON, ROOT, named, program, registered, rules, unknown

TOOL = Path(__file__).with_name("dashboard_tool.py")
PAGE = ROOT / "docs" / "dashboards.md"
PICTURES = ROOT / "docs" / "pictures"
PICTURE_BYTES_MAX, PICTURES_BYTES_MAX = 80_000, 400_000
ROWS = 4_500
WINDOW_S = 60
STEP_S = 5.0
RAW = {path.stem: json.loads(path.read_text()) for path in sorted(MADE.glob("*.json"))}
PANELS = [panel for panels in boards().values() for panel in panels if panel.kind != "row"]
# Every replica of the scheduler sets these alike: to add them up would count the same thing twice.
OF_THE_LEDGER = re.compile(
    r"quarry_(?:runs|shards|rows_open|rows_processed|rows_unaccounted|eta_timestamp_seconds"
    r"|oldest_(?:pending|on_demand)_shard_timestamp_seconds|slot_oldest_admitted_timestamp_seconds|slots_limit|slots_in_use"
    r"|slots_foreign|budget_dollars|month_(?:spent|projected|budget)_dollars|queue_messages)\{"
)
COUNTED = re.compile(r"\b\w+_(?:total|count|sum|bucket)\{")


def _id(panel: Panel) -> str:
    return f"{panel.board}: {panel.title}"


def _queries(panels=PANELS) -> dict[str, str]:
    return {
        f"{_id(panel)} {i}": filled(each.query, WINDOW_S) for panel in panels for i, each in enumerate(panel.targets)
    }


def _python(*words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    python = os.environ.get("QUARRY_DEPLOY_PYTHON", str(PYTHON))
    return subprocess.run([python, *words], input=given, capture_output=True, text=True, cwd=ROOT, check=False)


# ------------------------------------------------------------------ what is written


def test_the_files_are_what_their_source_makes():
    done = _python("-m", "tools.dashboards", "--check")

    assert (done.returncode, done.stderr) == (0, "")


def test_there_are_the_three():
    assert set(RAW) == {"overview", "scheduler", "services"}
    assert {raw["uid"] for raw in RAW.values()} == {f"quarry-{name}" for name in RAW}


@pytest.fixture(scope="module")
def schema():
    done = _python(str(TOOL), given=json.dumps(list(RAW.values())))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_schema_of_grafana_knows_everything_in_them(schema):
    assert schema["dashboards"] == list(RAW.values())


@pytest.mark.parametrize("panel", PANELS, ids=_id)
def test_a_panel_says_what_it_shows_and_in_which_unit(panel, schema):
    assert len(panel.raw["description"]) > 15
    assert panel.raw["description"].endswith(".")
    assert panel.raw["fieldConfig"]["defaults"]["unit"] in {*schema["units"], "dateTimeFromNow"}
    assert panel.targets
    assert {target["datasource"]["uid"] for target in panel.raw["targets"]} == {"${datasource}"}
    legends = [target.legend for target in panel.targets]
    assert len(set(legends)) == len(legends), "two queries with one legend cannot be told apart"


@pytest.mark.parametrize("name", RAW)
def test_panels_fill_the_grid_and_do_not_lie_on_one_another(name):
    taken: dict[tuple[int, int], str] = {}
    for panel in RAW[name]["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]
    height = max(y for _, y in taken) + 1
    assert set(taken) == {(x, y) for x in range(24) for y in range(height)}
    numbers = [panel["id"] for panel in RAW[name]["panels"]]
    assert sorted(set(numbers)) == sorted(numbers)


def test_links_lead_to_the_paragraphs_of_alerts_that_exist():
    alerts = {rule["alert"].lower() for rule in rules("alert")}
    urls = [link["url"] for panel in PANELS for link in panel.raw["links"]]

    assert {url.partition("#")[0] for url in urls} == {"${runbook:raw}"}
    assert {url.partition("#")[2] for url in urls} == alerts


# ------------------------------------------------------------------ what is asked


def test_each_metric_and_label_in_a_panel_is_one_that_the_code_registers():
    assert unknown(_queries()) == []


def test_each_metric_that_the_code_registers_is_on_a_panel():
    """Itself, or through a recording rule that a panel asks."""
    asked = {each["name"] for query in named(list(_queries().values())) for each in query["selectors"]}
    behind = named([rule["expr"] for rule in rules("record") if rule["record"] in asked])
    shown = asked | {each["name"] for query in behind for each in query["selectors"]}

    assert {name for name in registered() if not name.endswith(("_created", "_sum", "_count"))} <= shown


def test_a_metric_that_nothing_registers_is_found():
    panel = Panel(
        "b", {"title": "t", "targets": [{"refId": "A", "expr": "quarry_rows", "legendFormat": "", "instant": 0}]}
    )

    assert unknown(_queries([panel])) == ["b: t 0: nothing registers quarry_rows"]


def test_each_recording_rule_that_a_panel_asks_is_there():
    recorded = {rule["record"] for rule in rules("record")}
    asked = {each["name"] for query in named(list(_queries().values())) for each in query["selectors"]}

    assert {name for name in asked if ":" in name} <= recorded


@pytest.mark.parametrize("panel", PANELS, ids=_id)
def test_a_gauge_of_the_ledger_is_taken_once_and_a_counter_by_its_rise(panel):
    for target in panel.targets:
        for found in OF_THE_LEDGER.finditer(target.query):
            before = target.query[: found.start()]
            assert re.search(r"(?:max|min)(?: by \([a-z, ]+\))? ?\($", before), target.query
        for found in COUNTED.finditer(target.query):
            assert target.query[: found.start()].endswith(("rate(", "increase(", "last_over_time(")), target.query


@pytest.mark.parametrize("panel", PANELS, ids=_id)
def test_the_person_looking_chooses_the_environment_and_pools_are_told_apart_by_theirs(panel):
    for target in panel.targets:
        selectors = re.findall(r"\w+(?::\w+)*\{[^}]*\}", target.query)
        assert selectors
        for label in ("cluster", "namespace", "env"):
            assert all(f'{label}=~"${label}"' in selector for selector in selectors), target.query


# ------------------------------------------------------------------ what comes of it


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """A real run, with faults, that a real Prometheus has seen."""
    os.environ.setdefault("QUARRY_PROMETHEUS", program("prometheus"))
    try:
        with a_run(tmp_path_factory.mktemp("seen"), ROWS) as run:
            yield run
    except StackError as error:
        if not isinstance(error.__cause__, EmulatorUnavailable):
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize("panel", PANELS, ids=_id)
def test_each_query_of_a_panel_finds_data(seen, panel):
    prometheus = Prometheus(seen.prometheus)
    for target in panel.targets:
        found = prometheus.over(filled(target.query, WINDOW_S), seen.start_s, seen.end_s, STEP_S)
        assert found, f"{_id(panel)}: nothing comes of {target.query}"
        for series in found:
            assert "{{" not in series.name(target.legend)


def _legends(seen, board: str, title: str) -> dict[str, float]:
    """The highest value of each series of a panel, by its legend."""
    [panel] = [panel for panel in PANELS if (panel.board, panel.title) == (board, title)]
    return {
        series.name(target.legend): max(value for _, value in series.points)
        for target in panel.targets
        for series in Prometheus(seen.prometheus).over(filled(target.query, WINDOW_S), seen.start_s, seen.end_s, STEP_S)
    }


def test_what_went_wrong_is_to_be_seen(seen):
    """Panels that show 0 where nothing is wrong must not show 0 here."""
    assert _legends(seen, "overview", "Dead-letter messages, by queue")["manifests"] == 1
    assert _legends(seen, "overview", "Rows without an answer, in ${window:text}")["model_error"] >= 1
    assert _legends(seen, "services", "Verdicts, in ${window:text}")["manifests, poison"] == 1
    refused = _legends(seen, "services", "Calls that were not ok, in ${window:text}")
    assert any(value >= 1 for name, value in refused.items() if name.startswith("create_model_invocation_job"))
    assert _legends(seen, "scheduler", "Requests on demand by outcome, in ${window:text}")["ok"] >= 1


def test_newborn_counters_are_counted_from_nought(seen):
    """All rows of the runs are seen though the series of outcomes are born with the first shard's rows in them."""
    [panel] = [panel for panel in PANELS if panel.title == "Rows with an outcome, in ${window:text}"]
    length_s = int(seen.end_s - seen.start_s)
    found = Prometheus(seen.prometheus).at(filled(panel.targets[0].query, length_s), seen.end_s)

    assert sum(series.points[-1][1] for series in found) == pytest.approx(ROWS + FEW_ROWS, abs=1)


def test_the_pictures_are_drawn_from_it(seen, tmp_path):
    run = tmp_path / "seen.json"
    run.write_text(json.dumps(asdict(seen)))

    done = _python("-m", "tools.draw_dashboards", str(run), "--to", str(tmp_path / "pictures"))

    assert done.returncode == 0, done.stdout + done.stderr
    drawn = sorted((tmp_path / "pictures").iterdir())
    assert [path.name for path in drawn] == ["overview.png", "scheduler.png", "services.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_a_panel_without_data_is_named_and_nothing_is_drawn(seen, tmp_path):
    run = tmp_path / "before.json"
    run.write_text(
        json.dumps(
            {
                **asdict(seen),
                "start_s": seen.start_s - 3_600,
                "last_s": seen.start_s - 2_400,
                "over_s": seen.start_s - 1_800,
            }
        )
    )

    done = _python("-m", "tools.draw_dashboards", str(run), "--to", str(tmp_path / "pictures"))

    assert done.returncode == 1
    assert done.stderr.startswith("overview: Open runs: nothing comes of ")
    assert not (tmp_path / "pictures").exists()


# ------------------------------------------------------------------ what is told of it


def test_the_page_shows_each_picture_and_tells_of_each_row():
    page = PAGE.read_text()

    assert re.findall(r"\]\(pictures/(\w+)\.png\)", page) == list(RAW)
    for name, raw in RAW.items():
        part = page.partition(f"(pictures/{name}.png)")[2].partition("\n## ")[0]
        reported = re.findall(r"^\| \*\*(.+?)\*\* \|", part, re.MULTILINE)
        assert reported == [panel["title"] for panel in raw["panels"] if panel["type"] == "row"], name


def test_the_runbook_names_panels_that_are_there():
    """Where it says Panel or Panels, what stands in italics up to the sentence's end is a title; its window may go."""
    text = re.sub(r"\*\*.+?\*\*", "", " ".join((ROOT / "docs" / "runbook.md").read_text().split()))
    asked = {name for said in re.findall(r"[Pp]anels? (\*.+?)\. ", text) for name in re.findall(r"\*([^*]+)\*", said)}
    titles = {panel.title.partition(", in ${window")[0] for panel in PANELS}

    assert len(asked) > 5
    assert asked - titles == set()


def test_the_pictures_are_there_and_small():
    sizes = {path.stem: path.stat().st_size for path in PICTURES.glob("*.png") if path.stem in RAW}

    assert set(sizes) == set(RAW)
    assert max(sizes.values()) <= PICTURE_BYTES_MAX
    assert sum(sizes.values()) <= PICTURES_BYTES_MAX
