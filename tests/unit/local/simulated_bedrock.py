"""A simulated Bedrock in this process, without an emulator beside it: enough for what touches no files and no events."""

import asyncio
import http.server
import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config

from quarry_local.bedrock.server import SimulatedBedrock
from quarry_local.bedrock.settings import Settings

ACCOUNT = "123456789012"
REGION = "us-east-1"

_IDENTITY = f"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::{ACCOUNT}:root</Arn><UserId>{ACCOUNT}</UserId><Account>{ACCOUNT}</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>""".encode()

# A thousandth of a simulated second a second: it stands still unless `Bedrock.later` moves it.
STILL = 0.001


class _Sts(http.server.BaseHTTPRequestHandler):
    """The one answer that the simulator needs at its start: whose account it is."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(_IDENTITY)))
        self.end_headers()
        self.wfile.write(_IDENTITY)

    def log_message(self, *_: Any) -> None:
        pass


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
        body = json.dumps(settings).encode()
        request = urllib.request.Request(f"{self.url}/_quarry/settings", data=body, method="PUT")
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()

    def figures(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/_quarry/stats", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)["on_demand"]
            return found

    def later(self) -> None:
        """Let minutes pass at once: even one answer takes this clock far beyond a window."""
        self.change(speed=1_000_000)
        self.figures()
        self.change(speed=STILL)

    def calm(self, defaults: dict[str, Any]) -> None:
        """As it was at its start, with every window empty."""
        self.change(**defaults)
        self.later()


@contextmanager
def simulated_bedrock(**settings: Any) -> Iterator[Bedrock]:
    sts = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Sts)
    sts.daemon_threads = True
    answering = threading.Thread(target=sts.serve_forever)
    answering.start()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    server = SimulatedBedrock(
        Settings(
            aws_endpoint_url=f"http://127.0.0.1:{sts.server_port}",
            **{"speed": STILL, **settings},
            _env_prefix="NOT_SET_",
        )
    )
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
        sts.shutdown()
        sts.server_close()
        answering.join(10)
