"""`make wheels`: the same bytes each time, everything inside that is needed and nothing else, and files that pin them."""

from __future__ import annotations

import email
import hashlib
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from quarry_core import __version__

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = [
    ROOT / each
    for each in (
        "core",
        "services/preprocessor",
        "services/scheduler",
        "services/collector",
        "cli",
        "local",
        "integrations/airflow",
    )
]
FOLDER_OF = {tomllib.loads((each / "pyproject.toml").read_text())["project"]["name"]: each for each in FOLDERS}
PROJECTS = {name: tomllib.loads((each / "pyproject.toml").read_text())["project"] for name, each in FOLDER_OF.items()}
NAMES = {
    "quarry-batch",
    *(f"quarry-batch-{each}" for each in ("core", "local", "preprocessor", "scheduler", "collector", "airflow")),
}


def make(to: Path, **variables: str) -> Path:
    environment = {**os.environ, **variables}
    command = [sys.executable, "-W", "error", str(ROOT / "tools" / "wheels.py"), "--to", str(to)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return to


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("wheels"))


def wheels(made: Path) -> dict[str, Path]:
    return {str(parse_wheel_filename(path.name)[0]): path for path in made.glob("*.whl")}


def pins(path: Path) -> dict[str, tuple[str, list[str]]]:
    """Name to version and hashes, of a file with hashes."""
    lines = path.read_text().replace("\\\n", " ").splitlines()
    found = {}
    for line in lines:
        if line and not line.startswith(("#", "-")):
            wanted, *hashes = line.split(" --hash=sha256:")
            requirement = Requirement(wanted.strip())
            [version] = [each.version for each in requirement.specifier]
            found[canonicalize_name(requirement.name)] = (version, [each.strip() for each in hashes])
    return found


def test_all_seven_distributions_are_built_and_bear_one_version(made):
    assert set(PROJECTS) == NAMES == set(wheels(made))
    assert {table["version"] for table in PROJECTS.values()} == {__version__}
    ours = [Requirement(line) for table in PROJECTS.values() for line in every_requirement(table)]
    assert {str(one.specifier) for one in ours if one.name in NAMES} == {f"=={__version__}"}


def every_requirement(table) -> list[str]:
    return [
        *table["dependencies"],
        *(line for lines in table.get("optional-dependencies", {}).values() for line in lines),
    ]


def test_built_again_later_they_are_the_same_bytes(made, tmp_path):
    again = make(tmp_path / "again")

    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in made.iterdir()
    }


def test_their_files_bear_the_time_of_the_commit(made, tmp_path):
    later = make(tmp_path / "later", SOURCE_DATE_EPOCH="1900000000")

    def times(folder):
        return {info.date_time for path in wheels(folder).values() for info in zipfile.ZipFile(path).infolist()}

    assert len(times(made)) == 1
    assert {each[0] for each in times(later)} == {2030}


def test_a_wheel_holds_its_package_its_licence_and_no_more(made):
    for name, path in wheels(made).items():
        files = zipfile.ZipFile(path).namelist()
        about = f"{name.replace('-', '_')}-{__version__}.dist-info/"
        assert f"{about}licenses/LICENSE" in files
        packages = {each.split("/")[0] for each in files if not each.startswith(about)}
        # The Python API has the command's name too (decision 0055).
        assert len(packages) == (2 if name == "quarry-batch" else 1)
        source = FOLDER_OF[name] / "src"
        wanted = {
            each.relative_to(source).as_posix()
            for package in packages
            for each in (source / package).rglob("*")
            if each.is_file() and "__pycache__" not in each.parts
        }
        assert {each for each in files if not each.startswith(about)} == wanted


def test_a_client_is_asked_for_little(made):
    """A notebook has most of it, and none of what services need."""
    names = set()
    for name in ("quarry-batch", "quarry-batch-core"):
        with zipfile.ZipFile(wheels(made)[name]) as wheel:
            [metadata] = [each for each in wheel.namelist() if each.endswith("METADATA")]
            asked = map(Requirement, email.message_from_bytes(wheel.read(metadata)).get_all("Requires-Dist"))
            names |= {one.name for one in asked if one.marker is None or one.marker.evaluate({"extra": "columns"})}

    assert names == {
        *("boto3", "botocore", "msgspec", "numpy", "pyarrow", "pydantic", "pydantic-settings", "pyyaml", "urllib3"),
        *("quarry-batch-core", "rich", "typer"),
    }


