"""Which objects under a folder are its rows, and whether the folder is what it seems. Pure: a listing goes in.

Theory of operation. Spark, Athena, Snowflake and DuckDB put more into a folder than data: markers that are empty, hidden
files, lists of files. These are no rows and are dropped by name. Any other object that is empty is a broken upload, and
dropping it would lose rows in silence, so it refuses the source. Some folders look like a dataset and are a table of Delta,
Iceberg, Hudi or Lance: beside the current rows they hold those that were deleted or replaced, which only the table's log
tells apart. Reading such a folder file by file gives too many rows, so it is refused with what to do instead.

What is seen of a table or of an unfinished job may come after its files in the listing; so it is noted on the way and
held against the files at the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from quarry_core.contract.manifest import ManifestError
from quarry_core.contract.names import COMPACT, RESULTS
from quarry_core.contract.partitions import is_hidden
from quarry_core.contract.s3_names import Pattern, S3Name
from quarry_core.ports import ObjectInfo
from quarry_core.text import bounded_text

SHOWN_BYTES_MAX = 300
# Signs of tables and of unfinished jobs that are kept in mind; a pattern may pass over many that it does not mean.
SIGNS_MAX = 10_000

DELTA_LOG = "_delta_log"
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ATHENA_LIST = re.compile(rf"{_UUID}-manifest\.csv")
_ATHENA_SIDE_FILE = re.compile(rf"{_UUID}(-manifest\.csv|(\.csv)?\.metadata)")
# Where results of one run stand, in either form.
_OF_A_RUN = re.compile(rf"{re.escape(COMPACT)}[^/]+/|{RESULTS}(?!compact_parts/)[^/]+/")
_UNFINISHED = re.compile("_temporary|__magic(_job-.*)?")
_TABLES = {
    "Delta": (
        "Export a snapshot of it to a folder of its own, or read its log (deltalake: `DeltaTable(…).file_uris()`) and, if it"
        " has no deletion vectors, name these files in a list"
    ),
    "Iceberg": "Read it through its metadata (pyiceberg, Spark, Athena), and export a snapshot to a folder of its own",
    "Hudi": "Read it through Spark or Athena, and export a snapshot to a folder of its own",
    "Lance": "Read it with lance or lancedb, and export it to Parquet",
}


def shown_key(key: str) -> str:
    """A key as a sentence names it."""
    return bounded_text(key, SHOWN_BYTES_MAX)


def is_athena_list(key: str) -> bool:
    """Whether a key is called as Athena calls the list of the files that a query wrote."""
    return _ATHENA_LIST.fullmatch(key.rpartition("/")[2]) is not None


def folders_above(folder: str) -> Iterator[str]:
    """The folder and all above it, with their slashes; at last the bucket's root, which is empty."""
    while folder:
        yield folder
        folder = folder[: folder[:-1].rfind("/") + 1]
    yield ""


