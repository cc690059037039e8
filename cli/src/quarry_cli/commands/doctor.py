"""`quarry doctor`: reads its options, makes the checkup and prints it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from quarry_cli.aws.asking import reason, skew_of
from quarry_cli.aws.connections import Open, open_reading
from quarry_cli.aws.environment import identify
from quarry_cli.aws.environment_settings import EnvironmentSettings
from quarry_cli.doctor.checks.account import judge_skew
from quarry_cli.doctor.report import Report, check_all
from quarry_cli.errors import QuarryError
from quarry_cli.screen import findings
from quarry_cli.screen.printing import Json, print_error, print_json
from quarry_core.errors import PortError

MODELS_MAX = 20


class DoctorExit(IntEnum):
    """Doctor's own exit codes."""

    HEALTHY = 0
    FAILED = 1
    BLIND = 2


class Blind(Exception):
    """Nothing can be checked; the message says why."""


Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="ID", help="A model or inference profile to check; may be repeated."),
]


def doctor(
    ctx: typer.Context,
    model: Models = None,
    scheduler_role: Annotated[
        str | None,
        typer.Option(
            "--scheduler-role", metavar="NAME", help="The role that creates jobs, if it has a name of your own."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the environment in AWS, and show what to add and where.

    All checks only read. What may not be read is unknown, which is not a failure. Without --model, the models of
    open runs are checked.

    Exit code 0: nothing failed; 1: a check failed; 2: nothing could be checked.
    """
    named = list(dict.fromkeys(model or []))
    if len(named) > MODELS_MAX:
        raise typer.BadParameter(f"at most {MODELS_MAX} models", param_hint="--model")
    open_with: Open = ctx.obj if ctx.obj is not None else open_reading
    try:
        report = asyncio.run(_report(open_with, named, scheduler_role))
    except (QuarryError, Blind) as error:
        print_error(error)
        raise typer.Exit(DoctorExit.BLIND) from error
    if as_json:
        whole: dict[str, Any] = {"healthy": report.healthy, **msgspec.to_builtins(report)}
        print_json(whole)
    else:
        console = Console(highlight=False, soft_wrap=True)
        for line in findings.lines(report):
            console.print(line)
    raise typer.Exit(DoctorExit.HEALTHY if report.healthy else DoctorExit.FAILED)


async def _report(open_with: Open, models: Sequence[str], scheduler_role: str | None) -> Report:
    settings = EnvironmentSettings.read()
    settings.require("env", "region", "table", "bucket")
    async with open_with(settings) as reading:
        if not models:
            try:
                models = await reading.open_models()
            except PortError:
                models = []  # the checks of the ledger say why
        try:
            environment = await identify(
                settings, reading.ask, reading.clock, models=models[:MODELS_MAX], scheduler_role=scheduler_role
            )
        except PortError as error:
            raise Blind(f"AWS does not identify the caller: {reason(error)}{_skewed(error, reading)}") from error
        return await check_all(environment)


def _skewed(error: PortError, reading: Any) -> str:
    """What the clock has to do with it: a refusal bears the time too."""
    answer = getattr(error.__cause__, "response", None)
    skew_s = skew_of(answer, reading.clock) if isinstance(answer, dict) else None
    message = judge_skew(skew_s) if skew_s is not None else ""
    return "" if isinstance(message, str) else f"; {message[0].message}: {message[0].remedy}"
