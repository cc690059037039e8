"""Parquet files as users' tools write them: every type that each writer has a word for, and its own ways of layout.

A file is a name and the bytes of 120 rows, with a column `text`. Each writer's own types stand beside it.
"""

from __future__ import annotations

import datetime as dt
import decimal
import io
import itertools
import json
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 120
# The client is tested with an older pyarrow too, which has fewer types and options.
PYARROW = tuple(int(part) for part in pa.__version__.split(".")[:2])
D = decimal.Decimal


def cycled(values: Sequence[Any]) -> list[Any]:
    return list(itertools.islice(itertools.cycle(values), ROWS))


TEXT = [f"row {row}" for row in range(ROWS)]

# --------------------------------------------------------------------------- DuckDB

_DUCKDB = {
    "integers": "i::tinyint a, i::smallint b, i::integer c, (i * 9000000000)::bigint d",
    "unsigned": "i::utinyint a, i::usmallint b, i::uinteger c, (18446744073709551615 - i)::ubigint d",
    "hugeint": "i::hugeint a, i::uhugeint b",
    "floats": "(i / 10)::float a, i / 3 b, case i % 4 when 0 then 'nan'::double when 1 then 'inf'::double else -0.0 end c",
    "decimals": "(i / 7)::decimal(4, 1) a, (i / 7)::decimal(9, 3) b, (i / 7)::decimal(18, 9) c, (i / 7)::decimal(38, 20) d",
    "texts": "'é' || i a, case when i % 3 = 0 then null else 'x' || i end b, ''::varchar c",
    "blob_and_bit": "('x' || i)::blob a, '0101'::bit b",
    "booleans": "i % 2 = 0 a, case when i % 3 = 0 then null else true end b",
    "dates": "date '0001-01-01' + i::integer a, date '9999-12-31' - i::integer b, 'infinity'::date c",
    "times": "time '10:00:00.123456' + to_seconds(i) a, '10:00:00.123456789'::time_ns b",
    "timetz": "('10:00:00+0' || (i % 5))::timetz a",
    "timetz_and_time": "('10:00:00+0' || (i % 5))::timetz a, time '10:00:00' + to_seconds(i) b",
    "timestamps": "timestamp '2026-01-02 03:04:05.678901' + to_days(i::integer) a, timestamp '1500-01-01' b, 'infinity'::timestamp c",
    "timestamps_of_other_units": "'2026-01-02 03:04:05'::timestamp_s a, '2026-01-02 03:04:05.678'::timestamp_ms b, "
    "'2026-01-02 03:04:05.678901234'::timestamp_ns c",
    "timestamptz": "('2026-01-02 03:04:05+0' || (i % 5))::timestamptz a",
    "interval": "to_days(i::integer) + to_months(2) a, case when i % 2 = 0 then null else interval '3 hours' end b",
    "nested_intervals": "[to_days(i::integer), to_months(2)] a, {'v': to_days(1), 't': '10:00:00+02'::timetz} b",
    "uuids": "md5(i::varchar)::uuid a, case when i % 2 = 0 then null else md5(i::varchar)::uuid end b",
    "nested_uuids": "[md5(i::varchar)::uuid] a, {'u': md5(i::varchar)::uuid, 'n': i} b, map {'k': md5(i::varchar)::uuid} c",
    "json": "json_object('i', i) a, '[1, null]'::json b",
    "nested_json": "[json_object('i', i)] a, {'j': json_object('i', i)} b",
    "enum": "(case i % 3 when 0 then 'low' when 1 then 'mid' else null end)::enum('low', 'mid', 'high') a",
    "lists": "[i, null, i + 1] a, []::integer[] b, [[i], null, []] c, [i, i + 1]::integer[2] d",
    "structs": "{'a': i, 'b': {'c': 'x', 'd': [i]}} a, case when i % 2 = 0 then null else {'v': i} end b",
    "maps": "map {'a': i, 'b': null} a, map {i: ['x']} b, map()::map(varchar, integer) c",
    "union": "union_value(num := i::integer)::union(num integer, str varchar) a",
    "variant": "i::variant a, {'a': i, 'b': 'x'}::variant b",
    "geometry": "('POINT(' || i || ' 2)')::geometry a",
    "nulls": "null a, null::integer b, [null] c",
    "names": 'i "a.b", i "with space", i "üñ", i "select", i "A", i "b"',
}  # fmt: skip


