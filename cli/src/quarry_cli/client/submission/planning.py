"""What a manifest would be, counted and planned on this machine: nothing is sent, and nothing is written to AWS.

Theory of operation. The manifest is judged as before it is submitted. Then the functions work that the preprocessor works
with, on the caller's own credentials, and write what they write into a temporary folder. So the plan is the one that the
services would make; what they know and this process may not (how many slots they were given) is read from the pool's row
where one stands, else from the same variables, and said where it is assumed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quarry_cli.client.aside import aside
from quarry_cli.client.connections import Connections
from quarry_cli.client.submission.submitting import judge
from quarry_cli.errors import NotPlanned, NotSubmitted
from quarry_core.contract.job_tags import read_job_tags
from quarry_core.contract.manifest import Manifest, ManifestError
from quarry_core.contract.policy import read_policy
from quarry_core.contract.prompts import PromptError
from quarry_core.errors import Refused
from quarry_core.ledger.rows import Pool
from quarry_core.models import pool_of
from quarry_core.settings import Settings
from quarry_core.sources.lookups import NotReadable
from quarry_core.sources.pinning import Environment, pin

if TYPE_CHECKING:
    from quarry_core.contract.run import Pins
    from quarry_core.planning.estimate import Estimate
    from quarry_core.planning.first_records import FirstRecords
    from quarry_core.planning.plan_source import Planned

# Called with the bytes read so far, and those of the source; the source may be read more than once, or in part.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """What a manifest would be. `unchecked`: what could not be looked at, and why; one sentence each."""

    estimate: Estimate
    unchecked: list[str]

    def as_json(self) -> dict[str, Any]:
        """What `quarry plan --json` prints: the estimate's fields, and `unchecked`."""
        return {**self.estimate.model_dump(mode="json"), "unchecked": self.unchecked}


@dataclass(frozen=True, slots=True)
class PreviewedRun:
    """What would be sent of a manifest's first rows, and the size of all. `estimate`, `unchecked`: as in `PlannedRun`."""

    estimate: Estimate
    unchecked: list[str]
    invocation: str
    first: FirstRecords

    def as_json(self) -> dict[str, Any]:
        """What `quarry preview --json` prints."""
        return {
            "invocation": self.invocation,
            "records": [
                {"row": each.row, "size_bytes": each.size_bytes, "modelInput": each.model_input}
                for each in self.first.records
            ],
            "unsent": [{"row": each.row, "code": each.code, "message": each.message} for each in self.first.unsent],
            "rows_looked_at": self.first.looked_at,
            "estimate": self.estimate.model_dump(mode="json"),
            "unchecked": self.unchecked,
        }


async def plan(connections: Connections, text: str, progress: Progress | None = None) -> PlannedRun:
    """Count and plan what a manifest names.

    Args:
        text: the manifest, JSON.
        progress: called often while the source is read, in another thread.

    Raises:
        NotSubmitted: the manifest, or its source, would be refused: in the same sentences.
        NotPlanned: the source cannot be read from here.
        PortError: AWS gave no answer.
    """
    planned, _, _ = await _planned(connections, text, progress, None)
    return planned


async def preview(
    connections: Connections, text: str, rows: int, looked_at_max: int, progress: Progress | None = None
) -> PreviewedRun:
    """Plan what a manifest names, and render its first rows.

    Args:
        text: the manifest, JSON.
        rows: how many records to render.
        looked_at_max: in how many rows to look for some that cannot be sent.
        progress: as for `plan`.

    Raises: as `plan`.
    """
    planned, pins, first = await _planned(connections, text, progress, (rows, looked_at_max))
    assert first is not None
    return PreviewedRun(planned.estimate, planned.unchecked, pins.invocation or "InvokeModel", first)


