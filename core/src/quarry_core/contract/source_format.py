"""Which format a source's name promises. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

SourceFormat = Literal["csv", "parquet", "jsonl"]
FORMATS: dict[str, SourceFormat] = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",  # what Spark and Snowflake call JSON lines
}
# Around a whole file of text.
COMPRESSIONS = (".gz", ".zst", ".zstd")

_ENDINGS = (".csv", ".parquet", ".jsonl")
_CONVERT = "not yet supported; convert it to .csv, .parquet or .jsonl"
_REPACK = "not yet supported; compress it with gzip or zstd, or not at all"
_UNPACK = "not yet supported; unpack it"
_NO_DATA = "no data file"
_ANY_TEXT = (
    "Read are CSV (.csv), JSON lines (.jsonl, .ndjson, .json), both also in .gz or .zst, and Parquet (.parquet): if it is CSV,"
    ' rename it or give "format": "csv"; if each line is a text of its own, make JSON lines of it: jq -Rc \'{text: .}\' FILE > FILE.jsonl'
)
_TABS = 'not read as it is; give "format": "csv" and "csv": {"delimiter": "\\t"}'
# Endings of files that are not read, and what to do with them.
_OTHERS = {
    **dict.fromkeys((".tsv", ".tab"), _TABS),
    **dict.fromkeys((".arrow", ".feather", ".xlsx", ".xls", ".orc", ".avro"), _CONVERT),
    **dict.fromkeys((".bz2", ".xz", ".lz4", ".snappy", ".br"), _REPACK),
    **dict.fromkeys((".zip", ".tar", ".tgz"), _UNPACK),
    **dict.fromkeys((".md", ".log", ".pdf", ".html", ".xml", ".yaml", ".yml"), _NO_DATA),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".crc"), _NO_DATA),
}
# What people write for one of the formats; a misspelt one is found by its letters.
_MEANT = {".parq": ".parquet", ".pq": ".parquet"}
# What people call text of any form.
_TEXT = (".txt", ".text")


class UnknownFormat(ValueError):
    """The name says that the object is none of the formats that are read; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What a name promises.

    Attributes:
        format: None if the name has no ending, or one that says nothing.
        compressed: the whole file is.
        ending: the suffix that says it, in lower case.
        fault: why it is not read: "ends in .tsv, which is …". Empty if it is read.
    """

    format: SourceFormat | None
    compressed: bool
    ending: str
    fault: str = ""


def promise_of(key: str) -> Promise:
    """What a key's suffix says, in either case."""
    name = key.rpartition("/")[2].lower()
    packed = next((suffix for suffix in COMPRESSIONS if name.endswith(suffix)), "")
    inner = name.removesuffix(packed)
    form = next((suffix for suffix in FORMATS if inner.endswith(suffix)), "")
    if form:
        return Promise(FORMATS[form], bool(packed), form + packed, _not_read(FORMATS[form], form + packed, packed))
    ending = inner[inner.rfind(".") :] if "." in inner else ""
    if ending in _OTHERS:
        fault = f"ends in {ending}{packed}, which is {_OTHERS[ending]}"
        return Promise(None, bool(packed), ending + packed, fault)
    if ending in _TEXT:
        return Promise(
            None, bool(packed), ending + packed, f"ends in {ending}{packed}, which may be text of any form. {_ANY_TEXT}"
        )
    near = _MEANT.get(ending) or next(iter(difflib.get_close_matches(ending, _ENDINGS, n=1, cutoff=0.5)), "")
    if near:
        fault = f"ends in neither .csv, .parquet nor .jsonl (did you mean {near}?): rename the object for its format"
        return Promise(None, bool(packed), ending + packed, fault)
    return Promise(None, bool(packed), packed)


def _not_read(form: SourceFormat, ending: str, packed: str) -> str:
    if form == "parquet" and packed:
        return f"ends in {ending}, which is not read: Parquet is compressed inside; decompress the file"
    return ""


def source_format(key: str) -> SourceFormat | None:
    """The format that a key's suffix names, in either case; None if it names none. Raises UnknownFormat."""
    promise = promise_of(key)
    if promise.fault:
        raise UnknownFormat(f"{key!r} {promise.fault}")
    return promise.format
