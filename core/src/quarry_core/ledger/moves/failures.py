"""What is written of failing work: how often it failed in the same way, and what was begun and not finished.

None of these moves a state. Each repeats what was read, so that a write which is sent twice counts once.
"""

from __future__ import annotations

from quarry_core.ledger.keys import begun_key, failure_key
from quarry_core.ledger.moves.premise import equal
from quarry_core.ledger.rows import BEGUN, BegunRow, FailureRow
from quarry_core.ports import Delete, Put, Update, Write

BEGUN_MAX = 16  # of one piece; more are left over from messages that nobody will bring again


def note_failure(before: FailureRow | None, noted: FailureRow, expires_at: int) -> list[Write]:
    """A failure is counted. `before` is what was read, `noted` what is to stand."""
    key = failure_key(noted.run_id, noted.step, noted.subject)
    reported = {
        "fingerprint": noted.fingerprint,
        "count": noted.count,
        "total": noted.total,
        "sentence": noted.sentence,
        "token": noted.token,
        "last_at": noted.last_at,
        "expires_at": expires_at,
    }
    if before is None:
        about = {"run_id": noted.run_id, "step": noted.step, "subject": noted.subject, "first_at": noted.first_at}
        return [Put(key, {**about, **reported})]
    return [Update(key, when=(equal("token", before.token), equal("total", before.total)), set=reported)]


def forget_failures(run_id: str, step: str, subject: str, token: str) -> list[Write]:
    """The step was done after all. `token` is of the last failure that the caller counted."""
    return [Delete(failure_key(run_id, step, subject), when=(equal("token", token),))]


def begin_piece(
    before: BegunRow | None, piece: tuple[str, str, str], message_id: str, entry: str, expires_at: int
) -> list[Write]:
    """A piece is begun.

    Args:
        before: the row as read.
        piece: run, step and subject.
        message_id: the message that asked for it.
        entry: its receive count, a token of this very begin, and the deaths known (`pieces.Entry`).
        expires_at: when the row may be forgotten, in seconds of Unix time.
    """
    run_id, step, subject = piece
    key, mark = begun_key(run_id, step, subject), f"{BEGUN}{message_id}"
    if before is None:
        about = {"run_id": run_id, "step": step, "subject": subject}
        return [Put(key, {**about, "version": 1, mark: entry, "expires_at": expires_at})]
    return [
        Update(
            key,
            when=(equal("version", before.version),),
            set={mark: entry, "expires_at": expires_at},
            remove=_left_over(before, message_id),
            add={"version": 1},
        )
    ]


def _left_over(before: BegunRow, message_id: str) -> tuple[str, ...]:
    others = sorted(other for other in before.begun if other != message_id)
    return tuple(f"{BEGUN}{other}" for other in others[: max(0, len(others) - BEGUN_MAX + 1)])


def leave_piece(piece: tuple[str, str, str], message_id: str, entry: str, left: str) -> list[Write]:
    """A piece is left, unfinished but in order. `left` is what is to be remembered of it, if anything is."""
    mark = f"{BEGUN}{message_id}"
    return [
        Update(
            begun_key(*piece),
            when=(equal(mark, entry),),
            set={mark: left} if left else {},
            remove=() if left else (mark,),
            add={"version": 1},
        )
    ]


def finish_piece(piece: tuple[str, str, str], message_id: str, entry: str) -> list[Write]:
    """A piece is done: nothing of it is to be remembered."""
    return [Delete(begun_key(*piece), when=(equal(f"{BEGUN}{message_id}", entry),))]
