"""From a manifest's `s3_uri` to the objects that it names, each pinned by its ETag; `dataset_id` is `hub`'s business.

Blocking; it only reads.

Theory of operation. A listing tells size and ETag of a thousand objects in one request, so no object of a folder or a
pattern is asked for by itself: a source of n files costs the pages of its listing, one request for each folder above it
(is it part of a Delta table?), and a few for first bytes where names tell no format. An object that is named alone costs
one HEAD. Everything has a limit, for the bucket is its owner's: how many keys are looked at, how many files are taken.

The order is that of the rows: entries of a list as they are given, and within each the keys by their bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quarry_core.contract.listing import Listing, SourceFile
from quarry_core.contract.manifest import Manifest, ManifestError
from quarry_core.contract.s3_names import parse_s3_name
from quarry_core.contract.selection import PartitionType
from quarry_core.contract.source_format import SourceFormat
from quarry_core.ports import ObjectInfo, Objects
from quarry_core.sources.finding import KEYS_LISTED_MAX, File, Finder
from quarry_core.sources.folders import shown_key
from quarry_core.sources.formats import settle_format
from quarry_core.sources.hub.dataset import Wish, find_dataset
from quarry_core.sources.lookups import NotReadable
from quarry_core.sources.reading import hub_of

# The list is one object, read and written whole.
LISTING_BYTES_MAX = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """What a manifest names.

    Attributes:
        one: the object, if it is one that was named by its key; else there is a listing.
        skipped: how many objects were dropped for their names: markers, hidden ones.
        converted: whether it is the Hub's conversion of a dataset to Parquet.
    """

    format: SourceFormat
    bucket: str
    key: str
    one: ObjectInfo | None = None
    listing: Listing | None = None
    skipped: int = 0
    converted: bool = False

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        if self.one is not None:
            return self.one.size_bytes
        return sum(file.size_bytes for file in self.listing.files) if self.listing is not None else 0


def find_source(objects: Objects, manifest: Manifest, own_bucket: str, keys_listed_max: int = KEYS_LISTED_MAX) -> Found:
    """Look up what `s3_uri` or `dataset_id` names.

    Args:
        own_bucket: the environment's, some folders of which cannot be a source.
        keys_listed_max: for whoever would rather do without than wait.

    Raises:
        ManifestError: it is not there, is not what it seems, or cannot be one source; the text says what to do.
        NotReadable: it may not be read or listed.
        TooManyKeys: more than `keys_listed_max` keys were listed.
        PortError: S3 gave no answer.
    """
    if manifest.dataset_id is not None:
        return _in_hub(objects, manifest)
    names = [parse_s3_name(uri) for uri in manifest.uris]
    finder = Finder(objects, manifest.input_bucket_owner, own_bucket, keys_listed_max)
    if len(names) == 1 and (one := finder.alone(names[0])) is not None:
        file = SourceFile(key=one.key, size_bytes=one.size_bytes, etag=one.etag, version_id=one.version_id)
        form = settle_format(manifest, [file], finder.head_of(names[0].bucket), names[0].uri)
        if manifest.partition_types:
            raise _no_such_partition(manifest.partition_types, ())
        return Found(form, names[0].bucket, names[0].key, one)
    finder.look_ahead(names)
    for name in names:
        finder.take(name)
    bucket = names[0].bucket
    files = [
        SourceFile(
            key=file.info.key,
            size_bytes=file.info.size_bytes,
            etag=file.info.etag,
            bucket="" if file.name.bucket == bucket else file.name.bucket,
            values=tuple(value for _, value in file.partitions),
        )
        for file in finder.files
    ]
    form = settle_format(manifest, files, finder.head_of(bucket), names[0].uri)
    if form == "parquet":
        finder.probe_above()
    partitions = _partitions(finder.files)
    _check_types(manifest.partition_types, partitions)
    listing = Listing(files=tuple(files), partitions=partitions)
    return Found(form, bucket, names[0].key, listing=listing, skipped=finder.skipped)


def _in_hub(objects: Objects, manifest: Manifest) -> Found:
    hub = hub_of(objects)
    if hub is None or manifest.dataset_id is None:
        raise NotReadable("dataset_id: datasets of the Hugging Face Hub are not looked up here")
    wish = Wish(manifest.dataset_id, manifest.split, manifest.config, manifest.revision, manifest.format)
    found = find_dataset(hub, wish)
    if manifest.csv is not None and found.format != "csv":
        raise ManifestError(f"csv: the files of the split are {found.format}, which needs no dialect; leave csv out")
    listing = Listing(files=found.files, slices=found.slices)
    return Found(found.format, found.bucket, found.files[0].key, listing=listing, converted=found.converted)


def _partitions(files: Sequence[File]) -> tuple[str, ...]:
    first = files[0]
    columns = tuple(column for column, _ in first.partitions)
    for file in files[1:]:
        others = tuple(column for column, _ in file.partitions)
        if others != columns:
            raise ManifestError(
                f"s3_uri: the folders of a source must name the same columns in the same order: {first.uri} has"
                f" {_said(columns)}, and {file.uri} has {_said(others)}. Narrow it to one of the two"
            )
    return columns


def _said(columns: Sequence[str]) -> str:
    return ", ".join(f"{shown_key(column)}=" for column in columns) or "none"


def _check_types(types: Mapping[str, PartitionType], partitions: Sequence[str]) -> None:
    unknown = {column: kind for column, kind in types.items() if column not in partitions}
    if unknown:
        raise _no_such_partition(unknown, partitions)


def _no_such_partition(unknown: Mapping[str, PartitionType], partitions: Sequence[str]) -> ManifestError:
    column = shown_key(next(iter(unknown)))
    has = (
        f"the folders make the columns {', '.join(map(shown_key, partitions))}" if partitions else "the source has none"
    )
    return ManifestError(
        f"partition_types: {column} is no column that folders of the form {column}=… make; {has}. Remove it, or name the"
        " folder above in s3_uri"
    )
