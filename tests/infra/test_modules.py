"""Every module, environment and example is formatted, valid and documented, and its own tests pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra import terraform
from tests.infra.summary import SUMMARY

ROOT = Path(__file__).resolve().parents[2]
MODULES, ROOTS = terraform.modules(), terraform.roots()


def all_healthy(said: str) -> None:
    """Fail with what a command said, which pytest would cut short."""
    if said:
        pytest.fail(said, pytrace=False)


def test_there_is_something_to_check():
    assert MODULES


def test_all_files_are_formatted():
    answer = subprocess.run(
        [terraform.program(), "fmt", "-check", "-recursive", "-diff", "-no-color"],
        cwd=terraform.SOURCES,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, f"terraform fmt -recursive would change:\n{answer.stdout}{answer.stderr}"


def test_the_tables_in_the_readmes_are_those_of_the_files():
    answer = subprocess.run(
        [sys.executable, ROOT / "tools" / "terraform_docs.py", "--check"], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("directory", [*MODULES, *ROOTS])
def test_is_valid_without_a_warning(checks, directory):
    SUMMARY.directories.add(directory)
    all_healthy(checks[directory].not_valid)


@pytest.mark.parametrize("directory", [*MODULES, *ROOTS])
def test_its_own_tests_pass(checks, directory):
    checked = checks[directory]
    SUMMARY.runs_passed += checked.runs_passed
    SUMMARY.runs_failed += checked.runs_failed
    all_healthy(checked.not_valid)
    all_healthy(checked.tests_said)
    assert checked.runs_passed, f"{directory} has no tests/*.tftest.hcl of which one ran"


@pytest.mark.parametrize("directory", ROOTS)
def test_can_be_planned(checks, directory):
    checked = checks[directory]
    all_healthy(checked.not_valid)
    all_healthy(checked.not_planned)


@pytest.mark.parametrize("directory", MODULES)
def test_a_module_leaves_providers_and_backends_to_the_roots(directory):
    text = "\n".join(path.read_text() for path in (terraform.SOURCES / directory).glob("*.tf"))
    assert 'provider "aws"' not in text
    assert "backend " not in text


def test_neither_state_nor_lock_file_is_committed():
    """A lock file written from a mirror holds one platform's hash: it would refuse the provider to everybody else."""
    answer = subprocess.run(["git", "ls-files", "terraform"], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = [Path(line).name for line in answer.stdout.splitlines()]
    assert tracked
    assert not [name for name in tracked if ".tfstate" in name or name == ".terraform.lock.hcl"]
