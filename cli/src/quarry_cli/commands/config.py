"""`quarry config`: environments by name, and where each value comes from."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich import box
from rich.table import Table
from rich.text import Text

from quarry_cli import profiles
from quarry_cli.commands.options import STDIN, text_of
from quarry_cli.errors import NotConfigured
from quarry_cli.screen import printing
from quarry_cli.screen.printing import Json
from quarry_cli.screen.wording import plain
from quarry_cli.settings import ClientSettings, ServiceSettings, names_of

app = typer.Typer(name="config", help="Environments by name, and where each value comes from.", no_args_is_help=True)
SHOWN_CHARS_MAX = 300
SECRETS = frozenset({"HF_TOKEN"})


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """One setting. `source` is `variable`, `profile`, `default` or `not set`; `variable` the one that it is read from."""

    variable: str
    value: str
    source: str
    overrides: str = ""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What `quarry config show --json` prints; `overrides` of a value is what the profile has instead."""

    file: str
    profiles: list[str]
    profile: str | None
    values: list[Value]


@app.command("import")
def import_(
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What the environment is to be called: prod.")],
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", allow_dash=True, help="What `terraform output -json` prints.")
    ] = STDIN,
    output: Annotated[
        str, typer.Option("--output", metavar="OUTPUT", help="The output that has the variables.")
    ] = "environment",
    aws_profile: Annotated[
        str | None, typer.Option("--aws-profile", metavar="PROFILE", help="AWS's own profile to sign requests with.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a profile: terraform output -json | quarry config import --name prod.

    The file is ~/.config/quarry/config.toml, or where XDG_CONFIG_HOME says. A profile of that name is replaced, others stay. It holds no secrets.
    """
    with printing.telling():
        if file == STDIN and sys.stdin.isatty():
            raise NotConfigured(
                "give a file, or pipe into it: terraform output -json | quarry config import --name NAME"
            )
        values = profiles.from_terraform(text_of(file), output)
        if aws_profile is not None:
            values["AWS_PROFILE"] = aws_profile
        path = profiles.config_path()
        before, after = profiles.write_profile(path, name, values)
        changed = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
        if as_json:
            printing.print_json({"file": str(path), "profile": name, "values": len(after), "changed": changed})
            return
        typer.echo(f"{plain(str(path))}: profile {name}, {len(after)} values")
        if before and changed:
            typer.echo(f"changed: {', '.join(changed)}")
        typer.echo(f"use it with: quarry runs --env {name}", err=True)


@app.command()
def show(
    as_json: Json = False,
) -> None:
    """Show every setting of the command, its value, and where it comes from.

    With --env NAME, of that profile. Variables of the shell win over a profile, each by itself.
    """
    with printing.telling():
        path = profiles.config_path()
        known = profiles.read_profiles(path)
        chosen = printing.environment()
        values = known.get(chosen or "", {})
        shown = Shown(
            file=str(path),
            profiles=sorted(known),
            profile=chosen,
            values=[_value(*each, values) for each in _fields()],
        )
        if as_json:
            printing.print_json(shown)
            return
        there = ", ".join(shown.profiles) or "none"
        typer.echo(f"{plain(shown.file)}: profiles {there}; in use: {plain(chosen) if chosen else 'none'}")
        printing.console().print(_table(shown.values))


def _fields() -> list[tuple[tuple[str, ...], str]]:
    """The variables of each setting, and its default."""
    found = []
    for settings in (ClientSettings, ServiceSettings):
        for field, info in settings.model_fields.items():
            default = info.get_default()
            found.append((names_of(settings, field), "" if default is None or field == "hf_token" else str(default)))
    found.append((("AWS_PROFILE",), ""))
    return found


def _value(names: tuple[str, ...], default: str, values: dict[str, str]) -> Value:
    # What a profile says is in the process's variables by now, where the shell says nothing.
    shell = printing.shell()
    for name in names:
        if shell.get(name):
            other = values.get(name, shell[name])
            return Value(
                variable=name,
                value=_shown(name, shell[name]),
                source="variable",
                overrides="" if other == shell[name] else _shown(name, other),
            )
    for name in names:
        if values.get(name) or os.environ.get(name):
            return Value(variable=name, value=_shown(name, values.get(name) or os.environ[name]), source="profile")
    return Value(variable=names[0], value=default, source="default" if default else "not set")


def _shown(name: str, value: str) -> str:
    return "(set)" if name in SECRETS else value


def _table(values: list[Value]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("variable", "value", "comes from"):
        table.add_column(title, overflow="fold")
    for each in values:
        source: Any = {"variable": "the shell's variable", "profile": "the profile", "default": "its default"}.get(
            each.source, each.source
        )
        if each.overrides:
            source += f"; the profile has {each.overrides}"
        table.add_row(*(Text(plain(text, SHOWN_CHARS_MAX)) for text in (each.variable, each.value, source)))
    return table
