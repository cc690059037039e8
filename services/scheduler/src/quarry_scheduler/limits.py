"""What bounds each pool, as far as this process knows: its setting, an operator's, AWS's quota, and others' jobs.

Theory of operation. The quota of the account is read now and then, in a turn of its own: a service that does not answer
holds up no sweep. What is read is kept in the pool's row, so that a scheduler which may not read it, or has not yet,
leaves what another knows. Others' jobs are counted by each sweep, and once before a pool is made: the first admission
goes by them too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from quarry_core.contract.names import is_job_name, parse_job_name
from quarry_core.errors import PortError
from quarry_core.ledger.limits import Limits
from quarry_core.ledger.rows import Pool
from quarry_core.models import UnsupportedModel, pool_of
from quarry_core.ports import Job
from quarry_core.service.process import World

log = structlog.get_logger()
READ_AGAIN_S = 600.0  # after a failure


@dataclass(frozen=True, slots=True)
class Others:
    """Active jobs of a pool that are not ours: of another environment of Quarry, and of anybody else."""

    foreign: int = 0
    siblings: int = 0


def others(active: Sequence[Job], env: str) -> Mapping[str, Others]:
    """By pool, whoever else has jobs active; a pool in which nobody has is left out. Pure."""
    foreign, siblings = Counter[str](), Counter[str]()
    for job in active:
        if parse_job_name(job.name, env) is not None:
            continue
        pool = _pool_of(job)
        if pool:
            (siblings if is_job_name(job.name) else foreign)[pool] += 1
    return {pool: Others(foreign[pool], siblings[pool]) for pool in {*foreign, *siblings}}


def _pool_of(job: Job) -> str:
    region = job.arn.split(":")[3] if job.arn.count(":") > 3 else ""
    try:
        return pool_of(region, job.model_id)
    except (UnsupportedModel, ValueError):
        log.debug("foreign_model", model=job.model_id)
        return ""


class PoolLimits:
    """Makes each pool's limits. Remembers, in this process only, what Service Quotas said."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._quotas: Mapping[str, int] = {}
        self._read_again_s = 0.0  # on the monotonic clock

    async def read_quotas(self) -> None:
        """Read the account's quotas, if it is time to. What cannot be read stays as it was known."""
        settings, now_s = self._world.settings, self._world.clock.monotonic()
        if self._world.quotas is None or now_s < self._read_again_s:
            return
        try:
            found = await self._world.quotas.jobs_at_once()
        except PortError as error:
            log.warning("quotas_not_read", error=str(error))
            self._read_again_s = now_s + min(READ_AGAIN_S, settings.quotas_every_s)
            return
        if found != self._quotas:
            log.info("quotas_read", models=len(found))
        self._quotas = found
        self._read_again_s = now_s + settings.quotas_every_s

    async def first(self, name: str) -> Limits:
        """Of a pool that is to be made. Raises PortError."""
        active = await self._world.jobs.active()
        found = others(active, self._world.settings.env).get(name, Others())
        return Limits(self._world.settings.job_quota, self._quota_of(name), found.foreign, found.siblings)

    def now(self, pool: Pool, found: Others, *, refused: bool) -> Limits:
        """Of a pool that stands.

        Args:
            found: others' jobs, as just counted.
            refused: Bedrock has refused a job for its quota since this was asked last.
        """
        known = self._quota_of(pool.pool)
        limits = Limits(
            configured=self._world.settings.job_quota if pool.set_to is None else pool.set_to,
            service_quota=pool.service_quota if known is None else known,
            foreign=found.foreign,
            siblings=found.siblings,
            learned=pool.learned,
        )
        return limits if refused else limits.relaxed

    @staticmethod
    def lowered(pool: Pool, learned: int) -> Limits:
        """After a refusal for the quota, which taught how many of ours there is room for."""
        return replace(pool.limits, learned=learned)

    def _quota_of(self, name: str) -> int | None:
        return self._quotas.get(name.partition("#")[2])
