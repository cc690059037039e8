"""The records of a dataset's first rows, as they would be sent, and which of the first rows would not be. Blocking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa

from quarry_core.rendering.images import ImageEncoder
from quarry_core.rendering.row_encoder import RowEncoder, Unsent
from quarry_core.tabular.dataset import Dataset

# So many rows are encoded at once: little of what is looked at is shown.
_BATCH_ROWS = 256
_SHARD = "00000"
# Of records with images; each costs a request or more.
IMAGE_ROWS_MAX = 100
_BASE64_SHOWN = 32
_BASE64 = ("data", "bytes")


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it would be sent.

    Attributes:
        row: which of the rows that are taken, from 0.
        model_input: what Bedrock gives to the model, the base64 of images shortened.
        size_bytes: of its line.
    """

    row: int
    model_input: dict[str, Any]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class FirstRecords:
    """Attributes:
    records: of the first rows that can be sent.
    unsent: of the rows that were looked at, those that cannot be sent, and why.
    looked_at: how many rows were.
    """

    records: tuple[Record, ...]
    unsent: tuple[Unsent, ...]
    looked_at: int


def first_records(dataset: Dataset, encoder: RowEncoder, rows: int, looked_at_max: int) -> FirstRecords:
    """Encode the first rows.

    Args:
        dataset: what was counted.
        encoder: of the run.
        rows: how many records to show.
        looked_at_max: in how many rows to look for some that cannot be sent.

    Raises:
        SourceError, PortError: as `Dataset.read`.
    """
    records: list[Record] = []
    unsent: list[Unsent] = []
    if isinstance(encoder, ImageEncoder):
        looked_at_max = min(looked_at_max, IMAGE_ROWS_MAX)
    looked_at = min(dataset.count.rows, max(rows, looked_at_max))
    for first, batch in _batches(dataset, looked_at, encoder.columns):
        for encoded in encoder.encode_bounded(batch, _SHARD, first):
            unsent += encoded.unsent
            for line in encoded.data.splitlines()[: max(rows - len(records), 0)]:
                found = msgspec.json.decode(line)
                row = int(found["recordId"].removeprefix(_SHARD))
                records.append(Record(row, shortened(found["modelInput"]), len(line) + 1))
    return FirstRecords(tuple(records), tuple(unsent), looked_at)


def shortened(value: Any, name: str = "") -> Any:
    """The same with the base64 of images cut to its beginning: nobody reads it, and it is long."""
    match value:
        case dict():
            return {key: shortened(one, key) for key, one in value.items()}
        case list():
            return [shortened(one) for one in value]
        case str() if name in _BASE64 and len(value) > 2 * _BASE64_SHOWN:
            return f"{value[:_BASE64_SHOWN]}… ({len(value):,} characters of base64)"
    return value


def _batches(dataset: Dataset, rows: int, columns: tuple[str, ...]) -> Iterator[tuple[int, pa.RecordBatch]]:
    first = 0
    # Without a column there would be no rows either.
    for batch in dataset.read(0, rows, columns or None):
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            few = batch.slice(start, _BATCH_ROWS)
            yield first, few
            first += few.num_rows
