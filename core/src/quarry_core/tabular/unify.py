"""One schema over all files of a dataset. Pure.

Never the first file's: columns are matched by their exact name, in the order in which they first appear, and each has
the type that holds all (`common_type`). A column that a file lacks is null there. Files without rows take no part:
what writers put into them is often a guess.

Where all files agree, their schema comes out as it went in, with its metadata.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from quarry_core.contract.column_names import COLUMNS_MAX, names_fault
from quarry_core.contract.results import SCHEMAS_OF_OTHERS, SPARK_SCHEMA
from quarry_core.tabular.common_type import UTC_NAMES, Clash, Place
from quarry_core.tabular.errors import SourceError

NOTES_MAX = 20
# In which a writer says the file's columns once more. True of its own file, and of no other.
_TELL_COLUMNS = SCHEMAS_OF_OTHERS | {SPARK_SCHEMA, b"pandas", b"huggingface", b"delta.schema"}
_EXTENSION = (b"ARROW:extension:name", b"ARROW:extension:metadata")

Metadata = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Unified:
    """One schema over all files.

    Attributes:
        schema: of the columns that are looked at.
        notes: sentences for the report, on what differs between the files.
        names: of all columns, those that are not looked at too.
    """

    schema: pa.Schema
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


class _Column:
    def __init__(self, file: str) -> None:
        self.place = Place()
        self.first_file = file
        self.files = 0
        self.lacking_file = ""  # the first, if there is one
        self.nullable = False
        self.metadata: Metadata | None = None


class Unifier:
    """Takes the schemas of the files one after another.

    Args:
        columns: of these alone, the others are not looked at; None: of all.
        partitions: columns that the names of folders make, with their types. They stand behind the files' own, and
            what a file has of the same name is not looked at: `align` holds it against the folder.
    """

    def __init__(
        self, columns: Collection[str] | None = None, partitions: Mapping[str, pa.DataType] | None = None
    ) -> None:
        self._chosen = None if columns is None else frozenset(columns)
        self._partitions = dict(partitions or {})
        self._columns: dict[str, _Column] = {}
        self._names: dict[str, None] = {}
        self._files = 0
        self._first_file = ""
        self._known: set[bytes] = set()  # digests of schemas, metadata left out
        self._together: set[frozenset[str]] = set()  # names equal but for case, in one file
        self._metadata: Metadata | None = None

    def add(self, schema: pa.Schema, file: str, rows: int = 1) -> None:
        """Take the next file's schema; one without rows is passed over."""
        if not rows:
            return
        for name in schema.names if len(self._names) < COLUMNS_MAX else ():
            self._names[name] = None
        kept = [field for field in schema if self._looked_at(field.name)]
        if len(kept) < len(schema):
            schema = pa.schema(kept, schema.metadata)
        self._files += 1
        self._first_file = self._first_file or file
        self._metadata = _common(self._metadata, schema.metadata)
        for field in schema:
            column = self._columns.get(field.name)
            if column is None:
                column = self._columns[field.name] = _Column(file)
                column.lacking_file = self._first_file if self._files > 1 else ""
            column.files += 1
            column.metadata = _common(column.metadata, field.metadata)
        for name in self._columns.keys() - set(schema.names) if len(self._columns) > len(schema) else ():
            self._columns[name].lacking_file = self._columns[name].lacking_file or file
        digest = hashlib.sha256(schema.remove_metadata().serialize()).digest()
        if digest in self._known:
            return
        self._known.add(digest)
        folded: dict[str, list[str]] = {}
        for field in schema:
            column = self._columns[field.name]
            column.place.add(field.type, file)
            column.nullable |= field.nullable
            folded.setdefault(field.name.casefold(), []).append(field.name)
        self._together.update(frozenset(pair) for pair in _pairs(folded))

    def unified(self) -> Unified:
        """The schema over all files so far.

        Raises:
            SourceError: no file has rows; a column has types that no type holds, or names that differ only by case.
                The text names both files.
        """
        if not self._files:
            raise SourceError("no file has a row; give a source with at least one")
        partitions = [name for name in self._partitions if self._chosen is None or name in self._chosen]
        self._check_case(partitions)
        looked_at = [*self._columns, *partitions]
        fault = names_fault(looked_at) if looked_at or not self._names else None
        if fault:
            raise SourceError(f"{self._first_file} and the other files: {fault}")
        fields = []
        for name, column in self._columns.items():
            try:
                kind = column.place.type(name)
            except Clash as clash:
                raise SourceError(str(clash)) from clash
            nullable = column.nullable or column.files < self._files
            fields.append(pa.field(name, kind, nullable, column.metadata or None))
        notes = self._notes(pa.schema(fields))
        fields += [pa.field(name, self._partitions[name]) for name in partitions]
        metadata = self._metadata or {}
        if len(self._known) > 1 or self._chosen is not None or partitions:
            metadata = {key: value for key, value in metadata.items() if key not in _TELL_COLUMNS}
        names = tuple(dict.fromkeys((*self._names, *self._partitions)))
        return Unified(pa.schema(fields, metadata or None), tuple(notes), names)

    def _looked_at(self, name: str) -> bool:
        return name not in self._partitions and (self._chosen is None or name in self._chosen)

    def _check_case(self, partitions: Sequence[str]) -> None:
        folded: dict[str, list[str]] = {}
        names = {name.casefold(): name for name in self._columns}
        for name in partitions:
            other = names.get(name.casefold())
            if other is not None:
                raise SourceError(
                    f"column {other!r} of {self._columns[other].first_file} and the folders named {name}=… differ only "
                    "in upper and lower case; rename one of them"
                )
        for name in self._columns:
            folded.setdefault(name.casefold(), []).append(name)
        for one, other in _pairs(folded):
            if frozenset((one, other)) not in self._together:
                raise SourceError(
                    f"column {one!r} of {self._columns[one].first_file} and column {other!r} of "
                    f"{self._columns[other].first_file} differ only in upper and lower case; give the column one name "
                    "in all files"
                )

    def _notes(self, schema: pa.Schema) -> list[str]:
        notes = []
        for name, column in self._columns.items():
            lacking = self._files - column.files
            if lacking:
                notes.append(
                    f"column {name!r} is missing in {lacking} of {self._files} files (first in {column.lacking_file}); "
                    "it is null there"
                )
            seen = list(column.place.seen())
            differing = next((each for each in seen[1:]), None)
            kind = schema.field(name).type
            if differing is not None and not _same_text(seen):
                listed = f"{seen[0][0]} in {seen[0][1]}, {differing[0]} in {differing[1]}"
                notes.append(f"column {name!r} is read as {kind}: it is {listed}")
        more = len(notes) - NOTES_MAX
        return [*notes[:NOTES_MAX], f"{more} more columns differ between the files"] if more > 0 else notes


def _pairs(folded: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    """Names that are equal but for case, each with the first of its kind."""
    return [(names[0], name) for names in folded.values() for name in names[1:] if name != names[0]]


def _common(known: Metadata | None, new: Metadata | None) -> Metadata:
    """What two files say alike; what tells an extension type only as a whole."""
    if known is None:
        return dict(new or {})
    if known == (new or {}):
        return known
    kept = {key: value for key, value in known.items() if (new or {}).get(key) == value}
    if sum(key in kept for key in _EXTENSION) < sum(key in known or key in (new or {}) for key in _EXTENSION):
        kept = {key: value for key, value in kept.items() if key not in _EXTENSION}
    return kept


def _same_text(seen: list[tuple[pa.DataType, str]]) -> bool:
    """Whether the types differ in nothing that a reader of the values would see."""
    kinds = [kind for kind, _ in seen]
    if all(pa.types.is_timestamp(kind) for kind in kinds):
        return len({kind.unit for kind in kinds}) == 1 and all(kind.tz in UTC_NAMES for kind in kinds)
    return all(any(of(kind) for of in (pa.types.is_string, pa.types.is_large_string)) for kind in kinds)
