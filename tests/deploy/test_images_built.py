"""The images as they are when built: what is in them, who they run as, and that each service serves from within.

Each is started as Kubernetes and Fargate start it: its own user, no capability, a read-only root, /tmp alone to write to.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarry_local import loopback
from tests.deploy.images import (
    DIRECTORIES,
    REVISION,
    ROOT,
    SERVICES,
    TARGETS,
    USER_ID,
    VERSION,
    Builder,
    Image,
    NoImages,
    distributions_of,
)
from tests.deploy.summary import SUMMARY

READY_S = 60
STOPPED_S = 40
pytestmark = pytest.mark.timeout(1_800)  # the first test waits for the base and four images
# No image has these: what installs, compiles or fetches.
TOOLS = ("pip", "pip3", "gcc", "cc", "c++", "ld", "make", "git", "curl", "wget")
FACTS = f"""
import importlib.metadata as metadata, importlib.util, json, os, shutil, sys
def writes(directory):
    try:
        with open(os.path.join(directory, "probe"), "w"):
            return True
    except OSError:
        return False
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({{
    "ids": [os.getuid(), os.getgid(), os.getgroups()],
    "capabilities": [int(status[one], 16) for one in ("CapPrm", "CapEff", "CapBnd")],
    "process": os.getpid(),
    "writes": {{one: writes(one) for one in ("/", "/opt/quarry", "/etc", "/var/tmp", "/tmp", os.path.expanduser("~"))}},
    "distributions": sorted(one.metadata["Name"].lower().replace("_", "-") for one in metadata.distributions()),
    "modules": [one for one in ("pip", "ensurepip", "setuptools", "hatchling", "pytest") if importlib.util.find_spec(one)],
    "tools": [one for one in {TOOLS!r} if shutil.which(one)],
    "path": sys.path,
}}))
"""


@pytest.fixture(scope="module")
def builder() -> Builder:
    try:
        made = Builder()
        made.make_stand_in()
    except NoImages as reason:
        pytest.skip(str(reason))
    return made


@pytest.fixture(scope="module")
def images(builder) -> Iterator[dict[str, Image]]:
    """All of them, built and mounted once."""
    with contextlib.ExitStack() as stack:
        made = {target: stack.enter_context(builder.mounted(target)) for target in TARGETS}
        SUMMARY.notes.add(f"{len(made)} images built")
        yield made


@pytest.fixture(params=TARGETS)
def image(images: dict[str, Image], request) -> Image:
    return images[request.param]


@pytest.fixture(params=SERVICES)
def service(images: dict[str, Image], request) -> Image:
    return images[request.param]


@contextlib.contextmanager
def started(
    image: Image, variables: dict[str, str], log: Path, command: list[str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            image.contained(command or image.config["Entrypoint"]),
            env={**image.environment, **variables},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()  # takes what is inside with it
        process.wait()


def inner(process: subprocess.Popen[bytes]) -> int:
    """The one process inside, seen from outside."""
    (pid,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(pid)


def test_a_container_has_what_a_supervisor_must_know(image):
    config = image.config
    assert config["User"] == f"{USER_ID}:{USER_ID}"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Volumes"] == {"/tmp": {}}
    entrypoint = ["quarry"] if image.target == "cli" else ["python", "-m", f"quarry_{image.target}"]
    assert config["Entrypoint"] == entrypoint
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert (labels["title"], labels["version"], labels["revision"]) == (f"quarry-{image.target}", VERSION, REVISION)
    assert labels["licenses"] == "Apache-2.0"
    assert labels["description"]
    assert "source" in labels


def test_inside_it_is_nobody_and_writes_to_tmp_alone(image):
    answer = image.run(["python", "-c", FACTS])
    assert answer.returncode == 0, answer.stderr
    facts = json.loads(answer.stdout)
    assert facts["ids"] == [USER_ID, USER_ID, []]
    assert facts["capabilities"] == [0, 0, 0]
    assert facts["process"] == 1
    home = {"/tmp": True}
    assert {place: may for place, may in facts["writes"].items() if may} == home
    assert not any(one in {"", "/tmp"} for one in facts["path"]), "modules would be taken from the working directory"


def test_inside_is_what_the_target_needs_and_no_tool_that_installs_or_compiles(image):
    facts = json.loads(image.run(["python", "-c", FACTS]).stdout)
    assert set(facts["distributions"]) == distributions_of(image.target)
    assert facts["modules"] == []
    assert facts["tools"] == []


def test_its_files_are_roots_and_a_volume_at_tmp_is_everybodys(image):
    changeable = [
        str(path)
        for path in (image.root / "opt/quarry").rglob("*")
        if not path.is_symlink() and (path.stat().st_uid != 0 or path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    ]
    assert changeable == []
    assert stat.S_IMODE((image.root / "tmp").stat().st_mode) == 0o1777
    assert list((image.root / "tmp").iterdir()) == []


def test_modules_are_compiled_once_and_for_all(image):
    package = next((image.root / "opt/quarry/lib").glob("python3*/site-packages/quarry_core"))
    assert {path.stem for path in package.glob("*.py")} == {
        path.name.split(".")[0] for path in package.glob("__pycache__/*.pyc")
    }


def test_each_service_serves_and_stops(service, aws, resources, tmp_path):
    port = str(loopback.free_port())
    variables = {
        **aws.variables(),
        **resources.environment(),
        "QUARRY_METRICS_HOST": loopback.LOOPBACK,
        "QUARRY_METRICS_PORT": port,
        "QUARRY_RECEIVE_WAIT_S": "1",
    }
    kind, *check = service.config["Healthcheck"]["Test"]
    assert kind == "CMD"
    # The check goes straight to the process, whatever proxy there is.
    behind_a_proxy = {"QUARRY_METRICS_PORT": port, "http_proxy": "http://127.0.0.1:9"}
    log = tmp_path / "log"
    with started(service, variables, log) as process:

        def serves() -> bool:
            return process.poll() is not None or loopback.ready(int(port), "/readyz")

        assert loopback.until(serves, READY_S), log.read_text()
        assert process.poll() is None, log.read_text()
        assert loopback.ready(int(port), "/healthz")
        assert service.run(check, behind_a_proxy).returncode == 0
        os.kill(inner(process), signal.SIGTERM)
        assert process.wait(STOPPED_S) == 0, log.read_text()
    assert service.run(check, behind_a_proxy).returncode != 0


def test_a_service_without_its_environment_says_what_is_missing(service):
    answer = service.run(service.config["Entrypoint"])
    assert answer.returncode == 2
    assert "QUARRY_BEDROCK_ROLE_ARN is not set" in answer.stderr


def test_the_command_tells_what_it_can_do_and_is_not_asked_for_its_health(images):
    cli = images["cli"]
    assert cli.config["Healthcheck"]["Test"] == ["NONE"]
    answer = cli.run([*cli.config["Entrypoint"], *cli.config["Cmd"]])
    assert answer.returncode == 0, answer.stderr
    assert "submit" in answer.stdout


def test_the_page_serves_from_the_commands_image_and_stops(images, aws, resources, tmp_path):
    """As chart and ECS start it: by arguments, at all addresses, its token a variable."""
    cli, port = images["cli"], str(loopback.free_port())
    command = [*cli.config["Entrypoint"], "ui", "--host", "0.0.0.0", "--port", port, "--no-open"]
    variables = {
        **aws.variables(),
        **resources.environment(),
        "QUARRY_UI_TOKEN": "t" * 64,
        "QUARRY_UI_ALLOW_HOSTS": "localhost",
    }
    log = tmp_path / "log"
    with started(cli, variables, log, command) as process:

        def serves() -> bool:
            return process.poll() is not None or loopback.ready(int(port), "/healthz")

        assert loopback.until(serves, READY_S), log.read_text()
        assert process.poll() is None, log.read_text()
        os.kill(inner(process), signal.SIGTERM)
        assert process.wait(STOPPED_S) == 0, log.read_text()
    assert "t" * 64 not in log.read_text()


def test_our_distributions_carry_their_licence(image):
    [packages] = (image.root / "opt/quarry/lib").glob("python3*/site-packages")
    ours = sorted(packages.glob("quarry_batch*.dist-info"))
    assert len(ours) == 2
    assert all((each / "licenses" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text() for each in ours)


def test_nothing_but_the_sources_is_handed_to_a_build(builder):
    with builder.mounted("wheels") as stage:
        build = stage.root / "build"
        assert {str(path.relative_to(build)) for path in build.glob("requirements/*")} == {"requirements/build.txt"}
        for directory in DIRECTORIES.values():
            assert {path.name for path in (build / directory).iterdir()} == {"LICENSE", "pyproject.toml", "src"}
        assert [path for path in build.rglob("*") if path.name == "__pycache__" or path.suffix == ".egg-info"] == []
