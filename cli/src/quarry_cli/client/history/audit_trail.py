"""The audit trail: who sent, cancelled, paused, resumed, changed or erased what, or moved dead-letter messages, as the ledger keeps it for 400 days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from quarry_cli.client.connections import Connections
from quarry_cli.client.runs.search import find_run
from quarry_cli.errors import BadSetting
from quarry_core.ledger.moves.audit import AUDIT_DAYS

DAYS = 30
ENTRIES_MAX = 1_000
# Of one month; what is older than these is not looked at.
READ_MAX = 20_000


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. `at` is ISO 8601 in UTC; `by` an ARN, or the id under which SQS knows who sent a manifest."""

    at: str
    action: str
    by: str
    run_id: str
    subject: str
    what: str


class Trail(msgspec.Struct, frozen=True, kw_only=True):
    """What `quarry audit` prints, the newest first. `cut`: there is more than was read or is shown."""

    since: str
    entries: list[Entry]
    cut: bool


async def audit_trail(connections: Connections, run: str | None, since: str | None, most: int) -> Trail:
    """The newest entries.

    Args:
        run: a run's id or its beginning; None: of everything.
        since: as for `read_since`; by default 30 days ago, for a run as far back as the trail goes.
        most: entries.

    Raises:
        BadSetting, NoSuchRun, SeveralRuns.
    """
    if not 1 <= most <= ENTRIES_MAX:
        raise BadSetting(f"limit: {most} is not a number from 1 to {ENTRIES_MAX}")
    now = connections.clock.now()
    asked = None if since is None else read_since(since, now)
    run_id = None if run is None else await find_run(connections, run)
    oldest = now - timedelta(days=AUDIT_DAYS)
    begin = max(oldest, asked or (now - timedelta(days=DAYS) if run_id is None else oldest))
    if begin > now:
        raise BadSetting(f"since: {begin.isoformat()} is still to come")
    found: list[Entry] = []
    cut = False
    for month in months_between(begin, now):
        entries = await connections.ledger.audit_entries(month, READ_MAX)
        cut = cut or len(entries) == READ_MAX
        for entry in entries:
            if datetime.fromisoformat(entry.at) < begin or (run_id is not None and entry.run_id != run_id):
                continue
            if len(found) == most:
                return Trail(since=begin.isoformat(), entries=found, cut=True)
            found.append(
                Entry(
                    at=entry.at,
                    action=entry.action,
                    by=entry.by,
                    run_id=entry.run_id,
                    subject=entry.subject,
                    what=entry.what,
                )
            )
    return Trail(since=begin.isoformat(), entries=found, cut=cut)


def read_since(text: str, now: datetime) -> datetime:
    """`36h`, `7d`, or a date or time of ISO 8601 (UTC where it says nothing else). Raises BadSetting."""
    number, unit = text[:-1], text[-1:]
    if unit in {"h", "d"} and number.isascii() and number.isdigit() and len(number) <= 5:
        return now - timedelta(hours=int(number) * (24 if unit == "d" else 1))
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadSetting(f"since: {text!r} is neither like 36h or 7d nor a date like 2026-11-30") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def months_between(begin: datetime, end: datetime) -> Iterator[str]:
    """`yyyy-mm`, the newest first."""
    year, month = end.astimezone(UTC).year, end.astimezone(UTC).month
    first = begin.astimezone(UTC)
    while (year, month) >= (first.year, first.month):
        yield f"{year:04d}-{month:02d}"
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
