"""What changes a dead-letter queue, with its entries in the audit trail: moving messages back, deleting them.

Theory of operation. A queue and the ledger have no transaction together. So who does it is written down first, with which
messages of which runs, and what cannot be written down is not done: after a crash an entry may tell of
more than was done, never of less. Where some messages stay, a further entry says how many.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence

from quarry_cli.client.caller import Recorder, audit, caller
from quarry_cli.client.dead_letters import queue as dead_letter_queue
from quarry_cli.client.dead_letters.queue import DeadLetter, Done
from quarry_core.contract.names import RUN_ID_PATTERN
from quarry_core.errors import PortError
from quarry_core.ports import Queue

# Each run has an entry of its own, so that `quarry audit RUN` shows it; those of further runs stand together. One transaction.
RUNS_MAX = 20
IDS_SHOWN_MAX = 5


async def redrive(
    recorder: Recorder, name: str, dead_letters: Queue, source: Queue, chosen: Sequence[DeadLetter]
) -> Done:
    """Move these messages back to where they came from.

    Args:
        name: of the queue that they came from.

    Raises:
        PortError: of the ledger or of the reading; of the ledger, nothing was moved.
    """
    return await _audited(
        recorder, "redrive", name, chosen, lambda ids: dead_letter_queue.redrive(dead_letters, source, ids)
    )


async def redrive_by_ids(recorder: Recorder, name: str, dead_letters: Queue, source: Queue, ids: Sequence[str]) -> Done:
    """As `redrive`, where only the ids of what was shown are known."""
    wanted = set(ids)
    chosen = await dead_letter_queue.look(dead_letters, most=len(wanted), choose=lambda each: each.id in wanted)
    done = await redrive(recorder, name, dead_letters, source, chosen)
    gone = sorted(wanted - {each.id for each in chosen})
    done.left |= dict.fromkeys(gone, dead_letter_queue.NOT_FOUND)
    return done


async def purge(recorder: Recorder, name: str, dead_letters: Queue, chosen: Sequence[DeadLetter]) -> Done:
    """Delete these messages permanently. As `redrive`."""
    return await _audited(recorder, "purge", name, chosen, lambda ids: dead_letter_queue.purge(dead_letters, ids))


async def _audited(
    recorder: Recorder,
    action: str,
    name: str,
    chosen: Sequence[DeadLetter],
    act: Callable[[Sequence[str]], Awaitable[Done]],
) -> Done:
    if not chosen:
        return Done()
    who, subject = await caller(recorder), f"{name}-dlq"
    at = recorder.clock.now().isoformat()
    kept = [
        write
        for run_id, messages in _by_run(chosen).items()
        for write in audit(recorder, action, who, at, run_id=run_id, subject=subject, what=_what(subject, messages))
    ]
    await recorder.ledger.apply(kept)
    done = await act([each.id for each in chosen])
    if done.left:
        said = f"{len(done.left):,} of {_count(len(chosen))} of {subject} stayed: {next(iter(done.left.values()))}"
        at = recorder.clock.now().isoformat()
        with contextlib.suppress(PortError):  # what was done is to be told, and the trail tells of more than that
            await recorder.ledger.apply(audit(recorder, action, who, at, subject=subject, what=said))
    return done


def _by_run(chosen: Sequence[DeadLetter]) -> dict[str, list[DeadLetter]]:
    """By the run that each names, in their order; under an empty id those of no run, and of too many."""
    found: dict[str, list[DeadLetter]] = {}
    for each in chosen:
        # Anybody's text, which is to stand as a run's id.
        run_id = each.run_id if RUN_ID_PATTERN.fullmatch(each.run_id) else ""
        if run_id not in found and len(found.keys() - {""}) >= RUNS_MAX:
            run_id = ""
        found.setdefault(run_id, []).append(each)
    return found


def _what(subject: str, messages: Sequence[DeadLetter]) -> str:
    """How many, and which. Not why they were there: a reason may quote a row, and entries outlive the rows."""
    shown = ", ".join(each.id for each in messages[:IDS_SHOWN_MAX])
    more = f" and {len(messages) - IDS_SHOWN_MAX:,} more" if len(messages) > IDS_SHOWN_MAX else ""
    return f"{_count(len(messages))} of {subject}: {shown}{more}"


def _count(number: int) -> str:
    return f"{number:,} message{'' if number == 1 else 's'}"
