"""A proxy before the embedded AWS (or the simulated Bedrock) that knows who passes, and who is refused.

The emulator speaks plain HTTP and believes a header about what lies before it: here that is said to be TLS, as before
AWS's own endpoints, so that the denials of plain HTTP stand as they were applied. Every refusal is kept, in whoever's
name it was, whether or not the caller made anything of it.

A call that is sent again after its answer was lost is not made again. SDKs number the attempts of a call and name the
call (`amz-sdk-invocation-id`); AWS has idempotency of its own, an emulator makes a second thing, or says that the first
one is there. So the answer to a change that was made is kept for a while, and given to whoever asks again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import io
import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Self

import aiohttp
from aiohttp import web
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from yarl import URL

from quarry_local import loopback
from tests.infra import enforcing

BODY_BYTES_MAX = 64 * 1024 * 1024
ANSWER_S_MAX = 120  # a long poll is the longest
WORDS_CHARS_MAX = 600
ANSWERS_KEPT_MAX = 500
# Clients (Go's) close an idle connection after 90 s. It must not be the gateway who does it first: a call that is just
# being sent would be lost.
IDLE_S_MAX = 3_600.0
INVOCATION = "amz-sdk-invocation-id"
HOP = {"connection", "keep-alive", "transfer-encoding", "expect", "content-length", "te", "upgrade"}
KEY = re.compile(r"Credential=([^/,\s]+)/\d+/[^/]+/([^/]+)/")
REFUSED = re.compile(rb"AccessDenied|not authorized to perform|AuthorizationError")


@dataclasses.dataclass(frozen=True)
class Call:
    method: str
    path: str  # with the query, as it was sent
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers.items() if key.lower() == name), "")

    @property
    def key(self) -> str:
        """The access key in whose name the call is."""
        found = KEY.search(self.header("authorization"))
        return found[1] if found else ""

    @property
    def service(self) -> str:
        found = KEY.search(self.header("authorization"))
        return found[2] if found else ""

    def __str__(self) -> str:
        target = self.header("x-amz-target")
        return f"{self.service} {self.method} {self.path} {target}".rstrip()


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Denied(Exception):
    """A call may not pass; the message is what the caller is told."""


Step = Callable[[Call], Call]


class Gateway:
    """Forwards to `upstream`, each call after `step`, from a thread of its own.

    Attributes:
        url: where it listens.
        calls: how many calls went on in each access key's name.
        refusals: what was refused: the access key, and the call with the words it was refused in.
        resent: calls that came again after they had been made, and were not made again.
        faults: what went wrong here, and must not have.
    """

    def __init__(self, upstream: str, step: Step = lambda call: call) -> None:
        self.calls: Counter[str] = Counter()
        self.refusals: list[tuple[str, str]] = []
        self.resent: list[str] = []
        self.faults: list[str] = []
        self._made: OrderedDict[str, asyncio.Task[Answer]] = OrderedDict()
        self._upstream = upstream
        self._step = step
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        self.url = f"http://{loopback.LOOPBACK}:{loopback.free_port()}"

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(30):
            raise RuntimeError("the gateway does not listen")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(30)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        # A connection that the other side closes between two calls would look like a lost reply: each has its own.
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        timeout = aiohttp.ClientTimeout(total=ANSWER_S_MAX)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as self._out:
            app = web.Application(client_max_size=BODY_BYTES_MAX)
            app.router.add_route("*", "/{path:.*}", self._pass)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, keepalive_timeout=IDLE_S_MAX)
            await runner.setup()
            await web.TCPSite(runner, loopback.LOOPBACK, URL(self.url).port).start()
            self._ready.set()
            await self._ending.wait()
            await runner.cleanup()

    async def _pass(self, request: web.Request) -> web.Response:
        call = Call(request.method, request.raw_path, _kept(request.headers), await request.read())
        try:
            answer = await self._once(call)
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        except Denied as denied:
            self._refuse(call, str(denied).encode())
            reported = {"x-amzn-ErrorType": "AccessDeniedException"}
            return web.json_response({"message": str(denied)}, status=403, headers=reported)
        except Exception as error:
            self.faults.append(f"{call}: {error!r}")
            raise

    async def _once(self, call: Call) -> Answer:
        """The answer to a call. A change is made once for its name, whether or not who asked is still there."""
        name = call.header(INVOCATION)
        if not name or call.method in {"GET", "HEAD"}:
            return await self._forward(self._step(call))
        if (made := self._made.get(name)) is not None:
            self.resent.append(str(call))
        else:
            made = self._made[name] = asyncio.ensure_future(self._forward(self._step(call)))
            made.add_done_callback(lambda done: self._forget(name, done))
        return await asyncio.shield(made)

    def _forget(self, name: str, done: asyncio.Task[Answer]) -> None:
        """What was refused or failed may be tried again; of the rest, the newest are kept."""
        if done.cancelled() or done.exception() is not None or done.result().status >= 300:
            self._made.pop(name, None)
        while len(self._made) > ANSWERS_KEPT_MAX:
            self._made.popitem(last=False)

    async def _forward(self, call: Call) -> Answer:
        self.calls[call.key] += 1
        async with self._out.request(
            call.method,
            URL(f"{self._upstream}{call.path}", encoded=True),
            headers={**call.headers, enforcing.TRANSPORT_HEADER: "https"},
            data=io.BytesIO(call.body),
            allow_redirects=False,
            skip_auto_headers=("Content-Type", "User-Agent", "Accept", "Accept-Encoding"),
        ) as answer:
            body = await answer.read()
        if answer.status == 403 or (answer.status >= 400 and REFUSED.search(body)):
            self._refuse(call, body)
        reported = _kept(answer.headers)
        if call.method == "HEAD" and "Content-Length" in answer.headers:
            reported["Content-Length"] = answer.headers["Content-Length"]
        return Answer(answer.status, reported, body)

    def _refuse(self, call: Call, words: bytes) -> None:
        self.refusals.append((call.key, f"{call}: {words.decode(errors='replace')[:WORDS_CHARS_MAX]}"))


def lending(keys: Mapping[str, str], region: str) -> Step:
    """What the caller does with objects it does under these keys: its calls of S3 are signed anew.

    So an emulator that judges S3 by who calls judges the simulated Bedrock as it would the role that Bedrock assumes. How
    the bucket is set up, Bedrock's own service asks, not the role.
    """
    credentials = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])

    def sign(call: Call) -> Call:
        query = call.path.partition("?")[2]
        if call.service != "s3" or query in {"location", "policy"}:
            return call
        unsigned = {
            name: value
            for name, value in call.headers.items()
            if name.lower() not in {"authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"}
        }
        request = AWSRequest(call.method, f"http://{call.header('host')}{call.path}", unsigned, call.body)
        S3SigV4Auth(credentials, "s3", region).add_auth(request)
        return dataclasses.replace(call, headers=dict(request.headers.items()))

    return sign


def _kept(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP}
