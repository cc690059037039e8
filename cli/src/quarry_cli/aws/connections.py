"""What doctor and `quarry models` need of AWS, opened for one command: reading, the models of open runs, and the time."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from quarry_cli.aws.asking import Answer, Ask
from quarry_cli.aws.environment_settings import EnvironmentSettings
from quarry_core.ports import Clock

RUNS_MAX = 100


@dataclass(frozen=True, slots=True)
class Reading:
    """`open_models` gives the model ids of open runs, each once. Raises PortError."""

    ask: Ask
    open_models: Callable[[], Awaitable[Sequence[str]]]
    clock: Clock


Open = Callable[[EnvironmentSettings], AbstractAsyncContextManager[Reading]]


@contextlib.asynccontextmanager
async def open_reading(settings: EnvironmentSettings) -> AsyncIterator[Reading]:
    # The SDKs take most of a second to import: `quarry --help` needs none of them.
    from quarry_core.aws.table import DynamoTable  # noqa: PLC0415 see above
    from quarry_core.aws.threaded import ThreadedAws  # noqa: PLC0415 see above
    from quarry_core.ledger.ledger import Ledger  # noqa: PLC0415 beside its only user

    async with ThreadedAws(region=settings.region) as aws:

        async def ask(service: str, operation: str, parameters: Mapping[str, Any]) -> Answer:
            return await aws.call(service, operation, parameters, doing=f"{service} {operation}")

        async def open_models() -> Sequence[str]:
            ledger = Ledger(DynamoTable(aws, settings.table))
            found: dict[str, None] = {}
            for opened in await ledger.open_runs(RUNS_MAX):
                run = await ledger.run(opened.run_id)
                if run is not None and run.pins is not None:
                    found[run.pins.model_id] = None
            return list(found)

        yield Reading(ask, open_models, aws.clock)
