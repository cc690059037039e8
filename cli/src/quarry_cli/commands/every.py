"""What every command has: `--env NAME`, and with `--json` its errors as JSON."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Annotated, Any

import typer

from quarry_cli import profiles
from quarry_cli.commands.completing import environments
from quarry_cli.errors import NotConfigured
from quarry_cli.screen import printing

_OPTION = typer.Option(
    "--env",
    metavar="NAME",
    help="The profile to use (`quarry config`), or `local`: the local stack of this directory.",
    autocompletion=environments,
)


def for_every(apps: Iterable[typer.Typer]) -> None:
    """Give each command of some apps the option `--env`; those that have one of their own keep it."""
    for app in apps:
        for info in app.registered_commands:
            if info.callback is not None:
                info.callback = _with_environment(info.callback)


def _with_environment(command: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(command, eval_str=True)
    if "env" in signature.parameters:
        return command

    @wraps(command)
    def wrapped(*args: Any, env: str | None = None, **options: Any) -> Any:
        with printing.of_command(as_json=bool(options.get("as_json"))):
            with printing.telling():
                before = dict(os.environ)
                name = use(env)
            try:
                with printing.in_environment(name, before):
                    return command(*args, **options)
            finally:
                _replace(before)

    annotation = Annotated[str | None, _OPTION]
    added = inspect.Parameter("env", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
    parameters = [*signature.parameters.values(), added]
    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {**inspect.get_annotations(command, eval_str=True), "env": annotation}
    return wrapped


def use(env: str | None) -> str | None:
    """Let the process work in an environment; its name. Variables of the shell win, and where they do is said.

    Raises:
        NotConfigured: there is no such profile, or no local stack is up.
    """
    name = env or os.environ.get(profiles.PROFILE_VARIABLE) or None
    if name == profiles.LOCAL:
        _replace(_local())
    elif name is not None:
        variables, overridden = profiles.with_profile(name, profiles.config_path(), os.environ)
        for each in overridden:
            typer.echo(f"note: {each}", err=True)
        _replace(variables)
    return name


def _local() -> Mapping[str, str]:
    from quarry_cli.client.local_stack import local_stack, with_local  # noqa: PLC0415 beside its only user

    stack = local_stack()
    variables = stack.standing()
    if variables is None:
        raise NotConfigured(f"no local stack is up in {stack.directory}: `quarry local up` starts one")
    return with_local(variables, stack)


def _replace(variables: Mapping[str, str]) -> None:
    """The command's process is its own, and AWS's SDK reads its variables too."""
    for name in set(os.environ) - set(variables):
        del os.environ[name]
    os.environ.update(variables)
