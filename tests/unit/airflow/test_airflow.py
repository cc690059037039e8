"""What of Quarry's Airflow package needs no Airflow: ids, summaries, and who imports whom. The rest: `make test-airflow`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from quarry_airflow.ids import run_id_of_batch, run_id_of_task
from quarry_airflow.outcome import fault, summary
from quarry_core.contract.names import RUN_ID_PATTERN

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "integrations" / "airflow" / "src" / "quarry_airflow"


def test_each_task_instance_has_a_run_of_its_own_and_each_try_the_same():
    named = ("dag", "task", "manual__2026-01-01T00:00:00+00:00", -1)
    others = [("dag2", *named[1:]), (named[0], "task2", *named[2:]), (*named[:2], "manual__2", -1), (*named[:3], 0)]

    ids = [run_id_of_task(*each) for each in (named, *others)]

    assert len(set(ids)) == 5
    assert run_id_of_task(*named) == ids[0]
    assert all(RUN_ID_PATTERN.fullmatch(each) for each in ids)
    batches = {run_id_of_batch(key, asked, number) for key in "ab" for asked in "cd" for number in (1, 2)}
    assert len(batches) == 8
    assert all(RUN_ID_PATTERN.fullmatch(each) for each in batches)


@pytest.mark.parametrize(("share", "fails"), [(1.0, False), (0.5, False), (0.0, True)])
def test_errors_fail_a_task_beyond_the_share_that_may_have_one(quarry, share, fails):
    quarry.world.bedrock.error_share = 0.1
    view = quarry.client.status(quarry.ended(200))

    said = fault(view, share)

    assert bool(said) == fails
    assert not fails or f"quarry errors {view.run_id}" in said
    assert view.rows.error > 0
    named = summary(view)
    assert (named["rows"], named["ok"] + named["error"]) == (200, 200)
    assert named["errors"] == view.errors


def test_a_run_that_came_to_nothing_fails_its_task_with_the_reason(quarry):
    view = quarry.client.status(quarry.ended(200, prompt_id="none_such"))

    assert "is FAILED: " in fault(view, 1.0)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Import):
            found |= {each.name.split(".")[0] for each in node.names}
    return found


def test_nothing_of_ours_imports_the_airflow_package_and_it_imports_no_service():
    """The development environment has no Airflow, so import-linter does not see it."""
    others = [each for home in ("core", "services", "cli", "local") for each in (ROOT / home).rglob("src/**/*.py")]
    assert len(others) > 100
    assert not [each for each in others if {"airflow", "quarry_airflow"} & imports(each)]
    ours = set().union(*(imports(each) for each in PACKAGE.glob("*.py")))
    assert {each for each in ours if each.startswith("quarry_")} == {"quarry_airflow", "quarry_cli", "quarry_core"}
