"""Vectors of a run in an index of S3 Vectors.

An index is no table: it holds vectors under keys, with metadata beside each, and a vector that is put under a key again
overwrites the one before. So a key is the id of the dataset's first run and the record's: an export may be
repeated as it is, a newer version of the dataset overwrites the one before, and every batch is
read back whole, value by value, before the next one goes. Rows without a vector have no place in an index, and are left out.

Limits are those of AWS's user guide, "Limitations and restrictions" of S3 Vectors (read November 2026).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from quarry_cli.client.export.asked import Export, Exported
from quarry_cli.client.export.columns import Columns, Rules, columns_of
from quarry_cli.client.export.rows import RunRows
from quarry_cli.client.results.values import plain_values
from quarry_cli.errors import NotExported, NotWritten
from quarry_core.errors import Missing

NAME = "S3 Vectors"
PUT_VECTORS_MAX = 500
GET_VECTORS_MAX = 100
REQUEST_BYTES_MAX = 20 * 2**20
DIMENSION_MAX = 4_096
METADATA_BYTES_MAX = 40 * 1_024
FILTERABLE_BYTES_MAX = 2 * 1_024
METADATA_KEYS_MAX = 50
METADATA_KEY_CHARS_MAX = 63
NOT_FILTERABLE_KEYS_MAX = 10
# A float32 is at most so long in JSON, with its comma.
_FLOAT_BYTES = 26
_INDEX = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")

# One request: the operation and its parameters. Raises PortError.
Call = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
Tell = Callable[[int, int], None]


def leaf(kind: pa.DataType) -> pa.DataType | None:
    """Metadata are texts, numbers as JSON has them, and truth values. What is neither is text."""
    is_ = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return pa.bool_() if kind.extension_name == "arrow.bool8" else pa.string()
    if is_.is_boolean(kind):
        return kind
    if is_.is_integer(kind) or is_.is_floating(kind):
        return pa.float64()
    return pa.string()


RULES = Rules(target=NAME, leaf=leaf, name=lambda name: name.replace("\0", "")[:METADATA_KEY_CHARS_MAX], one_case=False)


def export_vectors(rows: RunRows, asked: Export, call: Call, tell: Tell | None = None) -> Exported:
    """Put a run's vectors into an index, and read each of them back. Blocking.

    Args:
        rows: of the run.
        asked: the vector bucket is its place, the index its table.
        call: asks S3 Vectors.
        tell: called with the number of parts that were read, and of all.

    Raises:
        NotWritten: the index exists or does not, or a vector or its metadata do not fit.
        NotExported: a vector is read back otherwise. What was put stays: putting it again overwrites it.
        PortError: AWS's answer.
    """
    if rows.vector is None:
        raise NotWritten(f"{NAME} holds vectors, and the run has none: it is no run of embeddings")
    if not _INDEX.fullmatch(asked.table):
        raise NotWritten(f"{NAME}: {asked.table!r} is no name of an index: 3 to 63 of a-z, 0-9, . and -")
    length = rows.length()
    if length is None:
        raise NotWritten(f"{NAME}: no row of run {rows.run_id} has a vector")
    if length > DIMENSION_MAX:
        raise NotWritten(f"{NAME} takes vectors of at most {DIMENSION_MAX:,} numbers, and these have {length:,}")
    columns = _columns(rows, asked, length)
    metric = _index(asked, length, call)
    if metric is None:
        _create(asked, length, call)
        metric = asked.distance
    put = 0
    for batch in rows.batches(tell):
        there = batch.filter(pc.is_valid(batch.column(batch.schema.get_field_index(rows.vector))))
        for begin in range(0, there.num_rows, PUT_VECTORS_MAX):
            ready = columns.batch(there.slice(begin, PUT_VECTORS_MAX), rows.run_id)
            for vectors in _requests(_vectors(ready, rows, columns, asked, metric), length):
                where = {"vectorBucketName": asked.place, "indexName": asked.table}
                call("put_vectors", {**where, "vectors": vectors})
                _read_back(vectors, where, call)
                put += len(vectors)
    if tell:
        tell(len(rows.parts), len(rows.parts))
    return Exported(
        run_id=rows.run_id,
        target=asked.target,
        place=asked.place,
        table=asked.table,
        mode=asked.mode,
        rows=put,
        left_out=max(0, rows.total - put),
        compared=put,
        already=False,
        table_rows=None,
        changes=columns.changes,
    )


def _columns(rows: RunRows, asked: Export, length: int) -> Columns:
    """The vector, the record id, and what is kept beside. Raises NotWritten naming the column that has no place."""
    ours = {rows.named(each) for each in _OURS}
    source = [name for name in rows.schema.names if name not in ours]
    wanted = source if asked.metadata is None else list(asked.metadata)
    for name in (*wanted, *asked.not_filterable):
        if name not in rows.schema.names:
            raise NotWritten(f"{NAME}: the results have no column {name!r}; they have {', '.join(source)}")
    kept = [rows.vector or "", rows.named("record_id"), *(name for name in wanted if name not in ours)]
    kept += [name for name in wanted if name in ours and name not in kept]
    # The run's id and the record's are kept too.
    if len(kept) > METADATA_KEYS_MAX:
        raise NotWritten(
            f"{NAME} keeps at most {METADATA_KEYS_MAX} values beside a vector, and these would be {len(kept):,}: name those "
            "that you want (--metadata)"
        )
    if len(asked.not_filterable) > NOT_FILTERABLE_KEYS_MAX:
        raise NotWritten(f"{NAME}: at most {NOT_FILTERABLE_KEYS_MAX} columns are not filterable (--not-filterable)")
    schema = pa.schema([rows.schema.field(name) for name in kept])
    return columns_of(schema, RULES, asked.run_column, vector=rows.vector, length=length)


_OURS = (
    *("embedding", "record_id", "status", "error_code", "error_message", "stop_reason"),
    *("input_tokens", "output_tokens"),
)


def _index(asked: Export, length: int, call: Call) -> str | None:
    """The distance of an index that is there and is to stay; None if one has to be made. Raises NotWritten."""
    where = {"vectorBucketName": asked.place, "indexName": asked.table}
    try:
        index = call("get_index", where)["index"]
    except Missing:
        if asked.mode == "append":
            raise NotWritten(
                f"{NAME}: there is no index {asked.table} in {asked.place}: make one with --mode create"
            ) from None
        return None
    if asked.mode == "create":
        raise NotWritten(
            f"{NAME}: index {asked.table} exists: add to it (--mode append, also to finish an export that broke off), replace it "
            "(--mode replace), or give another name"
        )
    if asked.mode == "replace":
        call("delete_index", where)
        return None
    if index["dimension"] != length:
        raise NotWritten(
            f"{NAME}: index {asked.table} takes vectors of {index['dimension']:,} numbers, and these have {length:,}: export to "
            "another index"
        )
    fixed = set(index.get("metadataConfiguration", {}).get("nonFilterableMetadataKeys", ()))
    if not set(asked.not_filterable) <= fixed:
        raise NotWritten(
            f"{NAME}: index {asked.table} was made with other columns that are not filterable "
            f"({', '.join(sorted(fixed)) or 'none'}), which cannot be changed: leave out --not-filterable, or replace it"
        )
    return str(index["distanceMetric"])


def _create(asked: Export, length: int, call: Call) -> None:
    parameters: dict[str, Any] = {
        "vectorBucketName": asked.place,
        "indexName": asked.table,
        "dataType": "float32",
        "dimension": length,
        "distanceMetric": asked.distance,
    }
    if asked.not_filterable:
        parameters["metadataConfiguration"] = {"nonFilterableMetadataKeys": list(asked.not_filterable)}
    try:
        call("create_index", parameters)
    except Missing as error:
        raise NotWritten(f"{NAME}: there is no vector bucket {asked.place}: create it first ({error})") from error


def _vectors(
    batch: pa.RecordBatch, rows: RunRows, columns: Columns, asked: Export, metric: str
) -> Iterator[dict[str, Any]]:
    """Vectors as they are put. Raises NotWritten naming the record and what does not fit."""
    names = batch.schema.names
    vector_name, id_name = columns.named(rows.vector or ""), columns.named(rows.named("record_id"))
    values = {name: plain_values(batch.column(place)) for place, name in enumerate(names) if name != vector_name}
    numbers = batch.column(names.index(vector_name)).to_pylist()
    fixed = {columns.named(name) for name in asked.not_filterable}
    for row, vector in enumerate(numbers):
        record = values[id_name][row]
        if not all(map(math.isfinite, vector)):
            raise NotWritten(f"{NAME}: the vector of record {record} has a number that is not finite")
        if metric == "cosine" and not any(vector):
            raise NotWritten(
                f"{NAME}: the vector of record {record} is zero, which has no direction: use --distance euclidean"
            )
        metadata = {name: value for name, column in values.items() if _kept(value := column[row])}
        _check_size(metadata, fixed, record)
        yield {"key": f"{rows.dataset or rows.run_id}/{record}", "data": {"float32": vector}, "metadata": metadata}


def _kept(value: Any) -> bool:
    """JSON has no null here, and no NaN."""
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _check_size(metadata: Mapping[str, Any], fixed: set[str], record: str) -> None:
    sizes = {name: len(msgspec.json.encode({name: value})) for name, value in metadata.items()}
    filterable = sum(size for name, size in sizes.items() if name not in fixed)
    longest = max(sizes, key=lambda name: sizes[name])
    if filterable > FILTERABLE_BYTES_MAX:
        raise NotWritten(
            f"{NAME}: what can be filtered by has {filterable:,} bytes in record {record}, of at most {FILTERABLE_BYTES_MAX:,}; "
            f"the longest is {longest!r}: keep it beside (--not-filterable {longest}), or leave it out (--metadata)"
        )
    if sum(sizes.values()) > METADATA_BYTES_MAX:
        raise NotWritten(
            f"{NAME}: what is kept beside the vector of record {record} has {sum(sizes.values()):,} bytes, of at most "
            f"{METADATA_BYTES_MAX:,}; the longest is {longest!r}: leave it out (--metadata)"
        )


def _requests(vectors: Iterator[dict[str, Any]], length: int) -> Iterator[list[dict[str, Any]]]:
    """As many vectors as fit into a request."""
    most = max(1, REQUEST_BYTES_MAX // (length * _FLOAT_BYTES + METADATA_BYTES_MAX + 1_200))
    ahead: list[dict[str, Any]] = []
    for vector in vectors:
        ahead.append(vector)
        if len(ahead) == min(most, PUT_VECTORS_MAX):
            yield ahead
            ahead = []
    if ahead:
        yield ahead


def _read_back(vectors: Sequence[Mapping[str, Any]], where: Mapping[str, Any], call: Call) -> None:
    """Raises NotExported naming the first record that is not there as it was put."""
    for begin in range(0, len(vectors), GET_VECTORS_MAX):
        some = {each["key"]: each for each in vectors[begin : begin + GET_VECTORS_MAX]}
        wanted = {"keys": list(some), "returnData": True, "returnMetadata": True}
        found = {each["key"]: each for each in call("get_vectors", {**where, **wanted})["vectors"]}
        for key, put in some.items():
            if key not in found:
                raise NotExported(f"{NAME}: vector {key} is not there when it is read back")
            # The service rounds to float32, which these are: the numbers are the same, however they are written.
            there = pa.array(found[key]["data"]["float32"], pa.float32())
            if not there.equals(pa.array(put["data"]["float32"], pa.float32())):
                raise NotExported(f"{NAME}: vector {key} has other numbers when it is read back")
            if found[key].get("metadata", {}) != put["metadata"]:
                raise NotExported(f"{NAME}: vector {key} has other metadata when it is read back")
