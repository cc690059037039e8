"""Pin the images' base to the digest that its tag has today: `make base-image-digest`.

Asks skopeo, or docker where there is no skopeo, what the tag in the Dockerfile's `ARG BASE_IMAGE` stands for, and writes
`name:tag@sha256:...` there. A tag moves when the base is fixed; with a digest, an image changes only when a commit says
so. A maintainer runs this now and then, with a network, and commits what it wrote.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

DOCKERFILE = Path(__file__).resolve().parent.parent / "deploy" / "docker" / "Dockerfile"
ARGUMENT = re.compile(r"^ARG BASE_IMAGE=(?P<tag>[^@\s]+)(?:@sha256:[0-9a-f]{64})?$", re.MULTILINE)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
ASK_S = 120


def command(tag: str) -> list[str]:
    """What prints the digest of the tag's index, which is the same for every architecture. Exits without a tool."""
    if shutil.which("skopeo"):
        return ["skopeo", "inspect", "--no-tags", "--format", "{{.Digest}}", f"docker://{tag}"]
    if shutil.which("docker"):
        return ["docker", "buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", tag]
    sys.exit("neither skopeo nor docker is on PATH")


def main(dockerfile: Path) -> None:
    text = dockerfile.read_text(encoding="utf-8")
    found = ARGUMENT.findall(text)
    if len(found) != 1:
        sys.exit(f"{dockerfile} must have one ARG BASE_IMAGE with a tag; it has {len(found)}")
    answer = subprocess.run(command(found[0]), capture_output=True, text=True, timeout=ASK_S, check=False)
    digest = answer.stdout.strip()
    if answer.returncode or not DIGEST.fullmatch(digest):
        sys.exit(f"no digest of {found[0]}: {answer.stderr.strip() or digest or 'no answer'}")
    pinned = ARGUMENT.sub(f"ARG BASE_IMAGE={found[0]}@{digest}", text)
    dockerfile.write_text(pinned, encoding="utf-8")
    print(f"{found[0]}@{digest}" + ("" if pinned != text else " (as before)"))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCKERFILE)
