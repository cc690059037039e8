"""Commands that other packages add, sound ones and broken ones."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
import typer

from quarry_cli.commands import plugins
from quarry_cli.commands.plugins import Commands
from quarry_cli.main import app
from tests.unit.cli.runner import runner

extra = typer.Typer(help="An extra.")
not_an_app = 7


@extra.command()
def hello(name: str) -> None:
    typer.echo(f"hello {name}")


@pytest.fixture
def with_plugins(monkeypatch):
    def install(**values: str):
        found = [EntryPoint(name, value, plugins.GROUP) for name, value in values.items()]
        monkeypatch.setattr(Commands, "find", staticmethod(lambda: found))

    return install


def run(*args: str):
    return runner().invoke(app, list(args))


def test_a_plug_in_adds_its_commands(with_plugins):
    with_plugins(extra=f"{__name__}:extra")

    assert run("extra", "hello", "you").stdout == "hello you\n"
    assert "An extra." in run("--help").stdout


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no_such_module_anywhere:app", "ModuleNotFoundError"),
        (f"{__name__}:no_such_name", "AttributeError"),
        (f"{__name__}:not_an_app", "not a Typer app"),
    ],
)
def test_a_broken_plug_in_is_named_and_breaks_nothing_else(with_plugins, value, why):
    with_plugins(broken=value)

    assert run("schema").exit_code == 0
    shown = run("--help")
    assert shown.exit_code == 0
    assert "broken" in shown.stdout
    called = run("broken", "up", "--quota", "3")
    assert called.exit_code == 1
    assert "'broken'" in called.stderr
    assert why in called.stderr


def test_a_plug_in_is_not_loaded_unless_it_is_called(with_plugins):
    loaded = []

    class Watched(EntryPoint):
        def load(self):
            loaded.append(self.name)
            return extra

    with_plugins()
    Commands.find = staticmethod(lambda: [Watched("watched", "x:y", plugins.GROUP)])  # undone with the fixture's

    run("schema")
    assert loaded == []
    run("watched", "hello", "you")
    assert loaded == ["watched"]


def test_no_plug_in_takes_the_name_of_a_command_of_ours(with_plugins):
    with_plugins(schema=f"{__name__}:extra")

    assert '"$schema"' in run("schema").stdout


def test_every_option_of_every_command_has_help():
    group = typer.main.get_group(app)
    for command in group.commands.values():
        assert command.help
        for parameter in command.params:
            assert vars(parameter)["help"], f"{command.name} {parameter.name}"


def test_the_version_is_reported():
    assert run("--version").stdout.startswith("quarry 0.")


def test_a_command_that_does_not_exist_is_a_usage_error():
    assert run("sumbit").exit_code == 2
