"""Bills of materials: each image and distribution has one, it is CycloneDX, and it holds what is pinned, no more, no less."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.images import distribution_of, requirement_file

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-sbom" / "bin" / "python"
IMAGES = ("preprocessor", "scheduler", "collector", "cli")
DISTRIBUTIONS = {
    tomllib.loads(path.read_text())["project"]["name"]: path
    for path in ROOT.glob("**/pyproject.toml")
    if not {part for part in path.relative_to(ROOT).parts if part.startswith(".")} and path.parent != ROOT
}
OURS = re.compile(r"quarry-batch(-[a-z]+)?$")


@pytest.fixture(scope="module")
def bills(tmp_path_factory) -> dict[str, dict[str, Any]]:
    made = tmp_path_factory.mktemp("sbom")
    python = os.environ.get("QUARRY_SBOM_PYTHON", str(PYTHON))
    done = subprocess.run(
        [python, "-W", "error", str(ROOT / "tools" / "sbom.py"), "--to", str(made)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.name.removesuffix(".cdx.json"): json.loads(path.read_text()) for path in made.iterdir()}


def pinned(name: str) -> set[str]:
    """Names and versions of a requirement file, whatever the Python."""
    return set(re.findall(r"^([a-z0-9.-]+==[^\s;]+)", requirement_file(name).read_text(), re.MULTILINE))


def for_another_system(name: str) -> set[str]:
    return set(
        re.findall(
            r"^([a-z0-9.-]+)==\S+ ; .*== '(?:win32|emscripten)'",
            requirement_file(name).read_text(),
            re.MULTILINE,
        )
    )


def of_others(bill: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{each['name']}=={each['version']}": each
        for each in bill["components"]
        if not OURS.match(each["name"]) and each["type"] == "library"
    }


def test_each_image_and_each_distribution_has_one(bills):
    assert len(DISTRIBUTIONS) == 7
    assert set(bills) == {f"image-{name}" for name in IMAGES} | {f"distribution-{name}" for name in DISTRIBUTIONS}


def test_they_are_what_the_specification_wants_and_say_what_they_are_about(bills):
    for name, bill in bills.items():
        assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
        about = bill["metadata"]["component"]
        kind, _, what = name.partition("-")
        assert about["type"] == {"image": "container", "distribution": "library"}[kind]
        assert about["name"] == (f"quarry-{what}" if kind == "image" else what)
        refs = [each["bom-ref"] for each in bill["components"]]
        assert len(set(refs)) == len(refs)
        root = next(each for each in bill["dependencies"] if each["ref"] == about["bom-ref"])
        assert root["dependsOn"] == refs


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_holds_what_it_pins_for_its_python_once(bills, name):
    found = of_others(bills[f"image-{name}"])

    assert set(found) <= pinned(name)
    names = {each.partition("==")[0] for each in pinned(name)} - for_another_system(name)
    assert sorted(each.partition("==")[0] for each in found) == sorted(names)
    for each in found.values():
        assert each["purl"] == f"pkg:pypi/{each['name']}@{each['version']}"
        [source] = each["externalReferences"]
        assert {one["alg"] for one in source["hashes"]} == {"SHA-256"}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_names_its_base_and_our_own_distributions(bills, name):
    components = bills[f"image-{name}"]["components"]
    base = re.search(r"^ARG BASE_IMAGE=(\S+)$", (ROOT / "deploy/docker/Dockerfile").read_text(), re.MULTILINE)

    assert base
    assert [each["name"] for each in components if each["type"] == "container"] == [base[1]]
    assert {each["name"] for each in components if OURS.match(each["name"])} == {
        "quarry-batch-core",
        distribution_of(name),
    }


def test_ours_are_not_taken_for_what_an_index_has_under_their_names(bills):
    purls = [each.get("purl", "") for bill in bills.values() for each in bill["components"]]

    assert [purl for purl in purls if purl.startswith("pkg:pypi/quarry")] == []
    assert [purl for purl in purls if purl.startswith("pkg:generic/quarry-batch-core@")]


@pytest.mark.parametrize("name", sorted(DISTRIBUTIONS))
def test_a_distribution_holds_everything_that_it_asks_for(bills, name):
    project = tomllib.loads(DISTRIBUTIONS[name].read_text())["project"]
    asked = {re.split(r"[\[><=!~ ]", line)[0].lower().replace("_", "-") for line in project["dependencies"]}

    assert asked <= {each["name"].lower() for each in bills[f"distribution-{name}"]["components"]}
