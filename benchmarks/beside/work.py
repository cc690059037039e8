"""What is measured: the inputs, their sizes, and what every way has to leave behind. Nothing here is charged to any way.

Texts are of 1 KB, three of ten not plain English, with quotation marks, line ends and backslashes. Ten thousand of them
are repeated, for making 200,000 takes longer than all ways together; no compression used here sees that far back. But
polars and DuckDB write a column in which texts repeat as a dictionary, which spares them four fifths of the work of
writing, and which texts that people have do not allow. So every text begins with the number of its row.
"""

from __future__ import annotations

import csv
import hashlib
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SEED = 7
DISTINCT = 10_000
SHARD = "00000"
MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
EMBEDDER = "amazon.titan-embed-text-v2:0"
TEMPLATE = "Read this and answer in one sentence:\n\n{text}\n\nNow answer."
INFERENCE: Mapping[str, Any] = {"max_tokens": 512, "temperature": 0.5}
ENGLISH = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "and",
    "then",
    "more",
    "words",
    "follow",
]
OTHER = [*ENGLISH[:8], "naïve", "façade", "数据处理", "слово", "Ünïcödé", "😀"]


@dataclass(frozen=True, slots=True)
class Size:
    """How much of each work: `rows` are prepared in shards of `shard_rows`, `joined` joined, `grouped` in one row group."""

    rows: int = 200_000
    shard_rows: int = 50_000
    joined: int = 50_000
    dimensions: int = 1_024
    grouped: int = 1_000_000
    grouped_shards: int = 20

    def write(self, folder: Path) -> None:
        (folder / "size.json").write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> Size:
        return cls(**json.loads((folder / "size.json").read_text()))


QUICK = Size(rows=40_000, shard_rows=10_000, joined=10_000, grouped=200_000)


def texts(count: int, size_bytes: int, seed: int = SEED) -> list[str]:
    chance = random.Random(seed)
    made = []
    for row in range(min(count, DISTINCT)):
        words = chance.choices(OTHER if row % 10 < 3 else ENGLISH, k=size_bytes // 5)
        words[9::25] = [word + ".\n" for word in words[9::25]]
        words[19::50] = [f'"{word}"' for word in words[19::50]]
        words[5::100] = [f"{word}\\n" for word in words[5::100]]
        made.append(" ".join(words)[:size_bytes])
    return made


# --------------------------------------------------------------------------- inputs


def make_rows(folder: Path, size: Size) -> None:
    """`rows.csv` and `rows.parquet`: a number and a text of 1 KB; Parquet as pandas and pyarrow write it by default."""
    made = texts(size.rows, 1_000)
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["id", "text"])
        writer.writerows([str(row), f"{row} {made[row % len(made)]}"] for row in range(size.rows))
    numbers = pa.array([str(row) for row in range(size.rows)])
    body = pa.array(made).take(pa.array(np.arange(size.rows) % len(made)))
    body = pc.binary_join_element_wise(numbers, body, " ")
    pq.write_table(pa.table({"id": numbers, "text": body}), folder / "rows.parquet")


def make_grouped(folder: Path, size: Size) -> None:
    """`grouped.parquet`: one row group of rows of 400 bytes, as the default of most writers makes it."""
    made = pa.array(texts(DISTINCT, 400))
    places = np.random.default_rng(SEED).integers(0, len(made), size.grouped)
    numbers = pa.array([str(row) for row in range(size.grouped)])
    table = pa.table({"id": numbers, "text": made.take(pa.array(places))})
    pq.write_table(table, folder / "grouped.parquet", row_group_size=size.grouped)


def make_joined(folder: Path, size: Size, kind: str) -> None:
    """`source.parquet`, `source.csv` and `<kind>.jsonl.out`: three columns of 1.5 KB, and the answers, shuffled as Bedrock's may be."""
    columns = {name: texts(DISTINCT, chars, seed) for seed, (name, chars) in enumerate(_SOURCE.items())}
    prompts, answers = texts(DISTINCT, 1_000, 11), texts(DISTINCT, 600, 12)
    if not (folder / "source.parquet").exists():
        table = {name: [_numbered(row, made) for row in range(size.joined)] for name, made in columns.items()}
        pq.write_table(pa.table(table), folder / "source.parquet", row_group_size=4_096, use_dictionary=False)
        with (folder / "source.csv").open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(table)
            writer.writerows(zip(*table.values(), strict=True))
    order = list(range(size.joined))
    random.Random(SEED).shuffle(order)
    numbers = np.random.default_rng(SEED)
    with (folder / f"{kind}.jsonl.out").open("w", encoding="utf-8") as output:
        for row in order:
            vector = (
                (numbers.standard_normal(size.dimensions) / 32).astype(np.float32).tolist()
                if kind == "embedding"
                else []
            )
            line = answered(kind, row, prompts[row % len(prompts)], _numbered(row, answers), vector)
            output.write(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n")


def _numbered(row: int, made: list[str]) -> str:
    return f"{row} {made[row % len(made)]}"


_SOURCE = {"title": 60, "body": 1_000, "notes": 300}


def answered(kind: str, row: int, prompt: str, answer: str, vector: list[float]) -> dict[str, Any]:
    """A line of a job's output."""
    if kind == "text":
        body: Mapping[str, Any] = {"messages": [{"role": "user", "content": [{"type": "text", "text": prompt}]}]}
        said: Mapping[str, Any] = {
            "content": [{"type": "text", "text": answer}],
            "id": "msg_bdrk_01",
            "model": "claude",
            "role": "assistant",
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "type": "message",
            "usage": {"input_tokens": 250, "output_tokens": 120},
        }
    else:
        body = {"inputText": prompt, "dimensions": len(vector), "normalize": True}
        said = {"embedding": vector, "inputTextTokenCount": 200}
    return {"modelInput": body, "modelOutput": said, "recordId": f"{SHARD}{row:06d}"}


# --------------------------------------------------------------------------- outputs


def shard_digests(folder: Path) -> list[str]:
    """Of the lines that a way has written, shard by shard."""
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("**/*.jsonl"))]


def meaning(folder: Path) -> str:
    """A digest of what the lines say, whatever their spelling: of ways that escape more than they must."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("**/*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                digest.update(json.dumps(json.loads(line), sort_keys=True).encode())
    return digest.hexdigest()


def copied_rows(folder: Path) -> Iterator[pa.Table]:
    for path in sorted(folder.glob("**/*.rows.parquet")):
        yield pq.read_table(path)
