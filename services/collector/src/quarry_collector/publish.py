"""The step `part`: a settled shard's outcome is joined to its rows.

Theory of operation. The answers are safe before this begins, in the outcome or in the job's output, and a part that cannot
be written leaves an outcome behind: so it ends the run and loses nothing, and its reason says where the answers are.
Settling writes the part, and closing what a crash left unwritten; both count the same failures.
"""

from __future__ import annotations

from functools import partial

import structlog

from quarry_collector.salvage import Held, Salvage
from quarry_core.contract.states import ShardState
from quarry_core.errors import Changed, Missing
from quarry_core.ledger.rows import Shard
from quarry_core.service.endings import end_run
from quarry_core.service.failures import Kind, RunCode, Step, Why, exhausted, kind_of
from quarry_core.service.pieces import Piece, WorkerKilled
from quarry_core.service.process import World
from quarry_core.service.steps import Steps, killed_sentence
from quarry_core.tabular.parquet.part_errors import PartError
from quarry_core.tabular.rows import SourceError

log = structlog.get_logger()


class Publisher:
    def __init__(self, world: World, steps: Steps) -> None:
        self._world = world
        self._steps = steps

    async def part(self, salvage: Salvage, shard: Shard, held: Held | None = None, *, rounds: int = 1) -> Why | None:
        """Write a settled shard's part, nothing of which goes again; or why there is none, and will be none.

        Args:
            salvage: of the run.
            shard: the shard.
            held: what settling it left, of whoever moved it to SETTLED.
            rounds: of the run.

        Raises:
            StepFailed: it failed by itself, and may be tried again.
        """
        return await self._steps.run(
            Piece(Step.PART, shard.run_id, shard.shard),
            partial(self._write, salvage, shard, held, rounds),
            partial(self._give_up, salvage),
        )

    async def killed(self, salvage: Salvage, shard: Shard) -> Why | None:
        """Why a part is not tried any more: settling the shard, with the writing of its part, has killed its workers.

        The answers stand by row then, if they can be read once more.
        """
        piece = Piece(Step.SETTLE, shard.run_id, shard.shard)
        deaths = await self._steps.pieces.set_aside(piece)
        if not deaths:
            return None
        try:
            await self._world.offload.run(partial(salvage.keep, shard))
        except Exception as error:
            if kind_of(error) is not Kind.DETERMINISTIC and not isinstance(error, Changed | Missing):
                raise
            log.exception("outcome_not_written", run_id=shard.run_id, shard=shard.shard)
        return Why(RunCode.WORKER_KILLED, Step.SETTLE, killed_sentence(WorkerKilled(piece, deaths)))

    async def _write(self, salvage: Salvage, shard: Shard, held: Held | None, rounds: int) -> Why | None:
        try:
            retried = await self._retried(salvage, shard, rounds)
            await self._world.offload.run(partial(salvage.part, shard, held, retried))
        except PartError as error:
            # It will be the same for every other part of the run, and however often it is tried.
            why = Why(RunCode.PART_UNWRITABLE, Step.PART, f"a part of the result cannot be written: {error}")
            return await self._give_up(salvage, why)
        except (Changed, Missing, SourceError) as error:
            if exhausted(error):
                raise  # the worker's want, not the source's fault
            source = salvage.pins.source
            sentence = f"{source.field}: {source.uri} can no longer be joined ({error}); {_where(salvage)}"
            # Whether it ends the run is closing's to decide: the source may come back before.
            log.error(  # noqa: TRY400 told whole
                "part_not_written", run_id=shard.run_id, shard=shard.shard, attempt=shard.attempt, why=str(error)
            )
            return Why(RunCode.SOURCE_BROKEN, Step.PART, sentence)
        return None

    async def _retried(self, salvage: Salvage, shard: Shard, rounds: int) -> list[list[Shard]]:
        """The retry shards, as settled, that hold records of a shard; for each round those that do."""
        found: list[list[Shard]] = []
        if not shard.again:
            return found
        for names in await self._world.offload.run(partial(salvage.retried_in, shard, rounds)):
            rows = [await self._world.ledger.shard(shard.run_id, name) for name in names]
            # Of a run that broke some were never opened.
            found.append([row for row in rows if row is not None and row.state is ShardState.SETTLED])
        return found

    async def _give_up(self, salvage: Salvage, why: Why) -> Why:
        reported = Why(why.code, why.step, f"{why.sentence}; {_where(salvage)}")
        await end_run(self._world, salvage.run_id, reported)
        return reported


def _where(salvage: Salvage) -> str:
    return f"the answers are under outcomes/{salvage.run_id}/"
