"""The client as a user has it: `quarry-batch` from our wheels, in an environment that holds nothing else, against a stack.

What is installed are the wheels of `make wheels` with the pins that it puts beside them, so that a package which the
client needs and does not name is missed here and not in somebody's notebook. Two variables put it elsewhere
(`make test-floors`): QUARRY_TEST_CLIENT_PINS names another file of `requirements/` for what is not ours, and
QUARRY_TEST_CLIENT_PYTHON the Python that makes the environment.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from quarry_core import __version__
from tests.e2e.user import CLAUDE, User

ROOT = Path(__file__).resolve().parents[3]
PINS = os.environ.get("QUARRY_TEST_CLIENT_PINS", "cli-pandas")
PYTHON = os.environ.get("QUARRY_TEST_CLIENT_PYTHON", sys.executable)
ROWS = 240
INSTALL_S = 500
COMMAND_S = 90
# What only a service needs, or a test.
NOT_IN_A_CLIENT = {"aiobotocore", "aiohttp", "prometheus-client", "structlog", "pytest", "hatchling"}
# As the README has it.
FROM_PYTHON = """
import json, sys
from quarry_cli import Client, results_frame

client = Client()
run = client.submit(json.loads(sys.argv[1]))
client.wait(run.run_id, every_s=0.5, timeout_s=80)
frame = results_frame(run.run_id)
print(json.dumps({"run": run.run_id, "rows": len(frame), "ok": int((frame["status"] == "ok").sum()), "columns": list(frame.columns)}))
"""


def done(command: list[str], timeout_s: float, **how) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, **how)


@dataclass(frozen=True)
class Client:
    """An environment that holds the client, and the stack that it talks to. `home` is where it stands."""

    bin: Path
    home: Path
    stack: User

    def run(self, program: str, *arguments: str, exit_code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's programs with the stack's variables and none of ours."""
        variables = {"PATH": os.defpath, "HOME": str(self.home), "PYTHONWARNINGS": "error", **self.stack.env}
        answer = done([str(self.bin / program), *arguments], COMMAND_S, env=variables, cwd=self.home)
        said = f"$ {program} {' '.join(arguments)}\n{answer.stdout}{answer.stderr}"
        print(said)
        assert exit_code in (None, answer.returncode), said
        return answer


@pytest.fixture(scope="module")
def client(calm, tmp_path_factory) -> Client:
    home = tmp_path_factory.mktemp("client")
    wheels = home / "wheels"
    answer = done([sys.executable, str(ROOT / "tools" / "wheels.py"), "--to", str(wheels)], INSTALL_S)
    assert answer.returncode == 0, answer.stderr
    wanted = wheels / "quarry-batch-pandas.txt"
    ours = re.findall(r"^(?:quarry-batch.*\n.*--hash.*\n|--find-links \.\n)", wanted.read_text(), re.MULTILINE)
    wanted.write_text("".join(ours) + (ROOT / "requirements" / f"{PINS}.txt").read_text())

    there = home / "environment"
    assert done([PYTHON, "-m", "venv", "--without-pip", str(there)], INSTALL_S).returncode == 0
    pip = [sys.executable, "-m", "pip", "--python", str(there / "bin" / "python"), "install", "--quiet", "--no-input"]
    # What is not imported need not be compiled.
    options = ["--disable-pip-version-check", "--no-compile", "--only-binary", ":all:", "--require-hashes"]
    answer = done([*pip, *options, "--requirement", str(wanted)], INSTALL_S)
    assert answer.returncode == 0, answer.stderr[-3000:]
    return Client(there / "bin", home, calm)


@pytest.fixture
def manifest(calm):
    """Writes a manifest over a fresh source; its run has this name."""

    def write(name: str) -> str:
        return json.dumps(
            {
                "s3_uri": calm.topics(f"inputs/{name}.csv", ROWS),
                "job_name_prefix": "client",
                "model_id": CLAUDE,
                "prompt_id": "joke_about_topic",
                "max_records_per_job": 120,
                "run_id": name,
            }
        )

    return write


@pytest.mark.timeout(INSTALL_S)
def test_the_environment_holds_the_client_and_none_of_what_services_need(client):
    code = "import importlib.metadata as m, json; print(json.dumps(sorted({d.metadata['Name'].lower() for d in m.distributions()})))"
    installed = set(json.loads(client.run("python", "-c", code).stdout))

    assert {each for each in installed if each.startswith("quarry")} == {"quarry-batch", "quarry-batch-core"}
    assert installed & NOT_IN_A_CLIENT == set()
    assert client.run("quarry", "--version").stdout == f"quarry {__version__}\n"


@pytest.mark.timeout(INSTALL_S)
def test_it_submits_waits_and_brings_the_results(client, manifest):
    (client.home / "manifest.json").write_text(manifest("clientwhole"))

    sent = client.run("quarry", "submit", "manifest.json", "--wait", "--every", "0.5", "--timeout", "80")

    assert sent.stdout.split() == ["clientwhole"]
    assert "not checked" not in sent.stderr
    assert client.stack.status("clientwhole")["rows"]["ok"] == ROWS
    shown = json.loads(client.run("quarry", "status", "clientwhole", "--json").stdout)
    assert shown["state"] == "SUCCEEDED"
    assert "clientwhole" in client.run("quarry", "runs").stdout
    client.run("quarry", "results", "clientwhole", "-o", "out", "--head", "2")
    client.run("quarry", "results", "clientwhole", "-o", "lines", "--format", "jsonl")
    texts = [path.read_text() for path in sorted((client.home / "lines").glob("*.jsonl"))]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    assert [line["topic"] for line in lines] == [f"topic number {row}" for row in range(ROWS)]


@pytest.mark.timeout(INSTALL_S)
def test_a_manifest_that_would_be_refused_is_not_sent(client, manifest):
    (client.home / "few.json").write_text(
        json.dumps(json.loads(manifest("clientfew")) | {"prompt": "{nothing}", "prompt_id": None})
    )
    refused = client.run("quarry", "submit", "few.json", exit_code=2)

    assert "nothing" in refused.stderr
    assert client.stack.totals("clientfew") == {}


@pytest.mark.timeout(INSTALL_S)
def test_it_works_from_python_as_the_readme_says(client, manifest):
    said = json.loads(client.run("python", "-c", FROM_PYTHON, manifest("clientpython")).stdout)

    assert said["run"] == "clientpython"
    assert (said["rows"], said["ok"]) == (ROWS, ROWS)
    assert said["columns"][:2] == ["topic", "response"]


@pytest.mark.timeout(INSTALL_S)
def test_it_looks_at_the_environment_models_and_dead_letters(client):
    """The requests of all the services that it asks, by whichever SDK is there: each is sent and read."""
    looked = json.loads(client.run("quarry", "doctor", "--json").stdout)
    client.run("quarry", "dlq", "list")
    models = ("quarry", "models", "claude", "--json")

    assert looked["healthy"]
    if PINS == "floors":  # this boto3 knows no inference profiles
        assert "upgrade boto3 to ask it" in client.run(*models, exit_code=5).stderr
    else:
        assert CLAUDE in {line["id"] for line in json.loads(client.run(*models).stdout)}
