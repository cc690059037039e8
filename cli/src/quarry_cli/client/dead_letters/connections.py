"""The dead-letter queues, opened for one command or for as long as a page is served."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from quarry_cli.aws.asking import Answer, Ask
from quarry_cli.client.caller import Recorder
from quarry_cli.client.dead_letters.settings import DeadLetterSettings, source_of
from quarry_core.ledger.ledger import Ledger
from quarry_core.ports import Clock, Queue


@dataclass(frozen=True, slots=True)
class Book:
    """Where it is written down who moved or deleted messages."""

    ledger: Ledger
    clock: Clock
    ask: Ask | None


@dataclass(frozen=True, slots=True)
class Post:
    """The queues, opened for one command: by name, the dead-letter messages of one, and where they go back to.

    `recorder` writes down what is moved or deleted; it needs the ledger's table.
    """

    dead_letters: Callable[[str], Queue]
    source: Callable[[str], Queue]
    recorder: Recorder


Open = Callable[[DeadLetterSettings], AbstractAsyncContextManager[Post]]


@contextlib.asynccontextmanager
async def open_post(settings: DeadLetterSettings) -> AsyncIterator[Post]:
    # The SDKs take most of a second to import: `quarry --help` needs none of them.
    from quarry_core.aws.queue import SqsQueue  # noqa: PLC0415 see above
    from quarry_core.aws.table import DynamoTable  # noqa: PLC0415 see above
    from quarry_core.aws.threaded import ThreadedAws  # noqa: PLC0415 see above

    async with ThreadedAws(region=settings.region) as aws:

        async def ask(service: str, operation: str, parameters: Mapping[str, Any]) -> Answer:
            return await aws.call(service, operation, parameters, doing=f"{service} {operation}")

        yield Post(
            dead_letters=lambda name: SqsQueue(aws, f"{name}-dlq", settings.dead_letters_url(name)),
            source=lambda name: SqsQueue(aws, source_of(name), settings.source_url(name)),
            recorder=Book(Ledger(DynamoTable(aws, settings.table)), aws.clock, ask),
        )
