"""The services' calls to AWS's APIs: asynchronous clients of one aiobotocore session.

Owns the session and its clients, each made when first used and closed with the context. `calls` has the limits and the
errors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from quarry_core.aws.calls import Calls, Limits, Observe
from quarry_core.aws.retries import pin, retries
from quarry_core.ports import Clock


class Aws(Calls):
    """An async context manager: `async with Aws() as aws`, then `await aws.call(...)`. Arguments as `Calls`."""

    def __init__(
        self,
        clock: Clock | None = None,
        region: str | None = None,
        endpoint_urls: Mapping[str, str] | None = None,
        observe: Observe | None = None,
    ) -> None:
        super().__init__(clock, region, endpoint_urls, observe)
        self._session = pin(get_session())
        self._stack = AsyncExitStack()
        self._clients: dict[Limits, Any] = {}
        self._making = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clients.clear()
        await self._stack.__aexit__(kind, error, trace)

    async def _answer(self, limits: Limits, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        client = await self._client(limits)
        answer: dict[str, Any] = await getattr(client, operation)(**parameters)
        return answer

    async def _client(self, limits: Limits) -> Any:
        if limits in self._clients:
            return self._clients[limits]
        async with self._making:
            if limits not in self._clients:
                making = self._session.create_client(
                    limits.service,
                    region_name=self._region,
                    endpoint_url=self._endpoint_urls.get(limits.service),
                    config=AioConfig(retries=retries(limits.attempts_max), **limits.options()),
                )
                self._clients[limits] = await self._stack.enter_async_context(making)
            return self._clients[limits]
