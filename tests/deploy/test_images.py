"""The Dockerfile as it is written: hadolint finds nothing, and every base comes from `ARG BASE_IMAGE`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.images import DOCKERFILE, ROOT, SERVICES, TARGETS

HADOLINT = ROOT / ".venv-deploy" / "bin" / "hadolint"
DIGEST_TOOL = ROOT / "tools" / "base_image_digest.py"
DIGESTS = {"first": "sha256:" + "a1" * 32, "second": "sha256:" + "b2" * 32}
HEALTH_PATH = "/healthz"
ROUGH = """FROM python
RUN pip install boto3 && cd /tmp
"""


def hadolint(file: Path) -> str:
    answer = subprocess.run(
        [HADOLINT, "--no-color", file], capture_output=True, text=True, timeout=60, check=False, cwd=file.parent
    )
    assert answer.returncode in {0, 1}, answer.stderr
    return answer.stdout + answer.stderr


def stages() -> dict[str, str]:
    """Stage to the stage or base that it is made from."""
    return {name: base for base, name in re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE.read_text(), re.MULTILINE)}


def test_hadolint_finds_nothing():
    assert hadolint(DOCKERFILE) == ""
    assert "hadolint ignore" not in DOCKERFILE.read_text()


def test_hadolint_would_find_something(tmp_path):
    rough = tmp_path / "Dockerfile"
    rough.write_text(ROUGH)
    said = hadolint(rough)
    assert "DL3006" in said  # no tag
    assert "DL3013" in said  # no version


def test_every_target_is_there_and_every_base_is_the_one_argument():
    known = stages()
    assert set(TARGETS) <= set(known)
    assert set(known.values()) - set(known) == {"${BASE_IMAGE}"}
    assert len(known) == len(re.findall(r"^FROM ", DOCKERFILE.read_text(), re.MULTILINE))


def test_the_services_differ_in_their_name_alone():
    text = DOCKERFILE.read_text()
    blocks = {
        re.sub(r'description=".*"', "", block.replace(service, "<service>"))
        for service in SERVICES
        for block in re.findall(rf"^FROM .* AS {service}(?:-environment)?$(?s:.*?)(?=^FROM|\Z|^$)", text, re.MULTILINE)
    }
    assert len(blocks) == 2


def test_no_requirement_file_names_a_host():
    named = {
        str(path.relative_to(ROOT)): found
        for path in sorted((ROOT / "requirements").iterdir())
        if (
            found := re.findall(
                r"^\s*(?:--?(?:index-url|extra-index-url|find-links|trusted-host|i|f)\b.*|.*://.*)$",
                path.read_text(),
                re.MULTILINE,
            )
        )
    }
    assert named == {}


def test_only_hashed_requirements_are_installed_in_an_image():
    installs = re.findall(r"pip (?:--python \S+ )?install (.*)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert installs
    for arguments in installs:
        assert "--require-hashes" in arguments or "--no-index --no-deps" in arguments, arguments


@pytest.fixture
def digest_of(tmp_path):
    """Runs the maintainer's tool on a Dockerfile, with a skopeo that answers as it is told; the exit code and the file."""

    def run(text: str, answer: str, code: int = 0) -> tuple[int, str]:
        programs = tmp_path / "bin"
        programs.mkdir(exist_ok=True)
        skopeo = programs / "skopeo"
        asked = "docker://python:3.11-slim-bookworm"
        skopeo.write_text(f'#!/bin/sh\n[ "$5" = "{asked}" ] || exit 64\necho "{answer}"\nexit {code}\n')
        skopeo.chmod(0o755)
        file = tmp_path / "Dockerfile"
        file.write_text(text)
        said = subprocess.run(
            [sys.executable, DIGEST_TOOL, file],
            env={"PATH": f"{programs}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return said.returncode, file.read_text()

    return run


def test_the_digest_is_written_beside_the_tag_and_renewed(digest_of):
    text = re.sub(r"(ARG BASE_IMAGE=[^@\n]+).*", r"\1", DOCKERFILE.read_text())
    code, first = digest_of(text, DIGESTS["first"])
    assert code == 0
    assert f"ARG BASE_IMAGE=python:3.11-slim-bookworm@{DIGESTS['first']}\n" in first
    code, second = digest_of(first, DIGESTS["second"])
    assert code == 0
    assert second == first.replace(DIGESTS["first"], DIGESTS["second"])


@pytest.mark.parametrize(("answer", "code"), [("", 0), ("sha256:short", 0), (DIGESTS["first"], 1)])
def test_what_is_no_digest_is_not_written(digest_of, answer, code):
    text = DOCKERFILE.read_text()
    ended, after = digest_of(text, answer, code)
    assert ended == 1
    assert after == text
