"""checkov finds nothing but what `checkov_skips.json` names, each with its reason, and nothing there is out of date.

It reads the files with their local modules, as each environment and example calls them, and asks nothing of the network.
A finding is known by its check and by where it is: directory, type and name of the resource, without the path of modules
that led there.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.infra import terraform
from tests.infra.summary import SUMMARY

ROOT = Path(__file__).resolve().parents[2]
CHECKOV = ROOT / ".venv-infra" / "bin" / "checkov"
SKIPS = Path(__file__).with_name("checkov_skips.json")
SKIPS_MAX = 20
REASON_WORDS_MIN = 6
SCAN_S = 900
CHECKS_PASSED_MIN = 100  # fewer, and it has not read what it should


@dataclass(frozen=True, order=True)
class Finding:
    check: str
    where: str


def scan(directory: Path) -> tuple[int, dict[Finding, str]]:
    """How many checks passed, and what was found, with checkov's words."""
    answer = subprocess.run(
        [CHECKOV, "--directory", directory, "--framework", "terraform", "--skip-download", "--output", "json"],
        capture_output=True,
        text=True,
        timeout=SCAN_S,
        check=False,
    )
    try:
        said = json.loads(answer.stdout)
    except ValueError:
        pytest.fail(f"checkov ended with {answer.returncode}:\n{answer.stdout[-2000:]}\n{answer.stderr[-2000:]}")
    assert said["summary"]["parsing_errors"] == 0, said["results"].get("parsing_errors")
    return said["summary"]["passed"], dict(_findings(said["results"]["failed_checks"]))


def _findings(failed: list[Mapping[str, Any]]) -> Iterator[tuple[Finding, str]]:
    for one in failed:
        place = str(Path(one["file_path"]).parent).strip("/")
        resource = re.sub(r"\[[^]]*\]", "", re.sub(r"module\.[^.]+\.", "", one["resource"]))
        yield Finding(one["check_id"], f"{place}/{resource}"), one["check_name"]


@pytest.fixture(scope="module")
def scanned() -> tuple[int, dict[Finding, str]]:
    return scan(terraform.SOURCES)


@pytest.fixture(scope="module")
def skips() -> dict[Finding, str]:
    return {Finding(one["check"], one["where"]): one["reason"] for one in json.loads(SKIPS.read_text())}


def test_nothing_is_found_but_what_is_skipped(scanned, skips):
    passed, found = scanned
    assert passed >= CHECKS_PASSED_MIN
    new = [f"{finding.check} {finding.where}: {found[finding]}" for finding in sorted(found) if finding not in skips]
    assert not new, "checkov finds:\n" + "\n".join(new)
    SUMMARY.notes.add(f"checkov passed {passed} checks with {len(skips)} skips")


def test_every_skip_is_still_needed(scanned, skips):
    assert sorted(set(skips) - set(scanned[1])) == []


def test_skips_are_few_and_each_has_its_reason(skips):
    assert len(skips) <= SKIPS_MAX
    assert [finding for finding, reason in skips.items() if len(reason.split()) < REASON_WORDS_MIN] == []


def test_no_file_hides_a_skip_of_its_own():
    hiding = [
        str(path)
        for path in terraform.SOURCES.rglob("*.tf")
        if re.search(r"(checkov|bridgecrew):skip", path.read_text())
    ]
    assert hiding == []


def test_the_scanner_finds_an_open_bucket(tmp_path):
    (tmp_path / "main.tf").write_text('resource "aws_s3_bucket" "open" {\n  bucket = "open"\n}\n')
    assert any("public access block" in words.lower() for words in scan(tmp_path)[1].values())
