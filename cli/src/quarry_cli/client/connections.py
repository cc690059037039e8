"""The client's connection: the few ports to the environment that it uses, opened for one command.

Owns the AWS clients while the context is open. Whatever needs AWS takes `Connections`, so that tests open others.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from quarry_cli.aws.asking import Answer, Ask
from quarry_cli.client.manifest_queue import sibling
from quarry_cli.errors import NotConfigured
from quarry_cli.profiles import config_path, with_profile
from quarry_cli.settings import ClientSettings, ServiceSettings, other_queue_urls
from quarry_core.contract.messages import Wakeup
from quarry_core.ledger.ledger import Ledger
from quarry_core.ports import Clock, Objects, Queue, Table, Versions


def _nobody() -> Callable[[str, int], str]:
    raise NotConfigured("no links can be made in this environment")


@dataclass(frozen=True, slots=True)
class Connections:
    """`queue` and `objects` are made when they are asked for. The object store has a client of its own, which outlives
    the connection: bulk bytes move without an event loop.

    Attributes:
        glance: as `objects`, for a look that is given up soon.
        ask: other read-only requests; None where there is nobody to ask.
        presign: gives what makes a link of a key, for so many seconds.
        manifest_queue_url: where `queue` leads; `other_queue_urls` are those of the environment's other queues, by name.
        owner_required: whether the services want to know who owns a source's bucket.
        policy: what the environment allows, as YAML; empty: anything.
        job_tags: tags that the environment gives every job, as `key=value` with commas between them.
        services: by what the services plan, as far as it is known here.
        wake: puts a wake-up on a queue of the services, by its name; False where that queue is not known. None where there
            is nobody to wake.
        versions: of the environment's objects, for whoever erases; None where nothing can be erased.
    """

    table: Table
    queue: Callable[[], Queue]
    objects: Callable[[], Objects]
    clock: Clock
    bucket: str
    env: str = ""
    region: str = ""
    glance: Callable[[], Objects] | None = None
    ask: Ask | None = None
    manifest_queue_url: str = ""
    other_queue_urls: Mapping[str, str] = field(default_factory=dict)
    owner_required: bool = False
    policy: str = ""
    job_tags: str = ""
    services: Callable[[], ServiceSettings] = ServiceSettings.read
    presign: Callable[[], Callable[[str, int], str]] = _nobody
    wake: Callable[[str, Wakeup], Awaitable[bool]] | None = None
    versions: Callable[[], Versions] | None = None

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.table)


Connect = Callable[[], AbstractAsyncContextManager[Connections]]


def variables_of(env: str) -> Mapping[str, str]:
    """A profile's variables and the process's, which win. Raises NotConfigured."""
    variables, _ = with_profile(env, config_path(), os.environ)
    return variables


def connect() -> AbstractAsyncContextManager[Connections]:
    """Connect as the environment variables say. Raises NotConfigured."""
    return connect_to(None)


@contextlib.asynccontextmanager
async def connect_to(variables: Mapping[str, str] | None) -> AsyncIterator[Connections]:
    """Connect as the variables say that are handed in; None takes the process's. Raises NotConfigured."""
    settings = ClientSettings.read(variables)
    settings.require("region", "table", "bucket")
    # The SDKs take most of a second to import: `quarry --help` and `quarry schema` need none of them.
    from quarry_core.aws.access import Access  # noqa: PLC0415 see above
    from quarry_core.aws.queue import SqsQueue  # noqa: PLC0415 see above
    from quarry_core.aws.s3.objects import S3Objects, s3_client  # noqa: PLC0415 see above
    from quarry_core.aws.s3.versions import S3Versions  # noqa: PLC0415 see above
    from quarry_core.aws.table import DynamoTable  # noqa: PLC0415 see above
    from quarry_core.aws.threaded import ThreadedAws  # noqa: PLC0415 see above
    from quarry_core.sources.hub.objects import HubObjects  # noqa: PLC0415 see above
    from quarry_core.sources.reading import SourceObjects  # noqa: PLC0415 see above

    access = Access(variables or {})
    async with ThreadedAws(region=settings.region, access=access) as aws:

        def queue() -> Queue:
            settings.require("manifest_queue_url")
            url = settings.manifest_queue_url
            return SqsQueue(aws, "manifests", url, f"{url}-dlq")

        async def ask(service: str, operation: str, parameters: Mapping[str, Any]) -> Answer:
            return await aws.call(service, operation, parameters, doing=f"{service} {operation}")

        async def wake(name: str, wakeup: Wakeup) -> bool:
            url = other_queue_urls(variables).get(name) or sibling(settings.manifest_queue_url, name)
            if url:
                await SqsQueue(aws, name, url, f"{url}-dlq").send(wakeup.body(), group=wakeup.run_id)
            return bool(url)

        hub = HubObjects(settings.hf_endpoint, settings.hf_token.get_secret_value().strip())

        def glance() -> Objects:
            return SourceObjects(
                S3Objects(settings.bucket, client=s3_client(settings.region, hasty=True, access=access)), hub
            )

        def presign() -> Callable[[str, int], str]:
            client = s3_client(settings.region, access=access)

            def link(key: str, for_s: int) -> str:
                named = {"Bucket": settings.bucket, "Key": key}
                url: str = client.generate_presigned_url("get_object", Params=named, ExpiresIn=for_s)
                return url

            return link

        yield Connections(
            table=DynamoTable(aws, settings.table),
            queue=queue,
            objects=lambda: SourceObjects(
                S3Objects(settings.bucket, client=s3_client(settings.region, access=access)), hub
            ),
            clock=aws.clock,
            bucket=settings.bucket,
            env=settings.env,
            region=settings.region,
            glance=glance,
            ask=ask,
            manifest_queue_url=settings.manifest_queue_url,
            other_queue_urls=other_queue_urls(variables),
            owner_required=settings.input_bucket_owner_required,
            policy=settings.policy,
            job_tags=settings.job_tags,
            presign=presign,
            services=partial(ServiceSettings.read, variables),
            wake=wake,
            versions=lambda: S3Versions(settings.bucket, s3_client(settings.region, access=access)),
        )
