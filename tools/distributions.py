"""Our distributions, as their pyproject.toml files describe them: names, directories, and what each needs.

The tools that pin, list and build them read this one view, so that a distribution is named in its pyproject.toml alone.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DIRECTORIES = (
    "core",
    "services/preprocessor",
    "services/scheduler",
    "services/collector",
    "cli",
    "local",
    "integrations/airflow",
)
_REQUIREMENT = re.compile(r"([A-Za-z0-9._/-]+)(?:\[([^\]]*)\])?(.*)")


def project(directory: str) -> dict[str, Any]:
    """The table `[project]` of a distribution's pyproject.toml."""
    text = (ROOT / directory / "pyproject.toml").read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)["project"]
    return table


def directory_of(name: str) -> str | None:
    """Where the distribution of that name is; None if it is none of ours."""
    return next((directory for directory in DIRECTORIES if project(directory)["name"] == name), None)


def split(requirement: str) -> tuple[str, tuple[str, ...], str]:
    """Name, extras and the rest of `name[extra, extra]>=1`."""
    found = _REQUIREMENT.fullmatch(requirement.strip())
    assert found, f"{requirement!r} is no requirement"
    extras = (extra.strip() for extra in (found[2] or "").split(","))
    return found[1], tuple(extra for extra in extras if extra), found[3]


def closure(*wanted: str) -> tuple[set[str], set[str]]:
    """Directories of all our distributions that `wanted` needs, itself included, and all requirements on others.

    Args:
        wanted: directories, each perhaps with extras: `core[columns]`.
    """
    ours: set[str] = set()
    theirs: set[str] = set()
    seen: set[tuple[str, str]] = set()
    ahead = [(directory, extra) for directory, extras, _ in map(split, wanted) for extra in ("", *extras)]
    while ahead:
        directory, extra = one = ahead.pop()
        if one in seen:
            continue
        seen.add(one)
        ours.add(directory)
        table = project(directory)
        for line in table["optional-dependencies"][extra] if extra else table["dependencies"]:
            name, extras, _ = split(line)
            needed = directory_of(name)
            if needed is None:
                theirs.add(line)
            else:
                ahead += [(needed, each) for each in ("", *extras)]
    return ours, theirs
