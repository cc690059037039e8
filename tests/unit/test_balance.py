"""How tests are divided among processes: stacks wait beside tests that compute, and nothing is torn apart or left out."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import balance

xdist = pytest.importorskip("xdist.remote")

STACKS = ["tests/e2e/test_kill.py::test_a", "tests/e2e/calm/test_cli.py::test_b", "tests/e2e/calm/test_jobs.py::test_c"]
OTHERS = [f"tests/unit/core/test_{name}.py::test_{number}[a::b/c]" for name in "xyz" for number in range(4)]


class Process:
    """A worker as the scheduler knows it, with a test in hand and some before it."""

    def __init__(self, number: int) -> None:
        self.gateway = SimpleNamespace(id=f"gw{number}")
        self.shutting_down = False
        self.tests: list[int] = []
        self.done = 0

    def send_runtest_some(self, tests) -> None:
        self.tests += tests

    def shutdown(self) -> None:
        self.shutting_down = True


def run(processes: int, tests: list[str]) -> list[list[str]]:
    """What each process ran, where each test takes as long as any other."""
    tx = [f"{processes}*popen"]
    options = SimpleNamespace(tx=tx, dist="load", numprocesses=processes, loadscopereorder=True)
    config = SimpleNamespace(option=options, getvalue=lambda name: getattr(options, name))
    scheduler = balance.pytest_xdist_make_scheduler(config, log=None)
    workers = [Process(number) for number in range(processes)]
    for worker in workers:
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, tests)
    scheduler.schedule()
    while any(worker.done < len(worker.tests) for worker in workers):
        for worker in workers:
            if worker.done < len(worker.tests):
                scheduler.mark_test_complete(worker, worker.tests[worker.done])
                worker.done += 1
    assert scheduler.tests_finished
    return [[tests[test] for test in worker.tests] for worker in workers]


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 8])
def test_every_test_is_run_once_and_those_that_share_a_stack_or_a_file_in_one_process(processes):
    ran = run(processes, STACKS + OTHERS)

    assert sorted(chain(*ran)) == sorted(STACKS + OTHERS)
    units = [{balance.unit_of(test) for test in tests} for tests in ran]
    assert sum(map(len, units)) == len(set().union(*units)) == 5


def test_one_half_of_the_processes_begins_with_stacks_and_the_other_half_with_all_else():
    ran = run(4, OTHERS + STACKS)

    assert [tests[0].startswith(balance.STACKS) for tests in ran] == [True, False, True, False]


def test_a_process_without_stacks_left_takes_of_the_rest_and_the_other_way_round():
    stack, rest = run(2, [*OTHERS, STACKS[0]])
    assert stack[0] == STACKS[0]
    assert len(stack) > 1

    stack, rest = run(2, [*(f"tests/e2e/test_{number}.py::test" for number in range(9)), OTHERS[0]])
    assert rest[0] == OTHERS[0]
    assert len(rest) > 1


def test_a_way_that_somebody_has_chosen_is_left_to_xdist():
    config = SimpleNamespace(getvalue={"dist": "loadfile"}.get)
    assert balance.pytest_xdist_make_scheduler(config, log=None) is None


def test_each_process_begins_to_collect_elsewhere_and_leaves_nothing_out():
    orders = [balance.rotated("abcdefgh", process, 4) for process in range(4)]

    assert ["".join(order) for order in orders] == ["abcdefgh", "cdefghab", "efghabcd", "ghabcdef"]
    assert balance.rotated(["a"], 3, 4) == ["a"]


def item(nodeid: str, slow: bool = False):
    return SimpleNamespace(nodeid=nodeid, get_closest_marker=lambda name: slow and name == "slow")


@pytest.mark.parametrize("several", [False, True])
def test_files_that_share_a_stack_follow_each_other_and_long_ones_come_first_where_there_are_several(several):
    quick = item("tests/unit/test_quick.py::test")
    cli, jobs = item("tests/e2e/calm/test_cli.py::test"), item("tests/e2e/calm/test_jobs.py::test")
    quick_beside, slow = item("tests/unit/test_big.py::test_small"), item("tests/unit/test_big.py::test_big", slow=True)
    doctor, kill = item("tests/e2e/test_doctor.py::test"), item("tests/e2e/test_kill.py::test", slow=True)
    items = [cli, quick, doctor, jobs, quick_beside, slow, kill]

    balance.pytest_collection_modifyitems(SimpleNamespace(**({"workerinput": {}} if several else {})), items)

    big, calm = [quick_beside, slow], [cli, jobs]
    assert items == ([*calm, kill, *big, quick, doctor] if several else [*calm, quick, doctor, *big, kill])


def test_what_is_called_long_is_there():
    root = Path(balance.__file__).parents[1]
    assert [unit for unit in balance.LONGEST if not (root / unit).exists()] == []
    assert {unit for unit in balance.LONGEST if (root / unit).is_dir()} == {"tests/e2e/calm", "tests/e2e/faults"}
