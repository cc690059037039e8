"""Profiles: environments by name, in a file of the user's own. The process's variables win over them, each by itself.

`$XDG_CONFIG_HOME/quarry/config.toml` (by default `~/.config/quarry/config.toml`):

    [profiles.prod]
    QUARRY_REGION = "eu-central-1"
    QUARRY_TABLE = "prod-quarry-ledger"
    AWS_PROFILE = "work"

The keys are the variables of docs/settings.md, so there is no second name for anything. A profile holds no secret: keys and
tokens are refused, and AWS's own files have them.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quarry_cli.errors import NotConfigured
from quarry_core.text import shown_name

PROFILE_VARIABLE = "QUARRY_PROFILE"
LOCAL = "local"  # the stack of this directory, and no profile
FILE_BYTES_MAX = 1 << 20
VALUE_CHARS_MAX = 2_048
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_KEY = re.compile(r"QUARRY_[A-Z][A-Z0-9_]*|MAX_RECORDS_PER_JOB|MAX_TOTAL_RECORDS|HF_ENDPOINT|AWS_PROFILE|AWS_REGION")
_SECRET = re.compile("SECRET|TOKEN|PASSWORD|ACCESS_KEY")
_HEADER = re.compile(r"^\s*\[\s*profiles\s*\.\s*(?P<name>[A-Za-z0-9_\"'-]+)\s*\]\s*(?:#.*)?$")
_ANY_HEADER = re.compile(r"^\s*\[")
# Without these a profile leads nowhere.
NEEDED = ("QUARRY_REGION", "QUARRY_TABLE", "QUARRY_BUCKET", "QUARRY_MANIFEST_QUEUE_URL")


@dataclass(frozen=True, slots=True)
class Overridden:
    """A variable of the process that wins over a profile which says something else."""

    variable: str
    profile: str

    def __str__(self) -> str:
        return f"{self.variable} of the shell wins over the profile {self.profile}, which has another value"


def config_path(shell: Mapping[str, str] = os.environ) -> Path:
    """Of the file; a relative XDG_CONFIG_HOME counts as unset, as its specification wants."""
    home = shell.get("XDG_CONFIG_HOME", "")
    base = Path(home) if home and Path(home).is_absolute() else Path(shell.get("HOME") or Path.home()) / ".config"
    return base / "quarry" / "config.toml"


def read_profiles(path: Path) -> dict[str, dict[str, str]]:
    """All profiles; none where there is no file.

    Raises:
        NotConfigured: the file cannot be read, or holds something else; the text names the profile and the key.
    """
    return _profiles(_text(path), path)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            body = file.read(FILE_BYTES_MAX + 1)
        if len(body) > FILE_BYTES_MAX:
            raise NotConfigured(
                f"{path} is longer than {FILE_BYTES_MAX:,} bytes: it is not the file of Quarry's profiles"
            )
        return body.decode()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise NotConfigured(f"{path} cannot be read: {error}") from error


def _profiles(text: str, path: Path) -> dict[str, dict[str, str]]:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise NotConfigured(f"{path} is not TOML: {error}") from error
    if unknown := [key for key in data if key != "profiles"]:
        raise NotConfigured(f"{path}: {shown_name(unknown[0])} is not known; profiles stand under [profiles.NAME]")
    profiles = data.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(each, dict) for each in profiles.values()):
        raise NotConfigured(f"{path}: profiles stand under [profiles.NAME]")
    return {name: _checked(name, values, str(path)) for name, values in profiles.items()}


def _checked(name: str, values: Mapping[str, Any], where: str) -> dict[str, str]:
    """The variables of a profile. Raises NotConfigured."""
    check_name(name)
    found = {}
    for key, value in values.items():
        named = f"{where}: profile {name}: {shown_name(str(key))}"
        if _SECRET.search(key):
            raise NotConfigured(
                f"{named} is a secret, which no profile holds: set the variable, or use AWS's own files"
            )
        if _KEY.fullmatch(key) is None:
            raise NotConfigured(f"{named} is none of the variables of docs/settings.md")
        if not isinstance(value, (str, int, float)):
            raise NotConfigured(f"{named} must be a text or a number")
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if len(text) > VALUE_CHARS_MAX or not text.isprintable():
            raise NotConfigured(f"{named} must be printable, of at most {VALUE_CHARS_MAX:,} characters")
        found[key] = text
    return found


def check_name(name: str) -> None:
    """Raises NotConfigured for what cannot be a profile's name."""
    if _NAME.fullmatch(name) is None:
        raise NotConfigured(
            f"{shown_name(name)!r} cannot be a profile's name: it has up to 32 of A-Z, a-z, 0-9, - and _"
        )
    if name == LOCAL:
        raise NotConfigured(f"{LOCAL!r} names the local stack of this directory: give the profile another name")


