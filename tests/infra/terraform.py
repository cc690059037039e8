"""Terraform as a program: where it is, where it finds its providers, and commands that end in time.

Nothing runs in the tree: `Workspace` copies `terraform/` to a scratch directory, so that no `.terraform`, lock file or
state is left beside the sources, and the shell's own AWS and Terraform variables are left unread: a test that reached a
real account because of a forgotten variable would be the worst bug it could have.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).resolve().parents[2] / "terraform"
VERSION_MIN = (1, 10)
MIRRORS = (Path("/opt"), Path("/usr/share/terraform"), Path("/usr/local/share/terraform"), Path.home() / ".terraform.d")
PROVIDER = Path("hashicorp", "aws")
MIRROR_DEPTH_MAX = 3
COMMAND_S = 900  # of it a busy machine makes what a idle one does in a minute or two
LINES_SHOWN = 60
UNREAD = ("AWS_", "TF_VAR_", "TF_CLI_ARGS", "TF_LOG", "TF_WORKSPACE", "TF_DATA_DIR", "TF_CLI_CONFIG_FILE")


class NoTerraform(Exception):
    """Terraform cannot be run here; the message says why."""


class Failed(Exception):
    """A command failed or took too long; the message holds the command and the end of what it said."""


@functools.cache
def program() -> Path:
    """The terraform to run.

    Raises:
        NoTerraform: there is none, or one too old.
    """
    found = shutil.which("terraform")
    if found is None:
        raise NoTerraform("terraform is not installed")
    answer = subprocess.run([found, "version", "-json"], capture_output=True, text=True, check=False)
    version = json.loads(answer.stdout or "{}").get("terraform_version", "0.0")
    if tuple(int(part) for part in version.split(".")[:2]) < VERSION_MIN:
        raise NoTerraform(f"terraform {version} is too old: {'.'.join(map(str, VERSION_MIN))} is needed")
    return Path(found)


def mirror() -> Path | None:
    """A filesystem mirror of providers in the usual places: the directory that holds `<host>/hashicorp/aws`."""
    for place in MIRRORS:
        for depth in range(MIRROR_DEPTH_MAX):
            for found in sorted(place.glob("/".join([*["*"] * (depth + 1), str(PROVIDER)]))):
                if any(found.glob("*/*/terraform-provider-aws*")) or any(found.glob("*.zip")):
                    return found.parents[2]
    return None


def cli_config(scratch: Path) -> dict[str, str]:
    """The variables that say where providers come from: the shell's own file, a mirror, or nothing (the registry)."""
    named = os.environ.get("TF_CLI_CONFIG_FILE")
    if named and Path(named).is_file():
        return {"TF_CLI_CONFIG_FILE": named}
    if (found := mirror()) is not None:
        config = scratch / "terraform.rc"
        config.write_text(
            f"provider_installation {{\n  filesystem_mirror {{\n    path = {json.dumps(str(found))}\n  }}\n}}\n"
        )
        return {"TF_CLI_CONFIG_FILE": str(config)}
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "quarry", "terraform-providers")
    cache.mkdir(parents=True, exist_ok=True)
    return {"TF_PLUGIN_CACHE_DIR": str(cache)}


def modules() -> list[str]:
    return [f"modules/{path.name}" for path in _configured(SOURCES / "modules")]


def roots() -> list[str]:
    """Environments and examples: what somebody applies."""
    return [f"{kind}/{path.name}" for kind in ("envs", "examples") for path in _configured(SOURCES / kind)]


def _configured(parent: Path) -> Iterator[Path]:
    return (path for path in sorted(parent.glob("*")) if any(path.glob("*.tf")))


@dataclass
class Workspace:
    """A copy of `terraform/`, and terraform's commands in it."""

    scratch: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.sources = self.scratch / "tree" / SOURCES.name
        unwanted = shutil.ignore_patterns(".terraform", ".terraform.lock.hcl", "*.tfstate*")
        shutil.copytree(SOURCES, self.sources, ignore=unwanted)
        for beside in SOURCES.parent.glob("[a-z]*"):  # what a module's tests compare themselves with
            if beside.is_dir() and beside != SOURCES:
                (self.sources.parent / beside.name).symlink_to(beside)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(UNREAD)}
        self._environment = {
            **kept,
            **cli_config(self.scratch),
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "CHECKPOINT_DISABLE": "1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            **self.variables,
        }
        self._installing = threading.Lock()  # a shared cache of providers is not safe for two at once

    def init(self, directory: str, *, backend: bool = False) -> None:
        with self._installing:
            self(directory, "init", "-no-color", f"-backend={str(backend).lower()}", "-reconfigure")

    def __call__(self, directory: str, *command: str, limit_s: int = COMMAND_S, codes: tuple[int, ...] = (0,)) -> str:
        """Run terraform in a directory of the copy; returns what it printed.

        Raises:
            Failed: it ended with another code than `codes`, or not in time.
        """
        return self.run(directory, *command, limit_s=limit_s, codes=codes)[1]

    def run(
        self, directory: str, *command: str, limit_s: int = COMMAND_S, codes: tuple[int, ...] = (0,)
    ) -> tuple[int, str]:
        data = self.scratch / "data" / directory.replace("/", "-")
        reported = f"{directory}: terraform {' '.join(command)}"
        try:
            answer = subprocess.run(
                [program(), *command],
                cwd=self.sources / directory,
                env={**self._environment, "TF_DATA_DIR": str(data)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            said = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else ""
            raise Failed(f"{reported}\nhad not ended after {limit_s} s; it said:\n{_end(said)}") from None
        if answer.returncode not in codes:
            raise Failed(f"{reported}\nended with {answer.returncode}:\n{_end(answer.stdout)}")
        return answer.returncode, answer.stdout

    def declared(self, directory: str) -> set[str]:
        """The names of the variables that a root or module takes."""
        text = "\n".join(path.read_text() for path in (self.sources / directory).glob("*.tf"))
        return set(re.findall(r'^variable\s+"([^"]+)"', text, re.MULTILINE))


def _end(said: str) -> str:
    lines = said.strip().splitlines()
    return "\n".join([*(["…"] if len(lines) > LINES_SHOWN else []), *lines[-LINES_SHOWN:]])


def resources(planned: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every resource under `planned_values.root_module` of a plan's JSON, those of nested modules too."""
    yield from planned.get("resources", [])
    for child in planned.get("child_modules", []):
        yield from resources(child)