def _duckdb(columns: str, options: str = "") -> Callable[[], bytes]:
    def write() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/x.parquet"
            rows = f"select i id, 'row ' || i \"text\", {columns} from range({ROWS}) t(i)"
            with duckdb.connect() as connection:
                connection.execute(f"copy ({rows}) to '{path}' (format parquet{options})")
            return Path(path).read_bytes()

    return write


def duckdb_files() -> Iterator[tuple[str, Callable[[], bytes]]]:
    for name, columns in _DUCKDB.items():
        yield f"duckdb-{name}", _duckdb(columns)
    yield "duckdb-format_v2", _duckdb("i a, 'x' || (i % 3) b, i / 3 c", ", parquet_version v2, compression zstd")


# --------------------------------------------------------------------------- polars


def _polars_columns() -> dict[str, Callable[[], dict[str, pl.Series]]]:
    def series(values: Sequence[Any], kind: Any) -> pl.Series:
        return pl.Series(cycled(values), dtype=kind)

    return {
        "integers": lambda: {str(kind): series([1, None, 100], kind) for kind in (pl.Int8, pl.Int16, pl.Int32, pl.Int64)},
        "unsigned": lambda: {
            "a": series([1, 255], pl.UInt8),
            "b": series([1, 65_535], pl.UInt16),
            "c": series([2**32 - 1], pl.UInt32),
            "d": series([2**64 - 1, None], pl.UInt64),
        },
        "floats": lambda: {
            "a": series([1.5, None, float("nan"), float("inf"), -0.0], pl.Float64),
            "b": series([0.1, None], pl.Float32),
            "c": series([1.5, None], pl.Float16),
        },
        "texts": lambda: {"a": series(["é", None, "", "x" * 40], pl.String), "b": series([b"\x00\xff", None], pl.Binary)},
        "booleans": lambda: {"a": series([True, None, False], pl.Boolean)},
        "dates": lambda: {"a": series([dt.date(1, 1, 1), None, dt.date(9999, 12, 31)], pl.Date)},
        "datetimes": lambda: {
            unit + str(zone): series([1_767_323_045_678_000, None], pl.Int64).cast(pl.Datetime("us")).cast(pl.Datetime(unit)).dt.replace_time_zone(zone)  # type: ignore[arg-type]
            for unit in ("ms", "us", "ns")
            for zone in (None, "UTC", "Asia/Tokyo")
        },
        "durations": lambda: {unit: pl.Series(cycled([1, None, -5])).cast(pl.Duration(unit)) for unit in ("ms", "us", "ns")},  # type: ignore[arg-type]
        "times": lambda: {"a": series([dt.time(1, 2, 3, 4), None], pl.Time)},
        "decimals": lambda: {"a": series([D("1.25"), None, D(-3)], pl.Decimal(38, 10)), "b": series([D("1.2")], pl.Decimal(5, 1))},
        "categories": lambda: {"a": series(["x", None, "y"], pl.Categorical)},
        "enum": lambda: {"a": series(["high", None, "low"], pl.Enum(["low", "mid", "high"]))},
        "nested_categories": lambda: {
            "a": pl.Series(cycled([["x", "y"], None, []]), dtype=pl.List(pl.Categorical)),
            "b": pl.Series(cycled([{"e": "low"}]), dtype=pl.Struct({"e": pl.Enum(["low", "high"])})),
        },
        "lists": lambda: {
            "a": series([[1, None], None, []], pl.List(pl.Int16)),
            "b": series([[[1.5]], [None], []], pl.List(pl.List(pl.Float64))),
            "c": series([[1, 2], None], pl.Array(pl.Int8, 2)),
        },
        "structs": lambda: {"a": series([{"x": 1, "y": ["a"]}, None, {"x": None, "y": None}], pl.Struct({"x": pl.Int8, "y": pl.List(pl.String)}))},
        "nulls": lambda: {"a": series([None], pl.Null), "b": series([[None]], pl.List(pl.Null))},
        "int128": lambda: {"a": series([1, 2**100], pl.Int128)},
        "nested_int128": lambda: {"a": series([[1]], pl.List(pl.Int128))},
        "uint128": lambda: {"a": series([1], pl.UInt128)},
    }  # fmt: skip


def _polars(columns: Callable[[], dict[str, pl.Series]], **options: Any) -> Callable[[], bytes]:
    def write() -> bytes:
        body = io.BytesIO()
        pl.DataFrame({"text": TEXT, **columns()}).write_parquet(body, **options)
        return body.getvalue()

    return write


