"""`quarry local`: the local stack from the command line. Thin: every line of work is in `stack`."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from quarry_core.settings import Settings
from quarry_core.text import marked
from quarry_local import demo, environment, loopback, processes
from quarry_local.for_command import LocalStack
from quarry_local.policies import SERVICES
from quarry_local.programs import service_of
from quarry_local.stack import Stack, StackError

__all__ = ["LocalStack", "app"]  # `quarry run` finds the stack by the plug-in

app = typer.Typer(
    name="local",
    help="Quarry on this machine: an embedded AWS, a simulated Bedrock and the three services.",
    no_args_is_help=True,
)
console = Console(highlight=False)
FOLLOW_EVERY_S = 0.2
PROMETHEUS_HELP = "Start a Prometheus that scrapes the services, with the shipped alerts."

Directory = Annotated[
    Path | None, typer.Option("--directory", help="State and logs. [default: $QUARRY_LOCAL_DIR or .quarry]")
]


@app.command()
def up(
    quota: Annotated[
        int | None, typer.Option(min=1, max=500, help="Jobs that may be active at once per model. [default: 3]")
    ] = None,
    env: Annotated[str | None, typer.Option(help="The environment's name. [default: local]")] = None,
    sim: Annotated[
        list[str] | None, typer.Option("--sim", metavar="KEY=VALUE", help="A setting of the simulated Bedrock.")
    ] = None,
    variables: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An environment variable of the services.")
    ] = None,
    services: Annotated[
        bool | None,
        typer.Option("--services/--no-services", help="Whether to start the three services. [default: services]"),
    ] = None,
    prometheus: Annotated[bool, typer.Option("--prometheus", help=PROMETHEUS_HELP)] = False,
    tls: Annotated[
        bool, typer.Option("--tls", help="Let the simulated Bedrock also listen with TLS, on a free port.")
    ] = False,
    tls_port: Annotated[int | None, typer.Option(min=1, max=65535, help="The same, on this port.")] = None,
    hub: Annotated[
        Path | None,
        typer.Option(help="Serve the datasets of this folder (OWNER/NAME) as a simulated Hugging Face Hub."),
    ] = None,
    hub_set: Annotated[
        list[str] | None, typer.Option("--hub-set", metavar="KEY=VALUE", help="A setting of the simulated Hub.")
    ] = None,
    directory: Directory = None,
) -> None:
    """Start everything and return when it is ready.

    If a stack is already up, processes that died are started again. Options that are not given keep their values, a
    different value is refused by name, and --prometheus adds a Prometheus.
    """
    given: dict[str, Any] = {
        "quota": quota,
        "env": env,
        "services": services,
        "tls_port": tls_port,
        "prometheus": prometheus or None,
        "hub": str(hub.resolve()) if hub is not None else None,
    }
    simulator, overrides = _pairs(sim or [], "--sim"), _known(_pairs(variables or [], "--set"))
    try:
        standing = Stack(directory).settings()
    except StackError as error:
        _fail(error)
    if tls and not tls_port and not standing.tls_port:
        given["tls_port"] = loopback.free_port()
    settings = dataclasses.replace(
        standing,
        simulator={**standing.simulator, **simulator},
        hub_settings={**standing.hub_settings, **_pairs(hub_set or [], "--hub-set")},
        overrides={**standing.overrides, **overrides},
        **{name: value for name, value in given.items() if value is not None},
    )
    processes.interrupt_on_sigterm()
    stack = Stack(directory, settings)
    started = time.monotonic()
    try:
        with console.status("starting: AWS, Bedrock" + (", services" if services else "")):
            stack.up()
    except StackError as error:
        _fail(error)
    console.print(f"[green]ready[/] in {time.monotonic() - started:.1f} s, state and logs in {stack.directory}")
    _show(stack)
    console.print('\nnext:  eval "$(quarry local env)"')


@app.command("env")
def env_(directory: Directory = None) -> None:
    """Print what a client needs as export lines: eval "$(quarry local env)"."""
    try:
        variables = Stack(directory).env()
    except StackError as error:
        _fail(error)
    for name in environment.misleading(os.environ, variables):
        typer.echo(f"unset {name}")
    for name, value in sorted(variables.items()):
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def status(directory: Directory = None) -> None:
    """Show what is running. Fails if the stack is not up, or if one of its processes has died."""
    stack = Stack(directory)
    try:
        sound = _show(stack)
    except StackError as error:
        _fail(error)
    if not sound:
        raise typer.Exit(1)


@app.command()
def logs(
    process: Annotated[str | None, typer.Argument(help="One process; all if not given.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow until interrupted.")] = False,
    lines: Annotated[int, typer.Option(min=0, max=10_000, help="Number of last lines to show.")] = 50,
    as_json: Annotated[
        bool | None,
        typer.Option(
            "--json/--text", help=("One JSON object per line, as jq reads it. [default: json, text on a terminal]")
        ),
    ] = None,
    directory: Directory = None,
) -> None:
    """Print the last lines of the logs; they stay readable after `down`.

    In JSON every line names its process; output that is not JSON is in `event`.
    """
    stack = Stack(directory)
    written = sorted(path.stem for path in (stack.directory / "logs").glob("*.log"))
    if process and process not in written:
        _fail(StackError(f"no log of {process!r}: {', '.join(written) or 'nothing was started here'}"))
    if as_json is None:
        as_json = not sys.stdout.isatty()
    show = _json_line if as_json else (_prefixed if not process else _plain)
    with contextlib.ExitStack() as opened:
        chosen = [process] if process else written
        files = {name: opened.enter_context(stack.log_path(name).open("rb")) for name in chosen}
        for name, file in files.items():
            for line in processes.last_lines(file, lines):
                typer.echo(show(name, line))
        if follow:
            with contextlib.suppress(KeyboardInterrupt):
                _follow(files, show)


@app.command()
def down(directory: Directory = None) -> None:
    """Stop everything that `up` started. Does nothing if nothing is running."""
    stack = Stack(directory)
    try:
        with console.status("stopping"):
            killed = stack.down()
    except StackError as error:
        _fail(error)
    console.print("down" + (f"; had to kill {', '.join(killed)}" if killed else ""))


@app.command(
    "bedrock",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ["--help"]},
)
def bedrock_(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="On 127.0.0.1; a free one if not given.")] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            help="A directory in place of S3, <bucket>/<key>; without it, AWS_ENDPOINT_URL names an emulator."
        ),
    ] = None,
    clock: Annotated[
        str | None, typer.Option(help="running, or stepped: time passes only by POST /_quarry/clock.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random choice.")] = None,
    tls: Annotated[
        bool,
        typer.Option(
            "--tls", help=("Also listen with TLS; the line of JSON gives the address and the CA certificate.")
        ),
    ] = False,
) -> None:
    """The simulated Bedrock alone, in the foreground, until interrupted.

    It prints its port in one line of JSON. Every other setting is also an option, and a variable QUARRY_SIM_...:
    --seconds-per-1000-records 5 --events-lost-share 0.5. docs/simulated-bedrock.md lists them all.
    """
    # A server is a heavy import, and the other commands need none.
    from quarry_local.bedrock.__main__ import run  # noqa: PLC0415

    named = {"port": port, "store": store, "clock": clock, "seed": seed}
    flags = ["--tls"] if tls else []
    run([*flags, *(f"--{name}={value}" for name, value in named.items() if value is not None), *context.args])


@app.command("demo")
def demo_(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack up at the end.")] = False,
    prometheus: Annotated[bool, typer.Option("--prometheus", help=PROMETHEUS_HELP)] = False,
    directory: Directory = None,
) -> None:
    """The main job, from a manifest to joined rows: a text run and an embedding run. Fails unless every row has come back."""
    processes.interrupt_on_sigterm()
    try:
        demo.run(directory, typer.echo, keep=keep, prometheus=prometheus)
    except (StackError, demo.DemoFailed) as error:
        _fail(error)


def _show(stack: Stack) -> bool:
    """Print one line per process. Returns whether all live."""
    stack.env()  # says that no stack is up, if so
    table = Table("process", "pid", "address", "", box=None, pad_edge=False)
    running = stack.processes()
    for name, (process, alive) in running.items():
        service = service_of(name) in SERVICES
        address = f"http://127.0.0.1:{process.port}" + ("/metrics" if service else "")
        table.add_row(name, str(process.pid), address, "[green]up[/]" if alive else "[red]dead[/]")
    if endpoint := stack.tls():
        table.add_row("", "", f"{endpoint[0]}, CA certificate {endpoint[1]}", "")
    console.print(table)
    return all(alive for _, alive in running.values())


def _fail(error: Exception) -> NoReturn:
    typer.echo(str(error), err=True)
    raise typer.Exit(1)


def _pairs(given: Iterable[str], option: str) -> dict[str, str]:
    pairs = dict(text.partition("=")[::2] for text in given)
    if unread := [text for text in given if "=" not in text or text.startswith("=")]:
        raise typer.BadParameter(f"{unread[0]!r} is not of the form KEY=VALUE", param_hint=option)
    return pairs


def _known(variables: dict[str, str]) -> dict[str, str]:
    """Refuse a variable that looks like a setting and is none: the services would not notice it."""
    names = {f"QUARRY_{field.upper()}" for field in Settings.model_fields} | environment.FOREIGN
    for name in variables:
        if name.startswith(("QUARRY_", "MAX_")) and name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise typer.BadParameter(f"{name} is not a setting of the services{hint}", param_hint="--set")
    return variables


def _plain(_name: str, line: str) -> str:
    """No control character of a log reaches a terminal, which would obey it: an emulator logs what it is sent."""
    return "\t".join(marked(part) for part in line.split("\t"))


def _prefixed(name: str, line: str) -> str:
    return f"{name:>12} | {_plain(name, line)}"


def _json_line(name: str, line: str) -> str:
    try:
        # NaN is no JSON, though Python reads and writes it.
        found = json.loads(line, parse_constant=str)
    except (ValueError, RecursionError):
        found = None
    reported = found if isinstance(found, dict) else {"event": line}
    return json.dumps({"process": name, **reported})


def _follow(files: Mapping[str, BinaryIO], show: Callable[[str, str], str]) -> NoReturn:
    while True:
        for name, file in files.items():
            for line in file:
                typer.echo(show(name, line.decode("utf-8", "replace").rstrip("\n")))
        time.sleep(FOLLOW_EVERY_S)


if __name__ == "__main__":
    app()
