"""The one door to AWS's asynchronous clients: a session, explicit limits, and errors in Quarry's words.

Owns one aiobotocore session and its clients (those of `READ_TIMEOUTS_S`), each made at its first use and
closed with the context. Promises that every call ends: connect and read timeouts, an explicit number of attempts,
and a deadline over all of them, because the timeouts of the HTTP client cover neither name resolution nor the wait
for a free connection. Region, endpoints and credentials come from AWS's own environment variables unless given.

A call may be sent again by the SDK, so whoever calls twice must be named by what it does. Where a second sending
must be the caller's own decision, `once=True` takes a client with a single attempt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from quarry_core.aws.retries import pin, retries
from quarry_core.clock import SystemClock
from quarry_core.errors import PortError, raise_for
from quarry_core.ports import Clock

Observe = Callable[[str, str, str, float], None]

CONNECT_TIMEOUT_S = 5
# SQS answers a long poll after at most 20 s; its read timeout must be longer.
READ_TIMEOUTS_S: Mapping[str, int] = {
    "dynamodb": 10,
    "sqs": 35,
    "bedrock": 30,
    "events": 10,
    # The services of Quarry never ask these; `quarry doctor` and `quarry models` do.
    "iam": 10,
    "kms": 10,
    "s3": 10,
    "scheduler": 10,
    "service-quotas": 10,
    "sts": 10,
}
ATTEMPTS_MAX = 3
CONNECTIONS_MAX = 50
# The SDK pauses at most 20 s between two attempts.
BACKOFF_ALLOWANCE_S = 20
USER_AGENT = f"quarry/{version('quarry-core')}"


@dataclass(frozen=True, slots=True)
class _Connection:
    service: str
    attempts_max: int

    @property
    def read_timeout_s(self) -> int:
        return READ_TIMEOUTS_S[self.service]

    @property
    def deadline_s(self) -> int:
        """Seconds after which a call has ended, whatever it waits for."""
        sendings = self.attempts_max * (CONNECT_TIMEOUT_S + self.read_timeout_s)
        return sendings + (self.attempts_max - 1) * BACKOFF_ALLOWANCE_S

    def config(self) -> AioConfig:
        return AioConfig(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=self.read_timeout_s,
            retries=retries(self.attempts_max),
            max_pool_connections=CONNECTIONS_MAX,
            user_agent_extra=USER_AGENT,
        )


class Aws:
    """An async context manager: `async with Aws() as aws`, then `await aws.call(...)`.

    Args:
        clock: measures the calls, and is the adapters' time and randomness.
        region: a region name; None takes AWS's environment.
        endpoint_urls: endpoint by service (`dynamodb`, `sqs`, `bedrock`, `events`); others take AWS's environment.
        observe: told of every call as (service, operation, outcome, seconds); outcome is `ok`, the name of the
            port error in small letters, or `aborted` when the caller was cancelled.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        region: str | None = None,
        endpoint_urls: Mapping[str, str] | None = None,
        observe: Observe | None = None,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self._region = region
        self._endpoint_urls = dict(endpoint_urls or {})
        self._observe = observe
        self._session = pin(get_session())
        self._stack = AsyncExitStack()
        self._clients: dict[_Connection, Any] = {}
        self._making = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clients.clear()
        await self._stack.__aexit__(kind, error, trace)

    async def call(
        self, service: str, operation: str, parameters: Mapping[str, Any], *, doing: str, once: bool = False
    ) -> dict[str, Any]:
        """Make one API call and give its answer.

        Args:
            service: a key of `READ_TIMEOUTS_S`.
            operation: the client's method, `transact_write_items`.
            parameters: the operation's own, in AWS's spelling.
            doing: what is being done, for messages.
            once: send it a single time: the SDK repeats nothing.

        Raises:
            PortError: by `errors.raise_for`; the exception of botocore is its cause.
        """
        connection = _Connection(service, 1 if once else ATTEMPTS_MAX)
        begun = self.clock.monotonic()
        outcome = "aborted"
        try:
            answer = await self._send(connection, operation, parameters, doing)
            outcome = "ok"
        except PortError as error:
            outcome = type(error).__name__.lower()
            raise
        finally:
            if self._observe is not None:
                self._observe(service, operation, outcome, self.clock.monotonic() - begun)
        return answer

    async def _send(
        self, connection: _Connection, operation: str, parameters: Mapping[str, Any], doing: str
    ) -> dict[str, Any]:
        try:
            async with asyncio.timeout(connection.deadline_s):
                client = await self._client(connection)
                answer: dict[str, Any] = await getattr(client, operation)(**parameters)
                return answer
        except Exception as error:  # also a fault of the SDK's own in reading a reply: what was done is not known
            raise_for(error, doing)

    async def _client(self, connection: _Connection) -> Any:
        if connection in self._clients:
            return self._clients[connection]
        async with self._making:
            if connection not in self._clients:
                making = self._session.create_client(
                    connection.service,
                    region_name=self._region,
                    endpoint_url=self._endpoint_urls.get(connection.service),
                    config=connection.config(),
                )
                self._clients[connection] = await self._stack.enter_async_context(making)
            return self._clients[connection]