def polars_files() -> Iterator[tuple[str, Callable[[], bytes]]]:
    known = _polars_columns()
    for name, columns in known.items():
        yield f"polars-{name}", _polars(columns)
    yield "polars-small_groups", _polars(known["categories"], row_group_size=7)
    yield "polars-many_categories", _polars(lambda: {"a": pl.Series(TEXT, dtype=pl.Categorical)}, row_group_size=50)


# --------------------------------------------------------------------------- pandas and fastparquet


def _frames() -> dict[str, Callable[[], pd.DataFrame]]:
    def frame(**columns: Any) -> pd.DataFrame:
        return pd.DataFrame({"text": TEXT, **columns})

    ordered = pd.CategoricalDtype(["low", "medium", "high", "huge"], ordered=True)
    return {
        "plain": lambda: frame(
            a=range(ROWS), b=np.linspace(0, 1, ROWS), c=cycled([True, False]), d=cycled(["x", None])
        ),
        "categories": lambda: frame(a=pd.Categorical(cycled(["x", None, "y"]), categories=["unused", "y", "x"])),
        "ordered": lambda: frame(a=pd.Categorical(cycled(["high", "low", "medium"]), dtype=ordered)),
        "categories_of_numbers": lambda: frame(a=pd.Categorical(cycled([30, 10, 20]))),
        "datetimes": lambda: frame(
            a=pd.to_datetime(cycled(["2026-01-02 03:04:05.678901", None])),
            b=pd.to_datetime(cycled(["2026-01-02", "1700-01-01"])).tz_localize("UTC"),
        ),
        "durations": lambda: frame(a=pd.to_timedelta(cycled([1, None, 10**9]), unit="ns")),
        "nullable": lambda: frame(
            a=pd.array(cycled([1, None]), dtype="Int64"),
            b=pd.array(cycled([True, None]), dtype="boolean"),
            c=pd.array(cycled([1.5, None]), dtype="Float32"),
        ),
        "named_index": lambda: frame(a=range(ROWS)).set_index(pd.Index([f"k{row}" for row in range(ROWS)], name="key")),
    }


def _pandas_frames() -> dict[str, Callable[[], pd.DataFrame]]:
    return {
        **_frames(),
        "zoned": lambda: pd.DataFrame({"text": TEXT, "a": pd.date_range("2026-01-01", periods=ROWS, tz="Europe/Berlin")}),
        "periods": lambda: pd.DataFrame({"text": TEXT, "a": pd.period_range("2026-01", periods=ROWS, freq="M")}),
        "intervals": lambda: pd.DataFrame({"text": TEXT, "a": pd.interval_range(0, ROWS)}),
        "lists": lambda: pd.DataFrame({"text": TEXT, "a": cycled([[1, 2], []]), "b": cycled([{"x": 1}, {"x": None}])}),
        "two_indexes": lambda: pd.DataFrame({"text": TEXT}).set_index(
            pd.MultiIndex.from_arrays([range(ROWS), cycled(["a", "b"])], names=["n", "k"])
        ),
        "index_from_ten": lambda: pd.DataFrame({"text": TEXT}, index=pd.RangeIndex(10, 10 + ROWS)),
        "arrow_backed": lambda: pd.DataFrame({"text": pd.array(TEXT, dtype="string[pyarrow]"), "a": pd.array(cycled([1, None]), dtype="int8[pyarrow]")}),
    }  # fmt: skip


def _pandas(make: Callable[[], pd.DataFrame], engine: str, **options: Any) -> Callable[[], bytes]:
    def write() -> bytes:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fastparquet warns of pandas and pandas of fastparquet
            path = f"{folder}/x.parquet"
            if engine == "pyarrow":
                make().to_parquet(path, engine="pyarrow", **options)
            else:
                import fastparquet

                fastparquet.write(path, make(), **options)
            return Path(path).read_bytes()

    return write


def pandas_files() -> Iterator[tuple[str, Callable[[], bytes]]]:
    for name, make in _pandas_frames().items():
        yield f"pandas-{name}", _pandas(make, "pyarrow")
    yield "pandas-ordered_in_groups", _pandas(_frames()["ordered"], "pyarrow", row_group_size=9)


