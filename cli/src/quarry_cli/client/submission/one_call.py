"""From files on this machine to a run, in one call: what is asked becomes a manifest, and the files lie where it says.

Theory of operation. Files are hashed first, so the manifest is known. It is judged as `quarry submit` judges it, over the files
where they are, and can be refused before a byte is uploaded. Then come the upload, which sends nothing twice, and the
submission. Where the results are to go is looked at before anything is paid for, and the run is noted there: the same call
again follows the same run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from quarry_cli.client.aside import aside
from quarry_cli.client.connections import Connections
from quarry_cli.client.folder import Folder
from quarry_cli.client.submission.local_files import with_files
from quarry_cli.client.submission.submitting import as_text, check_queue, judge, put
from quarry_cli.client.submission.uploading import LocalFile, Progress, bring, look_at
from quarry_cli.errors import NotSubmitted, NotWritten
from quarry_core.contract.manifest import ManifestError
from quarry_core.contract.manifest_identity import manifest_hash
from quarry_core.contract.manifest_reading import read_manifest
from quarry_core.contract.names import s3_uri
from quarry_core.contract.source_format import promise_of
from quarry_core.models.aliases import Named, UnknownAlias, model_named
from quarry_core.text import shown_name

RUN_NOTE = "run.json"
DOWNLOAD_NOTE = "download.json"
BESIDE = ".quarry"
NAME_CHARS_MAX = 40
RUN_ID_CHARS = 12
_IN_S3 = "s3://"
_UNFIT = re.compile(r"[^a-zA-Z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Asked:
    """One call.

    Attributes:
        sources: files of this machine, or `s3://` URIs; not both.
        model: an alias, or a model id.
        fields: the manifest's other fields.
        out: where the results will go; None: nowhere on this machine.
    """

    sources: Sequence[str]
    model: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    out: Path | None = None


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The run that a call is.

    `alias` is the model's short name, where one was used. `uploaded` of the `files` were sent; the others stood in the
    bucket already. `continued`: the run was sent by an earlier call with the same arguments. `unchecked`: what could not
    be looked at before it was sent, one sentence each.
    """

    run_id: str
    model_id: str
    alias: str
    source: list[str]
    files: int
    uploaded: int
    continued: bool
    unchecked: list[str]


class _RunNote(msgspec.Struct, frozen=True, kw_only=True):
    """What `DIR.quarry/run.json` says: which run the directory is for, where it runs, and what was asked."""

    run_id: str
    environment: str
    manifest_hash: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """What would be sent. `files` lie on this machine still."""

    named: Named
    manifest: Mapping[str, Any]
    files: tuple[LocalFile, ...]


def prepare(bucket: str, region: str, asked: Asked, progress: Progress | None = None) -> Prepared:
    """The manifest of a call; the files are read, and nothing is sent.

    Raises:
        NotSubmitted: a file, the model's name or a field is wrong, in the words with which the run would end.
    """
    try:
        named = model_named(asked.model, region)
    except UnknownAlias as error:
        raise NotSubmitted(f"model: {error}") from error
    if not asked.sources:
        raise NotSubmitted("no data is given: name a file, or an s3:// URI")
    in_s3 = [source for source in asked.sources if source.startswith(_IN_S3)]
    if in_s3 and len(in_s3) < len(asked.sources):
        raise NotSubmitted("files of this machine and s3:// URIs cannot be one source: upload the files first")
    files = () if in_s3 else tuple(look_at([Path(source) for source in asked.sources], progress))
    if asked.fields.get("format") is None:
        _check_names(files)
    uris = in_s3 or list(dict.fromkeys(s3_uri(bucket, file.key) for file in files))
    if files and len(uris) < len(files):
        raise NotSubmitted("two of the files are the same: name each once")
    manifest = {
        "job_name_prefix": job_name(asked.sources[0]),
        **asked.fields,
        "model_id": named.model_id,
        "s3_uri": uris[0] if len(uris) == 1 else uris,
    }
    _check(as_text(manifest))
    return Prepared(named, manifest, files)


def _check_names(files: Sequence[LocalFile]) -> None:
    """Refuse what no run reads by the name that it has here."""
    for file in files:
        if fault := promise_of(file.key).fault:
            raise NotSubmitted(f"{shown_name(str(file.path))} {fault}")


def job_name(source: str) -> str:
    """A prefix of jobs' names, from what the first file is called."""
    stem = source.rstrip("/").rpartition("/")[2].partition(".")[0]
    return _UNFIT.sub("-", stem).strip("-.")[:NAME_CHARS_MAX].strip("-.") or "run"


