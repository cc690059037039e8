"""The simulated Bedrock as one object: put together here, started and stopped here.

In a test, inside an event loop: `async with SimulatedBedrock(Settings(aws_endpoint_url=...)) as url: ...`.
All state is in memory and ends with the server.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from aiohttp import web

from quarry_local.bedrock.api import tls
from quarry_local.bedrock.api.checks import Checks
from quarry_local.bedrock.api.http import application
from quarry_local.bedrock.api.quotas import Quotas
from quarry_local.bedrock.api.runtime import Runtime
from quarry_local.bedrock.aws import Aws
from quarry_local.bedrock.clock import SimulatedClock, SteppedClock
from quarry_local.bedrock.errors import ApiError, invalid
from quarry_local.bedrock.events.delivery import Delivery
from quarry_local.bedrock.events.dispatch import Dispatch
from quarry_local.bedrock.events.envelope import Disorder, EventFigures
from quarry_local.bedrock.faults.plan import Faults, RequestFate, request_fate
from quarry_local.bedrock.iam.roles import Roles
from quarry_local.bedrock.jobs.foreign import Foreigners
from quarry_local.bedrock.jobs.job import Job, Status
from quarry_local.bedrock.jobs.register import Register
from quarry_local.bedrock.jobs.views import iso, job_view
from quarry_local.bedrock.lifecycle import Lifecycle
from quarry_local.bedrock.models.catalogue import entries
from quarry_local.bedrock.models.foundation_models import availability, get_model, list_models
from quarry_local.bedrock.models.profiles import get_profile, list_profiles
from quarry_local.bedrock.settings import FaultsAndPace, LiveSettings, Pace, Settings
from quarry_local.bedrock.store import Alone, Handing


class SimulatedBedrock:
    """The server.

    Args:
        settings: everything that can be set.
        hand: with a store, who gets the envelope of each event, JSON; nobody otherwise. Called in another thread.
    """

    def __init__(self, settings: Settings, hand: Callable[[str], None] | None = None) -> None:
        self._settings = settings
        self._hand: Callable[[str], None] = hand or (lambda _: None)
        self._live = settings.live()
        self._clock = SteppedClock() if settings.clock == "stepped" else SimulatedClock(self._live.speed)
        self._figures = EventFigures()
        self._suffered: Counter[str] = Counter()
        self._asked: Counter[tuple[str, str]] = Counter()
        self._operations: dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
            "CreateModelInvocationJob": self._create,
            "GetModelInvocationJob": self._get,
            "ListModelInvocationJobs": self._list,
            "StopModelInvocationJob": self._stop,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._list_tags,
            "ListFoundationModels": self._list_models,
            "GetFoundationModel": self._get_model,
            "GetFoundationModelAvailability": self._availability,
            "ListInferenceProfiles": self._list_profiles,
            "GetInferenceProfile": self._get_profile,
        }

    async def start(self) -> str:
        """Serve; returns the base URL.

        Raises:
            NoEmulator: no emulator's address is set.
            NoTls: TLS is asked for, and what it needs is not installed.
            OSError: a port is taken, or the certificates cannot be written.
        """
        settings = self._settings
        self._aws = Alone.at(settings.store) if settings.store else await asyncio.to_thread(Aws.connect, settings)
        delivery = (
            Delivery(self._aws, self._figures, settings.rules_cache_s)
            if isinstance(self._aws, Aws)
            else Handing(self._hand, self._figures)
        )
        checks = await asyncio.to_thread(Checks)
        self._register = Register(
            self._aws.region,
            self._aws.account,
            self._clock,
            seed=settings.seed if self._clock.stepped else None,
            suffered=self._suffer,
        )
        self._dispatch = Dispatch(
            delivery,
            Disorder(settings.seed, self._figures),
            self._figures,
            self._clock,
            lambda: self._live,
        )
        self._roles = Roles(
            self._aws.iam,
            self._aws.s3,
            region=self._aws.region,
            account=self._aws.account,
            check_role=settings.check_role and not settings.store,
            check_access=settings.check_access and not settings.store,
            check_profiles=settings.check_profiles,
            caller_role=None if settings.store else settings.caller_role,
        )
        self._lifecycle = Lifecycle(
            self._register,
            self._clock,
            self._dispatch,
            self._aws.s3,
            lambda: self._live,
            workers=settings.workers,
            seed=settings.seed,
            access=self._roles.check_job,
            suffered=self._suffer,
        )
        self._foreigners = Foreigners(self._begin_foreign, self._lifecycle.stop, self._clock, lambda: self._live)
        self._carrying = asyncio.create_task(self._dispatch.run())
        region, account = self._aws.region, self._aws.account
        app = application(self, checks, region)
        self._runtime = Runtime(
            self._clock, lambda: self._live, self.fate, region=region, account=account, seed=settings.seed
        )
        self._runtime.add_routes(app.router)
        quotas = await asyncio.to_thread(Quotas, lambda: self._live, region=region, account=account)
        quotas.add_routes(app.router)
        # No operation takes a compressed body; inflating it would be work that anyone may ask for.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, auto_decompress=False)
        await self._runner.setup()
        # Loopback only: the server checks no signature.
        site = web.TCPSite(self._runner, "127.0.0.1", settings.port)
        await site.start()
        self.tls_url = await self._open_tls(region)
        self._foreigners.keep()
        self.port = int(self._runner.addresses[0][1])
        return f"http://127.0.0.1:{self.port}"

    async def _open_tls(self, region: str) -> str | None:
        """Serve the same with TLS, if that is asked for; the URL."""
        settings = self._settings
        if not settings.tls and not settings.tls_port:
            return None
        spoken = await asyncio.to_thread(tls.context, settings.tls_directory, region)
        site = web.TCPSite(self._runner, "127.0.0.1", settings.tls_port, ssl_context=spoken)
        await site.start()
        return f"https://localhost:{self._runner.addresses[1][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()
        await self._foreigners.close()
        await self._lifecycle.close()
        self._carrying.cancel()
        await asyncio.gather(self._carrying, return_exceptions=True)
        self._dispatch.close()
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
            "faults": dict(sorted(self._suffered.items())),
            "on_demand": self._runtime.figures(),
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
                for counts in (self._lifecycle.counts(job),)
            ],
        }

    def models(self) -> dict[str, Any]:
        """Every model of the catalogue, and whether batch inference takes it: yes, no, or unverified."""
        return {
            entry.id: {"batch": ("yes" if entry.verified else "unverified") if entry.batch else "no"}
            for entry in entries().values()
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
        self._lifecycle.wake()
        self._dispatch.wake()
        self._foreigners.keep()
        self._runtime.wake()
        return self.settings()

    def faults(self) -> dict[str, Any]:
        return self._live.model_dump(include=set(FaultsAndPace.model_fields))

    def change_faults(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Set these faults or this pace; the others stay.

        Raises:
            ValidationError: of pydantic, for unknown names and bad values; nothing is changed then.
        """
        self.change_settings(FaultsAndPace.model_validate(self.faults() | changes).model_dump())
        return self.faults()

    def reset_faults(self) -> dict[str, Any]:
        """No fault any more, and the pace of the start."""
        pace = self._settings.model_dump(include=set(Pace.model_fields))
        self.change_settings(Faults().model_dump() | pace)
        return self.faults()

    def fate(self, operation: str, request: dict[str, Any]) -> RequestFate:
        """What befalls this request; asking counts it."""
        about = self._about(request)
        before = self._asked[operation, about]
        self._asked[operation, about] += 1
        seed, role_arn = self._settings.seed, request.get("roleArn", "")
        fate = request_fate(seed, operation, about, before, self._live, role_arn)
        self._suffered.update(fate.kinds)
        return fate

    def _suffer(self, fault: str) -> None:
        self._suffered[fault] += 1

    def _about(self, request: dict[str, Any]) -> str:
        """A job by its name, for its id may be from chance."""
        identifier = request.get("jobIdentifier") or request.get("resourceARN")
        if identifier is None:
            return str(request.get("jobName") or request.get("nameContains") or request.get("modelId") or "")
        try:
            return self._register.get(identifier).name
        except ApiError:
            return str(identifier)

    async def advance(self, by_s: float) -> dict[str, Any]:
        """Let simulated seconds pass on a stepped clock.

        Raises:
            ApiError: ValidationException, on a running clock.
        """
        if not isinstance(self._clock, SteppedClock):
            raise invalid("The clock runs by itself; start with --clock stepped")
        await self._clock.advance(by_s)
        return {"now": iso(self._clock.now())}

    def _begin_foreign(self, request: dict[str, Any]) -> "tuple[Job, asyncio.Task[None]]":
        job, _ = self._register.create(request, self._live, foreign=True)
        return job, self._lifecycle.begin(job)

    async def _create(self, request: dict[str, Any]) -> dict[str, Any]:
        await asyncio.to_thread(self._roles.check_create, request)
        job, new = self._register.create(request, self._live)
        if new:
            self._lifecycle.begin(job)
            await self._dispatch.hurry(job.arn)
        return {"jobArn": job.arn}

    async def _get(self, request: dict[str, Any]) -> dict[str, Any]:
        job = self._register.get(request["jobIdentifier"])
        return job_view(job, self._lifecycle.counts(job), self._register.account)

    async def _list(self, request: dict[str, Any]) -> dict[str, Any]:
        page = self._register.page(request, self._live)
        account = self._register.account
        answer: dict[str, Any] = {
            "invocationJobSummaries": [job_view(job, self._lifecycle.counts(job), account) for job in page.jobs]
        }
        if page.next_token:
            answer["nextToken"] = page.next_token
        return answer

    async def _stop(self, request: dict[str, Any]) -> dict[str, Any]:
        self._lifecycle.stop(self._register.get(request["jobIdentifier"]))
        return {}

    async def _tag(self, request: dict[str, Any]) -> dict[str, Any]:
        self._register.tag(request["resourceARN"], {tag["key"]: tag["value"] for tag in request["tags"]})
        return {}

    async def _untag(self, request: dict[str, Any]) -> dict[str, Any]:
        self._register.untag(request["resourceARN"], request["tagKeys"])
        return {}

    async def _list_tags(self, request: dict[str, Any]) -> dict[str, Any]:
        job = self._register.get(request["resourceARN"])
        if job.status in {Status.STOPPING, Status.STOPPED}:
            # Seen live (contract section 12); with which error was not told.
            raise invalid(f"The tags of {job.arn} cannot be listed. State was: {job.status.value}")
        tags = job.tags
        return {"tags": [{"key": key, "value": value} for key, value in tags.items()]}

    async def _list_models(self, request: dict[str, Any]) -> dict[str, Any]:
        return list_models(request, self._register.region)

    async def _get_model(self, request: dict[str, Any]) -> dict[str, Any]:
        return get_model(request, self._register.region, self._register.account)

    async def _availability(self, request: dict[str, Any]) -> dict[str, Any]:
        register, without_access = self._register, self._live.models_without_access
        return availability(request, register.region, register.account, without_access)

    async def _list_profiles(self, request: dict[str, Any]) -> dict[str, Any]:
        return list_profiles(request, self._register.region, self._register.account, self._live.application_profiles)

    async def _get_profile(self, request: dict[str, Any]) -> dict[str, Any]:
        return get_profile(request, self._register.region, self._register.account, self._live.application_profiles)