def fastparquet_files() -> Iterator[tuple[str, Callable[[], bytes]]]:
    for name, make in _frames().items():
        yield f"fastparquet-{name}", _pandas(make, "fastparquet")
    yield "fastparquet-groups", _pandas(_frames()["categories"], "fastparquet", row_group_offsets=[0, 10, 70])
    yield "fastparquet-int96_with_nulls", _pandas(_frames()["datetimes"], "fastparquet", times="int96")
    resolution = {"unit": "us"} if int(pd.__version__.partition(".")[0]) > 1 else {}  # pandas 1 knows nanoseconds alone
    whole = pd.date_range("1700-01-01", periods=ROWS, freq="D", **resolution)
    yield "fastparquet-int96", _pandas(lambda: pd.DataFrame({"text": TEXT, "a": whole}), "fastparquet", times="int96")
    yield (
        "fastparquet-objects",
        _pandas(
            lambda: pd.DataFrame({"text": TEXT, "a": cycled([{"x": 1}, [1, 2]]), "b": cycled([b"\x00", b"\xff"])}),
            "fastparquet",
            object_encoding={"text": "utf8", "a": "json", "b": "bytes"},
        ),
    )


# --------------------------------------------------------------------------- pyarrow


def _arrow_columns() -> dict[str, Callable[[], dict[str, pa.Array]]]:
    def uuids() -> pa.Array:
        return pa.array(cycled([uuid.uuid5(uuid.NAMESPACE_OID, "a").bytes, None]), pa.binary(16))

    def lists_of(array: pa.Array) -> pa.Array:
        return pa.ListArray.from_arrays(pa.array(range(ROWS + 1), pa.int32()), array)

    def around(extension: Any, storage: Callable[[], pa.Array]) -> Callable[[], dict[str, pa.Array]]:
        def make() -> dict[str, pa.Array]:
            flat = pa.ExtensionArray.from_storage(extension, storage())
            return {
                "flat": flat,
                "list": lists_of(flat),
                "struct": pa.StructArray.from_arrays([flat], ["inner"]),
                "map": pa.MapArray.from_arrays(pa.array(range(ROWS + 1), pa.int32()), pa.array(TEXT), flat),
                "deep": lists_of(pa.StructArray.from_arrays([lists_of(flat)], ["inner"])),
            }

        return make

    def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
        return pa.array(cycled(values), kind)

    def categories(kind: pa.DataType, *, ordered: bool = False) -> pa.Array:
        levels = pa.array(["low", "medium", "high", "huge"])
        return pa.DictionaryArray.from_arrays(column([2, None, 0], kind), levels, ordered=ordered)

    tensor = pa.fixed_shape_tensor(pa.float32(), [2])
    later: dict[str, Callable[[], dict[str, pa.Array]]] = {}
    if PYARROW >= (19, 0):
        later |= {
            "views": lambda: {
                "a": column(["x", None, "y" * 40], pa.string_view()),
                "b": column([b"x", None], pa.binary_view()),
                "c": column([[1], None, []], pa.list_view(pa.int64())),
                "d": column([["x"], None], pa.large_list_view(pa.large_string())),
            },
            "uuid": around(pa.uuid(), uuids),
            "json": around(pa.json_(), lambda: column(['{"a": 1}', None], pa.string())),
            "bool8": around(pa.bool8(), lambda: column([1, None, 0], pa.int8())),
            "opaque": around(pa.opaque(pa.string(), "kind", "vendor"), lambda: column(["x", None], pa.string())),
            "fixed_lists": lambda: {"a": column([[1, 2], None, [None, 3]], pa.list_(pa.int32(), 2))},
            "small_decimals": lambda: {
                "a": column([D("1.5"), None], pa.decimal32(5, 2)),
                "b": column([D("1.5"), None], pa.decimal64(12, 2)),
            },
        }
    return later | {
        "tensor": around(tensor, lambda: column([[1.0, 2.0], [3.0, float("nan")]], pa.list_(pa.float32(), 2))),
        "large": lambda: {"a": column(["x", None], pa.large_string()), "b": column([["x"], None], pa.large_list(pa.string()))},
        "decimals": lambda: {
            "c": column([D("1.5"), None], pa.decimal128(38, 10)),
            "d": column([D("-1.5"), None], pa.decimal256(76, 30)),
        },
        "times": lambda: {
            "a": column([1, None], pa.time32("s")),
            "b": column([1, None], pa.time32("ms")),
            "c": column([1, None], pa.time64("us")),
            "d": column([1, None], pa.time64("ns")),
        },
        "timestamps": lambda: {
            f"{unit}{zone}": column([1, None, -1], pa.timestamp(unit, zone)) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC", "+05:30")
        },
        "durations": lambda: {unit: column([1, None, -7], pa.duration(unit)) for unit in ("s", "ms", "us", "ns")},
        "dates": lambda: {"a": column([0, None, 2_932_896], pa.date32()), "b": column([86_400_000, None], pa.date64())},
        "halves": lambda: {"a": column([np.float16(1.5), None, np.float16("nan")], pa.float16())},
        "binaries": lambda: {"a": column([b"ab", None], pa.binary(2)), "b": column([b"", None], pa.large_binary())},
        "maps": lambda: {"a": column([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64(), keys_sorted=True))},
        "nulls": lambda: {"a": pa.nulls(ROWS), "b": column([[None], []], pa.list_(pa.null())), "c": column([{"n": None}, None], pa.struct([("n", pa.null())]))},
        "categories": lambda: {str(kind): categories(kind) for kind in (pa.int8(), pa.uint8(), pa.int32(), pa.int64(), pa.uint64())},
        "ordered": lambda: {"a": categories(pa.int8(), ordered=True)},
        "nested_categories": lambda: {
            "a": lists_of(categories(pa.int8())),
            "b": pa.StructArray.from_arrays([categories(pa.int16(), ordered=True)], ["inner"]),
            "c": pa.MapArray.from_arrays(pa.array(range(ROWS + 1), pa.int32()), pa.array(TEXT), categories(pa.int8())),
            "d": pa.DictionaryArray.from_arrays(column([0, 1], pa.int8()), pa.array([b"x", b"y"])),
        },
        "twice_in_struct": lambda: {"a": pa.StructArray.from_arrays([pa.array(TEXT), pa.array(range(ROWS))], ["v", "v"])},
        "names": lambda: {"a.b": pa.array(range(ROWS)), "a": pa.array([{"b": 1}] * ROWS), "list.element": pa.array(range(ROWS)), "embedding": pa.array([[1.0]] * ROWS)},
    }  # fmt: skip