def _check(text: str) -> None:
    try:
        read_manifest(msgspec.json.decode(text))
    except ManifestError as error:
        raise NotSubmitted(str(error)) from error


async def send(connections: Connections, asked: Asked, progress: Callable[[str, int, int], None] | None = None) -> Sent:
    """Bring the files, and put the manifest on the queue; or find the run that the same call made before.

    Args:
        progress: called often, in another thread, with a word for the work, the bytes done and all bytes.

    Raises:
        NotSubmitted: it is refused; nothing was sent.
        NotWritten: `asked.out` holds something else.
        PortError: AWS gave no answer.
    """

    def told(word: str) -> Progress | None:
        return None if progress is None else partial(progress, word)

    prepared = await aside(partial(prepare, connections.bucket, connections.region, asked, told("reading")))
    manifest = dict(prepared.manifest)
    noted = None
    if asked.out is not None:
        noted = _noted(asked.out, prepared, _environment(connections))
        # With an id of its own a manifest may be sent again: it is the same run, whenever an earlier call broke off.
        manifest["run_id"] = (
            noted.run_id if noted else manifest.get("run_id") or connections.clock.token()[:RUN_ID_CHARS]
        )
    check_queue(connections)
    text = as_text(manifest)
    glance = connections.glance or connections.objects
    here = with_files(connections, prepared.files, glance) if prepared.files else connections
    judged = await judge(here, text)
    uploaded = 0
    if prepared.files:
        bringing = partial(bring, connections.objects(), connections.bucket, prepared.files, told("uploading"))
        uploaded = await aside(bringing)
    if asked.out is not None and noted is None:
        note = _RunNote(
            run_id=manifest["run_id"], environment=_environment(connections), manifest_hash=_hash(prepared.manifest)
        )
        beside = _beside(asked.out)
        beside.make()
        beside.replace(RUN_NOTE, msgspec.json.encode(note))
    submitted = await put(connections, text, judged)
    assert submitted.run_id is not None
    return Sent(
        run_id=submitted.run_id,
        model_id=prepared.named.model_id,
        alias=prepared.named.alias,
        source=[uri] if isinstance(uri := manifest["s3_uri"], str) else list(uri),
        files=len(prepared.files),
        uploaded=uploaded,
        continued=submitted.known,
        unchecked=submitted.unchecked,
    )


async def begun(connections: Connections, asked: Asked) -> bool:
    """Whether the call was begun before, for the same directory: whoever began it has agreed to pay. Raises as `send` does."""
    if asked.out is None or _beside(asked.out).read(RUN_NOTE) is None:
        return False
    prepared = await aside(partial(prepare, connections.bucket, connections.region, asked))
    return _noted(asked.out, prepared, _environment(connections)) is not None


def _hash(manifest: Mapping[str, Any]) -> str:
    """Of what goes over the wire, in which a tuple is a list."""
    return manifest_hash(msgspec.json.decode(as_text(manifest)))


def _environment(connections: Connections) -> str:
    """Told apart by the queue, whose URL has the account, or the port of a local stack."""
    return connections.manifest_queue_url or connections.bucket


def _beside(out: Path) -> Folder:
    here = out.absolute()
    return Folder(here.with_name(here.name + BESIDE))


def _noted(out: Path, prepared: Prepared, environment: str) -> _RunNote | None:
    """The run that the directory is for already, if the same was asked. Raises NotWritten if it is for another."""
    beside = _beside(out)
    body = beside.read(RUN_NOTE)
    remedy = "give another directory"
    if body is None:
        if any(out.absolute().glob("part-*")) or beside.read(DOWNLOAD_NOTE) is not None:
            raise NotWritten(f"{out} holds the results of another run: {remedy}")
        return None
    try:
        note = msgspec.json.decode(body, type=_RunNote)
    except msgspec.DecodeError as error:
        raise NotWritten(f"{beside.path / RUN_NOTE} cannot be read ({error}): {remedy}") from error
    if note.environment != environment:
        raise NotWritten(
            f"{out} is for run {note.run_id} of another environment, or of a local stack that has ended: {remedy}, or"
            f" delete {out} and {beside.path.name}"
        )
    if note.manifest_hash != _hash(prepared.manifest):
        raise NotWritten(f"{out} is for run {note.run_id}, for which something else was asked: {remedy}")
    return note
