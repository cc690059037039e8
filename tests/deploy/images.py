"""The images' targets and what must be inside each; building them with buildah, and running something in one.

No Docker engine is asked for. buildah builds the Dockerfile in a chroot, on a stand-in for the true base: a minimal
Debian with its Python, made by debootstrap. What is proven is that the Dockerfile builds and what is in its images; not
the true base's own packages. Layers are kept in `.quarry/images`, so that a second run is quick; they take some 5 GB,
and more with each change of the requirements, until the directory is removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
SERVICES = ("preprocessor", "scheduler", "collector")
TARGETS = (*SERVICES, "cli")
DIRECTORIES = {"core": "core", "cli": "cli", **{service: f"services/{service}" for service in SERVICES}}
USER_ID = 10001
# These stay as they are: buildah 1.28 takes a label from its cache though its argument is another one.
VERSION = "0.0.0-test"
REVISION = "0123456789abcdef"

STATE = ROOT / ".quarry" / "images"
STAND_IN = "localhost/quarry-base:stand-in"
DEBIAN = "bookworm"
BASE_PACKAGES = "python3,python3-venv,ca-certificates"
CERTIFICATES = Path("/etc/ssl/certs")
STEP_S = 900
LAUNCHER = Path(__file__).with_name("contained.py")


class NoImages(Exception):
    """Images cannot be built here; the message says why."""


def requirement_file(target: str) -> Path:
    """What the target's environment is made of; the command's is with the page."""
    return ROOT / "requirements" / f"{'cli-ui' if target == 'cli' else target}.txt"


def requirements_of(target: str) -> frozenset[str]:
    """Names of the distributions that the target's requirement file pins for this Python and platform."""
    lines = requirement_file(target).read_text().splitlines()
    pinned = [Requirement(line.rstrip(" \\")) for line in lines if line and not line.startswith((" ", "#"))]
    return frozenset(canonicalize_name(one.name) for one in pinned if one.marker is None or one.marker.evaluate())


def distributions_of(target: str) -> frozenset[str]:
    """What must be in the target's environment, no more and no less."""
    return requirements_of(target) | {"quarry-batch-core", distribution_of(target)}


def distribution_of(target: str) -> str:
    """The distribution of ours that a target is made for."""
    return "quarry-batch" if target == "cli" else f"quarry-batch-{target}"


@dataclass(frozen=True)
class Image:
    """A built image, mounted at `root`; `config` is what a container is started with (User, Env, Entrypoint, ...)."""

    target: str
    root: Path
    config: Mapping[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        return dict(one.split("=", 1) for one in self.config["Env"])

    def contained(self, command: Sequence[str]) -> list[str]:
        """The command that runs `command` in the image as a restricted container would ([`contained`](contained.py))."""
        user, group = self.config["User"].split(":")
        inside = [sys.executable, str(LAUNCHER), str(self.root), user, group, self.config["WorkingDir"]]
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", *inside, *command]

    def run(
        self, command: Sequence[str], variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end, with the image's variables and `variables`, and nothing of ours."""
        return subprocess.run(
            self.contained(command),
            env={**self.environment, **(variables or {})},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


class Builder:
    """buildah, with a store of its own. Raises NoImages where it cannot work."""

    def __init__(self, state: Path = STATE) -> None:
        for program in ("buildah", "debootstrap", "unshare"):
            if shutil.which(program) is None:
                raise NoImages(f"no {program}: not on PATH (Debian: apt-get install buildah debootstrap)")
        if os.geteuid() != 0:
            raise NoImages("buildah needs root: it and debootstrap mount and change root")
        if subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False
        ).returncode:
            raise NoImages("no mounts: this machine lets root make no mount namespace")
        self._state = state
        state.mkdir(parents=True, exist_ok=True)
        self._store = ["--root", str(state / "store"), "--runroot", str(state / "run")]

    def __call__(self, command: str, *arguments: str) -> str:
        answer = subprocess.run(
            ["buildah", *self._store, command, *arguments],
            env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=STEP_S,
            check=False,
        )
        assert answer.returncode == 0, f"buildah {command}:\n{answer.stdout[-4000:]}\n{answer.stderr[-4000:]}"
        return answer.stdout

    def make_stand_in(self) -> None:
        """A minimal Debian with Python, named STAND_IN, unless it is there."""
        if STAND_IN in self("images", "--format", "{{.Name}}:{{.Tag}}").splitlines():
            return
        with tempfile.TemporaryDirectory(dir=self._state) as directory:
            options = ["--variant=minbase", f"--include={BASE_PACKAGES}"]
            answer = subprocess.run(
                ["debootstrap", *options, DEBIAN, directory],
                capture_output=True,
                text=True,
                timeout=STEP_S,
                check=False,
            )
            if answer.returncode:
                raise NoImages(f"no base: debootstrap ended with {answer.returncode}: {answer.stdout[-300:].strip()}")
            (Path(directory) / "usr/bin/python").symlink_to("python3")
            container = self("from", "scratch").strip()
            self("add", "--quiet", container, directory, "/")
            self("commit", "--quiet", "--rm", container, STAND_IN)

    def build(self, target: str) -> str:
        """Build a target of the Dockerfile; the image's name."""
        name = f"localhost/quarry-{target}:test"
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as pip_conf:
            bundle = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
            pip_conf.write("[global]\n" + (f"cert = {bundle}\n" if bundle else ""))
            pip_conf.flush()
            # What this machine trusts, the build trusts: there may be a proxy between it and the package index.
            trust = ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"] if CERTIFICATES.is_dir() else []
            made_of = {"BASE_IMAGE": STAND_IN, "VERSION": VERSION, "REVISION": REVISION}
            arguments = [part for name, value in made_of.items() for part in ("--build-arg", f"{name}={value}")]
            self(
                *("build", "--format", "docker", "--layers", *arguments, *trust),
                *("--secret", f"id=pip,src={pip_conf.name}", "--file", str(DOCKERFILE)),
                *("--target", target, "--tag", name, "."),
            )
        return name

    @contextlib.contextmanager
    def mounted(self, target: str) -> Iterator[Image]:
        """A built target, mounted for as long as the context lasts."""
        container = self("from", "--pull-never", self.build(target)).strip()
        try:
            described = json.loads(self("inspect", "--type", "container", container))
            yield Image(target, Path(self("mount", container).strip()), described["Docker"]["config"])
        finally:
            self("umount", container)
            self("rm", container)
