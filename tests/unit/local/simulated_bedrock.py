"""A simulated Bedrock in this process, without an emulator beside it, on a clock that only `Bedrock.later` moves."""

import asyncio
import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from quarry_local.bedrock.server import SimulatedBedrock
from quarry_local.bedrock.settings import LiveSettings, Settings

ACCOUNT = "000000000000"
REGION = "us-east-1"
DEFAULTS = LiveSettings().model_dump(mode="json")


class Bedrock:
    """What a test sees of the server: its address, clients for it, and its own pages."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clients: list[Any] = []

    def client(self, service: str) -> Any:
        made = boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 1}),
        )
        self.clients.append(made)
        return made

    def change(self, **settings: Any) -> None:
        self._ask("PUT", "settings", settings)

    def figures(self) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("GET", "stats")["on_demand"]
        return found

    def later(self, seconds: float = 60.0) -> None:
        """Let simulated seconds pass."""
        self._ask("POST", "clock", {"advance_s": seconds})

    def calm(self) -> None:
        """As it was at its start, with every window empty."""
        self.change(**DEFAULTS)
        self.later(61)  # a whole window, whatever a float makes of it

    def _ask(self, method: str, page: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}/_quarry/{page}", data=data, headers={"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


@contextmanager
def simulated_bedrock(directory: Path) -> Iterator[Bedrock]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    server = SimulatedBedrock(Settings(store=directory, clock="stepped", _env_prefix="NOT_SET_"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_REGION", REGION)
        bedrock = Bedrock(run(server.start()))
    try:
        yield bedrock
    finally:
        for client in bedrock.clients:
            client.close()
        run(server.stop())
        run(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
