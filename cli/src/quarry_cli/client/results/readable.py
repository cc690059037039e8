"""Whether a run's results may be read, asked before anything reads them."""

from __future__ import annotations

from quarry_cli.client.connections import Connections
from quarry_cli.client.runs.reading import RunReader
from quarry_cli.client.runs.search import find_version, no_such_run
from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.client.session import Session
from quarry_cli.errors import NoResults, NotEnded
from quarry_core.ports import Objects


def readable(
    session: Session, run_id: str, *, partial: bool = False, version: int | None = None
) -> tuple[RunView, Objects]:
    """A run whose results may be read, and the object store to read them from, which outlives the connection. Blocking.

    Args:
        run_id: or its beginning.
        partial: also while the run goes on.
        version: of the dataset; by default the newest.

    Raises:
        NoSuchRun, SeveralRuns, NotEnded, NoResults.
    """

    async def look(connections: Connections) -> tuple[RunView, Objects]:
        found = await find_version(connections, run_id, version)
        view = await RunReader(connections, found).read(all_jobs=False)
        if view is None:
            raise await no_such_run(connections, found)
        return view, connections.objects()

    view, objects = session.do(look)
    run_id = view.run_id
    if view.erased_at:
        raise NoResults(f"run {run_id} was erased at {view.erased_at}: nothing is left of its results")
    if view.dry_run:
        raise NoResults(f"run {run_id} is a dry run, which has no results: quarry status {run_id} shows its plan")
    if view.results_uri is None:
        raise NoResults(f"run {run_id} failed without results: {view.error or 'no reason is recorded'}")
    if not view.state.terminal and not partial:
        raise NotEnded(
            f"run {run_id} is {view.state}: its results are complete when it "
            f"has ended (quarry watch {run_id}); the parts so far are available as partial results"
        )
    return view, objects
