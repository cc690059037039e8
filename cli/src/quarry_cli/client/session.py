"""A session of the client: how its connections are opened, and calls that block until their work is done.

Every call opens its own connections and closes them; nothing is kept between calls. Where an event loop runs already, as in
a notebook, the call works in a thread of its own, and blocks all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from quarry_cli.aws.answers import for_people
from quarry_cli.client.connections import Connect, Connections
from quarry_cli.settings import ClientSettings
from quarry_core.errors import PortError
from quarry_core.ports import Objects

T = TypeVar("T")


class Session:
    """Does work with connections that are open while it lasts."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    def do(self, work: Callable[[Connections], Awaitable[T]]) -> T:
        """What the work gives. Blocking. Raises what the work raises; of AWS's refusals, in people's words those it knows."""

        async def whole() -> T:
            try:
                async with self._connect() as connections:
                    return await work(connections)
            except PortError as error:
                known = for_people(error, ClientSettings())
                if known is None:
                    raise
                raise known from error

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(whole())
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(whole())).result()

    def objects(self) -> Objects:
        """The object store, which outlives the connection."""

        async def look(connections: Connections) -> Objects:
            return connections.objects()

        return self.do(look)
