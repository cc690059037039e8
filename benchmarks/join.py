"""What it costs to settle and join one shard, beside the pandas way of doing it.

Each figure is taken in a process of its own: CPU seconds (user and system, without imports) and VmHWM. The shard is 50,000 rows of
three text columns, about 1.5 KB together, a third of it not plain English; the output echoes a prompt of 1 KB and is
shuffled, as Bedrock's may be. The peer reads the whole output with the json module, makes a DataFrame, joins on the
record id and writes Parquet; it takes gigabytes for embeddings, so it runs on `--peer-rows` rows and its CPU is scaled.

    python benchmarks/join.py [--rows 50000] [--peer-rows 10000] [--dimensions 1024]
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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from beside.folder import FolderUpload

from quarry_collector.decode import read_blocks
from quarry_collector.parts import Identity, write_outcome, write_part
from quarry_collector.settle import Ended, Settle, decide
from quarry_collector.spool import Spool
from quarry_core.contract.names import record_id
from quarry_core.models import family_of
from quarry_core.ports import ObjectInfo, ObjectRef

SHARD = "00000"
SEED = 7
WORDS = 5_000


class Folder:
    """The few methods of the Objects port that a join needs, on a local folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def head(self, ref: ObjectRef) -> ObjectInfo:
        path = self._root / ref.key
        return ObjectInfo(ref.key, path.stat().st_size, "", None, json.loads(Path(f"{path}.metadata").read_text()))

    def random_access(self, ref: ObjectRef) -> BinaryIO:
        return (self._root / ref.key).open("rb")

    def create(self, key: str, metadata: Mapping[str, str]) -> FolderUpload:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        Path(f"{path}.metadata").write_text(json.dumps(dict(metadata)))
        return FolderUpload(path)


# --------------------------------------------------------------------------- the data


