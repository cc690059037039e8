"""Some parts of a run, fetched to a folder of this machine and merged into one file. Blocking.

At most `FETCHES_AT_ONCE` requests are under way: many small parts are a matter of latency, and large ones of the line.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import BinaryIO

import pyarrow.parquet as pq

from quarry_cli.client.results.parts import read_by_this_pyarrow
from quarry_core.ports import ObjectInfo, ObjectRef, Objects
from quarry_core.tabular.parquet.merging import merge_parts

FETCHES_AT_ONCE = 4
COPY_BYTES = 1 << 20
# What a folder begins with in which parts are merged; whoever finds one may remove it.
MERGING = "quarry-merging-"


class Stopped(Exception):
    """Another part failed, or the user interrupts."""


def fetch(objects: Objects, part: ObjectInfo, target: BinaryIO, stop: Event) -> None:
    """One part as it was listed, byte by byte. Raises Stopped, Changed, Missing."""
    with closing(objects.stream(ObjectRef(part.key, etag=part.etag, size_bytes=part.size_bytes))) as source:
        while piece := source.read(COPY_BYTES):
            if stop.is_set():
                raise Stopped
            target.write(piece)


def merge(objects: Objects, parts: Sequence[ObjectInfo], target: BinaryIO, folder: Path | None, stop: Event) -> int:
    """Write the rows of some parts into one new file, which is proven to hold them; the number of rows.

    Args:
        target: writable, readable and seekable, and empty.
        folder: where the parts lie meanwhile, in a new folder for their owner alone; None is the system's for such.
        stop: is set when the work is to end.

    Raises:
        PartError: the parts differ, or this pyarrow does not write them as they are.
        Unreadable, Changed, Missing, Stopped, OSError.
    """
    with tempfile.TemporaryDirectory(prefix=MERGING, dir=folder) as there:
        paths = [Path(there) / f"{number:06d}" for number in range(len(parts))]

        def bring(number: int) -> None:
            with paths[number].open("xb") as file:
                fetch(objects, parts[number], file, stop)

        with ThreadPoolExecutor(FETCHES_AT_ONCE) as pool:
            try:
                list(pool.map(bring, range(len(parts))))
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        if len(paths) == 1:
            return _as_it_is(paths[0], target)
        with read_by_this_pyarrow():
            return merge_parts(paths, target, _raising(stop))


def _as_it_is(path: Path, target: BinaryIO) -> int:
    with path.open("rb") as source:
        shutil.copyfileobj(source, target, COPY_BYTES)
    target.flush()
    with read_by_this_pyarrow():
        return int(pq.read_metadata(path).num_rows)


def _raising(stop: Event) -> Callable[[], None]:
    def still() -> None:
        if stop.is_set():
            raise Stopped

    return still
