"""The pytest fixture `bedrock_sim`: a simulated Bedrock of the test's own, with a directory in place of S3.

    def test_my_orchestrator(bedrock_sim):
        bedrock_sim.put("my-bucket", "in/data.jsonl", lines)
        bedrock_sim.faults(throttled_share=0.2, job_faults={"*-retry-*": "hung"})
        job = bedrock_sim.client().create_model_invocation_job(...)
        bedrock_sim.advance(3600)
        assert bedrock_sim.client().get_model_invocation_job(...)["status"] == "Completed"

Its clock is stepped: time passes by `advance` only, and the same test with the same seed sees the same outputs and the
same events in the same order. Other settings, a running clock too: `@pytest.mark.bedrock_sim(clock="running", seed=3)`.
An emulator in place of the directory: `@pytest.mark.bedrock_sim(store=None, aws_endpoint_url="http://...")`.

Loading this module imports nothing of the simulator; the fixture does.
"""

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from quarry_local.bedrock.settings import Settings

T = TypeVar("T")

_WAIT_S = 60
_JSON = {"Content-Type": "application/json"}


class FaultsRefused(Exception):
    """The simulator does not take these faults; the message says why."""


class BedrockSim:
    """A running simulator.

    Attributes:
        url: where AWS clients reach it (`AWS_ENDPOINT_URL_BEDROCK`).
        tls_url: the same with TLS, if the settings ask for it.
        store: the directory that stands for S3: `<bucket>/<key>`.
    """

    def __init__(self, settings: "Settings") -> None:
        from quarry_local.bedrock.server import SimulatedBedrock  # noqa: PLC0415 - see the module

        self.store: Path | None = settings.store
        self._events: list[dict[str, Any]] = []
        self._server = SimulatedBedrock(settings, lambda envelope: self._events.append(json.loads(envelope)))
        self._clients: dict[str, Any] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bedrock_sim", daemon=True)
        self._thread.start()
        try:
            self.url = self._run(self._server.start())
            self.tls_url = self._server.tls_url
        except BaseException:
            self._end_loop()
            raise

    def client(self, service: str = "bedrock") -> Any:
        """A boto3 client of the simulator, which asks once and does not retry."""
        import boto3  # noqa: PLC0415 - see the module
        from botocore.config import Config  # noqa: PLC0415

        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.url,
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",  # noqa: S106 - the simulator checks none
                config=Config(
                    connect_timeout=5,
                    read_timeout=_WAIT_S,
                    retries={"mode": "standard", "total_max_attempts": 1},
                    # With a Bedrock API key in the environment botocore would refuse an address without TLS.
                    auth_scheme_preference="sigv4",
                ),
            )
        return self._clients[service]

    def put(self, bucket: str, key: str, body: bytes | list[dict[str, Any]]) -> str:
        """Put an object, made from a list one JSON line each, into a bucket that is made if it is not there; its URI."""
        path = self._path(bucket, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body if isinstance(body, bytes) else b"".join(json.dumps(x).encode() + b"\n" for x in body))
        return f"s3://{bucket}/{key}"

    def read(self, bucket: str, key: str) -> bytes:
        """An object. Raises FileNotFoundError."""
        return self._path(bucket, key).read_bytes()

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """The keys of a bucket that begin so, in order."""
        root = self._path(bucket, "")
        found = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        return sorted(key for key in found if key.startswith(prefix))

    def faults(self, **changes: Any) -> dict[str, Any]:
        """Set these faults or this pace; the others stay. Returns all of them. Raises FaultsRefused."""
        return self._ask("PUT", "/_quarry/faults", changes)

    def clear_faults(self) -> dict[str, Any]:
        """No fault any more, and the pace of the start."""
        return self._ask("DELETE", "/_quarry/faults")

    def advance(self, seconds: float) -> None:
        """Let simulated seconds pass; returns when all that was due in them is done."""
        self._ask("POST", "/_quarry/clock", {"advance_s": seconds})

    def stats(self) -> dict[str, Any]:
        """What the simulator has seen: jobs, pools, events, faults."""
        return self._ask("GET", "/_quarry/stats")

    def events(self) -> list[dict[str, Any]]:
        """The envelopes of all events so far, in the order of their delivery."""
        return list(self._events)

    def close(self) -> None:
        try:
            self._run(self._server.stop())
            self._run(self._loop.shutdown_default_executor())
        finally:
            self._end_loop()
            for client in self._clients.values():
                client.close()

    def _path(self, bucket: str, key: str) -> Path:
        if self.store is None:
            raise RuntimeError("this simulator has no directory: its files are in the emulator's S3")
        return self.store / bucket / key

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        # Loopback, and never through a proxy.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            asked = urllib.request.Request(self.url + path, data, _JSON, method=method)  # noqa: S310
            with opener.open(asked, timeout=_WAIT_S) as answer:
                reported: dict[str, Any] = json.loads(answer.read())
                return reported
        except urllib.error.HTTPError as refused:
            with refused:
                raise FaultsRefused(refused.read().decode()) from None

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_WAIT_S)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_WAIT_S)
        self._loop.close()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "bedrock_sim(**settings): settings of the fixture `bedrock_sim`")


@pytest.fixture
def bedrock_sim(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BedrockSim]:
    """A simulated Bedrock with a stepped clock and a directory in place of S3."""
    from quarry_local.bedrock.settings import Settings  # noqa: PLC0415 - see the module

    marker = request.node.get_closest_marker("bedrock_sim")
    asked = {"clock": "stepped", "store": tmp_path / "s3", **(marker.kwargs if marker else {})}
    # Nothing of the user's shell may change what a test sees.
    sim = BedrockSim(Settings(**asked, _env_prefix="QUARRY_SIM_IS_NOT_READ_"))
    try:
        yield sim
    finally:
        sim.close()
