"""Of which format the files of a source are: as the manifest says, else by their names, else by their first bytes.

One format a source: a folder that holds two is refused with what was found. Names of Athena's files have no endings, so
of files whose names tell nothing a few are looked at, spread over all; the count reads each of them anyway, and names the
one that is different.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from quarry_core.contract.listing import SourceFile
from quarry_core.contract.magic import magic_of, other_name
from quarry_core.contract.manifest import Manifest, ManifestError
from quarry_core.contract.source_format import FORMATS, Promise, SourceFormat, promise_of
from quarry_core.sources.folders import shown_key
from quarry_core.tabular.compressed import unpacked_beginning

SNIFFED_MAX = 16
SNIFFED_BYTES = 4_096
KINDS_SHOWN_MAX = 8

Head = Callable[[SourceFile], bytes]


def settle_format(manifest: Manifest, files: Sequence[SourceFile], head: Head, uri: str) -> SourceFormat:
    """The one format of all files.

    Args:
        head: reads the first `SNIFFED_BYTES` of a file.
        uri: what was named, for the sentence.

    Raises:
        ManifestError: they are of several formats, of one that is not read, or nothing tells.
        PortError: as `head` does.
    """
    form = manifest.format or _settled(manifest, files, head, uri)
    if manifest.csv is not None and form != "csv":
        what = "Parquet" if form == "parquet" else "JSON lines"
        raise ManifestError(f"csv: s3_uri names {what}, which needs no dialect; leave csv out")
    return form


def _settled(manifest: Manifest, files: Sequence[SourceFile], head: Head, uri: str) -> SourceFormat:
    promises = [(promise_of(file.key), file) for file in files]
    kinds = Counter(_kind(promise) for promise, _ in promises)
    formats = {promise.format for promise, _ in promises if promise.format is not None}
    others = [(promise, file) for promise, file in promises if promise.format is None and promise.fault]
    nameless = [file for promise, file in promises if not _kind(promise)]
    if len(formats) > 1 or (others and len(kinds) > 1):
        raise ManifestError(_mixed(kinds, promises, uri))
    for promise, file in promises:
        if promise.fault:
            raise ManifestError(f"s3_uri: {shown_key(file.key)!r} {promise.fault}")
    told: SourceFormat | None = next(iter(formats), None)
    if not nameless or (told is None and manifest.csv is not None):
        return told or "csv"
    return _by_bytes(nameless, told, head)


def _by_bytes(nameless: Sequence[SourceFile], told: SourceFormat | None, head: Head) -> SourceFormat:
    """The format of files whose names tell nothing; `told` is what the names of others do."""
    first: tuple[SourceFile, SourceFormat | None] | None = None
    for file in _spread(nameless):
        seen = _seen(head(file), file.key)
        if seen is None and told == "csv":
            seen = "csv"  # text, and its neighbours say which
        first = first or (file, seen)
        if seen != (told or first[1]):
            what = (
                f"the files whose names say so are {told}"
                if told
                else f"{shown_key(first[0].key)!r} is {_word(first[1])}"
            )
            raise ManifestError(
                f"s3_uri: {shown_key(file.key)!r} is {_word(seen)} by its first bytes, and {what}: a source is of one"
                " format. Narrow the pattern, or give the format in `format`"
            )
    assert first is not None
    if first[1] is None:
        raise ManifestError(
            f"s3_uri: {shown_key(first[0].key)!r} ends in neither .csv, .parquet nor .jsonl: rename the object for its"
            " format, or give the format in `format`"
        )
    return first[1]


def _seen(head: bytes, key: str) -> SourceFormat | None:
    """By a file's first bytes; None for text that may be anything."""
    kind = magic_of(head)
    packed = kind in ("gzip", "zstd")
    if kind in ("gzip", "zstd"):
        kind = magic_of(unpacked_beginning(head, kind, SNIFFED_BYTES))
    if kind == "encrypted":
        raise ManifestError(
            f"s3_uri: {shown_key(key)!r} is Parquet with an encrypted footer, and Quarry has no keys; write it unencrypted"
        )
    if kind == "binary" or (kind == "parquet" and packed):
        what = "Parquet inside gzip or zstd" if packed else other_name(head) or "binary data of no known format"
        raise ManifestError(
            f"s3_uri: {shown_key(key)!r} is {what}, which is not read; convert it to .csv, .parquet or .jsonl"
        )
    return "parquet" if kind == "parquet" else "jsonl" if kind == "json" else None


def _spread(files: Sequence[SourceFile]) -> list[SourceFile]:
    """Up to `SNIFFED_MAX` files, the first and the last among them."""
    if len(files) <= SNIFFED_MAX:
        return list(files)
    return [files[place * (len(files) - 1) // (SNIFFED_MAX - 1)] for place in range(SNIFFED_MAX)]


def _kind(promise: Promise) -> str:
    """Under what a name is counted: its ending, however it is packed; empty if it tells nothing."""
    if promise.format is None and not promise.fault:
        return ""
    return promise.ending


def _word(form: SourceFormat | None) -> str:
    return {"csv": "CSV", "parquet": "Parquet", "jsonl": "JSON lines", None: "text"}[form]


def _mixed(kinds: Mapping[str, int], promises: Sequence[tuple[Promise, SourceFile]], uri: str) -> str:
    examples: dict[str, str] = {}
    for promise, file in promises:
        examples.setdefault(_kind(promise), file.key)
    ordered = sorted(kinds, key=lambda kind: (-kinds[kind], kind))
    found = [f"{kinds[kind]} {kind or 'without an ending'} ({shown_key(examples[kind])})" for kind in ordered]
    more = f" and {len(found) - KINDS_SHOWN_MAX} more kinds" if len(found) > KINDS_SHOWN_MAX else ""
    data = next((kind for kind in ordered if kind.endswith(tuple(FORMATS))), ordered[0])
    folder = uri[: uri.rfind("/") + 1] if "*" not in uri else uri[: uri.index("*")]
    return (
        f"s3_uri: {shown_key(uri)} names files of several kinds: {', '.join(found[:KINDS_SHOWN_MAX])}{more}. A source is"
        f" of one format: narrow it, for example to {shown_key(folder)}**/*{data}, or name the files in a list"
    )