def _arrow(columns: Callable[[], dict[str, pa.Array]], metadata: dict[str, str] | None = None, **options: Any) -> Callable[[], bytes]:  # fmt: skip
    def write() -> bytes:
        body = io.BytesIO()
        pq.write_table(pa.table({"text": TEXT, **columns()}).replace_schema_metadata(metadata), body, **options)
        return body.getvalue()

    return write


def _new_categories_in_every_group() -> bytes:
    body = io.BytesIO()
    schema = pa.schema([("text", pa.string()), ("a", pa.dictionary(pa.int8(), pa.string())), ("b", pa.list_(pa.dictionary(pa.int8(), pa.string())))])  # fmt: skip
    with pq.ParquetWriter(body, schema) as writer:
        for group in range(40):
            levels = pa.array([f"level {group} {number}" for number in range(10)])
            category = pa.DictionaryArray.from_arrays(pa.array([9, None, 0], pa.int8()), levels)
            nested = pa.ListArray.from_arrays(pa.array([0, 1, 1, 3], pa.int32()), category)
            writer.write_table(pa.table([pa.array(TEXT[:3]), category, nested], schema=schema))
    return body.getvalue()


def pyarrow_files() -> Iterator[tuple[str, Callable[[], bytes]]]:
    known = _arrow_columns()
    for name, columns in known.items():
        yield f"pyarrow-{name}", _arrow(columns)
    yield "pyarrow-ordered_in_groups", _arrow(known["ordered"], row_group_size=7)
    if PYARROW >= (19, 0):
        yield "pyarrow-nested_uuids_in_groups", _arrow(known["uuid"], row_group_size=50)
        yield "pyarrow-times_in_utc", _arrow(known["times"], write_time_adjusted_to_utc=True)
    yield "pyarrow-format_1", _arrow(known["times"], version="1.0")
    yield "pyarrow-pages_v2", _arrow(known["maps"], data_page_version="2.0", compression="brotli")
    yield "pyarrow-new_categories_in_every_group", _new_categories_in_every_group
    yield (
        "pyarrow-int96",
        _arrow(lambda: {"a": pa.array(cycled([1, None]), pa.timestamp("us"))}, use_deprecated_int96_timestamps=True),
    )
    spark = json.dumps(
        {"type": "struct", "fields": [{"name": "text", "type": "string", "nullable": True, "metadata": {}}]}
    )
    yield (
        "pyarrow-spark_metadata",
        _arrow(dict, {"org.apache.spark.sql.parquet.row.metadata": spark, "org.apache.spark.version": "4.0.0"}),
    )


def all_files() -> dict[str, Callable[[], bytes]]:
    found: dict[str, Callable[[], bytes]] = {}
    for files in (duckdb_files, polars_files, pandas_files, fastparquet_files, pyarrow_files):
        found |= dict(files())
    return found
