"""The simulated Bedrock as one object: put together here, started and stopped here.

In a test, inside an event loop: `async with SimulatedBedrock(Settings(aws_endpoint_url=...)) as url: ...`.
All state is in memory and ends with the server.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from aiohttp import web

from quarry_local.bedrock.aws import Aws
from quarry_local.bedrock.checks import Checks
from quarry_local.bedrock.clock import SimulatedClock
from quarry_local.bedrock.courier import Courier
from quarry_local.bedrock.delivery import Delivery
from quarry_local.bedrock.errors import invalid
from quarry_local.bedrock.events import Disorder, EventFigures
from quarry_local.bedrock.http import application
from quarry_local.bedrock.lives import Lives
from quarry_local.bedrock.register import Register
from quarry_local.bedrock.settings import LiveSettings, Settings
from quarry_local.bedrock.views import iso, job_view

_ROLE_KNOWN_S = 5.0  # real seconds for which a role, once seen, is not asked for again


class SimulatedBedrock:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._live = settings.live()
        self._clock = SimulatedClock(self._live.speed)
        self._figures = EventFigures()
        self._roles: dict[str, float] = {}
        self._operations: dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
            "CreateModelInvocationJob": self._create,
            "GetModelInvocationJob": self._get,
            "ListModelInvocationJobs": self._list,
            "StopModelInvocationJob": self._stop,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._list_tags,
        }

    async def start(self) -> str:
        """Serve; returns the base URL.

        Raises:
            NoEmulator: no emulator's address is set.
            OSError: the port is taken.
        """
        settings = self._settings
        self._aws = await asyncio.to_thread(Aws.connect, settings)
        checks = await asyncio.to_thread(Checks)
        self._register = Register(self._aws.region, self._aws.account, self._clock)
        self._courier = Courier(
            Delivery(self._aws, self._figures, settings.rules_cache_s),
            Disorder(settings.seed, self._figures),
            self._figures,
            self._clock,
            lambda: self._live,
        )
        self._lives = Lives(
            self._register,
            self._clock,
            self._courier,
            self._aws.s3,
            lambda: self._live,
            workers=settings.workers,
            seed=settings.seed,
        )
        self._carrying = asyncio.create_task(self._courier.run())
        self._runner = web.AppRunner(application(self, checks), access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        # Loopback only: the server checks no signature.
        site = web.TCPSite(self._runner, "127.0.0.1", settings.port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        return f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        await self._runner.cleanup()
        await self._lives.close()
        self._carrying.cancel()
        await asyncio.gather(self._carrying, return_exceptions=True)
        self._courier.close()
        self._aws.close()

    async def __aenter__(self) -> str:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        return await self._operations[operation](request)

    def stats(self) -> dict[str, Any]:
        return {
            "now": iso(self._clock.now()),
            "pools": self._register.pool_figures(self._live),
            "creates": self._register.creates,
            "events": self._figures,
            "jobs": [
                {
                    "arn": job.arn,
                    "name": job.name,
                    "client_token": job.request.get("clientRequestToken"),
                    "pool": job.model.pool,
                    "status": job.status.value,
                    "message": job.message,
                    "total_records": counts.total,
                    "processed_records": counts.processed,
                    "success_records": counts.success,
                    "error_records": counts.error,
                }
                for job in self._register.all()
                for counts in (self._lives.counts(job),)
            ],
        }

    def settings(self) -> dict[str, Any]:
        return self._live.model_dump()

    def change_settings(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Change settings that may change while jobs run.

        Raises:
            ValidationError: of pydantic, for unknown names and bad values; nothing is changed then.
        """
        self._live = LiveSettings.model_validate(self._live.model_dump() | changes)
        self._clock.set_speed(self._live.speed)
        self._lives.wake()
        self._courier.wake()
        return self.settings()

    async def _create(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._check_role(request["roleArn"])
        job, new = self._register.create(request, self._live)
        if new:
            self._lives.begin(job)
        return {"jobArn": job.arn}

    async def _get(self, request: dict[str, Any]) -> dict[str, Any]:
        job = self._register.get(request["jobIdentifier"])
        return job_view(job, self._lives.counts(job), self._register.account)

    async def _list(self, request: dict[str, Any]) -> dict[str, Any]:
        page = self._register.page(request)
        account = self._register.account
        answer: dict[str, Any] = {
            "invocationJobSummaries": [job_view(job, self._lives.counts(job), account) for job in page.jobs]
        }
        if page.next_token:
            answer["nextToken"] = page.next_token
        return answer

    async def _stop(self, request: dict[str, Any]) -> dict[str, Any]:
        self._lives.stop(self._register.get(request["jobIdentifier"]))
        return {}

    async def _tag(self, request: dict[str, Any]) -> dict[str, Any]:
        self._register.tag(request["resourceARN"], {tag["key"]: tag["value"] for tag in request["tags"]})
        return {}

    async def _untag(self, request: dict[str, Any]) -> dict[str, Any]:
        self._register.untag(request["resourceARN"], request["tagKeys"])
        return {}

    async def _list_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        tags = self._register.get(request["resourceARN"]).tags
        return {"tags": [{"key": key, "value": value} for key, value in tags.items()]}

    async def _check_role(self, role_arn: str) -> None:
        """Whether a bad role fails at Create or in Validating is not documented (contract section 7): here at Create."""
        now = time.monotonic()
        if not self._settings.check_role or now - self._roles.get(role_arn, -_ROLE_KNOWN_S) < _ROLE_KNOWN_S:
            return
        if not await asyncio.to_thread(self._aws.role_exists, role_arn):
            raise invalid(f"The provided role {role_arn} does not exist or cannot be assumed by Amazon Bedrock")
        self._roles[role_arn] = now
