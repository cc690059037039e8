"""The programs of a local stack: how each is started, and by which page it says that it is ready. Pure but for `environ`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from quarry_local import emulator, environment, prometheus
from quarry_local.launch import Program
from quarry_local.settings import LOCAL_WAITS
from quarry_local.state import State

EMULATOR = emulator.NAME
BEDROCK = "bedrock"
PROMETHEUS = prometheus.NAME
HUB = "hub"
TLS = "tls"


def service_of(name: str) -> str:
    """The service that a process is one of: `scheduler.2` is a second scheduler."""
    return name.partition(".")[0]


def log_path(directory: Path, name: str) -> Path:
    return directory / "logs" / f"{name}.log"


def program_of(
    name: str,
    standing: State,
    directory: Path,
    launch_as: Sequence[str] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Program:
    """How a process of the stack is started, by its name.

    Args:
        name: the emulator, the simulated Bedrock, the simulated Hub, Prometheus, or a service with a number.
        standing: the stack as it stands.
        directory: the stack's own, in which each process has a folder and a log.
        launch_as: what Python runs instead of the process's own module.
        variables: more of its environment.
    """
    settings, log = standing.settings, log_path(directory, name)
    if name == EMULATOR:
        return emulator.program(directory / EMULATOR, log)
    if name == PROMETHEUS:
        home = directory / PROMETHEUS
        rules = prometheus.linked_rules(home)
        return prometheus.program(
            home, log, prometheus.configuration(prometheus.targets_file(home), rules, settings.env)
        )
    if name == HUB:
        flags = {"folder": settings.hub, **settings.hub_settings}
        own = environment.inherited(os.environ)
        return Program(
            name,
            lambda port: [sys.executable, "-m", "quarry_local.hub", "--port", str(port), *_flags(flags)],
            lambda _: own,
            ready_path(name),
            log,
        )
    if name == BEDROCK:
        behind = launch_as or settings.launch.get(BEDROCK, ("-m", "quarry_local.bedrock"))
        flags = {"quota": str(settings.quota), **settings.simulator}
        if settings.tls_port:
            flags |= {"tls_port": str(settings.tls_port), "tls_directory": str(directory / TLS)}
        extra = {**environment.inherited(os.environ), **standing.environment, **(variables or {})}
        return Program(
            name,
            lambda port: [sys.executable, *behind, "--port", str(port), *_flags(flags)],
            lambda _: extra,
            ready_path(name),
            log,
        )
    service = service_of(name)
    behind = launch_as or settings.launch.get(service, ("-m", f"quarry_{service}"))
    overrides = {**settings.overrides, **(variables or {})}
    return Program(
        name,
        lambda _: [sys.executable, *behind],
        lambda port: environment.for_service(os.environ, standing.environment, LOCAL_WAITS, overrides, port),
        ready_path(name),
        log,
    )


def ready_path(name: str) -> str:
    return {EMULATOR: emulator.HEALTH, BEDROCK: "/healthz", HUB: "/healthz", PROMETHEUS: prometheus.READY}.get(
        name, "/readyz"
    )


def _flags(settings: Mapping[str, str]) -> list[str]:
    """As flags rather than variables, for an unknown flag is refused where an unknown variable goes unnoticed."""
    return [_flag(name.replace("_", "-"), value) for name, value in settings.items()]


def _flag(name: str, value: str) -> str:
    # A switch takes no value.
    match value.lower():
        case "true":
            return f"--{name}"
        case "false":
            return f"--no-{name}"
        case _:
            return f"--{name}={value}"