async def _planned(
    connections: Connections, text: str, progress: Progress | None, shown: tuple[int, int] | None
) -> tuple[PlannedRun, Pins, FirstRecords | None]:
    judged = await judge(connections, text)
    assert judged.manifest is not None
    ledger, services = connections.ledger, connections.services()
    standing = await ledger.pool(pool_of(connections.region, judged.manifest.model))
    quota, assumed = _quota(standing, services.job_quota)
    environment = Environment(
        region=connections.region,
        bucket=connections.bucket,
        owner_required=connections.owner_required,
        max_total_records=services.max_total_records,
        max_records_per_job=services.max_records_per_job,
        policy=read_policy(connections.policy),
        job_tags=read_job_tags(connections.job_tags),
    )
    # Removed here, whatever becomes of the thread.
    with tempfile.TemporaryDirectory(prefix="quarry-plan-", ignore_cleanup_errors=True) as folder:
        work = _Work(connections, judged.manifest, environment, quota, Path(folder), progress)
        pins, planned = await aside(work.done)
        first = await aside(partial(_first, pins, planned, *shown)) if shown else None
    estimate = planned.estimate(
        pins,
        slots=standing.admit_limit if standing and standing.admit_limit else quota,
        history=await ledger.history(pins.pool),
        ahead=await ledger.ahead(pins.pool),
        notes=assumed,
    )
    return PlannedRun(estimate, judged.unchecked), pins, first


def _first(pins: Pins, planned: Planned, rows: int, looked_at_max: int) -> FirstRecords:
    # pyarrow takes its time to import, and `quarry --help` needs none of it.
    from quarry_core.planning.first_records import first_records  # noqa: PLC0415 see above
    from quarry_core.planning.plan_source import REFUSING, refusal_of  # noqa: PLC0415 see above
    from quarry_core.rendering.encoders import sending_encoder_of  # noqa: PLC0415 see above

    try:
        return first_records(
            planned.counted.dataset, sending_encoder_of(pins, planned.counted.dataset.objects), rows, looked_at_max
        )
    except REFUSING as error:
        raise NotSubmitted(refusal_of(error, pins.source)) from error


def _quota(standing: Pool | None, here: int | None) -> tuple[int, tuple[str, ...]]:
    """How many slots the services plan for, and what is to be said about it."""
    if standing is not None:
        return standing.configured, ()
    if here is not None:
        return here, ()
    default: int = Settings.model_fields["job_quota"].default
    note = f"the slots are assumed to be {default}: set QUARRY_JOB_QUOTA here to what the services have (`terraform output`)"
    return default, (note,)


@dataclass(slots=True)
class _Work:
    """The blocking part."""

    connections: Connections
    manifest: Manifest
    environment: Environment
    slots: int
    folder: Path
    progress: Progress | None
    read_bytes: int = 0
    source_bytes: int = 0

    def done(self) -> tuple[Pins, Planned]:
        # Requests of the Hub take their time to import, too.
        from quarry_cli.client.submission.overlay import overlaid  # noqa: PLC0415 see `_first`
        from quarry_core.planning.plan_source import REFUSING, plan_source, refusal_of  # noqa: PLC0415 see `_first`

        connections = self.connections
        run_id = f"plan-{connections.clock.token()}"
        objects = overlaid(connections.objects(), connections.bucket, self.folder, run_id, self._read)
        try:
            pins = pin(objects, run_id, self.manifest, self.environment)
        except NotReadable as error:
            raise NotPlanned(str(error)) from error
        except (ManifestError, PromptError) as error:
            raise NotSubmitted(str(error)) from error
        self.source_bytes = pins.source.size_bytes
        try:
            return pins, plan_source(objects, run_id, pins, self.slots)
        except Refused as error:
            raise NotPlanned(refusal_of(error, pins.source)) from error
        except REFUSING as error:
            raise NotSubmitted(refusal_of(error, pins.source)) from error

    def _read(self, size_bytes: int) -> None:
        self.read_bytes += size_bytes
        if self.progress is not None:
            self.progress(self.read_bytes, self.source_bytes)
