"""The same work done with the tools that people take for it, each as its users write it, as fast as we know how.

Every way reads the whole file, writes one JSONL file a shard with the lines that Bedrock wants, and the rows of each
shard as Parquet in the compression that we use. They check nothing: no row without a text, no dialect, no
size. A join reads the source and the output, puts answers beside rows by record id, in the source's order, and writes
Parquet in the compression that we use.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from beside.work import INFERENCE, SHARD, TEMPLATE, Size

# Of the copied rows and of the joined ones, as ours.
COMPRESSION: Any = "zstd"
LEVEL = 1
MARK = "\x00"


def shards(size: Size) -> Iterator[tuple[str, int, int]]:
    """The shard's digits, its first row and the row behind its last."""
    for number, first in enumerate(range(0, size.rows, size.shard_rows)):
        yield f"{2 * number:05d}", first, min(first + size.shard_rows, size.rows)


def body(text: str) -> dict[str, Any]:
    """What Bedrock is asked: written out, as one does who has one model."""
    return {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": INFERENCE["max_tokens"],
        "temperature": INFERENCE["temperature"],
        "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}],
    }


# --------------------------------------------------------------------------- pandas, as the ancestor does it


class Pandas:
    """A DataFrame, an object a row, the json module, a merge."""

    @staticmethod
    def load() -> None:
        import pandas as pd  # noqa: F401, PLC0415

    @staticmethod
    def prepare(folder: Path, out: Path, size: Size, form: str) -> None:
        import pandas as pd  # noqa: PLC0415

        if form == "csv":
            frame = pd.read_csv(folder / "rows.csv", dtype=str, keep_default_na=False)
        else:
            frame = pd.read_parquet(folder / "rows.parquet")
        for shard, first, behind in shards(size):
            rows = frame.iloc[first:behind]
            with (out / f"{shard}.jsonl").open("w", encoding="utf-8") as lines:
                for number, row in enumerate(rows.to_dict("records")):
                    record = {"recordId": f"{shard}{number:06d}", "modelInput": body(TEMPLATE.format(**row))}
                    lines.write(json.dumps(record) + "\n")
            rows.to_parquet(
                out / f"{shard}.rows.parquet", index=False, compression=COMPRESSION, compression_level=LEVEL
            )

    @staticmethod
    def join(folder: Path, out: Path, size: Size, kind: str) -> None:
        import pandas as pd  # noqa: PLC0415

        source = pd.read_parquet(folder / "source.parquet")
        source["record_id"] = [f"{SHARD}{row:06d}" for row in range(size.joined)]
        with (folder / f"{kind}.jsonl.out").open(encoding="utf-8") as output:
            records = [json.loads(line) for line in output]
        if kind == "text":
            answers = [
                {"record_id": r["recordId"], "response": r["modelOutput"]["content"][0]["text"]} for r in records
            ]
        else:
            answers = [{"record_id": r["recordId"], "embedding": r["modelOutput"]["embedding"]} for r in records]
        joined = source.merge(pd.DataFrame(answers), on="record_id", how="inner")
        joined.to_parquet(out / "joined.parquet", index=False, compression=COMPRESSION, compression_level=LEVEL)


# --------------------------------------------------------------------------- polars


class Polars:
    """Whole frames, expressions, `write_ndjson`."""

    @staticmethod
    def load() -> None:
        import polars as pl  # noqa: F401, PLC0415

    @staticmethod
    def prepare(folder: Path, out: Path, size: Size, form: str) -> None:
        import polars as pl  # noqa: PLC0415

        path = folder / f"rows.{form}"
        frame = pl.read_csv(path, infer_schema=False) if form == "csv" else pl.read_parquet(path)
        before, after = TEMPLATE.split("{text}")
        asked = body(MARK)

        def expression(value: Any) -> Any:
            match value:
                case dict():
                    return pl.struct(**{name: expression(one) for name, one in value.items()})
                case list():
                    return pl.concat_list([expression(one) for one in value])
                case str() if value == MARK:
                    return pl.concat_str(pl.lit(before), pl.col("text"), pl.lit(after))
                case _:
                    return pl.lit(value)

        for shard, first, behind in shards(size):
            rows = frame.slice(first, behind - first)
            number = pl.int_range(pl.len()).cast(pl.String).str.zfill(6)
            lines = rows.select(recordId=pl.concat_str(pl.lit(shard), number), modelInput=expression(asked))
            lines.write_ndjson(out / f"{shard}.jsonl")
            rows.write_parquet(
                out / f"{shard}.rows.parquet", compression=COMPRESSION, compression_level=LEVEL, statistics=False
            )

    @staticmethod
    def join(folder: Path, out: Path, size: Size, kind: str) -> None:
        del size
        import polars as pl  # noqa: PLC0415

        if kind == "text":
            said: Any = pl.Struct({"content": pl.List(pl.Struct({"text": pl.String}))})
            answer = pl.col("modelOutput").struct.field("content").list.first().struct.field("text").alias("response")
        else:
            said = pl.Struct({"embedding": pl.List(pl.Float32)})
            answer = pl.col("modelOutput").struct.field("embedding")
        output = pl.scan_ndjson(folder / f"{kind}.jsonl.out", schema={"recordId": pl.String, "modelOutput": said})
        answers = output.select(pl.col("recordId").str.slice(5).cast(pl.UInt32).alias("row"), answer)
        source = pl.scan_parquet(folder / "source.parquet").with_row_index("row")
        joined = source.join(answers, on="row", how="left", maintain_order="left").drop("row")
        joined.collect().write_parquet(
            out / "joined.parquet", compression=COMPRESSION, compression_level=LEVEL, statistics=False
        )


