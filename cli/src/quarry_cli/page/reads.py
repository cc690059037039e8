"""What the page reads, within bounds: for each page a handful of requests, whose answers are kept for seconds.

Owns the cache and the object store. Only reads, but for `dead_letters_of`, which borrows messages for a moment (see
`client/dead_letters/queue.py`) and is therefore asked for by a person alone.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

from quarry_cli.client.connections import Connections
from quarry_cli.client.dead_letters.connections import Post
from quarry_cli.client.dead_letters.queue import DEAD_LETTER_QUEUES, EVENT_TARGET, DeadLetter, look
from quarry_cli.client.diagnosis.errors import RunErrors, errors_of
from quarry_cli.client.diagnosis.explaining import Record, explain, locate
from quarry_cli.client.diagnosis.visits import PlanReader
from quarry_cli.client.pools.lanes import PoolsPage, read_pools
from quarry_cli.client.results import reporting
from quarry_cli.client.results.joined_rows import first_rows
from quarry_cli.client.results.values import plain_values
from quarry_cli.client.runs.pages import IndexedRun, RunsPage, index_of, read_page
from quarry_cli.client.runs.pieces import JobsPage, ShardCell, ShardsPage, read_jobs, read_shard, read_shards
from quarry_cli.client.runs.reading import RunReader
from quarry_cli.client.runs.search import Wanted, no_such_run
from quarry_cli.client.runs.view.shown import JobView, RunView
from quarry_cli.errors import BadSetting, NoSuchRun
from quarry_cli.page.cache import Cache
from quarry_core.contract.names import RUN_ID_PATTERN, SHARD_PATTERN
from quarry_core.contract.run import Run
from quarry_core.errors import PortError
from quarry_core.ports import Objects, Queue

T = TypeVar("T")

RUN_FRESH_S = 2.0
LIST_FRESH_S = 5.0
POOLS_FRESH_S = 5.0
ERRORS_FRESH_S = 15.0
ROWS_FRESH_S = 30.0
QUEUES_FRESH_S = 15.0
# What a person waits for at most; AWS's own timeouts and retries stand beneath.
PAGE_S_MAX = 25.0
READS_AT_ONCE_MAX = 8
READERS_MAX = 200
ROWS_SHOWN = 20
COLUMNS_SHOWN_MAX = 24
EXAMPLES = 3
DEAD_LETTERS_SHOWN_MAX = 10
OUR_LAST = 8
# Only EventBridge sends to the events queue, and the sweep has done the work of what did not come there.
NOT_REDRIVEN = ("events", EVENT_TARGET)


class TooSlow(Exception):
    """AWS took longer than a person waits."""


@dataclass(frozen=True, slots=True)
class FirstRows:
    """Some rows of a result. `hidden` columns are not shown."""

    names: list[str]
    rows: list[list[Any]]
    hidden: int


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """A dead-letter queue. `error` says why it was not counted; `known` is False where its address is not set."""

    name: str
    waiting: int = 0
    borrowed: int = 0
    error: str = ""
    known: bool = True


class Reads:
    """Reads for one page, as long as it is served.

    Every method may raise a `QuarryError`, a `PortError` or `TooSlow`.

    Args:
        known_queues: the dead-letter queues whose addresses are known.
        known_sources: those of them of which it is known where their messages came from.
    """

    def __init__(
        self,
        connections: Connections,
        post: Post | None,
        known_queues: tuple[str, ...],
        known_sources: tuple[str, ...] = (),
    ) -> None:
        self._connections = connections
        self._post = post
        self._known = known_queues
        self._sources = known_sources
        self._cache = Cache(connections.clock.monotonic)
        self._readers: OrderedDict[str, RunReader] = OrderedDict()
        self._turns = asyncio.Semaphore(READS_AT_ONCE_MAX)

    @property
    def connections(self) -> Connections:
        return self._connections

    @cached_property
    def _objects(self) -> Objects:
        return self._connections.objects()

    def forget(self) -> None:
        """What was read may be so no more."""
        self._cache.forget()

    async def runs(self, wanted: Wanted, first: int) -> RunsPage:
        index: list[IndexedRun] = await self._read("index", LIST_FRESH_S, lambda: index_of(self._connections))
        read = partial(read_page, self._connections, index, wanted, max(0, first))
        return await self._read(("runs", wanted, first), LIST_FRESH_S, read)

    async def run(self, run_id: str) -> RunView:
        """Raises NoSuchRun."""
        _check_run_id(run_id)

        async def read() -> RunView:
            reader = self._readers.pop(run_id, None) or RunReader(self._connections, run_id)
            view = await reader.read(all_jobs=False)
            if view is None:
                raise await no_such_run(self._connections, run_id)
            self._readers[run_id] = reader
            while len(self._readers) > READERS_MAX:
                self._readers.popitem(last=False)
            return view

        return await self._read(("run", run_id), RUN_FRESH_S, read)

    async def asked(self, run_id: str) -> Run:
        """The run as it was accepted, with its prompt as long as that is kept. Raises NoSuchRun."""
        _check_run_id(run_id)

        async def read() -> Run:
            found = await self._connections.ledger.run(run_id)
            if found is None:
                raise await no_such_run(self._connections, run_id)
            return found

        return await self._read(("asked", run_id), ROWS_FRESH_S, read)

    async def shards(self, run_id: str, page: int) -> ShardsPage:
        _check_run_id(run_id)
        return await self._read(
            ("shards", run_id, page), LIST_FRESH_S, lambda: read_shards(self._connections, run_id, page)
        )

    async def shard(self, run_id: str, shard: str) -> tuple[ShardCell, list[JobView]] | None:
        _check_run_id(run_id)
        if SHARD_PATTERN.fullmatch(shard) is None:
            raise BadSetting(f"shard: {shard!r} is not five digits")
        return await self._read(
            ("shard", run_id, shard), RUN_FRESH_S, lambda: read_shard(self._connections, run_id, shard)
        )

    async def jobs(self, run_id: str, after: str) -> JobsPage:
        _check_run_id(run_id)
        shard, _, attempt = after.partition("#")
        if after and not (SHARD_PATTERN.fullmatch(shard) and attempt.isascii() and attempt.isdigit()):
            raise BadSetting("after: the address of this page is not one of ours")
        return await self._read(
            ("jobs", run_id, after), LIST_FRESH_S, lambda: read_jobs(self._connections, run_id, after)
        )

    async def errors(self, run_id: str) -> RunErrors:
        view = await self.run(run_id)
        return await self._blocking(
            ("errors", run_id), ERRORS_FRESH_S, lambda: errors_of(view, self._objects, EXAMPLES)
        )

    async def rows(self, run_id: str) -> FirstRows | None:
        """The first rows that stand; None if there are none. Raises Unreadable."""
        _check_run_id(run_id)

        def read() -> FirstRows | None:
            table = first_rows(self._objects, run_id, ROWS_SHOWN)
            if table is None:
                return None
            names = table.column_names
            # Our columns are the last; the source's may be hundreds.
            places = list(range(len(names)))
            if len(names) > COLUMNS_SHOWN_MAX:
                places = [*places[: COLUMNS_SHOWN_MAX - OUR_LAST], *places[-OUR_LAST:]]
            columns = [
                [value for chunk in table.column(place).chunks for value in plain_values(chunk)] for place in places
            ]
            rows = [list(row) for row in zip(*columns, strict=True)]
            return FirstRows([names[place] for place in places], rows, len(names) - len(places))

        return await self._blocking(("rows", run_id), ROWS_FRESH_S, read)

    async def record(self, run_id: str, record: str) -> Record:
        """What became of one record, with its request. Raises NoSuchRun, NoSuchRecord."""
        _check_run_id(run_id)

        async def read() -> Record:
            place = await locate(self._connections, run_id, record, PlanReader(self._objects))
            bucket = self._connections.bucket
            return await asyncio.to_thread(lambda: explain(self._objects, bucket, place))

        return await self._read(("record", run_id, record), ROWS_FRESH_S, read)

    async def report(self, run_id: str) -> bytes:
        """The report as a page, as the collector left it. Raises NoSuchRun, NotEnded, NoResults."""
        _check_run_id(run_id)

        async def read() -> bytes:
            run, jobs, objects = await reporting.read_run(self._connections, run_id)
            return await asyncio.to_thread(lambda: reporting.page_of(run, jobs, objects, rows=0, prompt=False))

        return await self._read(("report", run_id), ROWS_FRESH_S, read)

    async def pools(self, page: int) -> PoolsPage:
        return await self._read(("pools", page), POOLS_FRESH_S, lambda: read_pools(self._connections, page))

    async def depths(self) -> list[QueueDepth]:
        """How many messages each dead-letter queue has. No message is touched."""

        async def one(name: str) -> QueueDepth:
            if self._post is None or name not in self._known:
                return QueueDepth(name, known=False)
            try:
                counts = await self._post.dead_letters(name).depth()
            except PortError as error:
                return QueueDepth(name, error=str(error))
            return QueueDepth(name, counts["visible"] + counts["delayed"], counts["in_flight"])

        async def read() -> list[QueueDepth]:
            return list(await asyncio.gather(*map(one, DEAD_LETTER_QUEUES)))

        return await self._read("depths", QUEUES_FRESH_S, read)

    async def dead_letters_of(self, name: str) -> list[DeadLetter]:
        """The first messages of a dead-letter queue, which are borrowed for a moment. Raises BadSetting."""
        if self._post is None or name not in self._known:
            raise BadSetting(f"queue: {name!r} is not known here")
        queue = self._post.dead_letters(name)
        return await self._read(
            ("dead-letter messages", name), QUEUES_FRESH_S, lambda: look(queue, most=DEAD_LETTERS_SHOWN_MAX)
        )

    def redriven(self, name: str) -> tuple[Queue, Queue]:
        """A dead-letter queue, and where its messages go back to. Raises BadSetting."""
        if self._post is None or name not in self._sources or name in NOT_REDRIVEN:
            raise BadSetting(f"queue: nothing is moved back from {name!r} here")
        return self._post.dead_letters(name), self._post.source(name)

    async def _read(self, key: Hashable, fresh_s: float, read: Callable[[], Awaitable[T]]) -> T:
        async def within() -> T:
            async with self._turns:
                return await read()

        try:
            async with asyncio.timeout(PAGE_S_MAX):
                return await self._cache.get(key, fresh_s, within)
        except TimeoutError as error:
            raise TooSlow(f"AWS did not answer within {PAGE_S_MAX:g} s") from error

    async def _blocking(self, key: Hashable, fresh_s: float, work: Callable[[], T]) -> T:
        return await self._read(key, fresh_s, lambda: asyncio.to_thread(work))


def _check_run_id(run_id: str) -> None:
    """Nothing else becomes part of a key."""
    if RUN_ID_PATTERN.fullmatch(run_id) is None:
        raise NoSuchRun(f"{run_id!r} is no run id")
