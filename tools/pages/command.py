"""The command: the help of each command, and what `quarry doctor` checks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import typer.main
from tools.pages.text import Lines, code, table

import quarry_cli.main
import quarry_local.commands
from quarry_cli.doctor.report import CHECKS

HELP_CHARS_MAX = 100


def command_help() -> Lines:
    """The help of every command, without colours and boxes, at a fixed width."""
    # By name: other people's plug-ins, installed here by chance, are not part of the page.
    root = typer.main.get_group(quarry_cli.main.app)
    root.name = "quarry"
    local = typer.main.get_group(quarry_local.commands.app)
    lines: Lines = []
    for command, path in [*walk(root, ("quarry",)), *walk(local, ("quarry", "local"))]:
        lines += [f"### {' '.join(path)}", "", "```text", *help_of(command, path), "```", ""]
    return lines[:-1]


def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    yield command, path
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, (*path, name))


def help_of(command: Any, path: tuple[str, ...]) -> Lines:
    command.rich_markup_mode = None
    # click keeps the lines of a paragraph that begins so.
    command.help = "\n\n".join("\b\n" + text if "\n" in text else text for text in (command.help or "").split("\n\n"))
    context = command.context_class(command, info_name=" ".join(path), terminal_width=HELP_CHARS_MAX)
    return [line.rstrip() for line in command.get_help(context).splitlines()]


def doctor_checks() -> Lines:
    rows = ([code(check.name), check.asks, check.finds] for check in CHECKS)
    return table(("Check", "What it asks", "What you see when it fails"), rows)


def doctor_policy() -> Lines:
    """One statement with every action that looking takes; none of them writes, and AWS knows few resources for them."""
    actions = sorted({action for check in CHECKS for action in check.reads})
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=2)
    return ["```json", *policy.splitlines(), "```"]
