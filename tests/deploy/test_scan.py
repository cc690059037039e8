"""checkov finds nothing in the Dockerfile and in what the chart installs but what `checkov_skips.json` names.

Each skip has its reason, and none is out of date. The chart is rendered with every file of `ci/`. A finding is known by its
check and by the object that it is in; a skip whose place is `*` holds for the objects of the chart.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.deploy.charts import VARIANTS
from tests.deploy.images import DOCKERFILE, ROOT
from tests.deploy.summary import SUMMARY

CHECKOV = ROOT / ".venv-infra" / "bin" / "checkov"
SKIPS = Path(__file__).with_name("checkov_skips.json")
SKIPS_MAX = 12
REASON_WORDS_MIN = 10
SCAN_S = 300
CHECKS_PASSED_MIN = 500  # fewer, and it has not read what it should
ANYWHERE = "*"


@dataclass(frozen=True, order=True)
class Finding:
    check: str
    where: str


def scan(directory: Path) -> tuple[int, dict[Finding, str]]:
    """How many checks passed, and what was found, with checkov's words."""
    answer = subprocess.run(
        [
            CHECKOV,
            "--directory",
            directory,
            "--framework",
            "dockerfile",
            "kubernetes",
            "--skip-download",
            "--output",
            "json",
        ],
        capture_output=True,
        text=True,
        timeout=SCAN_S,
        check=False,
    )
    try:
        said = json.loads(answer.stdout)
    except ValueError:
        pytest.fail(f"checkov ended with {answer.returncode}:\n{answer.stdout[-2000:]}\n{answer.stderr[-2000:]}")
    reports = said if isinstance(said, list) else [said]
    passed, found = 0, {}
    for report in reports:
        assert report["summary"]["parsing_errors"] == 0, report["results"].get("parsing_errors")
        passed += report["summary"]["passed"]
        for one in report["results"]["failed_checks"]:
            found[Finding(one["check_id"], _place(one["resource"]))] = one["check_name"]
    return passed, found


def _place(resource: str) -> str:
    """`Dockerfile/FROM` of /Dockerfile.FROM; `Pod.quarry-doctor` of Pod.quarry.quarry-doctor, the namespace left out."""
    if "Dockerfile" in resource:
        return "Dockerfile/" + resource.rsplit(".", 1)[1]
    kind, _, name = resource.split(".", 2)
    return f"{kind}.{name}"


@pytest.fixture(scope="module")
def scanned(helm, tmp_path_factory) -> tuple[int, dict[Finding, str]]:
    directory = tmp_path_factory.mktemp("scan")
    (directory / "Dockerfile").write_text(DOCKERFILE.read_text())
    for name, values in VARIANTS.items():
        (directory / f"{name}.yaml").write_text(yaml.safe_dump_all(helm.objects(values)))
    return scan(directory)


@pytest.fixture(scope="module")
def skips() -> dict[Finding, str]:
    return {Finding(one["check"], one["where"]): one["reason"] for one in json.loads(SKIPS.read_text())}


def skipped_as(finding: Finding, skips: Mapping[Finding, str]) -> Finding | None:
    """The skip that excuses a finding."""
    anywhere = Finding(finding.check, ANYWHERE)
    return next((one for one in (finding, anywhere) if one in skips), None)


def test_nothing_is_found_but_what_is_skipped(scanned, skips):
    passed, found = scanned
    assert passed >= CHECKS_PASSED_MIN
    new = [f"{one.check} {one.where}: {found[one]}" for one in sorted(found) if skipped_as(one, skips) is None]
    assert not new, "checkov finds:\n" + "\n".join(new)
    SUMMARY.notes.add(f"checkov passed {passed} checks with {len(skips)} skips")


def test_every_skip_is_still_needed(scanned, skips):
    assert sorted(set(skips) - {skipped_as(one, skips) for one in scanned[1]}) == []


def test_skips_are_few_and_each_has_its_reason(skips):
    assert len(skips) <= SKIPS_MAX
    assert [one for one, reason in skips.items() if len(reason.split()) < REASON_WORDS_MIN] == []


def test_no_file_hides_a_skip_of_its_own():
    files = [DOCKERFILE, *(path for path in (ROOT / "deploy/helm").rglob("*") if path.is_file())]
    assert [str(path) for path in files if re.search(r"(checkov|bridgecrew)[:.]", path.read_text())] == []


def test_the_scanner_finds_a_root_and_a_privileged_pod(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM python:3.11\nUSER root\n")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n"}}
    container = {"name": "c", "image": "i:1", "securityContext": {"privileged": True}}
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump({**pod, "spec": {"containers": [container]}}))
    _, found = scan(tmp_path)
    assert Finding("CKV_DOCKER_8", "Dockerfile/USER") in found
    assert Finding("CKV_K8S_16", "Pod.p") in found
