"""What a pass over a source found, whatever its format."""

from __future__ import annotations

import base64
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from quarry_core.contract.csv_dialect import CsvDialect
from quarry_core.contract.source_format import SourceFormat
from quarry_core.tabular.parquet.footer import Annotation


class Count(BaseModel):
    """What one pass over a source told: everything that reading a range of it needs.

    Attributes:
        rows: rows without the header.
        columns: their names, in order.
        size_bytes: of the object.
        offsets: CSV only: (row, byte at which it begins), ascending, row 0 first; neighbours are at most
            4,096 rows, and 1 MiB (or 512 bytes a column) plus one row, apart.
        dialect: CSV only: in which form it is written.
        schema_ipc: Parquet only: the Arrow schema as an IPC message in base64; it keeps all but the inner names of
            maps, which Arrow never compares.
        annotations: Parquet only: what the file's schema says of columns beyond Arrow's, to be said by the parts too.
        no_text: columns that cannot stand in a prompt though their Arrow type could, and why: "is …: cast it to …".
    """

    model_config = ConfigDict(frozen=True)

    format: SourceFormat
    rows: int
    columns: tuple[str, ...]
    size_bytes: int
    offsets: tuple[tuple[int, int], ...] = ()
    dialect: CsvDialect = CsvDialect()
    schema_ipc: str = ""
    annotations: tuple[Annotation, ...] = ()
    no_text: dict[str, str] = {}

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of every batch that `read_rows` gives, with its metadata."""
        if self.format == "csv":
            return pa.schema([(column, pa.string()) for column in self.columns])
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(self.schema_ipc)))
