"""The infrastructure tests run where `QUARRY_TEST_INFRA` asks for them: `make infra-fast`, `make infra`.

`fast` collects what needs Terraform and its provider, `all` also what applies on the embedded AWS. `make test` collects
nothing here, for it must not need Terraform.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import pytest

from quarry_local import emulator
from quarry_local.clients import Clients
from tests.infra import terraform
from tests.infra.ahead import Ahead
from tests.infra.applied import Applied, applied
from tests.infra.checks import Checks
from tests.infra.summary import SUMMARY

PART = os.environ.get("QUARRY_TEST_INFRA", "")
FULL = [
    "test_apply.py",
    "test_iam_denied.py",
    "test_iam_missed.py",
    "test_iam_necessary.py",
    "test_iam_of_the_emulator.py",
    "test_iam_sufficient.py",
    "test_local_is_terraform.py",
]
collect_ignore_glob = ["test_*.py"] if PART not in {"fast", "all"} else []
collect_ignore = FULL if PART == "fast" else []
# Most of it waiting for the provider, in turn with the other tests: whoever asks for the last piece of work waits for all.
TEST_S = 3_600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/infra" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(TEST_S))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        SUMMARY.tests_passed += 1
    elif report.failed:
        SUMMARY.tests_failed += 1
    elif report.skipped and isinstance(report.longrepr, tuple) and "empty parameter set" not in report.longrepr[2]:
        SUMMARY.skipped.add(report.longrepr[2].removeprefix("Skipped: "))


@pytest.fixture(scope="session")
def _emulators(tmp_path_factory) -> Iterator[Callable[[], Clients]]:
    """Opens emulators; all are closed after the session."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(emulator.running(tmp_path_factory.mktemp("emulator")))


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Iterator[Applied]:
    """The environment on which IAM is proven; whoever changes a policy there puts it back."""
    with applied(tmp_path_factory.mktemp("applied")) as world:
        yield world


@pytest.fixture(scope="session")
def checks(request, tmp_path_factory, _emulators) -> Iterator[Ahead]:
    """What terraform says of each module, environment and example, by its directory under `terraform/`."""
    try:
        terraform.program()
        clients = _emulators()
    except (terraform.NoTerraform, emulator.EmulatorUnavailable) as error:
        pytest.fail(str(error), pytrace=False)
    ahead = Ahead(Checks(tmp_path_factory.mktemp("checks"), clients.endpoint_url))
    asking = [item for item in request.session.items if "checks" in getattr(item, "fixturenames", ())]
    given = (item.callspec.params for item in asking if hasattr(item, "callspec"))
    ahead.begin(str(parameters["directory"]) for parameters in given if "directory" in parameters)
    yield ahead
    ahead.close()
