"""Each environment and example applies on the embedded AWS, stays as it is, and can be taken down to the last name."""

from __future__ import annotations

import pytest

from tests.infra import drifts, terraform
from tests.infra.ahead import Ahead
from tests.infra.lifecycle import GUARD, Lifecycle
from tests.infra.summary import LACKING, SUMMARY

ROOTS = terraform.roots()
GUARDED = [directory for directory in ROOTS if (terraform.SOURCES / directory / GUARD).exists()]


@pytest.fixture(scope="module")
def lifecycles(request, tmp_path_factory):
    ahead = Ahead(Lifecycle(tmp_path_factory.mktemp("lifecycles")))
    asking = [item for item in request.session.items if "lifecycles" in getattr(item, "fixturenames", ())]
    ahead.begin(str(item.callspec.params["directory"]) for item in asking if hasattr(item, "callspec"))
    yield ahead
    ahead.close()


@pytest.mark.parametrize("directory", ROOTS)
def test_applies(lifecycles, directory):
    life = lifecycles[directory]
    if life.second_plan is None:
        pytest.fail(life.fault, pytrace=False)
    assert life.made
    if life.resent:
        SUMMARY.notes.add(f"{directory}: {len(life.resent)} calls came twice and were made once")
    SUMMARY.applied.add(directory)
    SUMMARY.skipped |= set(LACKING)


@pytest.mark.parametrize("directory", ROOTS)
def test_a_second_plan_changes_nothing_but_known_drifts(lifecycles, directory):
    plan = lifecycles[directory].second_plan
    assert plan is not None, f"{directory} was not applied"
    found = list(drifts.seen(plan))
    SUMMARY.drifts |= {str(drift) for drift, _ in found if drift in drifts.ALLOWED}
    new = [reported for drift, reported in found if drift not in drifts.ALLOWED]
    assert not new, "a second plan would change:\n" + "\n".join(new)


def test_every_listed_drift_is_still_seen(lifecycles):
    seen = {
        drift for root in ROOTS for drift, _ in drifts.seen(lifecycles[root].second_plan or {"resource_changes": []})
    }
    gone = sorted(map(str, set(drifts.ALLOWED) - seen))
    assert not gone, f"no longer seen, take them off the list: {gone}"


@pytest.mark.parametrize("directory", ROOTS)
def test_destroy_leaves_nothing(lifecycles, directory):
    life = lifecycles[directory]
    if not life.destroyed:
        pytest.fail(life.fault, pytrace=False)
    assert sorted(life.left) == []


@pytest.mark.parametrize("directory", GUARDED)
def test_what_is_guarded_is_not_destroyed_while_the_guard_stands(lifecycles, directory):
    assert "prevent_destroy" in lifecycles[directory].destroy_refused
