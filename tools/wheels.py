"""Build our seven distributions as wheels, with the files that install them pinned and hashed: `make wheels`.

    python tools/wheels.py [--to dist/wheels]        (needs hatchling: requirements/build.txt)

Theory of operation. Each wheel is built by its own build backend, as pip would, with the time of the commit as the time
of its files: the same commit gives the same bytes, so whoever builds again can compare hashes. SOURCE_DATE_EPOCH, where
it is set, goes before the commit's time.

Beside the wheels stand SHA256SUMS, the requirement file of the embedded AWS, and one requirement file for each thing that
can be installed. It pins our own wheels by their hashes, next to the third-party pins of `requirements/`, and looks for wheels in its own directory. So

    pip install --require-hashes -r dist/wheels/quarry-batch.txt

installs the command and everything it needs. Only third-party packages come from an index: whatever an index may have
under our names does not match the hashes, and pip refuses it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from distributions import DIRECTORIES, ROOT, closure, project, split

# What can be installed (a distribution, with its extras), and the third-party pins that it goes with.
INSTALLED = {
    "core[columns,hub,services,traces]": "core",
    "services/preprocessor": "preprocessor",
    "services/scheduler": "scheduler",
    "services/collector": "collector",
    "cli": "cli",
    "cli[pandas]": "cli-pandas",
    "cli[hub,pandas]": "cli-hub",
    "cli[export,hub,pandas]": "cli-export",
    "cli[ui]": "cli-ui",
    "integrations/airflow[ai]": "airflow",
    "local[stack,tls]": "local",
}
SUMS = "SHA256SUMS"
# The local stack's embedded AWS, which runs in an environment of its own.
EMBEDDED_AWS = "local-aws.txt"
_BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"


def source_date_epoch() -> str | None:
    """The time stamp of the files, in seconds since 1970; None outside a git checkout: the backend then has a fixed one."""
    if named := os.environ.get("SOURCE_DATE_EPOCH"):
        return named
    if not (ROOT / ".git").exists():
        return None
    asked = ["git", "log", "-1", "--format=%ct"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def build(directory: str, to: Path, epoch: str | None) -> Path:
    """Build one distribution's wheel into `to`. Raises SystemExit with the backend's message."""
    environment = dict(os.environ)
    if epoch is not None:
        environment["SOURCE_DATE_EPOCH"] = epoch
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, str(to)],
        cwd=ROOT / directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{directory}: {done.stderr.strip()}")
    return to / done.stdout.split()[-1]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def requirement_file(installed: str, pins: str, wheels: dict[str, Path]) -> tuple[str, str]:
    """Name and text of the file that installs `installed` from the wheels beside it."""
    directory, extras, _ = split(installed)
    name = project(directory)["name"]
    stem = "-".join([name, *(extras if directory == "cli" else ())])
    asked = f"{name}[{','.join(extras)}]" if extras else name
    ours, _ = closure(installed)
    lines = [f"# pip install --require-hashes -r {stem}.txt", "--find-links ."]
    for each in sorted(ours):
        table = project(each)
        what = asked if each == directory else table["name"]
        lines.append(f"{what}=={table['version']} \\\n    --hash=sha256:{sha256(wheels[each])}")
    theirs = (ROOT / "requirements" / f"{pins}.txt").read_text(encoding="utf-8").strip()
    return f"{stem}.txt", "\n".join([*lines, theirs]) + "\n"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Wheels of our distributions, and files that install them by hash.")
    parser.add_argument("--to", type=Path, default=ROOT / "dist" / "wheels")
    to: Path = parser.parse_args(arguments).to.resolve()
    to.mkdir(parents=True, exist_ok=True)
    for old in (*to.glob("*.whl"), *to.glob("*.txt"), to / SUMS):
        old.unlink(missing_ok=True)
    epoch = source_date_epoch()
    wheels = {directory: build(directory, to, epoch) for directory in DIRECTORIES}
    files = dict(requirement_file(installed, pins, wheels) for installed, pins in INSTALLED.items())
    files[EMBEDDED_AWS] = (ROOT / "requirements" / EMBEDDED_AWS).read_text(encoding="utf-8")
    for name, text in files.items():
        (to / name).write_text(text, encoding="utf-8")
    sums = {path.name: sha256(path) for path in (*wheels.values(), *(to / name for name in files))}
    (to / SUMS).write_text("".join(f"{sums[name]}  {name}\n" for name in sorted(sums)), encoding="utf-8")
    for name in sorted(sums):
        print(to / name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
