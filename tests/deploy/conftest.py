"""The tests of what is deployed run where `QUARRY_TEST_DEPLOY` asks for them: `make deploy-check`.

`make test` collects nothing here, for it must not need the tools. What is skipped is counted and named in the last line,
and a skip that `allowed_skips.json` does not excuse fails the run ([`summary`](summary.py)).
"""

from __future__ import annotations

import os

import pytest

from tests.deploy.summary import SUMMARY

collect_ignore_glob = [] if os.environ.get("QUARRY_TEST_DEPLOY") == "1" else ["test_*.py"]
TEST_S = 600  # an image is built in minutes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/deploy/" in item.path.as_posix() and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_S))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    SUMMARY.see(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    SUMMARY.see(report)
