"""The frame of `make deploy-check`: what is skipped is counted and named, and only what is excused may be skipped."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.deploy.summary import Allowed, Skip, Summary, allowed

EXCUSE = Allowed("tests/deploy/test_a.py::*", "no buildah: .*", "It is in Debian only.")
EXCUSED = Skip("tests/deploy/test_a.py::test_built", "no buildah: nowhere on PATH")
WHY_WORDS_MIN = 6
ROOT = Path(__file__).resolve().parents[2]


def test_an_excused_skip_is_named_and_nothing_is_wrong():
    summary = Summary(passed=3, skips=[EXCUSED, EXCUSED], notes={"4 images"})
    assert summary.unforeseen([EXCUSE]) == []
    assert summary.line("x", [EXCUSE]) == (
        "x: 3 tests passed, 0 failed, 2 skipped; allowed skips: 2 of test_a.py (no buildah: nowhere on PATH); 4 images"
    )


@pytest.mark.parametrize(
    "skip",
    [
        Skip("tests/deploy/test_b.py::test_built", EXCUSED.reason),
        Skip(EXCUSED.test, "no buildah"),
        Skip(EXCUSED.test, "today there is no buildah: nowhere"),
    ],
    ids=["another test", "a shorter reason", "a longer reason"],
)
def test_a_skip_that_differs_in_test_or_reason_is_not_excused(skip):
    summary = Summary(skips=[skip])
    assert summary.unforeseen([EXCUSE]) == [skip]
    assert "SKIPS NOT ALLOWED: 1 of" in summary.line("x", [EXCUSE])


def test_reports_of_pytest_are_counted_whatever_they_skip(run_with_the_frame):
    code, last = run_with_the_frame(
        """
        import pytest
        def test_passes(): pass
        def test_skips(): pytest.skip("no moon: cloudy")
        @pytest.mark.skipif(True, reason="by a mark")
        def test_skips_by_a_mark(): pass
        @pytest.mark.xfail(reason="not yet")
        def test_expected_to_fail(): assert False
        """
    )
    assert code == 0
    assert last.startswith("x: 1 tests passed, 0 failed, 3 skipped; SKIPS NOT ALLOWED: ")
    for reason in ("(no moon: cloudy)", "(by a mark)", "(expected to fail: not yet)"):
        assert reason in last


def test_a_file_that_skips_itself_is_counted(run_with_the_frame):
    _, last = run_with_the_frame("import pytest\npytest.skip('no tool', allow_module_level=True)\n")
    assert "0 tests passed, 0 failed, 1 skipped" in last


def test_a_failing_teardown_and_a_broken_file_are_failures(run_with_the_frame):
    _, last = run_with_the_frame(
        """
        import pytest
        @pytest.fixture
        def bad():
            yield
            raise ValueError
        def test_with_it(bad): pass
        """
    )
    assert "1 tests passed, 1 failed" in last
    assert "0 tests passed, 1 failed" in run_with_the_frame("import nothing_like_it\n")[1]


def test_each_excuse_matches_tests_that_there_are_and_says_why():
    for one in allowed():
        re.compile(one.reason)
        assert list(ROOT.glob(one.test.split("::")[0])), one.test
        assert len(one.why.split()) >= WHY_WORDS_MIN, one
        assert one.reason not in {"", ".*", ".+"}, "an excuse for everything excuses nothing"


@pytest.fixture
def run_with_the_frame(tmp_path):
    """Runs a file of tests in a process of its own, with the frame's hooks; the exit code and the summary's line."""

    def run(source: str) -> tuple[int, str]:
        (tmp_path / "test_it.py").write_text(textwrap.dedent(source))
        (tmp_path / "conftest.py").write_text(
            "from tests.deploy.conftest import pytest_collectreport, pytest_runtest_logreport\n"
        )
        (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
        code = (
            "import sys, pytest\n"
            "from tests.deploy.summary import SUMMARY\n"
            f"code = int(pytest.main(['-q', '-p', 'no:cacheprovider', '--rootdir', {str(tmp_path)!r}, {str(tmp_path)!r}]))\n"
            "print(SUMMARY.line('x', []))\n"
            "sys.exit(code)\n"
        )
        answer = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        assert answer.stdout, answer.stderr
        return answer.returncode, answer.stdout.splitlines()[-1]

    return run
