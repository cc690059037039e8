"""Bringing a run's results to this machine: its parts, each counted as it comes, and its report.

The directory holds the parts and nothing else, for polars and Hugging Face refuse a folder with any other file in it,
a hidden one too. The report, and a note of what was brought, lie in a directory beside it (`out` and `out.quarry`).

A file under its final name is whole: it is written under a hidden one first. With the note a second call brings only
what is missing. Results are write-once: a part that is there, with the ETag noted, is right. Calling twice at the same
time for one directory is not provided for.

Parts are numbered here without gaps: shards have even numbers, of which part n is shard 2n (the second half of a shard
that had to be split follows its first as `part-00007b`). In the bucket they are named by their shards, for a name that
is a function of the shard is what makes it write-once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO

import msgspec
import pyarrow.compute as pc

from quarry_cli.client.convert import write_csv, write_jsonl
from quarry_cli.client.folder import PRIVATE, Folder
from quarry_cli.client.formats import Format
from quarry_cli.client.parts import batches_of, open_part
from quarry_cli.errors import NotWritten
from quarry_core.contract.names import report_key, results_prefix
from quarry_core.errors import Missing
from quarry_core.ports import ObjectInfo, ObjectRef, Objects

NOTE = "download.json"
REPORT = "report.json"
BESIDE = ".quarry"
DOWNLOADS_AT_ONCE = 4
COPY_BYTES = 1 << 20
PARTS_MAX = 100_000
COUNTED_ROWS = 65_536
# Only such names become files: an object's name is not ours to trust with a path.
_PART = re.compile(r"part-([0-9]{5})\.parquet")
_UNFINISHED = re.compile(r"\.part-[0-9]{5}b?\.(fetched|written)")


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """One file. `etag` is the object's, `size_bytes` the file's; `rows` and `ok` were counted in the part itself."""

    etag: str
    size_bytes: int
    rows: int
    ok: int


class Note(msgspec.Struct, kw_only=True):
    """What the directory holds."""

    run_id: str
    format: Format
    safe_cells: bool = False
    files: dict[str, Brought] = {}


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, as it lies there now. `report` is the report as JSON, None if there is none yet."""

    directory: str
    report_path: str
    parts: int
    fetched: int
    rows: int
    ok: int
    report: Any


def parts_of(objects: Objects, run_id: str) -> list[ObjectInfo]:
    """The parts of a run's result that stand, in row order."""
    prefix = results_prefix(run_id)
    return [info for info in objects.list(prefix) if _PART.fullmatch(info.key.removeprefix(prefix))][:PARTS_MAX]


def local_name(key: str, form: Format) -> str:
    """What a part is called on this machine."""
    match = _PART.fullmatch(key.rpartition("/")[2])
    assert match is not None, key
    number, half = divmod(int(match[1]), 2)
    return f"part-{number:05d}{'b' if half else ''}.{form}"


