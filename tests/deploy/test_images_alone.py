"""Each service, and the command, in an environment that holds its own requirement file and nothing else.

What a service imports and its requirement file does not name would be found by a user, in production: on a developer's
machine everything is installed. And what is named but not needed is only weight, and one more thing to patch.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.images import (
    DIRECTORIES,
    ROOT,
    SERVICES,
    TARGETS,
    distribution_of,
    distributions_of,
    requirement_file,
)

INSTALL_S = 500
STEP_S = 120
# Tests, the command line and data frames have no place in a service.
NOT_IN_A_SERVICE = frozenset(
    {
        "hatchling",
        "hypothesis",
        "mypy",
        "pandas",
        "pip",
        "pytest",
        "rich",
        "ruff",
        "setuptools",
        "typer",
        "quarry-batch",
    }
)
INSTALLED = """
import importlib.metadata as metadata, json
print(json.dumps({one.metadata["Name"]: one.requires or [] for one in metadata.distributions()}))
"""
# Modules that are imported only where their extra is installed, and the packages that they may miss: in an environment
# that is to have them, its own modules would miss them too. A package stands for all that is in it.
OF_COLUMNS = ("numpy", "pyarrow")
OF_SERVICES = ("aiobotocore", "prometheus_client", "structlog")
OF_AN_EXTRA = {
    "quarry_cli.page": ("jinja2", "starlette", "uvicorn"),
    "quarry_core.aws.client": OF_SERVICES,
    "quarry_core.contract.results": OF_COLUMNS,
    "quarry_core.planning": OF_COLUMNS,
    "quarry_core.rendering": OF_COLUMNS,
    "quarry_core.service": OF_SERVICES,
    "quarry_core.sources": OF_COLUMNS,
    "quarry_core.structured": (*OF_COLUMNS, "jsonschema_rs"),
    "quarry_core.tabular": OF_COLUMNS,
    "quarry_core.telemetry": (*OF_SERVICES, "opentelemetry"),
}
# What is there for scripts of an earlier release, and warns.
OLD_ADDRESSES = ("quarry_cli.api", "quarry_core.manifest")
# Every module, for some are imported late.
IMPORT_ALL = f"""
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        try:
            importlib.import_module(module.name)
        except DeprecationWarning:
            if module.name not in {OLD_ADDRESSES!r}:
                raise
        except ModuleNotFoundError as missing:
            may_miss = [
                packages
                for part, packages in {OF_AN_EXTRA!r}.items()
                if module.name == part or module.name.startswith(part + ".")
            ]
            if not any(missing.name.split(".")[0] in packages for packages in may_miss):
                raise
"""


@dataclass(frozen=True)
class Alone:
    target: str
    bin: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run its Python without our variables and our working directory."""
        return subprocess.run(
            [self.bin / "python", *arguments],
            env={"PATH": os.defpath, "HOME": os.devnull, "PYTHONSAFEPATH": "1"},
            capture_output=True,
            text=True,
            timeout=STEP_S,
            check=False,
        )

    def installed(self) -> Mapping[str, list[str]]:
        """Distribution to what it asks for, as its metadata has it."""
        answer = self.run("-c", INSTALLED)
        assert answer.returncode == 0, answer.stderr
        return {canonicalize_name(name): asked for name, asked in json.loads(answer.stdout).items()}


def _pip(*arguments: str | Path) -> None:
    options = ["--quiet", "--disable-pip-version-check", "--no-input"]
    answer = subprocess.run(
        [sys.executable, "-m", "pip", *options, *arguments],
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-3000:]


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our distributions as they are installed in an image."""
    made = tmp_path_factory.mktemp("wheels")
    for directory in DIRECTORIES.values():
        _pip("wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", made, ROOT / directory)
    return made


@pytest.fixture(scope="module", params=TARGETS)
def alone(request, wheels, tmp_path_factory) -> Iterator[Alone]:
    home = tmp_path_factory.mktemp(request.param)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True, timeout=STEP_S)
    made = Alone(request.param, home / "bin")
    into = ("--python", made.bin / "python", "install", "--only-binary", ":all:")
    _pip(*into, "--require-hashes", "--requirement", requirement_file(request.param))
    for name in ("quarry-batch-core", distribution_of(request.param)):
        (wheel,) = wheels.glob(f"{name.replace('-', '_')}-*.whl")
        _pip(*into, "--no-index", "--no-deps", wheel)
    yield made
    shutil.rmtree(home)  # hundreds of megabytes, which pytest would keep


def needed(root: str, installed: Mapping[str, list[str]], *extras: str) -> frozenset[str]:
    """What `root` needs with `extras`, and what that needs, and so on. An extra counts where somebody asks for it."""
    seen: set[tuple[str, str]] = set()
    ahead = [(root, extra) for extra in ("", *extras)]
    while ahead:
        name, extra = one = ahead.pop()
        if one in seen:
            continue
        seen.add(one)
        for asked in map(Requirement, installed.get(name, [])):
            if asked.marker is None or asked.marker.evaluate({"extra": extra}):
                ahead += [(canonicalize_name(asked.name), wanted) for wanted in ("", *asked.extras)]
    return frozenset(name for name, _ in seen)


def test_exactly_the_pinned_distributions_are_installed(alone):
    assert set(alone.installed()) == distributions_of(alone.target)


def test_each_of_them_is_needed_and_none_is_missing(alone):
    installed = alone.installed()
    # The page is served from the command's image.
    extras = ("ui",) if alone.target == "cli" else ()
    assert needed(distribution_of(alone.target), installed, *extras) == set(installed)


def test_no_service_holds_the_tools_of_development_or_the_command(alone):
    assert alone.target not in SERVICES or set(alone.installed()) & NOT_IN_A_SERVICE == set()


def test_every_module_can_be_imported(alone):
    answer = alone.run("-W", "error", "-c", IMPORT_ALL, "quarry_core", f"quarry_{alone.target}")
    assert answer.returncode == 0, answer.stderr


def test_its_entry_starts(alone):
    """A service gets as far as its settings, all imports done; the command tells how it is used."""
    if alone.target == "cli":
        answer = alone.run(str(alone.bin / "quarry"), "--help")
        assert (answer.returncode, "submit" in answer.stdout) == (0, True), answer.stderr
    else:
        answer = alone.run("-m", f"quarry_{alone.target}")
        assert (answer.returncode, "QUARRY_BEDROCK_ROLE_ARN is not set" in answer.stderr) == (2, True), answer.stderr


def test_what_is_not_needed_would_be_seen():
    installed = {"a": ["b[x]>1", "c; extra == 'y'"], "b": ["d; extra == 'x'"], "c": [], "d": []}
    assert needed("a", installed) == {"a", "b", "d"}
    assert needed("a", installed, "y") == {"a", "b", "c", "d"}
