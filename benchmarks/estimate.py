"""`quarry estimate` against what runs then cost, on the simulated Bedrock: six shapes of work, each with a model of its own.

Of each shape a first run makes the history of its model; then another dataset of the shape is estimated, and run with a canary, which
estimates the whole run once more. Both estimates are held against what the run then came to: the first may be off by 15 percent, the
canary's by 5, in tokens as in dollars, else this fails. The simulated Bedrock's counts are made up, but they are what the report, the
ledger and the dollars are made of.

    python benchmarks/estimate.py
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from quarry_cli import Client
from quarry_cli.client.connections import connect_to
from quarry_cli.client.submission.one_call import Asked
from quarry_local.settings import StackSettings
from quarry_local.stack import Stack

ROWS = 120
CANARY_ROWS = 100  # the smallest job
BEFORE_PERCENT_MAX, AFTER_PERCENT_MAX = 15, 5
WORDS = [
    "a",
    "keeper",
    "of",
    "an",
    "old",
    "lighthouse",
    "found",
    "the",
    "map",
    "that",
    "nobody",
    "had",
    "read",
    "upside",
    "down",
    "before",
    "the",
    "last",
    "train",
    "left",
]


def text(row: int, words: int) -> str:
    return " ".join(WORDS[(row * 7 + n * 3) % len(WORDS)] for n in range(words))


def texts(rows: int, words: int, column: str = "topic") -> list[dict[str, Any]]:
    return [{column: text(row, words)} for row in range(rows)]


# By shape: the model, what is asked, the rows of the first run, and those that are estimated.
SHAPES: dict[str, tuple[str, dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]] = {
    "short texts": ("haiku-3", {"prompt": "Tell me a joke about {topic}"}, texts(ROWS, 4), texts(3 * ROWS, 6)),
    "long texts": ("nova-lite", {"prompt": "Shorten: {topic}"}, texts(ROWS, 200), texts(2 * ROWS, 300)),
    "very different lengths": (
        "llama-3.1-8b",
        {"prompt": "Shorten: {topic}"},
        [{"topic": text(row, 1 + row * 37 % 200)} for row in range(ROWS)],
        [{"topic": text(row, 1 + row * 61 % 250)} for row in range(2 * ROWS)],
    ),
    "a long system prompt": (
        "gpt-oss-20b",
        {"prompt": {"template": "Judge: {topic}", "system": text(1, 300)}},
        texts(ROWS, 10),
        texts(2 * ROWS, 12),
    ),
    "typed answers": (
        "nova-micro",
        {"prompt": "Judge: {topic}", "output_schema": ["kind: good | bad", "score: number"]},
        texts(ROWS, 20),
        texts(2 * ROWS, 30),
    ),
    "embeddings": ("titan-embed", {}, texts(ROWS, 20, "input_text"), texts(2 * ROWS, 40, "input_text")),
}


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="quarry-estimate-") as folder:
        stack = Stack(Path(folder) / "stack", StackSettings(simulator={"seconds_per_1000_records": "0.5"}))
        variables = stack.up()
        try:
            before, after = measure(Client(partial(connect_to, variables)), Path(folder))
        finally:
            stack.down()
    print(
        f"the worst: {before:.1f} % before (at most {BEFORE_PERCENT_MAX}), {after:.1f} % after the canary (at most {AFTER_PERCENT_MAX})"
    )
    return 0 if before <= BEFORE_PERCENT_MAX and after <= AFTER_PERCENT_MAX else 1


def measure(client: Client, folder: Path) -> tuple[float, float]:
    """Print a line for each shape; by how many percent the worst figure was off before, and after the canary."""
    worst = [0.0, 0.0]
    print("| Shape | Before: tokens in | out | dollars | After the canary: tokens in | out | dollars |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for number, (shape, (model, fields, first, rows)) in enumerate(SHAPES.items()):
        run(client, model, fields, put(folder / f"{number}a.parquet", first))
        data = put(folder / f"{number}b.parquet", rows)
        costs = client.estimate(Asked((data,), model, fields)).costs
        canary = {"rows": CANARY_ROWS, "max_truncated_share": 1.0}
        view = run(client, model, fields | {"canary": canary}, data)
        batch = next(way for way in costs.ways if way.name == "batch")
        judged = view.canary.judgement
        actual = (view.spent.input_tokens, view.spent.output_tokens, view.spent.dollars)
        figures = (
            (costs.input_tokens.likely, costs.output_tokens.likely, batch.dollars.likely),
            tuple(judged[name]["likely"] for name in ("input_tokens", "output_tokens", "dollars")),
        )
        off = [[percent(one, other) for one, other in zip(likely, actual, strict=True)] for likely in figures]
        worst = [max(so_far, *map(abs, found)) for so_far, found in zip(worst, off, strict=True)]
        print(f"| {shape} | {' | '.join(f'{each:+.1f}' for found in off for each in found)} |", flush=True)
    return worst[0], worst[1]


def percent(likely: float, actual: float) -> float:
    """By how many percent a figure was off."""
    return 100 * (likely / actual - 1) if actual else 0.0


def put(path: Path, rows: list[dict[str, Any]]) -> str:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def run(client: Client, model: str, fields: dict[str, Any], data: str) -> Any:
    sent = client.send(Asked((data,), model, fields))
    view = client.wait(sent.run_id, every_s=0.5, timeout_s=120)
    if view.state == "FAILED" or view.spent is None:
        raise SystemExit(f"{model}: {view.state}: {view.error}")
    return view


if __name__ == "__main__":
    sys.exit(main())