def make(folder: Path, rows: int, kind: str, dimensions: int) -> None:
    """Write source.parquet and output.jsonl.out."""
    chance = random.Random(SEED)
    numbers = np.random.default_rng(SEED)
    dead_letters = ["abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxyz", "äöüßéñçøåабвгд漢字かな"]
    words = ["".join(chance.choices(chance.choice(dead_letters), k=chance.randint(2, 9))) for _ in range(WORDS)]

    def text(chars: int) -> str:
        return " ".join(chance.choices(words, k=chars // 6))

    schema = pa.schema([("title", pa.string()), ("body", pa.string()), ("notes", pa.string())])
    order = list(range(rows))
    chance.shuffle(order)
    with pq.ParquetWriter(folder / "source.parquet", schema, use_dictionary=False) as writer:
        for start in range(0, rows, 4_096):
            count = min(4_096, rows - start)
            columns = [pa.array([text(chars) for _ in range(count)]) for chars in (60, 900, 240)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    with (folder / "output.jsonl.out").open("w", encoding="utf-8") as output:
        for row in order:
            prompt = text(800)
            if kind == "text":
                body: Mapping[str, Any] = {
                    "messages": [{"role": "user", "content": [{"type": "text", "text": prompt}]}]
                }
                answer: Mapping[str, Any] = {
                    "content": [{"type": "text", "text": text(500)}],
                    "id": "msg_bdrk_01",
                    "model": "claude",
                    "role": "assistant",
                    "stop_reason": "end_turn",
                    "stop_sequence": None,
                    "type": "message",
                    "usage": {"input_tokens": 250, "output_tokens": 120},
                }
            else:
                vector = (numbers.standard_normal(dimensions) / 32).astype(np.float32).tolist()
                body = {"inputText": prompt, "dimensions": dimensions, "normalize": True}
                answer = {"embedding": vector, "inputTextTokenCount": 200}
            line = {"modelInput": body, "modelOutput": answer, "recordId": record_id(SHARD, row)}
            output.write(json.dumps(line) + "\n")


# --------------------------------------------------------------------------- the two ways


def quarry(folder: Path, rows: int, kind: str) -> None:
    clock = _Laps()
    family = family_of("anthropic.claude-haiku-4-5-20251001-v1:0" if kind == "text" else "amazon.titan-embed-text-v2:0")
    objects: Any = Folder(folder)
    identity = Identity("bench", SHARD, 1, "plan")
    with Spool(SHARD, rows, family.answer_column) as spool, (folder / "output.jsonl.out").open("rb", 0) as output:
        seen = spool.place_blocks(read_blocks(output, family.output_type, vectors=kind == "embedding"), family)
        clock.lap("decode and place")
        decision = decide(Ended(attempt=1, rows=rows, reported=spool.reported, status="Completed"))
        assert isinstance(decision, Settle)
        outcome = spool.settle(decision, seen)
        assert outcome.settlement.ok == rows
        if not outcome.settlement.plain:
            write_outcome(objects, identity, outcome)
        clock.lap("write outcome, where one is needed")
        source = pq.ParquetFile(folder / "source.parquet", pre_buffer=False, buffer_size=1 << 20)
        write_part(objects, identity, source.schema_arrow, _batches(source), outcome)
        clock.lap("write part")


def _batches(source: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    yield from source.iter_batches(batch_size=1_024, use_threads=False)


def pandas(folder: Path, rows: int, kind: str) -> None:
    import pandas as pd  # noqa: PLC0415 - the way that is compared must not be charged for it

    clock = _Laps()
    source = pd.read_parquet(folder / "source.parquet")
    source["record_id"] = [record_id(SHARD, row) for row in range(rows)]
    with (folder / "output.jsonl.out").open(encoding="utf-8") as output:
        records = [json.loads(line) for line in output]
    if kind == "text":
        answers = [{"record_id": r["recordId"], "response": r["modelOutput"]["content"][0]["text"]} for r in records]
    else:
        answers = [{"record_id": r["recordId"], "embedding": r["modelOutput"]["embedding"]} for r in records]
    joined = source.merge(pd.DataFrame(answers), on="record_id", how="inner")
    assert len(joined) == rows
    joined.to_parquet(folder / "peer.parquet")
    clock.lap("all")


class _Laps:
    def __init__(self) -> None:
        self._last = time.process_time()

    def lap(self, name: str) -> None:
        now = time.process_time()
        print(json.dumps({"step": name, "cpu_s": now - self._last}))
        self._last = now


# --------------------------------------------------------------------------- measuring


def measure(way: str, folder: Path, rows: int, kind: str) -> dict[str, float]:
    """Run one way in a process of its own: CPU seconds without the imports, and VmHWM in MB."""
    command = [sys.executable, __file__, "--child", way, str(folder), str(rows), kind]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line in lines[:-1]:
        print(f"    {line['step']}: {line['cpu_s']:.2f} CPU s")
    return {"cpu_s": sum(line["cpu_s"] for line in lines[:-1]), "hwm_mb": lines[-1]["hwm_mb"]}


def child(way: str, folder: Path, rows: int, kind: str) -> None:
    ways: Mapping[str, Callable[[Path, int, str], None]] = {"quarry": quarry, "pandas": pandas}
    ways[way](folder, rows, kind)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    high = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"hwm_mb": high / 1024}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--peer-rows", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=1_024)
    parser.add_argument("--kinds", nargs="+", default=["text", "embedding"])
    options = parser.parse_args()
    for kind in options.kinds:
        folder = Path(tempfile.mkdtemp(prefix="quarry-join-"))
        try:
            make(folder, options.rows, kind, options.dimensions)
            print(f"{kind}, {options.rows} rows:")
            ours = measure("quarry", folder, options.rows, kind)
            print(f"  quarry {ours['cpu_s']:.2f} CPU s, VmHWM {ours['hwm_mb']:.0f} MB")
            if options.peer_rows:
                shutil.rmtree(folder)
                folder.mkdir()
                rows = min(options.peer_rows, options.rows)
                make(folder, rows, kind, options.dimensions)
                peer = measure("pandas", folder, rows, kind)
                scaled = peer["cpu_s"] * options.rows / rows
                print(
                    f"  pandas {peer['cpu_s']:.2f} CPU s, VmHWM {peer['hwm_mb']:.0f} MB at {rows} rows: "
                    f"{scaled:.1f} CPU s scaled, {scaled / ours['cpu_s']:.1f} times ours"
                )
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    else:
        main()
