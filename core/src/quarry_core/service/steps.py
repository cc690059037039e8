"""Every step of every service runs in here: what fails by itself is counted, and at the limit the run ends.

Theory of operation. An outage may be retried for ever, and so may what fails for want of disk or memory; neither is
counted. Any other exception will most likely come again the same way. Its fingerprint (`failures.py`) is counted in
the run's part of the ledger, by step and by what the step works on, so that the count outlives the message, the
process and the wake-up. `identical_failures_max` in a row in the same way, or five times as many in any way, and the
step is given up: its *ending* runs instead, which ends the run with the reason and keeps what was paid for. An
ending may come to run again, for a wake-up that was on its way; it changes nothing the second time. Where the process
that counted a failure then sees the step done, the count begins anew: a job is looked at a thousand times in its life,
and five failures among them end no run.

Work that may kill its process is marked too: see `pieces.py`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import structlog

from quarry_core.errors import PortError, Stale, Throttled
from quarry_core.ledger import moves
from quarry_core.ledger.rows import FailureRow
from quarry_core.service.delivery import DELIVERY
from quarry_core.service.failures import Failure, Kind, RunCode, StepFailed, Why, failure_of, kind_of
from quarry_core.service.pieces import Piece, Pieces, PieceWaits, WorkerKilled
from quarry_core.service.process import World
from quarry_core.service.verdicts import DONE, Retry, Verdict
from quarry_core.telemetry import metrics

log = structlog.get_logger()
T = TypeVar("T")
TOTAL_PER_IDENTICAL = 5
FAILURE_TTL_DAYS = 180
STALE_MAX = 8
REMEMBERED_MAX = 1_000


class Steps:
    """The steps of one process. One for each service."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._failed: OrderedDict[Piece, str] = OrderedDict()  # token of the last failure that this process counted
        self.pieces = Pieces(world.ledger, world.clock, world.settings.worker_deaths_max)

    async def answer(
        self, piece: Piece, work: Callable[[], Awaitable[Verdict]], end: Callable[[Why], Awaitable[Verdict]]
    ) -> Verdict:
        """`run` for the handler of a wake-up."""
        try:
            return await self.run(piece, work, end)
        except PieceWaits as waits:
            return Retry(self._world.settings.visibility_timeout_s / 2, str(waits))
        except PortError as answer:
            message = DELIVERY.get()
            if message is None or not self.pieces.gave_up(message):
                raise
            # Its mark stands, and would look like a death to the next process: the sweep sends another message.
            log.warning("wakeup_given_up", tries=message.receive_count, why=str(answer))
            return DONE

    async def run(self, piece: Piece, work: Callable[[], Awaitable[T]], end: Callable[[Why], Awaitable[T]]) -> T:
        """Do the work; or, once it has failed too often, what its ending gives.

        Raises:
            StepFailed: it failed by itself, and may be tried again.
            PortError, or what the process ran out of: as the work raised it; nothing is counted.
        """
        try:
            done = await work()
        except StepFailed:
            raise
        except WorkerKilled as killed:
            why = Why(RunCode.WORKER_KILLED, piece.step, killed_sentence(killed))
        except Exception as error:
            if kind_of(error) is not Kind.DETERMINISTIC:
                raise
            noted = await self._note(piece, failure_of(error))
            log.exception(
                "step_failed", failed=piece.step, run_id=piece.run_id, subject=piece.subject, times=noted.count
            )
            most = self._world.settings.identical_failures_max
            if noted.count < most and noted.total < most * TOTAL_PER_IDENTICAL:
                raise StepFailed(noted.sentence) from error
            why = Why(RunCode.INTERNAL_ERROR, piece.step, _failed(piece, noted))
        else:
            await self.done(piece)
            return done
        return await self._end(piece, why, end)

    async def done(self, piece: Piece) -> None:
        """It was done: the failures that this process has counted of it are no row of failures any more."""
        token = self._failed.pop(piece, None)
        if token is None:
            return
        try:
            await self._world.ledger.apply(moves.forget_failures(*piece.key, token))
        except Stale:
            log.debug("failed_elsewhere_since", failed=piece.step, run_id=piece.run_id)
        except PortError as error:
            self._failed[piece] = token  # what is done is done; this can wait for the next time
            log.warning("failures_not_cleared", failed=piece.step, run_id=piece.run_id, error=str(error))

    async def _end(self, piece: Piece, why: Why, end: Callable[[Why], Awaitable[T]]) -> T:
        log.error("step_given_up", failed=piece.step, run_id=piece.run_id, subject=piece.subject, code=why.code)
        try:
            return await end(why)
        except (PortError, StepFailed):
            raise
        except Exception as error:
            if kind_of(error) is not Kind.DETERMINISTIC:
                raise
            log.exception("ending_failed", failed=piece.step, run_id=piece.run_id, subject=piece.subject)
            raise StepFailed(failure_of(error).sentence) from error

    async def _note(self, piece: Piece, failure: Failure) -> FailureRow:
        """Count a failure; the row as it stands then. A write whose reply was lost counts once."""
        metrics.STEP_FAILURES.labels(piece.step).inc()
        clock, ledger, token = self._world.clock, self._world.ledger, self._world.clock.token()
        for _ in range(STALE_MAX):
            before = await ledger.failure(*piece.key)
            if before is not None and before.token == token:
                self._remember(piece, token)
                return before
            now = clock.now()
            noted = _following(before, piece, failure, token, now.isoformat())
            expires_at = int((now + timedelta(days=FAILURE_TTL_DAYS)).timestamp())
            try:
                await ledger.apply(moves.note_failure(before, noted, expires_at))
            except Stale:
                continue
            self._remember(piece, token)
            return noted
        raise Throttled(f"{piece.step} {piece.subject}: other workers keep counting its failures")

    def _remember(self, piece: Piece, token: str) -> None:
        self._failed[piece] = token
        self._failed.move_to_end(piece)
        while len(self._failed) > REMEMBERED_MAX:
            self._failed.popitem(last=False)


def _following(before: FailureRow | None, piece: Piece, failure: Failure, token: str, now: str) -> FailureRow:
    if before is None:
        return FailureRow(
            run_id=piece.run_id,
            step=piece.step,
            subject=piece.subject,
            fingerprint=failure.fingerprint,
            count=1,
            total=1,
            sentence=failure.sentence,
            token=token,
            first_at=now,
            last_at=now,
        )
    return replace(
        before,
        fingerprint=failure.fingerprint,
        count=before.count + 1 if before.fingerprint == failure.fingerprint else 1,
        total=before.total + 1,
        sentence=failure.sentence,
        token=token,
        last_at=now,
    )


def _failed(piece: Piece, noted: FailureRow) -> str:
    identical = noted.count > 1 or noted.total == 1
    how = (
        f"{noted.count} times in the same way" if identical else f"{noted.total} times in different ways, the last one"
    )
    return f"the step {piece} failed {how}: {noted.sentence}"


def killed_sentence(killed: WorkerKilled) -> str:
    """What is said of a piece that killed its workers."""
    return (
        f"the step {killed.piece} killed its worker {killed.deaths} times, most likely because they ran out of"
        " memory: give the service"
        " more memory, or make the rows smaller"
    )
