"""What the tests in a browser need and no requirement file has: Chromium, and axe-core from npm."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

AXE = "axe-core@4.14.1"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
KEPT = Path(".quarry") / "test-ui"


def missing() -> list[str]:
    """What the tests need and this machine has not."""
    found = []
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        found.append("no Chromium: apt-get install chromium chromium-driver")
    try:
        axe()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        found.append(f"no {AXE} from the npm registry: {error}")
    return found


def axe() -> str:
    """The script of axe-core, fetched once and held against its hash."""
    kept = KEPT / "axe.min.js"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(
                ["npm", "pack", "--silent", AXE], cwd=directory, check=True, timeout=120, capture_output=True
            )
            [package] = Path(directory).glob("*.tgz")
            with tarfile.open(package) as archive:
                file = archive.extractfile("package/axe.min.js")
                assert file is not None
                body = file.read()
        KEPT.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(body)
    body = kept.read_bytes()
    if hashlib.sha256(body).hexdigest() != AXE_SHA256:
        kept.unlink()
        raise ValueError("it is not the file that the tests know")
    return body.decode()