# --------------------------------------------------------------------------- DuckDB


class DuckDB:
    """SQL: a struct a row and `COPY ... (FORMAT json)`."""

    @staticmethod
    def load() -> None:
        import duckdb  # noqa: F401, PLC0415

    @staticmethod
    def prepare(folder: Path, out: Path, size: Size, form: str) -> None:
        import duckdb  # noqa: PLC0415

        base = duckdb.connect()
        path = folder / f"rows.{form}"
        reader = f"read_csv('{path}', all_varchar=true, header=true)" if form == "csv" else f"read_parquet('{path}')"
        base.execute(f"create table rows as select row_number() over () - 1 as place, * from {reader}")
        before, after = TEMPLATE.split("{text}")

        def expression(value: Any) -> str:
            match value:
                case dict():
                    return "{" + ", ".join(f"'{name}': {expression(one)}" for name, one in value.items()) + "}"
                case list():
                    return "[" + ", ".join(map(expression, value)) + "]"
                case str() if value == MARK:
                    return f"{_literal(before)} || text || {_literal(after)}"
                case str():
                    return _literal(value)
                case float():
                    return f"{value}::double"
                case _:
                    return str(value)

        asked = expression(body(MARK))
        for shard, first, behind in shards(size):
            base.execute(
                f"copy (select '{shard}' || lpad((place - {first})::varchar, 6, '0') as recordId, {asked} as modelInput "
                f"from rows where place >= {first} and place < {behind} order by place) "
                f"to '{out}/{shard}.jsonl' (format json)"
            )
            base.execute(
                f"copy (select * exclude place from rows where place >= {first} and place < {behind} order by place) "
                f"to '{out}/{shard}.rows.parquet' (format parquet, compression {COMPRESSION}, compression_level {LEVEL})"
            )

    @staticmethod
    def join(folder: Path, out: Path, size: Size, kind: str) -> None:
        del size
        import duckdb  # noqa: PLC0415

        if kind == "text":
            said, answer = "STRUCT(content STRUCT(text VARCHAR)[])", "modelOutput.content[1].text as response"
        else:
            said, answer = "STRUCT(embedding FLOAT[])", "modelOutput.embedding as embedding"
        base = duckdb.connect()
        base.execute(
            f"copy (select source.* exclude place, answers.* exclude row from "
            f"(select file_row_number as place, * exclude file_row_number "
            f"from read_parquet('{folder}/source.parquet', file_row_number=true)) source "
            f"left join (select substr(recordId, 6)::integer as row, {answer} from "
            f"read_json('{folder}/{kind}.jsonl.out', format='newline_delimited', maximum_object_size=33554432, "
            f"columns={{recordId: 'VARCHAR', modelOutput: '{said}'}})) answers on place = row order by place) "
            f"to '{out}/joined.parquet' (format parquet, compression {COMPRESSION}, compression_level {LEVEL})"
        )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# --------------------------------------------------------------------------- simdjson


class Simdjson:
    """A line at a time: only what is asked for of it is made a Python object, and of a vector not even that."""

    @staticmethod
    def load() -> None:
        import pyarrow.parquet  # noqa: F401, PLC0415
        import simdjson  # noqa: F401, PLC0415

    @staticmethod
    def join(folder: Path, out: Path, size: Size, kind: str) -> None:
        import numpy as np  # noqa: PLC0415
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415
        import simdjson  # noqa: PLC0415

        parser = simdjson.Parser()
        vectors = np.empty((size.joined, size.dimensions if kind == "embedding" else 0), np.float32)
        replies: list[str] = [""] * size.joined
        with (folder / f"{kind}.jsonl.out").open("rb") as output:
            for line in output:
                record: Any = parser.parse(line)
                row = int(record["recordId"][5:])
                if kind == "embedding":
                    vectors[row] = np.frombuffer(record["modelOutput"]["embedding"].as_buffer(of_type="d"), np.float64)
                else:
                    replies[row] = record["modelOutput"]["content"].at_pointer("/0/text")
                del record
        if kind == "embedding":
            flat = pa.array(vectors.reshape(-1))
            answers = pa.ListArray.from_arrays(np.arange(size.joined + 1, dtype=np.int32) * size.dimensions, flat)
        else:
            answers = pa.array(replies)
        source = pq.read_table(folder / "source.parquet")
        joined = source.append_column("embedding" if kind == "embedding" else "response", answers)
        pq.write_table(
            joined,
            out / "joined.parquet",
            compression=COMPRESSION,
            compression_level=LEVEL,
            use_dictionary=False,
            write_statistics=False,
        )


OTHERS: Mapping[str, Any] = {"pandas": Pandas, "polars": Polars, "duckdb": DuckDB, "simdjson": Simdjson}
