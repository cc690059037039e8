"""What an output schema costs in the join of one shard, and which part of it validation is.

A shard of answers of eight fields, nested ones among them, 10 % of them broken off and 5 % with a value of a wrong type, is settled and
joined three times: as text, and as columns by an answer that is JSON and by a tool's input. Validation is timed by itself, over the
same answers, decoded: what is valid is asked once, why the others are not is asked too. CPU seconds of one process each, without
imports. It fails if validation takes more than `--share-max` of a join.

    python benchmarks/structured.py [--rows 50000] [--share-max 0.10]
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from join import SHARD, Folder

from quarry_collector.decode import read_blocks
from quarry_collector.parts import Identity, write_outcome, write_part
from quarry_collector.settle import Ended, Settle, decide
from quarry_collector.spool import Spool
from quarry_core.contract.names import record_id
from quarry_core.models import reader_named
from quarry_core.structured.answers import Answers
from quarry_core.structured.blocks import structured_reader
from quarry_core.structured.schema import read_schema
from quarry_core.structured.validate import compiled, reasons

SEED = 7
WORDS = [f"word{number}" for number in range(2_000)]
SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"type": "string", "enum": ["praise", "complaint", "question"]},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "count": {"type": "integer", "minimum": 0},
        "on": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
        "summary": {"type": "string", "minLength": 1},
        "topics": {"type": "array", "items": {"type": "string"}, "maxItems": 8},
        "place": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "zip": {"type": ["string", "null"]}},
            "required": ["city"],
        },
    },
    "required": ["kind", "score", "count", "on", "at", "summary", "topics", "place"],
}


def make(folder: Path, rows: int, way: str) -> None:
    """Write source.parquet, output.jsonl.out and answers.json."""
    chance = random.Random(SEED)

    def text(words: int) -> str:
        return " ".join(chance.choices(WORDS, k=words))

    schema = pa.schema([("title", pa.string()), ("body", pa.string())])
    with pq.ParquetWriter(folder / "source.parquet", schema, use_dictionary=False) as writer:
        for start in range(0, rows, 4_096):
            count = min(4_096, rows - start)
            columns = [pa.array([text(words) for _ in range(count)]) for words in (8, 120)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    order = list(range(rows))
    chance.shuffle(order)
    answers = []
    with (folder / "output.jsonl.out").open("w", encoding="utf-8") as output:
        for row in order:
            said: dict[str, Any] = {
                "kind": chance.choice(["praise", "complaint", "question"]),
                "score": round(chance.random(), 3),
                "count": chance.randrange(9),
                "on": f"2026-{chance.randrange(1, 13):02d}-{chance.randrange(1, 28):02d}",
                "at": f"2026-01-01T{chance.randrange(24):02d}:00:00Z",
                "summary": text(30),
                "topics": [chance.choice(WORDS) for _ in range(3)],
                "place": {"city": chance.choice(WORDS), "zip": None},
            }
            if row % 20 == 4:
                said["score"] = "high"
            answers.append(said)
            block: dict[str, Any] = {"type": "text", "text": json.dumps(said)}
            if row % 10 == 3:
                block["text"] = block["text"][:-20]
            if way == "tool":
                block = {"type": "tool_use", "id": "t", "name": "answer", "input": {} if row % 10 == 3 else said}
            answer = {
                "content": [block],
                "stop_reason": "tool_use" if way == "tool" else "end_turn",
                "usage": {"input_tokens": 250, "output_tokens": 120},
            }
            body = {"messages": [{"role": "user", "content": [{"type": "text", "text": text(120)}]}]}
            line = {"modelInput": body, "modelOutput": answer, "recordId": record_id(SHARD, row)}
            output.write(json.dumps(line) + "\n")
    (folder / "answers.json").write_bytes(msgspec.json.encode(answers))


def join(folder: Path, rows: int, way: str) -> None:
    schema = read_schema(SCHEMA)
    began = last = time.process_time()

    def lap(step: str) -> None:
        nonlocal last
        now = time.process_time()
        print(json.dumps({"step": step, "cpu_s": now - last}))
        last = now

    plain = way == "as text"
    reader = reader_named("anthropic") if plain else structured_reader(reader_named("anthropic"))
    answers = None if plain else Answers(schema)
    objects: Any = Folder(folder)
    identity = Identity("bench", SHARD, 1, "plan")
    with (
        Spool(SHARD, rows, "response", answers=answers) as spool,
        (folder / "output.jsonl.out").open("rb", 0) as output,
    ):
        seen = spool.place_blocks(read_blocks(output, reader.output_type), reader)
        lap("decode, validate and place")
        decision = decide(Ended(attempt=1, rows=rows, reported=spool.reported, status="Completed"))
        assert isinstance(decision, Settle)
        outcome = spool.settle(decision, seen)
        if not outcome.settlement.plain:
            write_outcome(objects, identity, outcome)
        lap("columns and outcome")
        source = pq.ParquetFile(folder / "source.parquet", pre_buffer=False, buffer_size=1 << 20)
        fields = answers.fields if answers else ()
        write_part(objects, identity, source.schema_arrow, _batches(source), outcome, fields=fields)
        lap("write part")
    if answers is not None:
        assert outcome.settlement.errors["INVALID_OUTPUT"] == outcome.settlement.error == rows * 15 // 100
    print(json.dumps({"step": "all", "cpu_s": time.process_time() - began}))


def validate(folder: Path) -> None:
    answers = msgspec.json.decode((folder / "answers.json").read_bytes())
    validator = compiled(read_schema(SCHEMA))
    began = time.process_time()
    for answer in answers:
        if not validator.is_valid(answer):
            reasons(validator, answer)
    print(json.dumps({"step": "all", "cpu_s": time.process_time() - began}))


def _batches(source: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    yield from source.iter_batches(batch_size=1_024, use_threads=False)


def measure(what: str, folder: Path, rows: int) -> float:
    command = [sys.executable, __file__, "--child", what, str(folder), str(rows)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line in lines[:-1]:
        print(f"    {line['step']}: {line['cpu_s']:.2f} CPU s")
    return float(lines[-1]["cpu_s"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--share-max", type=float, default=0.10)
    options = parser.parse_args()
    worst = 0.0
    for way in ("json", "tool"):
        folder = Path(tempfile.mkdtemp(prefix="quarry-structured-"))
        try:
            make(folder, options.rows, way)
            if way == "json":
                print(f"as text, {options.rows} rows: {measure('as text', folder, options.rows):.2f} CPU s")
            joined = measure(way, folder, options.rows)
            validated = measure("validate", folder, options.rows)
            worst = max(worst, validated / joined)
            print(
                f"as columns ({way}), {options.rows} rows: {joined:.2f} CPU s, of which validation {validated:.2f}:"
                f" {validated / joined:.1%}"
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if worst <= options.share_max else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        if sys.argv[2] == "validate":
            validate(Path(sys.argv[3]))
        else:
            join(Path(sys.argv[3]), int(sys.argv[4]), sys.argv[2])
    else:
        sys.exit(main())
