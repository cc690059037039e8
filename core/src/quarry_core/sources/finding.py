"""The objects that each entry of an `s3_uri` names, at the cost of as few requests as tell it. Blocking; it only reads.

One `Finder` serves all entries of a manifest, so that limits hold over all of them, and a file that two of them name is
seen. What it finds it keeps in the order of the rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from quarry_core.contract.listing import FILES_MAX, SourceFile
from quarry_core.contract.manifest import ManifestError
from quarry_core.contract.manifest_checks import own_file_fault
from quarry_core.contract.partitions import partitions_of
from quarry_core.contract.s3_names import URIS_MAX, S3Name
from quarry_core.errors import Missing, MissingBucket, Refused
from quarry_core.ports import ObjectInfo, ObjectRef, Objects
from quarry_core.sources.athena import ATHENA_LIST_BYTES_MAX, named_in_list
from quarry_core.sources.folders import DELTA_LOG, Sifter, folders_above, is_athena_list, shown_key
from quarry_core.sources.formats import SNIFFED_BYTES, Head
from quarry_core.sources.lookups import NotReadable, TooManyKeys, look_at_object, no_bucket

PAGE_KEYS = 1_000
# 500 pages: a minute or two. A pattern that begins with a longer folder needs fewer.
KEYS_LISTED_MAX = 500_000
# From so many on, objects of a list are looked up by listing what is around them.
LOOKED_UP_MIN = 4


@dataclass(frozen=True, slots=True)
class File:
    """An object that was found. `name` is the entry of the list that named it."""

    name: S3Name
    info: ObjectInfo
    partitions: tuple[tuple[str, str | None], ...]

    @property
    def uri(self) -> str:
        return f"s3://{self.name.bucket}/{shown_key(self.info.key)}"


@dataclass(slots=True)
class Finder:
    """Finds what entries name, one after the other.

    Attributes:
        owner: the account that must own every bucket.
        own_bucket: the environment's.
        files: what was found, in the order of its rows.
        skipped: how many objects were dropped for their names.
    """

    objects: Objects
    owner: str | None
    own_bucket: str
    keys_listed_max: int
    files: list[File] = field(default_factory=list)
    skipped: int = 0
    _keys_listed: int = 0
    _named: dict[tuple[str, str], str] = field(default_factory=dict)  # what was taken -> the URI that named it
    _looked_up: dict[tuple[str, str], ObjectInfo] = field(default_factory=dict)
    _alone: dict[S3Name, ObjectInfo | None] = field(default_factory=dict)
    _above: dict[tuple[str, str], Sifter] = field(default_factory=dict)  # folders that no listing has shown

    # ------------------------------------------------------------------ one entry

    def alone(self, name: S3Name) -> ObjectInfo | None:
        """The object of that very key, if an entry is one; asked for once."""
        if name.kind == "folder" or is_athena_list(name.key):
            return None
        if name not in self._alone:
            self._alone[name] = self._looked_up.get((name.bucket, name.key)) or self._asked(name)
        return self._alone[name]

    def _asked(self, name: S3Name) -> ObjectInfo | None:
        if name.kind == "pattern":
            # An object may be called so; whether one may be read that is not there, the listing tells better.
            try:
                return self.objects.head(self._ref(name.bucket, name.key))
            except (Missing, Refused):
                return None
        return self._object(name)

    def take(self, name: S3Name) -> None:
        """Add what an entry names."""
        if is_athena_list(name.key) and name.kind == "object":
            self._take_athena_list(name)
            return
        if (one := self.alone(name)) is not None:
            self._add(name, one, name.key[: name.key.rfind("/") + 1])
            return
        folder = name if name.kind != "object" else S3Name(name.uri, name.bucket, f"{name.key}/")
        self._take_folder(folder)

    def _object(self, name: S3Name) -> ObjectInfo | None:
        """The object of a key; None if there is none, but objects below it: then it is a folder without its slash."""
        ref = self._ref(name.bucket, name.key)
        try:
            return self.objects.head(ref)
        except (Missing, Refused):
            if self._has(f"{name.key}/", name.bucket):
                return None
        return look_at_object(self.objects, ref, name.uri)  # which says what is wrong

    def _has(self, prefix: str, bucket: str) -> bool:
        try:
            return any(True for _ in self.objects.list(prefix, bucket, self.owner))
        except (Missing, Refused):
            return False

    # ------------------------------------------------------------------ folders and patterns

    def _take_folder(self, name: S3Name) -> None:
        sifter = Sifter(name, own_results=name.bucket == self.own_bucket)
        kept = self._kept(name, sifter)
        for folder in folders_above(name.root):
            # The root of the environment's own bucket is nothing that a service may list.
            if folder != name.prefix and (folder or name.bucket != self.own_bucket):
                self._above.setdefault((name.bucket, folder), sifter)
        if name.root != name.prefix:
            # The listing began in the middle of this folder; what says most of it begins with an underscore.
            for info in self._page(f"{name.root}_", name.bucket):
                sifter.note(info.key)
        self.skipped += sifter.skipped
        sifter.judge()
        if not kept:
            raise ManifestError(f"s3_uri: {shown_key(name.uri)} {_nothing(name, sifter)}")
        for info in sorted(kept, key=lambda info: info.key.encode(errors="surrogatepass")):
            self._add(name, info, name.root)

    def _kept(self, name: S3Name, sifter: Sifter) -> list[ObjectInfo]:
        kept: list[ObjectInfo] = []
        try:
            for info in self.objects.list(name.prefix, name.bucket, self.owner):
                self._keys_listed += 1
                if self._keys_listed > self.keys_listed_max:
                    sifter.judge()  # a table may well be so large
                    raise self._too_many(name)
                if sifter.keeps(info):
                    kept.append(info)
                if len(kept) > FILES_MAX:
                    sifter.judge()
                    raise _too_many_files()
        except MissingBucket as error:
            raise no_bucket(self.objects, self._ref(name.bucket, name.prefix)) from error
        except Refused as error:
            raise NotReadable(
                f"s3_uri: {shown_key(name.uri)} cannot be listed ({error}): grant s3:ListBucket on {name.bucket} for the"
                f" prefix {shown_key(name.prefix)!r}{self._owned()}"
            ) from error
        return kept

    def _too_many(self, name: S3Name) -> ManifestError:
        if self.keys_listed_max < KEYS_LISTED_MAX:
            return TooManyKeys(
                f"s3_uri: of the keys that begin like {shown_key(name.uri)} only the first {self.keys_listed_max:,} were"
                " looked at"
            )
        return TooManyKeys(
            f"s3_uri: more than {self.keys_listed_max:,} keys begin like {shown_key(name.uri)}: begin it with a longer"
            " folder, or move the dataset to a folder of its own"
        )

    def _owned(self) -> str:
        return f", and does account {self.owner} own the bucket (input_bucket_owner)?" if self.owner else ""

    def probe_above(self) -> None:
        """Whether a folder above is a table; it stands there for whoever may see it.

        Raises:
            ManifestError: one is.
        """
        for (bucket, folder), sifter in self._above.items():
            if any(info.size_bytes for info in self._page(f"{folder}{DELTA_LOG}/", bucket)):
                raise sifter.is_table(folder, "Delta")
            if sifter.name.root.startswith(f"{folder}data/"):
                for info in self._page(f"{folder}metadata/", bucket):
                    if info.key.endswith(".metadata.json"):
                        raise sifter.is_table(folder, "Iceberg")

    def _page(self, prefix: str, bucket: str) -> list[ObjectInfo]:
        try:
            return list(islice(self.objects.list(prefix, bucket, self.owner), PAGE_KEYS))
        except (Missing, Refused):
            return []  # a role that may read no more than the folder itself

    # ------------------------------------------------------------------ Athena's lists

    def _take_athena_list(self, name: S3Name) -> None:
        """The files that a query of Athena's has written, in the order of its list."""
        ref = self._ref(name.bucket, name.key)
        look_at_object(self.objects, ref, name.uri)
        named = named_in_list(self.objects.read(ref, 0, ATHENA_LIST_BYTES_MAX + 1), name)
        for each in named:
            fault = own_file_fault(each, self.own_bucket)
            if fault:
                raise ManifestError(f"s3_uri: {shown_key(name.uri)} names {fault.removeprefix('s3_uri: ')}")
        self.look_ahead(named)
        missing = sum((each.bucket, each.key) not in self._looked_up for each in named)
        if missing > URIS_MAX:
            raise ManifestError(
                f"s3_uri: of the {len(named):,} files that {shown_key(name.uri)} lists, {missing:,} were not found: run the"
                " query again if they were deleted, or name their folder"
            )
        folder = _common_start([each.root for each in named])
        root = _above_partitions(folder[: folder.rfind("/") + 1])
        for each in named:
            info = self._looked_up.get((each.bucket, each.key)) or look_at_object(
                self.objects, self._ref(each.bucket, each.key), each.uri
            )
            self._add(each, info, root)

    def look_ahead(self, names: Sequence[S3Name]) -> None:
        """Objects of one bucket by the pages that hold them, as long as these are fewer than they."""
        wanted: dict[str, set[str]] = {}
        for name in names:
            if name.kind == "object":
                wanted.setdefault(name.bucket, set()).add(name.key)
        for bucket, keys in wanted.items():
            if len(keys) < LOOKED_UP_MIN:
                continue
            last = max(keys, key=str.encode)
            pages_max = min(max(len(keys) // 2, 1), self.keys_listed_max // PAGE_KEYS)
            try:
                listed = self.objects.list(_common_start(keys), bucket, self.owner)
                for info in islice(listed, pages_max * PAGE_KEYS):
                    if info.key in keys:
                        self._looked_up[bucket, info.key] = info
                    if info.key == last:
                        break
            except (Missing, Refused):
                continue  # each by itself, then

    # ------------------------------------------------------------------ files

    def _add(self, name: S3Name, info: ObjectInfo, root: str) -> None:
        uri = f"s3://{name.bucket}/{shown_key(info.key)}"
        if not info.size_bytes:
            raise ManifestError(f"s3_uri: {uri} is empty (0 bytes): upload it again, or leave it out")
        before = self._named.setdefault((name.bucket, info.key), name.uri)
        if len(self._named) == len(self.files):
            by = f"by {shown_key(before)} and by {shown_key(name.uri)}" if before != name.uri else "twice"
            raise ManifestError(f"s3_uri: {uri} is named {by}: its rows would be taken twice. Name it once")
        if len(self.files) == FILES_MAX:
            raise _too_many_files()
        try:
            partitions = partitions_of(info.key[len(root) :].split("/")[:-1])
        except ValueError as error:
            raise ManifestError(f"s3_uri: {uri}: {error}; rename the folder") from error
        self.files.append(File(name, info, partitions))

    def head_of(self, bucket: str) -> Head:
        """Reads the first bytes of a file of the source."""

        def head(file: SourceFile) -> bytes:
            ref = replace(self._ref(file.bucket or bucket, file.key), etag=file.etag, version_id=file.version_id)
            return self.objects.read(ref, 0, SNIFFED_BYTES)

        return head

    def _ref(self, bucket: str, key: str) -> ObjectRef:
        return ObjectRef(key, bucket, owner=self.owner)


def _too_many_files() -> ManifestError:
    return ManifestError(
        f"s3_uri: the source has more than {FILES_MAX:,} files: merge small ones, or name fewer in each of several"
        " manifests"
    )


def _nothing(name: S3Name, sifter: Sifter) -> str:
    if sifter.near_misses:
        return "names folders, and no object: end it with /** for what is in them"
    if sifter.skipped:
        return (
            f"holds no data: all {sifter.skipped:,} objects are markers or hidden, with names that begin with _ or ."
            " (a pattern may name such a file or folder itself)"
        )
    if name.kind == "pattern":
        braces = "; braces are no wildcards: name what they stand for in a list" if "{" in name.key else ""
        return f"matches no object: * does not cross a slash, **/ does{braces}"
    return "does not exist: there is no object with this key, and none in a folder of that name"


def _common_start(texts: Collection[str]) -> str:
    """With what all of them begin."""
    first, last = min(texts), max(texts)
    return first[: next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]


def _above_partitions(folder: str) -> str:
    """The folder in which the first `column=value` of a path stands."""
    names = folder.split("/")[:-1]
    for at, name in enumerate(names):
        if "=" in name:
            return "".join(f"{each}/" for each in names[:at])
    return folder
