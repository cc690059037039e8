"""Bringing a run's results to this machine: its parts, each counted as it comes, and its report.

The directory holds the parts and nothing else, for polars and Hugging Face refuse a folder with any other file in it,
a hidden one too. The report, and a note of what was brought, lie in a directory beside it (`out` and `out.quarry`).

A file under its final name is whole: it is written under a hidden one first. With the note a second call brings only
what is missing. Results are write-once: a part that is there, with the ETag noted, is right. Calling twice at the same
time for one directory is not provided for.

Parts are numbered here without gaps (`result_parts.local_stem`). In the bucket they are named by their shards, for a name
that is a function of the shard is what makes it write-once.

A directory has one layout, which its note keeps: the parts of the shards, the larger ones of `quarry compact`, or parts that
were merged here as they came. So a second call adds to what the first one brought, and no row comes twice.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO, Literal

import msgspec
import pyarrow.compute as pc

from quarry_cli.client.folder import PRIVATE, Folder
from quarry_cli.client.results.compact.grouping import AIM_MIB, MIB, groups_of
from quarry_cli.client.results.compact.merged import MERGING, fetch, merge
from quarry_cli.client.results.convert import write_csv, write_jsonl
from quarry_cli.client.results.formats import Format
from quarry_cli.client.results.parts import batches_of, open_part
from quarry_cli.client.results.readable import readable
from quarry_cli.client.results.result_parts import compact_parts_of, local_stem, parts_of
from quarry_cli.client.results.row_account import Account, account
from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.client.session import Session
from quarry_cli.errors import NoResults, NotEnded, NotWritten
from quarry_core.contract.names import report_key
from quarry_core.errors import Missing
from quarry_core.ports import ObjectInfo, ObjectRef, Objects
from quarry_core.tabular.parquet.part_errors import PartError

NOTE = "download.json"
REPORT = "report.json"
BESIDE = ".quarry"
DOWNLOADS_AT_ONCE = 4
MERGES_AT_ONCE = 2
COUNTED_ROWS = 65_536
_UNFINISHED = re.compile(r"\.part-[0-9]{5}b?\.(fetched|written)")


# Of the parts in a directory: one a shard, those of `quarry compact`, or merged here.
Layout = Literal["shards", "compact", "merged"]


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """One file. `etag` is the object's, `size_bytes` the file's; `rows` and `ok` were counted in the part itself.

    Of several parts that were merged here `etag` is a hash of theirs.
    """

    etag: str
    size_bytes: int
    rows: int
    ok: int


class Note(msgspec.Struct, kw_only=True):
    """What the directory holds."""

    run_id: str
    format: Format
    safe_cells: bool = False
    layout: Layout = "shards"
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


@dataclass(frozen=True, slots=True)
class Piece:
    """A file to be: one part as it is, or several that are merged here."""

    name: str
    parts: tuple[ObjectInfo, ...]

    @property
    def etag(self) -> str:
        if len(self.parts) == 1:
            return self.parts[0].etag
        return hashlib.sha256("\n".join(part.etag for part in self.parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Results:
    """A finished download; `account` is None while the run goes on."""

    view: RunView
    download: Download
    account: Account | None


def local_name(key: str, form: Format) -> str:
    """What a part is called on this machine."""
    return f"{local_stem(key)}.{form}"


def download_run(
    session: Session,
    run_id: str,
    directory: Path | str,
    form: Format,
    tell: Callable[[int, int], None] | None = None,
    *,
    partial: bool = False,
    safe_cells: bool = False,
    mode: int = PRIVATE,
    version: int | None = None,
    compact: bool | None = None,
) -> Results:
    """Download a run's results, and draw up their account once it has ended. Blocking; the arguments are `Client.results`'s."""
    view, objects = readable(session, run_id, partial=partial, version=version)
    brought = download(objects, view, Path(directory), form, tell, safe_cells=safe_cells, mode=mode, compact=compact)
    ended = view.state.terminal
    return Results(view, brought, account(view.rows, brought.report, brought.rows, brought.ok) if ended else None)


def download(
    objects: Objects,
    view: RunView,
    directory: Path,
    form: Format = "parquet",
    tell: Callable[[int, int], None] | None = None,
    *,
    safe_cells: bool = False,
    mode: int = PRIVATE,
    compact: bool | None = None,
) -> Download:
    """Bring every part that stands, and the report.

    Args:
        view: of the run.
        directory: made if it is not there; holds one run in one format and layout.
        tell: told of the number of parts that lie there and of all, whenever one more does.
        safe_cells: of CSV: no cell begins a formula.
        mode: of the files.
        compact: True: few large parts, merged here if they are not in the bucket; False: one a shard; None: as they were
            brought before, else the large ones if they are in the bucket.

    Raises:
        NotEnded: parts are to be merged, and there will be more of them.
        NotWritten: the directory holds something else or is a link, a column has no place in the format, or the parts
            cannot be merged by the pyarrow that is installed.
        Unreadable: the pyarrow that is installed does not know what a part is made of.
        OSError: the disk.
    """
    here = directory.absolute()
    folder, beside = Folder(here, mode), Folder(here.with_name(here.name + BESIDE), mode)
    for each in (folder, beside):
        each.make()
    _sweep(folder, beside)
    note = _note(folder, beside, Note(run_id=view.run_id, format=form, safe_cells=safe_cells))
    note.layout = _layout(note, view, objects, compact)
    pieces = _pieces(objects, view, note)
    wanted = [piece for piece in pieces if not _there(folder, note, piece)]
    there = len(pieces) - len(wanted)
    if tell:
        tell(there, len(pieces))
    beside.replace(NOTE, msgspec.json.encode(note))
    converters: dict[Format, Callable[[BinaryIO, BinaryIO], None]] = {
        "csv": partial(write_csv, safe_cells=safe_cells),
        "jsonl": write_jsonl,
    }
    failed: BaseException | None = None
    stop = Event()
    with ThreadPoolExecutor(MERGES_AT_ONCE if note.layout == "merged" else DOWNLOADS_AT_ONCE) as pool:
        bring = partial(
            _bring, objects, folder, beside, prefix=view.result_prefix, convert=converters.get(form), stop=stop
        )
        working = {pool.submit(bring, piece): piece for piece in wanted}
        try:
            for future in as_completed(working):
                if error := future.exception():
                    # What comes after the first one says no more; but what others brought meanwhile is noted.
                    failed = failed or error
                    stop.set()
                    continue
                note.files[working[future].name] = future.result()
                beside.replace(NOTE, msgspec.json.encode(note))
                there += 1
                if tell:
                    tell(there, len(pieces))
        finally:
            stop.set()  # an interrupt does not wait for gigabytes
    if failed is not None:
        raise failed
    body = _report_body(objects, view.run_id)
    if body is not None:
        beside.replace(REPORT, body)
    brought = [note.files[piece.name] for piece in pieces]
    return Download(
        directory=str(directory),
        report_path=str(beside.path / REPORT),
        parts=len(pieces),
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


def _layout(note: Note, view: RunView, objects: Objects, compact: bool | None) -> Layout:
    """How the parts of this directory are cut: as before, if it holds any."""
    before: Layout | None = note.layout if note.files else None
    if compact is None and before is not None:
        return before
    if before is not None and compact != (before != "shards"):
        held = "one part a shard" if before == "shards" else "few large parts"
        raise NotWritten(f"the directory holds run {view.run_id} as {held}: give another directory")
    if compact is False:
        return "shards"
    if before is not None:
        return before
    if compact_parts_of(objects, view):
        return "compact"
    if compact and not view.state.terminal:
        raise NotEnded(f"run {view.run_id} is {view.state}: its parts can be merged when it has ended")
    return "merged" if compact else "shards"


def _pieces(objects: Objects, view: RunView, note: Note) -> list[Piece]:
    if note.layout == "compact":
        parts = compact_parts_of(objects, view)
        if not parts:
            raise NoResults(f"the compacted parts of run {view.run_id} are not there any more: give another directory")
    else:
        parts = parts_of(objects, view.run_id)
    if note.layout == "merged":
        groups = groups_of([part.size_bytes for part in parts], AIM_MIB * MIB)
        return [
            Piece(f"part-{number:05d}.{note.format}", tuple(parts[each.start : each.stop]))
            for number, each in enumerate(groups)
        ]
    return [Piece(local_name(part.key, note.format), (part,)) for part in parts]


def _sweep(folder: Folder, beside: Folder) -> None:
    """What a process left that died."""
    for left in folder.path.glob(".part-*"):
        if _UNFINISHED.fullmatch(left.name):
            left.unlink(missing_ok=True)
    for left in beside.path.glob(f"{MERGING}*"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)


def _there(folder: Folder, note: Note, piece: Piece) -> bool:
    noted = note.files.get(piece.name)
    return noted is not None and noted.etag == piece.etag and folder.size_of(piece.name) == noted.size_bytes


def _bring(
    objects: Objects,
    folder: Folder,
    beside: Folder,
    piece: Piece,
    *,
    prefix: str,
    convert: Callable[[BinaryIO, BinaryIO], None] | None,
    stop: Event,
) -> Brought:
    name = piece.name
    stem = name.partition(".")[0]
    fetched, written = f".{stem}.fetched", f".{stem}.written"
    with folder.new(fetched) as target:
        if len(piece.parts) == 1:
            fetch(objects, piece.parts[0], target, stop)
        else:
            try:
                merge(objects, piece.parts, target, beside.path, stop)
            except PartError as error:
                raise NotWritten(
                    f"the parts of {name} cannot be merged with the pyarrow that is installed ({error}): leave out --compact"
                ) from error
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
    return Brought(etag=piece.etag, size_bytes=size, rows=rows, ok=ok)


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
