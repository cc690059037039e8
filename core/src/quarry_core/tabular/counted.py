"""What a pass over a source found, whatever its format."""

from __future__ import annotations

import base64
from bisect import bisect_left, bisect_right
from operator import itemgetter

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from quarry_core.contract.csv_dialect import CsvDialect
from quarry_core.contract.requests import RequestFormat
from quarry_core.contract.source_format import SourceFormat
from quarry_core.tabular.json_column import json_field
from quarry_core.tabular.json_kinds import Kinds
from quarry_core.tabular.parquet.footer import Annotation


class Spool(BaseModel):
    """An object of the environment's bucket that holds a file of the source, unpacked."""

    model_config = ConfigDict(frozen=True)

    key: str
    etag: str
    size_bytes: int


class Count(BaseModel):
    """What one pass over a file told: everything that reading a range of it needs.

    Attributes:
        rows: rows without the header.
        columns: their names, in order.
        size_bytes: of the file, unpacked.
        spool: where it stands unpacked, if the file itself cannot be read in the middle.
        offsets: CSV and JSONL only: (row, byte at which it begins), ascending, row 0 first; neighbours are at most
            4,096 rows, and 1 MiB (or 512 bytes a column) plus one row, apart.
        kinds: JSONL only: what the values of each column are; of a file in a group, of columns that folders make too.
        kinds_of_group: JSONL only: of the first file of a group, what all its files hold.
        dialect: CSV only: in which form it is written.
        schema_ipc: Parquet only: the Arrow schema as an IPC message in base64; it keeps all but the inner names of
            maps, which Arrow never compares.
        row_groups: Parquet only: (rows of a row group, how many such follow each other), in the order of the file.
        annotations: Parquet only: what the file's schema says of columns beyond Arrow's, to be said by the parts too.
        requests: of which form the lines of a JSONL file are that holds ready requests; None for any other file.
        gaps: requests only: how many rows cannot be sent.
        answer_tokens_max: requests only: how many LLM tokens all answers may have together.
        notes: what the run's report says of the source.
        no_text: columns that cannot stand in a prompt though their Arrow type could, and why: "is …: cast it to …".
        whole: columns of which every row has a value that can be sent, if it is not too large: proved by the footer
            of a Parquet file, seen in a JSONL file.
    """

    model_config = ConfigDict(frozen=True)

    format: SourceFormat
    rows: int
    columns: tuple[str, ...]
    size_bytes: int
    offsets: tuple[tuple[int, int], ...] = ()
    dialect: CsvDialect = CsvDialect()
    schema_ipc: str = ""
    row_groups: tuple[tuple[int, int], ...] = ()
    annotations: tuple[Annotation, ...] = ()
    no_text: dict[str, str] = {}
    whole: tuple[str, ...] = ()
    requests: RequestFormat | None = None
    gaps: int | None = None
    answer_tokens_max: int = 0
    notes: tuple[str, ...] = ()
    kinds: dict[str, Kinds] = {}
    kinds_of_group: dict[str, Kinds] = {}
    spool: Spool | None = None

    @property
    def is_jsonl(self) -> bool:
        """Whether it is JSONL whose keys are the columns; a file of ready requests has columns of its own."""
        return self.format == "jsonl" and self.requests is None

    def noted(self, first: int, until: int) -> list[tuple[int, int]]:
        """CSV and JSONL only: the notes from the last at or before row `first` to the first at or behind row `until`."""
        begin = bisect_right(self.offsets, first, key=itemgetter(0)) - 1
        end = bisect_left(self.offsets, until, key=itemgetter(0))
        behind = self.offsets[end] if end < len(self.offsets) else (self.rows, self.size_bytes)
        return [*self.offsets[begin:end], behind]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the file alone, with its metadata."""
        if self.format == "csv":
            return pa.schema([(column, pa.string()) for column in self.columns])
        if self.is_jsonl:
            return pa.schema(
                [self.kinds[name].field(name) if name in self.kinds else json_field(name) for name in self.columns]
            )
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(self.schema_ipc)))


class Selection(BaseModel):
    """Which rows of a source are taken, where it is not all of them.

    Attributes:
        where: the condition; empty if there is none.
        schema_ipc: the dataset's fields that the condition asks for, as an IPC message in base64.
        seed: of the sample.
        below: a row is in the sample if its place (`row_sample`) is below this; None if there is no sample.
        file_rows: of each file, before the choice; where the dataset is a slice, those of the slice.
    """

    model_config = ConfigDict(frozen=True)

    where: str = ""
    schema_ipc: str
    seed: int = 0
    below: int | None = None
    file_rows: tuple[int, ...]

    @property
    def schema(self) -> pa.Schema:
        """Of the columns that the condition asks for."""
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(self.schema_ipc)))


class DatasetCount(BaseModel):
    """What was counted of all files of a source together: `plans/<run_id>/count.json`.

    Attributes:
        format: of all files.
        rows: of all files, without headers.
        columns: of the dataset, in order.
        size_bytes: of all files, as they are read.
        schema_ipc: the dataset's Arrow schema as an IPC message in base64.
        file_rows: the rows that are taken of each file, in the order of the listing.
        file_first: which row of each file is its first of the dataset; empty where it is row 0, for every file.
        groups: how many files each of the objects `plans/<run_id>/counts/` tells of.
        annotations, no_text, answer_tokens_max: as of `Count`.
        notes: sentences for the user about what was found.
        selection: which rows are taken; None: all.
        sent_only: columns that go into the records and do not come back.
        copied: of Parquet in S3, whether the rows of each shard are kept in the bucket, for the join.
        sound: whether every text that goes into a record was seen to be UTF-8 by whoever counted.
    """

    model_config = ConfigDict(frozen=True)

    format: SourceFormat
    rows: int
    columns: tuple[str, ...]
    size_bytes: int
    schema_ipc: str
    file_rows: tuple[int, ...]
    file_first: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    no_text: dict[str, str] = {}
    answer_tokens_max: int = 0
    notes: tuple[str, ...] = ()
    selection: Selection | None = None
    sent_only: tuple[str, ...] = ()
    copied: bool = False
    sound: bool = False

    @property
    def source_rows(self) -> int:
        """Rows of all files, whether taken or not."""
        return self.rows if self.selection is None else sum(self.selection.file_rows)

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of every batch of the dataset, with its metadata."""
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(self.schema_ipc)))

    def first_of(self, file: int) -> int:
        """Which row of a file is the first that is taken."""
        return self.file_first[file] if self.file_first else 0

    @classmethod
    def of_one(cls, count: Count) -> DatasetCount:
        """The count of a source of one file."""
        return cls(
            format=count.format,
            rows=count.rows,
            columns=count.columns,
            size_bytes=count.size_bytes,
            schema_ipc=schema_text(count.schema),
            file_rows=(count.rows,),
            annotations=count.annotations,
            no_text=count.no_text,
        )


def schema_text(schema: pa.Schema) -> str:
    """A schema as it stands in a count."""
    return base64.b64encode(schema.serialize()).decode()
