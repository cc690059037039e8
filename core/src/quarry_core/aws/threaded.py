"""The command's calls to AWS's APIs: boto3's clients, and a thread for each call in progress.

A service calls AWS all day, on aiobotocore's connections (`client`). The command makes a few dozen calls, and is
installed next to other people's boto3, above all in notebooks. It uses the boto3 that is there, and does without
aiobotocore, each release of which accepts only a handful of botocore's.

Owns the clients, each made when first used and shared by the threads. Threads are daemons: Ctrl-C ends a command that
hangs at once, not after the last timeout. A call whose caller was cancelled runs to its end, and nobody reads its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import UnknownServiceError

from quarry_core.aws.access import AS_USUAL, Access
from quarry_core.aws.calls import Calls, Limits, Observe
from quarry_core.aws.retries import retries
from quarry_core.aws.whole import require_whole_answers
from quarry_core.errors import Unsupported
from quarry_core.ports import Clock

# Further calls wait their turn; the wait counts towards their deadline.
THREADS_MAX = 16


class ThreadedAws(Calls):
    """An async context manager: `async with ThreadedAws() as aws`, then `await aws.call(...)`. Arguments as `Calls`.

    `access` says where AWS is and who asks, if not the variables. An operation that the installed boto3 does not have yet is `Unsupported`.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        region: str | None = None,
        endpoint_urls: Mapping[str, str] | None = None,
        observe: Observe | None = None,
        access: Access = AS_USUAL,
    ) -> None:
        super().__init__(clock, region, endpoint_urls, observe)
        self._access = access
        self._session: Any = None
        self._clients: dict[Limits, Any] = {}
        self._making = threading.Lock()  # a boto3 session is not thread-safe
        self._threads = asyncio.Semaphore(THREADS_MAX)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._making:
            clients = list(self._clients.values())
            self._clients.clear()
        for client in clients:
            client.close()

    async def _answer(self, limits: Limits, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            try:
                client = self._client(limits)
            except UnknownServiceError as error:
                raise Unsupported(_too_old(limits.service, operation)) from error
            method = getattr(client, operation, None)
            if method is None:
                raise Unsupported(_too_old(limits.service, operation))
            answer: dict[str, Any] = method(**parameters)
            return answer

        async with self._threads:
            return await _in_a_thread(ask)

    def _client(self, limits: Limits) -> Any:
        with self._making:
            if limits not in self._clients:
                if self._session is None:
                    self._session = boto3.Session(botocore_session=self._access.session())
                client = self._session.client(
                    limits.service,
                    region_name=self._region,
                    endpoint_url=self._endpoint_urls.get(limits.service) or self._access.endpoint_url(limits.service),
                    config=Config(
                        retries=retries(limits.attempts_max),
                        **limits.options(),
                        **self._access.options(limits.service),
                    ),
                )
                require_whole_answers(client)
                self._clients[limits] = client
            return self._clients[limits]


def _too_old(service: str, operation: str) -> str:
    return f"boto3 {boto3.__version__} does not know {service} {operation}: upgrade boto3 to ask it"


async def _in_a_thread(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Unlike `asyncio.to_thread`, whose threads the loop and the interpreter wait for when they end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[dict[str, Any]] = loop.create_future()

    def deliver(result: dict[str, Any] | None, error: Exception | None) -> None:
        if future.done():
            return  # the caller was cancelled
        if error is not None:
            future.set_exception(error)
        elif result is not None:
            future.set_result(result)

    def run() -> None:
        result, failed = None, None
        try:
            result = work()
        except Exception as error:  # raised again in the caller
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(deliver, result, failed)

    threading.Thread(target=run, name="quarry-aws", daemon=True).start()
    return await future
