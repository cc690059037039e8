"""Who asks for a change: it is written down beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from quarry_cli.aws.asking import Ask
from quarry_core.errors import PortError
from quarry_core.ledger import moves
from quarry_core.ledger.ledger import Ledger
from quarry_core.ledger.rows import AuditEntry
from quarry_core.ports import Clock, Write


class Recorder(Protocol):
    """What writing down takes. `Connections` are one."""

    @property
    def clock(self) -> Clock: ...

    @property
    def ledger(self) -> Ledger: ...

    @property
    def ask(self) -> Ask | None:
        """To be told who asks; None where there is nobody to ask."""


def audit(
    recorder: Recorder, action: str, by: str, at: str, *, run_id: str = "", subject: str = "", what: str = ""
) -> Sequence[Write]:
    """The writes that keep an entry of the audit trail, for the transaction of what was done."""
    entry = AuditEntry(at, action, by, run_id, subject, what)
    return moves.audited(entry, recorder.clock.token())


async def caller(recorder: Recorder) -> str:
    """The ARN of whoever asks; empty where AWS does not say."""
    if recorder.ask is None:
        return ""
    try:
        return str((await recorder.ask("sts", "get_caller_identity", {})).get("Arn", ""))
    except PortError:
        return ""