def download(
    objects: Objects,
    run_id: str,
    directory: Path,
    form: Format = "parquet",
    tell: Callable[[int, int], None] | None = None,
    *,
    prefix: str = "",
    safe_cells: bool = False,
    mode: int = PRIVATE,
) -> Download:
    """Bring every part that stands, and the report.

    Args:
        directory: made if it is not there; holds one run in one format.
        tell: told of the number of parts that lie there and of all, whenever one more does.
        prefix: of the columns that Quarry added.
        safe_cells: of CSV: no cell begins a formula.
        mode: of the files.

    Raises:
        NotWritten: the directory holds something else or is a link, or a column has no place in the format.
        Unreadable: the pyarrow that is installed does not know what a part is made of.
        OSError: the disk.
    """
    here = directory.absolute()
    folder, beside = Folder(here, mode), Folder(here.with_name(here.name + BESIDE), mode)
    for each in (folder, beside):
        each.make()
    for left in here.glob(".part-*"):
        if _UNFINISHED.fullmatch(left.name):
            left.unlink(missing_ok=True)  # of a process that died
    note = _note(folder, beside, Note(run_id=run_id, format=form, safe_cells=safe_cells))
    parts = parts_of(objects, run_id)
    names = {part.key: local_name(part.key, form) for part in parts}
    wanted = [part for part in parts if not _there(folder, names[part.key], note, part)]
    there = len(parts) - len(wanted)
    if tell:
        tell(there, len(parts))
    beside.replace(NOTE, msgspec.json.encode(note))
    converters: dict[Format, Callable[[BinaryIO, BinaryIO], None]] = {
        "csv": partial(write_csv, safe_cells=safe_cells),
        "jsonl": write_jsonl,
    }
    failed: BaseException | None = None
    stop = Event()
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        bring = partial(_bring, objects, folder, prefix=prefix, convert=converters.get(form), stop=stop)
        working = {pool.submit(bring, part, names[part.key]): part for part in wanted}
        try:
            for future in as_completed(working):
                if error := future.exception():
                    # What comes after the first one says no more; but what others brought meanwhile is noted.
                    failed = failed or error
                    stop.set()
                    continue
                note.files[names[working[future].key]] = future.result()
                beside.replace(NOTE, msgspec.json.encode(note))
                there += 1
                if tell:
                    tell(there, len(parts))
        finally:
            stop.set()  # an interrupt does not wait for gigabytes
    if failed is not None:
        raise failed
    body = _report_body(objects, run_id)
    if body is not None:
        beside.replace(REPORT, body)
    brought = [note.files[name] for name in names.values()]
    return Download(
        directory=str(directory),
        report_path=str(beside.path / REPORT),
        parts=len(parts),
        fetched=len(wanted),
        rows=sum(file.rows for file in brought),
        ok=sum(file.ok for file in brought),
        report=None if body is None else _report(body),
    )


def _note(folder: Folder, beside: Folder, asked: Note) -> Note:
    body = beside.read(NOTE)
    if body is None:
        if any(folder.path.glob("part-*")):
            raise NotWritten(f"{folder.path} holds parts that Quarry did not write: give another directory")
        return asked
    try:
        note = msgspec.json.decode(body, type=Note)
    except msgspec.DecodeError as error:
        raise NotWritten(f"{beside.path / NOTE} cannot be read ({error}): give another directory") from error
    if (note.run_id, note.format, note.safe_cells) != (asked.run_id, asked.format, asked.safe_cells):
        form = note.format + (" with safe cells" if note.safe_cells else "")
        raise NotWritten(f"{folder.path} holds run {note.run_id} as {form}: give another directory")
    return note


def _there(folder: Folder, name: str, note: Note, part: ObjectInfo) -> bool:
    noted = note.files.get(name)
    return noted is not None and noted.etag == part.etag and folder.size_of(name) == noted.size_bytes


class _Stopped(Exception):
    """Another part failed, or the user interrupts."""


def _bring(
    objects: Objects,
    folder: Folder,
    part: ObjectInfo,
    name: str,
    *,
    prefix: str,
    convert: Callable[[BinaryIO, BinaryIO], None] | None,
    stop: Event,
) -> Brought:
    stem = name.partition(".")[0]
    fetched, written = f".{stem}.fetched", f".{stem}.written"
    with folder.new(fetched) as target:
        with closing(objects.stream(ObjectRef(part.key, etag=part.etag))) as source:
            while piece := source.read(COPY_BYTES):
                if stop.is_set():
                    raise _Stopped
                target.write(piece)
        target.flush()
        rows, ok = count(target, prefix)
        if convert is None:
            folder.place(fetched, name)
        else:
            with folder.new(written) as converted:
                convert(target, converted)
                converted.flush()
                folder.place(written, name)
    size = folder.size_of(name)
    assert size is not None
    return Brought(etag=part.etag, size_bytes=size, rows=rows, ok=ok)


def count(part: BinaryIO, prefix: str = "") -> tuple[int, int]:
    """Rows of a part, and rows of it whose status is ok."""
    name = f"{prefix}status"
    with open_part(part) as file:
        rows = file.metadata.num_rows
        batches: Sequence[Any] = [pc.equal(batch[name], "ok") for batch in batches_of(file, COUNTED_ROWS, [name])]
        return rows, sum(pc.sum(batch).as_py() or 0 for batch in batches)


def _report_body(objects: Objects, run_id: str) -> bytes | None:
    try:
        return objects.read(ObjectRef(report_key(run_id)))
    except Missing:
        return None


def _report(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise NotWritten(f"the run's report is not JSON: {error}") from error