def test_the_sums_are_those_of_every_other_file(made):
    lines = (made / "SHA256SUMS").read_text().splitlines()

    assert dict(reversed(line.split("  ")) for line in lines) == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in made.iterdir() if path.name != "SHA256SUMS"
    }


@pytest.mark.parametrize(
    "name", [*sorted(NAMES), "quarry-batch-pandas", "quarry-batch-hub-pandas", "quarry-batch-export-hub-pandas"]
)
def test_a_requirement_file_pins_our_wheels_and_all_that_they_need(made, name):
    found = pins(made / f"{name}.txt")
    extras = ",".join(name.removeprefix("quarry-batch-").split("-"))
    ahead = [Requirement(name if name in NAMES else f"quarry-batch[{extras}]")]
    seen = set()
    while ahead:
        one = ahead.pop()
        version, hashes = found[canonicalize_name(one.name)]
        assert one.specifier.contains(version), one
        assert hashes
        if one.name not in NAMES or str(one) in seen:
            continue
        seen.add(str(one))
        table = PROJECTS[one.name]
        assert hashes == [hashlib.sha256(wheels(made)[one.name].read_bytes()).hexdigest()]
        ahead += map(Requirement, table["dependencies"])
        ahead += [Requirement(line) for extra in one.extras for line in table["optional-dependencies"][extra]]
    assert "--find-links ." in (made / f"{name}.txt").read_text().splitlines()


def test_the_floors_are_tested_with_all_that_a_service_needs():
    """The client's tests run the services beside it, in one process (`make test-floors`).

    huggingface_hub needs a younger click than the lowest typer: what reads the Hub is not tested there.
    """
    pinned = pins(ROOT / "requirements" / "floors-tests.txt")
    ahead = [Requirement(f"quarry-batch-{each}") for each in ("preprocessor", "scheduler", "collector")]
    needed = set()
    while ahead:
        one = ahead.pop()
        needed.add(canonicalize_name(one.name))
        table = PROJECTS.get(one.name, {})
        ahead += map(Requirement, table.get("dependencies", ()))
        ahead += [Requirement(line) for extra in one.extras for line in table["optional-dependencies"][extra]]

    assert needed - NAMES - set(pinned) == {"huggingface-hub"}


def test_no_file_names_an_index(made):
    texts = [path.read_text() for path in made.iterdir() if path.suffix != ".whl"]
    assert not [text for text in texts if "://" in text or "index-url" in text]


def test_an_older_build_leaves_nothing_behind(tmp_path):
    old = tmp_path / "quarry_batch-0.0.1-py3-none-any.whl"
    old.write_bytes(b"")
    assert old.name not in {path.name for path in make(tmp_path).iterdir()}


def by_name(text: str) -> list[str]:
    """What a text has pip take from an index under one of our names: a path, or a file of requirements, is no name."""
    return [
        line.strip()
        for line in text.splitlines()
        if (found := re.search(r"\b(?:pip3?|uv add|uv tool|pipx)\b.*\binstall\b(.*)", line))
        and any(
            re.match(r"quarry(?:[-_\[=<>~]|$)", word.strip("'\"`,.;:()"))
            for word in found[1].partition(" #")[0].split()
        )
    ]


def test_no_text_installs_one_of_our_names_from_an_index():
    """`quarry` is somebody else's there, and the other names are anybody's until something is published."""
    asked = [
        "git",
        "ls-files",
        "-z",
        "--",
        "*.py",
        "*.md",
        "*.toml",
        "*.yaml",
        "*.sh",
        "*.txt",
        "*.tf",
        "Makefile",
        "*Dockerfile",
    ]
    listed = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    texts = {name: (ROOT / name).read_text(errors="replace") for name in listed if name and (ROOT / name).is_file()}

    assert "docs/install.md" in texts
    assert {
        name: by_name(text) for name, text in texts.items() if by_name(text) and name != "tests/unit/test_wheels.py"
    } == {}


@pytest.mark.parametrize(
    "text",
    [
        "pip install quarry",
        "run `pip install 'quarry-batch[pandas]'`",
        "uv pip install --upgrade quarry_batch_core==0.1.0",
        "%pip install quarry",
    ],
)
def test_a_text_that_does_would_be_found(text):
    assert by_name(text)
