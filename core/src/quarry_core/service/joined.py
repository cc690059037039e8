"""Two ways in which what many tasks want at once becomes one request. Of one event loop.

`Joined`: whoever wants to know the same thing shares one look, which begins after the last of them asked. `Acks`: messages
are deleted several at a time; an acknowledgement can wait a moment, since its work is done and its message still invisible.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from quarry_core.ports import Clock, Message, Queue

K = TypeVar("K")
T = TypeVar("T")
Waiting = tuple[Message, asyncio.Future[None]]
ACKS_MAX = 10
ACK_WITHIN_S = 0.1


class Joined(Generic[K, T]):
    """One look a key at a time; callers that come meanwhile share the next one."""

    def __init__(self, look: Callable[[K], Awaitable[T]]) -> None:
        self._look = look
        self._following: dict[K, asyncio.Task[T]] = {}
        self._running: dict[K, asyncio.Task[T]] = {}

    async def look(self, key: K) -> T:
        """What a look says that begins now or later. Raises what it raises, to everybody who waits for it."""
        following = self._following.get(key)
        if following is None:
            # A context of its own: it is nobody's in particular.
            turn = self._turn(key, self._running.get(key))
            following = self._following[key] = asyncio.create_task(turn, context=contextvars.Context())
        return await asyncio.shield(following)

    async def _turn(self, key: K, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait([before])
        # From here on a new caller is not served by what we are about to read.
        mine = self._running[key] = self._following.pop(key)
        try:
            return await self._look(key)
        finally:
            if self._running.get(key) is mine:
                del self._running[key]


class Acks:
    """Acknowledges the messages of one queue, at most `ACKS_MAX` by a request and each within `ACK_WITHIN_S`."""

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._waiting: list[Waiting] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def ack(self, message: Message) -> None:
        """Delete the message, with others. Raises what `Queue.ack_all` raises."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((message, done))
        if len(self._waiting) == 1:
            self._begin(self._send_soon(self._waiting))
        elif len(self._waiting) == ACKS_MAX:
            self._begin(self._send(self._waiting))
            self._waiting = []
        await done

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_soon(self, batch: list[Waiting]) -> None:
        await self._clock.sleep(ACK_WITHIN_S)
        if self._waiting is batch:  # it was not full before
            self._waiting = []
            await self._send(batch)

    async def _send(self, batch: list[Waiting]) -> None:
        try:
            await self._queue.ack_all([message for message, _ in batch])
        except Exception as error:
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
        else:
            for _, done in batch:
                if not done.done():
                    done.set_result(None)
