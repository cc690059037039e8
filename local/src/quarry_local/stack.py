"""The local stack: the embedded AWS, the simulated Bedrock and the three services, as processes of one directory.

`up` returns when everything is ready; `down` leaves nothing behind. Both may be called twice, by different programs: the
state in `<directory>/state.json` says what runs, each process by pid and start time. A half-failed `up` stops what it
started and says which process failed. Tests use the same class to kill one process and start it again, if need be
through another module.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from quarry_local import emulator, environment, launch, loopback, processes, prometheus, resources, state
from quarry_local.clients import Clients
from quarry_local.launch import NotReady
from quarry_local.policies import SERVICES
from quarry_local.processes import Running
from quarry_local.programs import BEDROCK, EMULATOR, HUB, PROMETHEUS, TLS, log_path, program_of, ready_path, service_of
from quarry_local.settings import LOCAL_WAITS, StackSettings, differences
from quarry_local.state import State

STOP_GRACE_S = 10.0
# What may go wrong while the stack comes up, and is told in the failure's own words.
FAILURES = (
    NotReady,
    emulator.EmulatorUnavailable,
    prometheus.PrometheusUnavailable,
    BotoCoreError,
    ClientError,
    ValueError,
)


class StackError(Exception):
    """The stack cannot do what was asked; the message is for the user."""


def default_directory() -> Path:
    return Path(os.environ.get("QUARRY_LOCAL_DIR", ".quarry"))


class Stack:
    """A local stack in a directory.

    Args:
        directory: where state and logs are kept; `QUARRY_LOCAL_DIR` or `.quarry` if None.
        settings: what to bring up; if None, those of the stack that stands there, else the defaults.
    """

    def __init__(self, directory: Path | None = None, settings: StackSettings | None = None) -> None:
        self.directory = (directory or default_directory()).resolve()
        self._asked = settings

    def __enter__(self) -> Self:
        processes.interrupt_on_sigterm()
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    # ----------------------------------------------------------------------- up and down

    def up(self) -> dict[str, str]:
        """Start what does not run yet, make what is not there yet, and return `env()` when all is ready.

        Raises:
            StackError: a process failed (what this call started is stopped again), or a stack with other settings
                stands.
        """
        with state.locked(self.directory):
            standing = self._load()
            asked = self._asked or (standing.settings if standing else StackSettings())
            if standing and not self._usable(standing):
                self._stop_all(standing)
                standing = None
            if standing is None:
                standing = State(asked)
                shutil.rmtree(self.directory / "logs", ignore_errors=True)
                self._save(standing)
            elif reported := differences(standing.settings, asked):
                raise StackError(
                    f"a stack with other settings is up here: {'; '.join(reported)}."
                    " Ask for the same settings, leave the option out, or run `quarry local down` first"
                )
            elif asked.prometheus and not standing.settings.prometheus:
                # The one thing that can be added to what stands.
                standing = replace(standing, settings=asked)
                self._save(standing)
            before = set(standing.processes.values())
            try:
                self._bring_up(standing)
            except BaseException as error:  # an interrupt too must leave nothing behind
                self._stop_all(standing, keep=before)
                if isinstance(error, FAILURES):
                    raise StackError(str(error)) from error
                raise
            return dict(standing.environment)

    def _usable(self, standing: State) -> bool:
        """Whether there is something to build on: without its emulator, everything else points nowhere."""
        if standing.settings.aws_endpoint:
            return True
        return EMULATOR in standing.processes and processes.alive(standing.processes[EMULATOR])

    def _bring_up(self, standing: State) -> None:
        settings = standing.settings
        if settings.prometheus:
            prometheus.executable()  # before anything is started that it would be for
        endpoint = settings.aws_endpoint or f"http://{loopback.LOOPBACK}:{self._ready(standing, EMULATOR).port}"
        standing.environment.update(environment.for_aws(endpoint, settings.region, os.environ))
        # The simulator warms up while the resources are made; it asks nothing of AWS before its first job.
        bedrock = self._begin(standing, BEDROCK)
        hub = self._begin(standing, HUB) if settings.hub else None
        made = resources.create(
            Clients(endpoint, settings.region), settings.env, int(_waits(settings)["QUARRY_VISIBILITY_TIMEOUT_S"])
        )
        bedrock = self._finish(standing, bedrock)
        url = f"http://{loopback.LOOPBACK}:{bedrock.port}"
        standing.environment.update(
            environment.for_clients(standing.environment, url, settings.quota, made.environment())
        )
        if hub is not None:
            hub = self._finish(standing, hub)
            standing.environment.update(environment.for_hub(f"http://{loopback.LOOPBACK}:{hub.port}"))
        self._save(standing)
        if settings.services:
            for process in [self._begin(standing, service) for service in SERVICES]:
                self._finish(standing, process)
        if settings.prometheus:
            self._ready(standing, PROMETHEUS)

    def down(self) -> list[str]:
        """Stop everything: the services first, then the Hub and Bedrock, then AWS. Does nothing if nothing is running.

        Returns:
            The names of those that did not stop by themselves and were killed.
        """
        if not self.directory.exists():
            return []
        with state.locked(self.directory):
            standing = self._load()
            return self._stop_all(standing) if standing else []

    def _stop_all(self, standing: State, keep: set[Running] | None = None) -> list[str]:
        """Stop every process but those in `keep`, and forget them."""
        doomed = {name: process for name, process in standing.processes.items() if process not in (keep or set())}
        services = [process for name, process in doomed.items() if name not in {EMULATOR, BEDROCK, HUB}]
        killed = processes.stop(services, standing.settings.drain_s)
        for name in (HUB, BEDROCK, EMULATOR):
            if name in doomed:
                killed += processes.stop([doomed[name]], STOP_GRACE_S)
        if left := [name for name, process in doomed.items() if processes.alive(process)]:
            raise StackError(f"cannot be killed: {', '.join(left)}")
        for name in doomed:
            del standing.processes[name]
        if standing.processes:
            self._save(standing)
        else:
            self._state_path.unlink(missing_ok=True)
            for home in (EMULATOR, PROMETHEUS):
                shutil.rmtree(self.directory / home, ignore_errors=True)
        return killed

    # ----------------------------------------------------------------------- one process

    def settings(self) -> StackSettings:
        """Those of the stack that is up here, else the defaults.

        Raises:
            StackError: what stands here is of another version.
        """
        standing = self._load()
        return (
            standing.settings
            if standing and any(map(processes.alive, standing.processes.values()))
            else StackSettings()
        )

    def start(
        self, name: str, *, launch: Sequence[str] | None = None, variables: Mapping[str, str] | None = None
    ) -> Running:
        """Start one service, or a further one of its kind (`scheduler.2`), and wait until it is ready.

        Args:
            name: `preprocessor`, `scheduler`, `collector`, with `.<n>` behind it for a further one; `bedrock`.
            launch: what stands behind `python` instead of the service's module, for this start only.
            variables: environment variables on top of the stack's, for this start only.

        Raises:
            StackError: the stack is not up, the name is unknown, the process runs already, or it failed.
        """
        with state.locked(self.directory):
            standing = self._standing()
            return self._start(standing, name, launch, variables)

    def _start(
        self, standing: State, name: str, launch: Sequence[str] | None, variables: Mapping[str, str] | None
    ) -> Running:
        if name != BEDROCK and service_of(name) not in SERVICES:
            raise StackError(f"there is no service {name!r}: {', '.join((*SERVICES, BEDROCK))}")
        if name in standing.processes and processes.alive(standing.processes[name]):
            raise StackError(f"{name} is already running")
        try:
            begun = self._begin(standing, name, launch, variables)
            return self._finish(standing, begun, launch, variables)
        except NotReady as error:
            raise StackError(str(error)) from error

    def kill(self, name: str) -> None:
        """SIGKILL one process and wait until it is gone; its place in the stack stays. Harmless if it is gone."""
        processes.kill(self.process(name))

    def stop(self, name: str) -> bool:
        """SIGTERM one process and wait for it as `down` does. False: it had to be killed."""
        return not processes.stop([self.process(name)], self._standing().settings.drain_s)

    def restart(
        self, name: str, *, launch: Sequence[str] | None = None, variables: Mapping[str, str] | None = None
    ) -> Running:
        """SIGKILL one process and start it again on its port; arguments and errors are those of `start`."""
        with state.locked(self.directory):
            standing = self._standing()
            processes.kill(self.process(name))
            return self._start(standing, name, launch, variables)

    # ----------------------------------------------------------------------- looking

    def env(self) -> dict[str, str]:
        """The variables that a client of the stack needs.

        Raises:
            StackError: the stack is not up.
        """
        return dict(self._standing().environment)

    def clients(self) -> Clients:
        """boto3 clients of the stack's AWS (not of its Bedrock)."""
        standing = self._standing()
        return Clients(standing.environment["AWS_ENDPOINT_URL"], standing.settings.region)

    def processes(self) -> dict[str, tuple[Running, bool]]:
        """Every process that the stack started, and whether it is alive. Empty when the stack is down."""
        standing = self._load()
        return {name: (p, processes.alive(p)) for name, p in standing.processes.items()} if standing else {}

    def process(self, name: str) -> Running:
        """One process, alive or not. Raises StackError if the stack has none of that name."""
        found = self._standing().processes.get(name)
        if found is None:
            raise StackError(f"the stack has no process {name!r}")
        return found

    def alive(self, name: str) -> bool:
        return processes.alive(self.process(name))

    def ready(self, name: str) -> bool:
        """Whether the process says now that it is ready."""
        return loopback.ready(self.process(name).port, ready_path(name))

    def url(self, name: str) -> str:
        """Where a process answers."""
        return f"http://{loopback.LOOPBACK}:{self.process(name).port}"

    def tls(self) -> tuple[str, Path] | None:
        """Where the simulated Bedrock answers with TLS, and the certificate of whoever vouches for it; None: nowhere."""
        port = self._standing().settings.tls_port
        return (f"https://localhost:{port}", self.directory / TLS / "ca.pem") if port else None

    def metrics_url(self, name: str) -> str:
        return f"{self.url(name)}/metrics"

    def log_path(self, name: str) -> Path:
        return log_path(self.directory, name)

    def logs(self, name: str, lines: int = 200) -> list[str]:
        """The last lines of a process's log; also after `down`, until the next `up`."""
        return processes.tail(self.log_path(name), lines)

    def simulator_stats(self) -> Any:
        """What the simulated Bedrock has seen. Raises ConnectionError if it does not answer."""
        return loopback.ask_json(self.process(BEDROCK).port, "/_quarry/stats")

    def set_simulator(self, **settings: Any) -> Any:
        """Change settings of the running simulator. Raises ConnectionError with its words if it refuses."""
        return loopback.ask_json(self.process(BEDROCK).port, "/_quarry/settings", put=settings)

    def set_faults(self, **faults: Any) -> Any:
        """Set faults or the pace of the running simulator; the others stay. Raises ConnectionError as above."""
        return loopback.ask_json(self.process(BEDROCK).port, "/_quarry/faults", put=faults)

    def clear_faults(self) -> None:
        """No fault any more in the running simulator. Raises ConnectionError if it does not answer."""
        answer = loopback.ask(self.process(BEDROCK).port, "/_quarry/faults", "DELETE")
        if answer is None or answer[0] not in loopback.OK:
            raise ConnectionError(f"the simulated Bedrock does not answer: {answer}")

    def hub_stats(self) -> Any:
        """What the simulated Hub was asked. Raises ConnectionError if it does not answer."""
        return loopback.ask_json(self.process(HUB).port, "/_quarry/stats")

    def set_hub_faults(self, **faults: Any) -> Any:
        """Set faults of the running Hub; the others stay. Raises ConnectionError with its words if it refuses."""
        return loopback.ask_json(self.process(HUB).port, "/_quarry/faults", put=faults)

    def land_on_hub(self, **landing: Any) -> Any:
        """Make a folder a commit of the simulated Hub, as `Landing` says. Raises ConnectionError if it refuses."""
        body = json.dumps(landing).encode()
        answer = loopback.ask(self.process(HUB).port, "/_quarry/commits", "POST", body)
        if answer is None or answer[0] not in loopback.OK:
            raise ConnectionError(f"the simulated Hub does not take the commit: {answer}")
        return json.loads(answer[1])

    # ----------------------------------------------------------------------- the inside

    @property
    def _state_path(self) -> Path:
        return self.directory / "state.json"

    def _load(self) -> State | None:
        try:
            return state.load(self._state_path)
        except ValueError as error:
            raise StackError(str(error)) from error

    def _save(self, standing: State) -> None:
        state.save(self._state_path, standing)

    def _standing(self) -> State:
        standing = self._load()
        if standing is None:
            raise StackError(f"no stack is up in {self.directory}: `quarry local up`")
        return standing

    def _remember(self, standing: State, process: Running) -> None:
        standing.processes[process.name] = process
        self._save(standing)
        if standing.settings.prometheus:
            self._tell_prometheus(standing)

    def _tell_prometheus(self, standing: State) -> None:
        """Write down which services there are; Prometheus reads the file again by itself."""
        ports = {
            service: [process.port for name, process in standing.processes.items() if service_of(name) == service]
            for service in SERVICES
        }
        prometheus.write_targets(prometheus.targets_file(self.directory / PROMETHEUS), ports)

    def _ready(self, standing: State, name: str) -> Running:
        return self._finish(standing, self._begin(standing, name))

    def _begin(
        self,
        standing: State,
        name: str,
        launch_as: Sequence[str] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Running:
        """Start a process unless it is alive; one that died gets its old port again, which its clients know."""
        known = standing.processes.get(name)
        if known and processes.alive(known):
            return known
        begun = launch.begin(
            program_of(name, standing, self.directory, launch_as, variables), known.port if known else None
        )
        self._remember(standing, begun)
        return begun

    def _finish(
        self,
        standing: State,
        begun: Running,
        launch_as: Sequence[str] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Running:
        program = program_of(begun.name, standing, self.directory, launch_as, variables)
        return launch.finish(
            program, begun, standing.settings.ready_within_s, again=lambda new: self._remember(standing, new)
        )


def _waits(settings: StackSettings) -> dict[str, str]:
    return {**LOCAL_WAITS, **settings.overrides}
