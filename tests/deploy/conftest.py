"""The tests of what is deployed run where `QUARRY_TEST_DEPLOY` asks for them: `make deploy-check`.

`make test` collects nothing here, for it must not need the tools. What is skipped is counted and named in the last line,
and a skip that `allowed_skips.json` does not excuse fails the run ([`summary`](summary.py)).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.deploy.charts import PYTHON, Helm
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


@pytest.fixture(scope="session")
def helm() -> Iterator[Helm]:
    """Helm's engine. One process a session."""
    if not PYTHON.exists() and "QUARRY_DEPLOY_PYTHON" not in os.environ:
        pytest.fail(f"{PYTHON} is missing: make deploy-check installs requirements/deploy.txt there", pytrace=False)
    engine = Helm()
    yield engine
    engine.close()
