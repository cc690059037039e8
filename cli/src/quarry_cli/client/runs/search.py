"""Finding runs: a list with filters, and the one run that the beginning of an id means.

Only reads, and within bounds: the open runs, and those that ended this month or last, at most `RUNS_MAX` of them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from datetime import datetime

import msgspec

from quarry_cli.client.connections import Connections
from quarry_cli.errors import NoResults, NoSuchRun, SeveralRuns
from quarry_core.contract.run import Run
from quarry_core.contract.states import HELD
from quarry_core.ledger import keys, rows
from quarry_core.ledger.rows import Totals
from quarry_core.models import canonical_model
from quarry_core.ports import Item, Key

RUNS_MAX = 500
PREFIX_CHARS_MIN = 3
NAMED_MAX = 5
# What a manifest without `run_id` gets: an id that nobody chose, so its beginning means no other one.
_MADE_ID = re.compile("[0-9a-f]{12}")
_VERSION_ID = re.compile("-v[0-9]+$")


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """A run in a list. `state` is one of `RunState`, or HELD. Times are ISO 8601 in UTC; `age_s` is the time since its manifest was accepted.

    `name` is its `job_name_prefix`; it and `model_id` are None where the manifest was refused. Of a `dry_run` nothing was
    sent. `version` of the dataset of run `of`, which is the run itself unless it is a retry.
    """

    run_id: str
    name: str | None
    model_id: str | None
    state: str
    accepted: int
    ok: int
    error: int
    accepted_at: str
    started_at: str | None
    ended_at: str | None
    age_s: int
    dry_run: bool = False
    of: str = ""
    version: int = 1


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs a list shows; what is empty does not matter.

    Attributes:
        name: the beginning of the job name prefix.
        model: any part of the model id, in either case.
        states: some of `RunState`, and HELD.
    """

    name: str = ""
    model: str = ""
    states: frozenset[str] = frozenset()

    @property
    def all(self) -> bool:
        return self == Wanted()

    def fits(self, line: RunLine) -> bool:
        model = line.model_id or ""
        return (
            (not self.states or line.state in self.states)
            and (line.name or "").startswith(self.name)
            and any(self.model.casefold() in each.casefold() for each in (model, canonical_model(model)))
        )


async def read_runs(connections: Connections, most: int, wanted: Wanted) -> list[RunLine]:
    """Open runs, the newest first, then those that ended this month or last, the newest first; `most` in all.

    With a filter, up to `RUNS_MAX` runs are looked at.
    """
    ids = await _ids(connections, min(most, RUNS_MAX) if wanted.all else RUNS_MAX)
    asked = [key for run_id in ids for key in (keys.totals_key(run_id), keys.run_key(run_id))]
    found: dict[Key, Item] = {}
    for begin in range(0, len(asked), RUNS_MAX):
        found |= await connections.table.get_many(asked[begin : begin + RUNS_MAX])
    lines = []
    for run_id in ids:  # a run that ended meanwhile stands once
        totals, run = found.get(keys.totals_key(run_id)), found.get(keys.run_key(run_id))
        if totals is not None and run is not None:
            lines.append(line_of(rows.read_run(run), rows.read_totals(totals), connections.clock.now()))
    return [line for line in lines if wanted.fits(line)][:most]


async def find_run(connections: Connections, text: str, *, may_come: bool = False) -> str:
    """The id that `text` means: itself where it stands, else the one run whose id begins with it; else `text`.

    Args:
        may_come: `text` may be the id of a run that has not arrived. Then it means only a run whose id was made of a
            hash: an id that somebody chose may well begin with another one.

    Raises:
        SeveralRuns: it is the beginning of several.
    """
    if len(text) < PREFIX_CHARS_MIN or await connections.ledger.run(text) is not None:
        return text
    fitting = await beginning_with(connections, text)
    if may_come:
        fitting = [run_id for run_id in fitting if _MADE_ID.fullmatch(run_id)]
    # The versions of a dataset begin as the run does that was first.
    fitting = [each for each in fitting if _first_of(each) == each or _first_of(each) not in fitting]
    if len(fitting) > 1:
        named = ", ".join(fitting[:NAMED_MAX]) + (", ..." if len(fitting) > NAMED_MAX else "")
        raise SeveralRuns(f"{len(fitting)} runs begin with {text!r}: {named}; give more of the id")
    return fitting[0] if fitting else text


async def find_version(connections: Connections, text: str, version: int | None) -> str:
    """The run whose results are meant: of a first run the one that made the newest version of its dataset, else itself.

    Args:
        text: a run, or the beginning of its id.
        version: of its dataset; 1 is its own.

    Raises:
        SeveralRuns.
        NoResults: there is no such version.
    """
    run_id = await find_run(connections, text)
    run, totals = await connections.ledger.run(run_id), await connections.ledger.totals(run_id)
    if run is None or totals is None:
        return run_id
    if version is None:
        return totals.newest or run_id
    if version == 1:
        return run.counted_as
    versions = {each.number: each.made_by for each in await connections.ledger.versions(run.counted_as)}
    if version not in versions:
        last = max(versions, default=1)
        raise NoResults(f"the dataset of run {run.counted_as} has no version {version}: the last one is {last}")
    return versions[version]


def _first_of(run_id: str) -> str:
    """The run of whose dataset this one makes a version, by its name; itself otherwise."""
    return _VERSION_ID.sub("", run_id) or run_id


async def beginning_with(connections: Connections, text: str) -> list[str]:
    """The runs whose id begins so, the latest first."""
    return [run_id for run_id in await _ids(connections, RUNS_MAX) if run_id.startswith(text)]


async def no_such_run(connections: Connections, run_id: str) -> NoSuchRun:
    """The error that says so, with the nearest id that there is."""
    nearest = difflib.get_close_matches(run_id, await _ids(connections, RUNS_MAX), n=1)
    hint = f" (the nearest is {nearest[0]})" if nearest else ""
    return NoSuchRun(
        f"there is no run {run_id!r} in this environment{hint}; a run that was just submitted "
        f"appears when a preprocessor receives its manifest: `quarry watch {run_id}` waits for it"
    )


async def _ids(connections: Connections, most: int) -> list[str]:
    ledger = connections.ledger
    opened = sorted(await ledger.open_runs(), key=lambda run: run.accepted_at, reverse=True)
    ids = [run.run_id for run in opened]
    for month in _months(connections.clock.now()):
        if len(ids) < most:
            ids += [run.run_id for run in await ledger.done_runs(month, most=most - len(ids))]
    return list(dict.fromkeys(ids[:most]))


def line_of(run: Run, totals: Totals, now: datetime) -> RunLine:
    """A run as a list shows it."""
    return RunLine(
        run_id=totals.run_id,
        name=run.pins.job_name_prefix if run.pins else None,
        model_id=run.pins.model_id if run.pins else None,
        state=HELD if totals.held else totals.state.value,
        accepted=totals.accepted,
        ok=totals.ok,
        error=totals.error,
        accepted_at=run.accepted_at,
        started_at=totals.started_at or None,
        ended_at=totals.ended_at or None,
        age_s=max(0, round((now - datetime.fromisoformat(run.accepted_at)).total_seconds())),
        dry_run=run.pins is not None and run.pins.dry_run,
        of=run.counted_as,
        version=run.version,
    )


def _months(now: datetime) -> Sequence[str]:
    before = (now.year, now.month - 1) if now.month > 1 else (now.year - 1, 12)
    return f"{now.year:04d}-{now.month:02d}", f"{before[0]:04d}-{before[1]:02d}"
