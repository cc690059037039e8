"""The table itself: every statement has an id, a test or a reason; the page tells what is there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tools import conformance_table

ROOT = Path(__file__).resolve().parents[2]


def test_every_statement_is_held_by_a_test_or_says_why_not():
    assert conformance_table.faults() == []


def test_the_page_is_the_same_each_time_and_tells_every_statement():
    page = conformance_table.page()
    assert page == conformance_table.page()
    for statement in conformance_table.statements():
        assert f"`{statement.id}`" in page


@pytest.fixture
def checkout(tmp_path):
    """A checkout with this one's conformance tests, to plant faults in."""
    shutil.copytree(ROOT / "tests" / "conformance", tmp_path / "tests" / "conformance")
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ('conforms("C2-statuses")', 'conforms("C2-no-such")', ["C2-no-such", "C2-statuses: no test holds it"]),
        ('@pytest.mark.conforms("C2-ends-are-final")', "", ["C2-ends-are-final: no test holds it"]),
    ],
)
def test_an_unknown_or_uncovered_id_is_a_fault(checkout, old, new, wrong):
    states = checkout / "tests" / "conformance" / "test_states.py"
    assert old in states.read_text()
    states.write_text(states.read_text().replace(old, new))
    found = conformance_table.faults(checkout)
    assert all(any(each in fault for fault in found) for each in wrong), found


def test_a_statement_whose_test_is_known_to_fail_does_not_hold(checkout):
    states = checkout / "tests" / "conformance" / "test_states.py"
    mark = '@pytest.mark.conforms("C2-statuses")'
    states.write_text(states.read_text().replace(mark, f'@pytest.mark.xfail(reason="not yet")\n{mark}'))
    row = next(line for line in conformance_table.page(checkout).splitlines() if "`C2-statuses`" in line)
    assert row.endswith("**no**: not yet |")
