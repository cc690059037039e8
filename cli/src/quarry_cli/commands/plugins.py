"""Commands that other packages add: entry points of the group `quarry.commands`, each a name and a Typer app.

A plug-in is loaded when it is called or its help is shown, never before: `quarry status` neither waits for it nor
breaks with it. One that cannot be loaded stays in the list and says why. None takes the name of a command of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from quarry_cli.errors import Exit
from quarry_cli.screen.printing import ERROR_CHARS_MAX, Failure, print_failure
from quarry_cli.screen.wording import plain

GROUP = "quarry.commands"
# typer has its own copy of click, and no public name for what its BadParameter is one of.
UsageError: Any = next(each for each in typer.BadParameter.__mro__ if each.__name__ == "UsageError")
Find = Callable[[], Iterable[EntryPoint]]


def installed() -> Iterable[EntryPoint]:
    return entry_points(group=GROUP)


class Commands(TyperGroup):
    """Our own commands, then those of plug-ins."""

    find: Find = staticmethod(installed)

    def invoke(self, ctx: Any) -> Any:
        """With --json a wrong usage too is one object on standard output, beside its sentence on standard error.

        Its sentence may quote a file's name, in which nothing is obeyed by a terminal.
        """
        words = [*getattr(ctx, "_protected_args", ()), *ctx.args]
        try:
            return super().invoke(ctx)
        except UsageError as error:
            error.message = plain(error.message, ERROR_CHARS_MAX)
            if "--json" in words:
                message = plain(error.format_message(), ERROR_CHARS_MAX)
                print_failure(Failure(code="UsageError", message=message, exit_code=int(Exit.USAGE)))
            raise

    # typer keeps its own copy of click's types; their names are not public.
    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        return own + sorted({plugin.name for plugin in self.find()} - set(own))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        for plugin in self.find():
            if plugin.name == cmd_name:
                self.commands[cmd_name] = _loaded(plugin)
                return self.commands[cmd_name]
        return None


def _loaded(plugin: EntryPoint) -> Any:
    try:
        app = plugin.load()
        if not isinstance(app, typer.Typer):
            raise TypeError(f"{plugin.value} is a {type(app).__name__}, not a Typer app")  # noqa: TRY301 all that is wrong with it is told below
        group = get_group(app)
    except Exception as error:  # whatever somebody else's package does at import
        return _broken(plugin, f"{type(error).__name__}: {error}")
    group.name = plugin.name
    return group


def _broken(plugin: EntryPoint, why: str) -> Any:
    package = plugin.dist.name if plugin.dist else plugin.module
    text = f"Broken: the plug-in {plugin.name!r} of {package} cannot be loaded: {why}"
    app = typer.Typer(add_completion=False)

    @app.command(plugin.name, help=text, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
    def tell() -> None:
        typer.echo(text, err=True)
        raise typer.Exit(Exit.FAILED)

    return get_command(app)
