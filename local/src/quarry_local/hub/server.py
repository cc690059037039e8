"""The simulated Hub as one object: put together here, started and stopped here.

In a test, inside an event loop: `async with SimulatedHub(Settings(folder=...)) as url: ...`, and `HF_ENDPOINT=url` for
the client. All state is in memory and ends with the server; the datasets stay where they lie.
"""

import asyncio
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from quarry_local.hub.access import Access
from quarry_local.hub.datasets import MAIN, Commit, Datasets
from quarry_local.hub.faults import Faults, Kind, fate_of
from quarry_local.hub.http import Pages
from quarry_local.hub.settings import Settings
from quarry_local.hub.storage import Figures, Storage

LOOPBACK = "127.0.0.1"


class Landing(BaseModel):
    """A commit that is to land: at once, or behind a number of further requests of a kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    folder: Path
    revision: str = MAIN
    after: int = Field(0, ge=0)
    kind: Kind = "storage"


class SimulatedHub:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._now_faults = settings.faults()
        self.datasets = Datasets(settings.lfs_bytes_min)
        self.figures = Figures()
        self._since: Counter[tuple[str, str]] = Counter()  # requests since the faults were last set
        self._planned: list[tuple[Landing, Commit, int]] = []
        access = Access(settings.tokens, frozenset(settings.private), frozenset(settings.gated))
        self._storage = Storage(self.figures, self.faults, self.suffer)
        self._pages = Pages(self, self.datasets, access, self._storage)

    async def start(self) -> str:
        """Serve; returns the URL for `HF_ENDPOINT`.

        Raises:
            BadFolder: the folder holds no datasets.
            OSError: the port is taken.
        """
        settings = self._settings
        if settings.folder is not None:
            await asyncio.to_thread(self.datasets.read, settings.folder)
        behind = web.Application()
        self._storage.routes(behind.router)
        # Two ports are two origins: a client must not take its token from one to the other.
        self._runners = [
            web.AppRunner(app, access_log=None, shutdown_timeout=0.5) for app in (self._pages.application(), behind)
        ]
        try:
            for runner, port in zip(self._runners, (settings.port, 0), strict=True):
                await runner.setup()
                await web.TCPSite(runner, LOOPBACK, port).start()
        except OSError:
            await self.stop()
            raise
        hub, storage = (int(runner.addresses[0][1]) for runner in self._runners)
        self._storage.origin = f"http://{LOOPBACK}:{storage}"
        return f"http://{LOOPBACK}:{hub}"

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()

    async def __aenter__(self) -> str:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def faults(self) -> Faults:
        return self._now_faults

    def change_faults(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Set these faults, the others stay, and count from here. Raises ValidationError: nothing is changed then."""
        self._now_faults = Faults.model_validate(self._now_faults.model_dump() | changes)
        self._since.clear()
        self._storage.forget()
        return self._now_faults.model_dump()

    def reset_faults(self) -> dict[str, Any]:
        """No fault any more."""
        return self.change_faults(Faults().model_dump())

    def stats(self) -> dict[str, object]:
        branches = {dataset.id: dict(dataset.branches) for dataset in self.datasets}
        return {**self.figures.view(), "datasets": branches, "landing": len(self._planned)}

    def suffer(self, kind: Kind, about: str) -> web.Response | None:
        """Count a request, let what was planned behind it land, and answer it if it suffers a fault."""
        self.figures.count(kind, about)
        before = self._since[kind, about]
        self._since[kind, about] += 1
        self._land_due()
        fate = fate_of(kind, about, before, self._now_faults, self._settings.seed)
        if not fate.status:
            return None
        self.figures.refused[fate.status] += 1
        if fate.status == 429:
            headers = {
                "RateLimit": f'"{"resolvers" if kind == "resolve" else "api"}";r=0;t={fate.wait_s}',
                "RateLimit-Policy": '"fixed window";"api";q=500;w=300',
            }
            return web.json_response({"error": "Too Many Requests"}, status=429, headers=headers)
        return web.json_response(
            {"error": "Service Unavailable"}, status=503, headers={"Retry-After": str(fate.wait_s)}
        )

    async def land(self, planned: dict[str, Any]) -> dict[str, object]:
        """Make a folder a commit, and move a branch to it, now or behind further requests.

        Raises:
            ValidationError, BadFolder: nothing is changed then.
        """
        landing = Landing.model_validate(planned)
        commit = await asyncio.to_thread(self.datasets.prepared, landing.dataset, landing.folder)
        self._planned.append((landing, commit, self.figures.requests[landing.kind] + landing.after))
        self._land_due()
        return {"sha": commit.sha, "landed": not any(each is commit for _, each, _ in self._planned)}

    def _land_due(self) -> None:
        left = []
        for landing, commit, due in self._planned:
            if self.figures.requests[landing.kind] >= due:
                self.datasets.land(landing.dataset, commit, landing.revision)
            else:
                left.append((landing, commit, due))
        self._planned = left