def profile(name: str, path: Path) -> dict[str, str]:
    """One profile's variables. Raises NotConfigured, naming those that there are."""
    profiles = read_profiles(path)
    if name not in profiles:
        known = ", ".join(sorted(profiles)) or "none yet"
        remedy = f"terraform output -json | quarry config import --name {shown_name(name)}"
        raise NotConfigured(
            f"there is no profile {shown_name(name)!r} in {path} (there are: {known}); make it by  {remedy}"
        )
    return profiles[name]


def with_profile(name: str, path: Path, shell: Mapping[str, str]) -> tuple[dict[str, str], list[Overridden]]:
    """A shell's variables and a profile's, of which the shell's win; and where they do.

    A variable that is set to nothing counts as not set.
    """
    own = {key: value for key, value in shell.items() if value}
    values = profile(name, path)
    overridden = [Overridden(key, name) for key, value in values.items() if own.get(key, value) != value]
    return {**shell, **values, **own}, overridden


# --------------------------------------------------------------------------- writing


def from_terraform(text: str, output: str = "environment") -> dict[str, Any]:
    """The variables that `terraform output -json` prints, whole or of one output.

    Raises:
        NotConfigured: it is not that; the text says what was expected.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise NotConfigured(f"this is not the JSON of `terraform output -json`: {error}") from error
    if isinstance(data, dict) and isinstance(data.get(output), dict) and "value" in data[output]:
        if data[output].get("sensitive"):
            raise NotConfigured(f"the output {output!r} is sensitive, and a profile holds no secret")
        data = data[output]["value"]
    if not isinstance(data, dict) or not any(str(key).startswith("QUARRY_") for key in data):
        has = (
            f"it has {', '.join(sorted(map(shown_name, map(str, data)))[:10])}"
            if isinstance(data, dict) and data
            else "it is empty"
        )
        raise NotConfigured(
            f"no output {output!r} with Quarry's variables is in it ({has}): run `terraform output -json` in the"
            " environment's directory, after `terraform apply`"
        )
    return data


def write_profile(path: Path, name: str, values: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Put a profile into the file, in place of one of that name; others, and comments outside of it, stay.

    Returns:
        The variables of the profile as they were, and as they are.

    Raises:
        NotConfigured: a name or value cannot be in a profile, or one that is needed is missing.
        OSError: the disk.
    """
    check_name(name)
    given = _checked(name, {key: value for key, value in values.items() if value is not None}, "import")
    missing = [key for key in NEEDED if not given.get(key)]
    if missing:
        raise NotConfigured(f"without {', '.join(missing)} the profile would lead nowhere: nothing is written")
    text = _text(path)
    before = _profiles(text, path)
    after = _replaced(text, name, given)
    if _profiles(after, path) != {**before, name: given}:
        raise NotConfigured(
            f"{path} is laid out in a way that cannot be changed safely: remove [profiles.{name}] by hand"
        )
    _write(path, after)
    return before.get(name, {}), given


def _replaced(text: str, name: str, values: Mapping[str, str]) -> str:
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        header = _HEADER.match(line)
        if header is not None or _ANY_HEADER.match(line):
            inside = header is not None and header["name"].strip("\"'") == name
        if not inside:
            kept.append(line)
    while kept and not kept[-1].strip():
        kept.pop()
    section: Sequence[str] = [f"[profiles.{name}]", *(f"{key} = {_quoted(values[key])}" for key in sorted(values))]
    return "\n".join([*kept, *([""] if kept else []), *section]) + "\n"


def _quoted(text: str) -> str:
    """A basic string of TOML, which JSON's are but for DEL; values are printable."""
    return json.dumps(text, ensure_ascii=False)


def _write(path: Path, text: str) -> None:
    """Whole or not at all, for its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".config-")  # 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
