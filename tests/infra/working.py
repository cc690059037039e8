"""The three services as processes, each under its role's own keys, and an operator at the command line.

Nobody has a key but their own: no shell's, no file's, and not the emulator's root.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from quarry_local import environment, launch
from quarry_local.policies import SERVICES
from quarry_local.settings import LOCAL_WAITS
from tests.infra.applied import OPERATOR, Applied, running
from tests.infra.enforcing import Caller

QUOTA = 3
QUARRY = Path(sys.executable).with_name("quarry")
COMMAND_S = 360
POLL_S = 0.3
RUN_S = 300  # seconds where nothing else runs
REFUSALS_SHOWN = 5
ENDED = {"SUCCEEDED", "SUCCEEDED_WITH_ERRORS", "FAILED", "CANCELLED"}


def variables(world: Applied, caller: Caller) -> dict[str, str]:
    """What somebody with these keys needs to work with the environment."""
    aws = environment.for_aws(caller.endpoint_url, world.place.region, os.environ)
    given = environment.for_clients(aws, world.bedrock_url, QUOTA, world.environment)
    keys = {
        "AWS_ACCESS_KEY_ID": caller.keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": caller.keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": caller.keys.get("SessionToken", ""),
    }
    return {**given, **{name: value for name, value in keys.items() if value}}


@contextlib.contextmanager
def services(world: Applied, home: Path, settings: Mapping[str, str] | None = None) -> Iterator[dict[str, Path]]:
    """The three services while they run, by name: where each writes its log. `settings` go over the local ones."""
    logs = {service: home / f"{service}.log" for service in SERVICES}
    with contextlib.ExitStack() as stack:
        for service, log in logs.items():
            clients = {**variables(world, world.callers[service]), **(settings or {})}
            stack.enter_context(running(_program(service, clients, log)))
        yield logs


def _program(service: str, clients: Mapping[str, str], log: Path) -> launch.Program:
    return launch.Program(
        service,
        lambda _: [sys.executable, "-m", f"quarry_{service}"],
        lambda port: environment.for_service(os.environ, clients, LOCAL_WAITS, {}, port),
        "/readyz",
        log,
    )


class Operator:
    """Somebody with the operator's policy: brings sources, submits, looks, fetches results."""

    def __init__(self, world: Applied, home: Path) -> None:
        self.home = home
        self.name = world.place.role(OPERATOR)
        self._world = world
        self._s3 = world.callers[OPERATOR].client("s3")
        self._variables = {**environment.inherited(os.environ), **variables(world, world.callers[OPERATOR])}

    def put(self, key: str, body: bytes) -> str:
        self._s3.put_object(Bucket=self._world.place.bucket, Key=key, Body=body)
        return f"s3://{self._world.place.bucket}/{key}"

    def quarry(self, *words: str, codes: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            [QUARRY, *words], env=self._variables, capture_output=True, text=True, timeout=COMMAND_S, check=False
        )
        assert done.returncode in codes, f"quarry {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def submit(self, manifest: Mapping[str, Any], *, check: bool = True) -> str:
        """Send a manifest that names its run; unchecked, the services alone judge it."""
        file = self.home / f"{manifest['run_id']}.json"
        file.write_text(json.dumps(manifest))
        self.quarry("submit", str(file), *(() if check else ("--no-check",)))
        return str(manifest["run_id"])

    def status(self, run_id: str) -> dict[str, Any]:
        said = self.quarry("status", run_id, "--json", codes=tuple(range(8)))  # each state has a code of its own
        view: dict[str, Any] = json.loads(said) if said.strip() else {}
        return view

    def ended(self, run_id: str) -> dict[str, Any]:
        """How the run stands at its end."""
        self.quarry("watch", run_id, "--timeout", str(RUN_S), codes=tuple(range(8)))
        view = self.status(run_id)
        refused = "\n".join(words for _, words in self._world.gateway.refusals[-REFUSALS_SHOWN:])
        assert view.get("state") in ENDED, (
            f"run {run_id} has not ended within {RUN_S} s: {view}\nrefused last:\n{refused}"
        )
        return view