@dataclass(slots=True)
class Sifter:
    """Sifts one folder, or what a pattern names.

    Attributes:
        name: a folder or a pattern.
        own_results: the folder holds results of this environment, which a run may still be writing.
        skipped: how many objects were dropped by their names.
    """

    name: S3Name
    own_results: bool = False
    skipped: int = 0
    near_misses: int = 0  # what the pattern would name if it went on with /**
    _pattern: Pattern | None = field(init=False)
    _beyond: Pattern | None = field(init=False, default=None)
    _folders: set[str] = field(init=False, default_factory=set)  # in and above which rows were found
    _tables: dict[str, str] = field(init=False, default_factory=dict)  # the folder of a table -> its kind
    _unfinished: set[str] = field(init=False, default_factory=set)
    _ended: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self._pattern = Pattern(self.name.key) if self.name.kind == "pattern" else None
        if self._pattern is not None and not self.name.key.endswith(("/", "/**")):
            self._beyond = Pattern(f"{self.name.key}/**")

    def keeps(self, info: ObjectInfo) -> bool:
        """Whether an object that was listed holds rows.

        Raises:
            ManifestError: it should, and is empty.
        """
        key = info.key
        below = key[len(self.name.root) :].split("/")
        folders, file = below[:-1], below[-1]
        self.note(key)
        if self._pattern is not None and not self._pattern.matches(key):
            if self._beyond is not None and file and self._beyond.matches(key):
                self.near_misses += 1
            return False
        if self._is_marker(info, file) or self._is_hidden(folders, file) or _ATHENA_SIDE_FILE.fullmatch(file):
            self.skipped += 1
            return False
        if not info.size_bytes:
            raise ManifestError(
                f"s3_uri: s3://{self.name.bucket}/{shown_key(key)} is empty (0 bytes): most likely an upload that broke."
                " Upload it again, or delete it if it should hold no rows"
            )
        folder = key[: key.rfind("/") + 1]
        for each in folders_above(folder):
            if each in self._folders:
                break
            self._folders.add(each)
        return True

    def _is_marker(self, info: ObjectInfo, file: str) -> bool:
        return not info.size_bytes and (not file or file == "_SUCCESS" or file.endswith("_$folder$"))

    def _is_hidden(self, folders: list[str], file: str) -> bool:
        hidden = [each for each in folders if is_hidden(each, folder=True)]
        hidden += [file] if is_hidden(file, folder=False) else []
        if self._pattern is None:
            return bool(hidden)
        return not all(self._pattern.asks_for(each) for each in hidden)

    # ------------------------------------------------------------------ signs

    def note(self, key: str) -> None:
        """Keep in mind what a key says of the folder that it is in."""
        if len(self._tables) + len(self._unfinished) + len(self._ended) >= SIGNS_MAX:
            return
        names = key.split("/")
        file = names[-1]
        for at, name in enumerate(names[:-1]):
            folder = "/".join(names[:at]) + "/" if at else ""
            if name == DELTA_LOG and file:
                self._tables.setdefault(folder, "Delta")
            elif name == ".hoodie":
                self._tables.setdefault(folder, "Hudi")
            elif name == "_versions" and file.endswith(".manifest"):
                self._tables.setdefault(folder, "Lance")
            elif name == "metadata" and (file.endswith(".metadata.json") or re.fullmatch(r"snap-.*\.avro", file)):
                self._tables.setdefault(folder, "Iceberg")
            elif file and _UNFINISHED.fullmatch(name):
                self._unfinished.add(folder)
        folder = key[: key.rfind("/") + 1]
        if file == ".hoodie_partition_metadata":
            self._tables.setdefault(folder, "Hudi")
        elif file.endswith(".lance"):
            self._tables.setdefault(folder, "Lance")
        elif file in ("_SUCCESS", "_report.json"):
            self._ended.add(folder)

    def judge(self) -> None:
        """Hold what was noted against the files that were kept.

        Raises:
            ManifestError: the folder is a table, or its job has not finished.
        """
        for folder, kind in sorted(self._tables.items()):  # the table's own folder before those in it
            if folder in self._folders:
                raise self.is_table(folder, kind)
        for folder in sorted(self._unfinished - self._ended):
            if folder in self._folders or self.name.root.startswith(folder):
                raise ManifestError(
                    f"s3_uri: {self._uri(folder)} has files under _temporary/ and no _SUCCESS: the job that writes it has"
                    " not finished, or has failed. Wait for its _SUCCESS, or delete _temporary/ if the files beside it"
                    " are all there are"
                )
        if self.own_results:
            for folder in sorted(self._folders):
                if _OF_A_RUN.fullmatch(folder) and folder not in self._ended:
                    raise ManifestError(
                        f"s3_uri: {self._uri(folder)} has neither _report.json nor _SUCCESS yet: its results are still being"
                        " written. Wait until they are"
                    )

    def is_table(self, folder: str, kind: str) -> ManifestError:
        """The answer to whoever names a table as if it were a folder of files."""
        article = "an" if kind == "Iceberg" else "a"
        return ManifestError(
            f"s3_uri: {self._uri(folder)} is {article} {kind} table; its folder also holds files whose rows were deleted"
            f" or replaced, and reading them all would give too many rows. {_TABLES[kind]}"
        )

    def _uri(self, folder: str) -> str:
        return f"s3://{self.name.bucket}/{shown_key(folder)}"
