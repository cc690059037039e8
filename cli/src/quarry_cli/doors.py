"""The client's connection: the few doors of the environment that it goes through, opened for one command.

Owns the AWS clients while the context is open. Whatever needs AWS takes `Doors`, so that tests open others.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from quarry_cli.settings import ClientSettings
from quarry_core.ledger.ledger import Ledger
from quarry_core.ports import Clock, Objects, Queue, Table


@dataclass(frozen=True, slots=True)
class Doors:
    """`queue` and `objects` are made when they are asked for. The objects' door is a client of its own, which outlives
    the connection: bulk bytes move without an event loop.
    """

    table: Table
    queue: Callable[[], Queue]
    objects: Callable[[], Objects]
    clock: Clock
    bucket: str
    env: str = ""

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.table)


Connect = Callable[[], AbstractAsyncContextManager[Doors]]


@contextlib.asynccontextmanager
async def connect() -> AsyncIterator[Doors]:
    """Connect as the environment variables say. Raises NotConfigured."""
    settings = ClientSettings()
    settings.require("region", "table", "bucket")
    # The SDKs take most of a second to import: `quarry --help` and `quarry schema` need none of them.
    from quarry_core.aws.client import Aws  # noqa: PLC0415 see above
    from quarry_core.aws.queue import SqsQueue  # noqa: PLC0415 see above
    from quarry_core.aws.table import DynamoTable  # noqa: PLC0415 see above
    from quarry_core.objects import S3Objects  # noqa: PLC0415 see above

    async with Aws(region=settings.region) as aws:

        def queue() -> Queue:
            settings.require("manifest_queue_url")
            url = settings.manifest_queue_url
            return SqsQueue(aws, "manifests", url, f"{url}-dlq")

        yield Doors(
            table=DynamoTable(aws, settings.table),
            queue=queue,
            objects=lambda: S3Objects(settings.bucket, region=settings.region),
            clock=aws.clock,
            bucket=settings.bucket,
            env=settings.env,
        )
