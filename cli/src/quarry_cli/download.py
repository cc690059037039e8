"""Bringing a run's results to this machine: its parts, each counted as it comes, and its report.

A file under its final name is whole: it is written under a hidden one first. `_download.json` in the directory notes
what was brought (names with an underscore in front are passed over by readers of Parquet datasets), so a second call
brings only what is missing. Results are write-once: a part that is there, with the ETag noted, is right. Calling
twice at the same time for one directory is not provided for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import pyarrow.compute as pc
import pyarrow.parquet as pq

from quarry_cli.convert import write_csv, write_jsonl
from quarry_cli.errors import NotWritten
from quarry_cli.formats import Format
from quarry_core.errors import Missing
from quarry_core.names import report_key, results_prefix
from quarry_core.ports import ObjectInfo, ObjectRef, Objects

NOTE = "_download.json"
REPORT = "_report.json"
DOWNLOADS_AT_ONCE = 4
COPY_BYTES = 1 << 20
PARTS_MAX = 100_000
# Only such names become files: an object's name is not ours to trust with a path.
_PART = re.compile(r"part-[0-9]{5}\.parquet")
_WRITERS: Mapping[Format, Callable[[Path, Path], None]] = {"csv": write_csv, "jsonl": write_jsonl}


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
    files: dict[str, Brought] = {}


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, as it lies there now. `report` is the report as JSON, None if there is none yet."""

    directory: str
    parts: int
    fetched: int
    rows: int
    ok: int
    report: Any


def parts_of(objects: Objects, run_id: str) -> list[ObjectInfo]:
    """The parts of a run's result that stand, in row order."""
    prefix = results_prefix(run_id)
    return [info for info in objects.list(prefix) if _PART.fullmatch(info.key.removeprefix(prefix))][:PARTS_MAX]


def read_report(objects: Objects, run_id: str) -> Any:
    """The run's report as JSON, or None if it is not written. Raises NotWritten if it cannot be read."""
    body = _report_body(objects, run_id)
    return None if body is None else _report(body)


def download(
    objects: Objects,
    run_id: str,
    directory: Path,
    form: Format = "parquet",
    tell: Callable[[int, int], None] | None = None,
) -> Download:
    """Bring every part that stands, and the report.

    Args:
        directory: made if it is not there; holds one run in one format.
        tell: told of the number of parts that lie there and of all, whenever one more does.

    Raises:
        NotWritten: the directory holds something else, or a column has no place in the format.
        OSError: the disk.
    """
    directory.mkdir(parents=True, exist_ok=True)
    note = _note(directory, run_id, form)
    parts = parts_of(objects, run_id)
    names = {part.key: f"{Path(part.key).stem}.{form}" for part in parts}
    wanted = [part for part in parts if not _there(directory, names[part.key], note, part)]
    there = len(parts) - len(wanted)
    if tell:
        tell(there, len(parts))
    _replace(directory / NOTE, msgspec.json.encode(note))
    failed: BaseException | None = None
    stop = Event()
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        working = {pool.submit(_bring, objects, part, directory / names[part.key], form, stop): part for part in wanted}
        try:
            for future in as_completed(working):
                if error := future.exception():
                    # What comes after the first one says no more; but what others brought meanwhile is noted.
                    failed = failed or error
                    stop.set()
                    continue
                note.files[names[working[future].key]] = future.result()
                _replace(directory / NOTE, msgspec.json.encode(note))
                there += 1
                if tell:
                    tell(there, len(parts))
        finally:
            stop.set()  # an interrupt does not wait for gigabytes
    if failed is not None:
        raise failed
    body = _report_body(objects, run_id)
    if body is not None:
        _replace(directory / REPORT, body)
    brought = [note.files[name] for name in names.values()]
    return Download(
        directory=str(directory),
        parts=len(parts),
        fetched=len(wanted),
        rows=sum(file.rows for file in brought),
        ok=sum(file.ok for file in brought),
        report=None if body is None else _report(body),
    )


def _note(directory: Path, run_id: str, form: Format) -> Note:
    try:
        note = msgspec.json.decode((directory / NOTE).read_bytes(), type=Note)
    except FileNotFoundError:
        if any(directory.glob("part-*")):
            raise NotWritten(f"{directory} holds parts that are not from here: give a directory of its own") from None
        return Note(run_id=run_id, format=form)
    except msgspec.DecodeError as error:
        raise NotWritten(f"{directory / NOTE} cannot be read ({error}): give another directory") from error
    if (note.run_id, note.format) != (run_id, form):
        raise NotWritten(f"{directory} holds run {note.run_id} as {note.format}: give a directory of its own")
    return note


def _there(directory: Path, name: str, note: Note, part: ObjectInfo) -> bool:
    noted, path = note.files.get(name), directory / name
    if noted is None or noted.etag != part.etag or not path.is_file():
        return False
    return path.stat().st_size == noted.size_bytes


class _Stopped(Exception):
    """Another part failed, or the user interrupts."""


def _bring(objects: Objects, part: ObjectInfo, path: Path, form: Format, stop: Event) -> Brought:
    fetched = path.with_name(f".{path.stem}.fetched")
    written = path.with_name(f".{path.stem}.written")
    try:
        with closing(objects.stream(ObjectRef(part.key, etag=part.etag))) as source, fetched.open("wb") as target:
            while piece := source.read(COPY_BYTES):
                if stop.is_set():
                    raise _Stopped
                target.write(piece)
        rows, ok = count(fetched)
        if form == "parquet":
            fetched.replace(path)
        else:
            _WRITERS[form](fetched, written)
            written.replace(path)
        return Brought(etag=part.etag, size_bytes=path.stat().st_size, rows=rows, ok=ok)
    finally:
        fetched.unlink(missing_ok=True)
        written.unlink(missing_ok=True)


def count(part: Path) -> tuple[int, int]:
    """Rows of a part, and rows of it whose status is ok."""
    with pq.ParquetFile(part) as file:
        rows = file.metadata.num_rows
        batches: Sequence[Any] = [pc.equal(batch["status"], "ok") for batch in file.iter_batches(columns=["status"])]
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
        raise NotWritten(f"the run's report is no JSON: {error}") from error


def _replace(path: Path, body: bytes) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(body)
    new.replace(path)
