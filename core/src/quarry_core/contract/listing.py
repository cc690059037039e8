"""The files of a source of several: `plans/<run_id>/files.json`, written once, pinned by its SHA-256. Pure."""

from __future__ import annotations

import hashlib

from pydantic import BaseModel, ConfigDict

from quarry_core.contract.splits import SplitSlice
from quarry_core.ports import ObjectRef

# The list of so many is about 10 MB, and is read whole.
FILES_MAX = 50_000


class SourceFile(BaseModel):
    """One file, pinned by ETag, and by version where the lister was told one.

    Attributes:
        bucket: where it lies, if not in the source's bucket; `hf://datasets/<id>@<commit>` for a file of the Hub.
        values: of the hive partitions that its key names, in the order of `Listing.partitions`; None is null.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    size_bytes: int
    etag: str
    version_id: str | None = None
    bucket: str = ""
    values: tuple[str | None, ...] = ()


class Listing(BaseModel):
    """The files in the order of their rows.

    Attributes:
        partitions: the columns that folders named `column=value` make.
        slices: of splits of a Hugging Face dataset: what is taken of the files of the first, of the second, and so on.
            Empty: all of all files.
    """

    model_config = ConfigDict(frozen=True)

    files: tuple[SourceFile, ...]
    partitions: tuple[str, ...] = ()
    slices: tuple[SplitSlice, ...] = ()

    def to_json(self) -> bytes:
        """The same bytes for the same listing."""
        return self.model_dump_json(exclude_defaults=True).encode()


def digest_of(listing_json: bytes) -> str:
    """By which the pins name a listing."""
    return hashlib.sha256(listing_json).hexdigest()


def ref_of(file: SourceFile, bucket: str, owner: str | None) -> ObjectRef:
    """The pinned object; `bucket` and `owner` are the source's."""
    return ObjectRef(file.key, file.bucket or bucket, file.etag, file.version_id, owner, file.size_bytes)
