"""The opened sources of the runs whose shards this process settles, kept so that each shard need not open its own.

What was counted of a source is write-once and pinned by the run, so it never goes stale; it is read again when it was
put out. A dataset is used by one thread at a time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from quarry_core.contract.run import Source
from quarry_core.ports import Objects
from quarry_core.tabular.dataset import Dataset, open_dataset

RUNS_MAX = 4


class Datasets:
    """Of one process; any thread may ask."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._lock = threading.Lock()
        self._idle: OrderedDict[str, list[Dataset]] = OrderedDict()  # by run, the one asked for last at the end

    @contextmanager
    def open(self, run_id: str, source: Source) -> Iterator[Dataset]:
        """The dataset of a run that was counted, for the time of the block. Raises as `open_dataset`."""
        with self._lock:
            kept = self._idle.get(run_id)
            dataset = kept.pop() if kept else None
        if dataset is None:
            dataset = open_dataset(self._objects, run_id, source)
        yield dataset
        # Not after an error: what failed is opened anew.
        with self._lock:
            self._idle.setdefault(run_id, []).append(dataset)
            self._idle.move_to_end(run_id)
            while len(self._idle) > RUNS_MAX:
                self._idle.popitem(last=False)
