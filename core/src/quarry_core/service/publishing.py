"""Blocking work that publishes, for somebody who may stop waiting for it.

Theory of operation. A process that is told to stop cancels what has not ended when its drain is over, but a thread cannot be
stopped. What it then publishes nobody knows of: another worker may have done the same long ago, what came of it may have
been used and taken away, and so it would stand for ever. So who is cancelled tells the thread, which gives up before its
next step; waits for it, which is a batch of rows or one request to S3; and if it had published by then, tells.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog

from quarry_core.errors import PortError
from quarry_core.ports import Offload

T = TypeVar("T")
log = structlog.get_logger()


class GivenUp(Exception):
    """Nobody waits for the work any more. Nothing was published."""


class Wanted:
    """Whether somebody still waits. Called in the thread, and from the loop."""

    def __init__(self) -> None:
        self._given_up = threading.Event()

    def give_up(self) -> None:
        self._given_up.set()

    def check(self) -> None:
        """Raises GivenUp."""
        if self._given_up.is_set():
            raise GivenUp


ALWAYS = Wanted()


async def published(offload: Offload, work: Callable[[Wanted], T], on_late: Callable[[], Awaitable[None]]) -> T:
    """Do work that publishes in a thread.

    Args:
        offload: of threads.
        work: checks between its steps, the last time right before it publishes, whether it is still wanted.
        on_late: awaited if it published though its caller was cancelled meanwhile; a PortError of it is logged.

    Raises:
        CancelledError: when nothing runs any more. And whatever the work raises.
    """
    wanted = Wanted()
    working = asyncio.ensure_future(offload.run(partial(work, wanted)))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        wanted.give_up()
        await asyncio.wait({working})
        if not working.cancelled() and working.exception() is None:
            try:
                await on_late()
            except PortError as error:
                log.warning("published_late_unheard", error=str(error))
        raise
