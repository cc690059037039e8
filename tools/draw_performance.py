"""Draw docs/pictures/performance.svg from what `make bench` has measured: CPU seconds of each way over ours.

With `--check`, exit 1 where the picture that stands is another one. The picture names no font and no address.

    python tools/draw_performance.py [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "benchmarks" / "results" / "bench.json"
PICTURE = ROOT / "docs" / "pictures" / "performance.svg"
WORKS = {
    "csv": "Prepare from CSV",
    "parquet": "Prepare from Parquet",
    "text_join": "Settle and join texts",
    "embedding_join": "Settle and join embeddings",
}
WIDTH, LABEL, BAR_MAX = 860, 250, 440
ROW, GAP, TOP = 22, 20, 48
TIMES_MAX = 8.0  # a longer bar is cut off, and its figure tells
OURS, PEER, ANCESTOR = "#0b7a75", "#9aa5b1", "#d3d9df"


def picture(figures: Mapping[str, Any]) -> str:
    """The SVG of a run of the benchmark."""
    bars = list(_bars(figures["works"]))
    height = TOP + len(bars) * ROW + len(WORKS) * GAP + 10
    return "\n".join(
        (
            f'<svg viewBox="0 0 {WIDTH} {height}" xmlns="http://www.w3.org/2000/svg" role="img" font-family="sans-serif" font-size="13">',
            "  <title>CPU seconds of each way over Quarry's, in one run of make bench</title>",
            "  <!-- Drawn by tools/draw_performance.py from benchmarks/results/bench.json. -->",
            f'  <rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            '  <text x="12" y="26" font-size="15" font-weight="bold" fill="#1f2933">CPU over Quarry\'s (shorter is better), and peak memory</text>',
            *_drawn(bars),
            "</svg>",
            "",
        )
    )


def _bars(works: Mapping[str, Any]) -> Iterator[tuple[str, str, float, float]]:
    """Work, way, CPU over ours, peak in MiB."""
    for work in WORKS:
        ours = works[work]["quarry"]["cpu_s"]
        for way, one in works[work].items():
            yield work, way, one["cpu_s"] / ours, one["peak_mb"]


def _drawn(bars: list[tuple[str, str, float, float]]) -> Iterator[str]:
    y, last = TOP, ""
    for work, way, times, peak in bars:
        if work != last:
            y += GAP if last else 0
            yield f'  <text x="12" y="{y + 15}" fill="#1f2933">{WORKS[work]}</text>'
            last = work
        width = round(min(times, TIMES_MAX) / TIMES_MAX * BAR_MAX)
        color = {"quarry": OURS, "pandas": ANCESTOR}.get(way, PEER)
        yield f'  <text x="{LABEL - 8}" y="{y + 15}" text-anchor="end" fill="#52606d">{way}</text>'
        yield f'  <rect x="{LABEL}" y="{y + 3}" width="{width}" height="{ROW - 6}" fill="{color}"/>'
        yield f'  <text x="{LABEL + width + 6}" y="{y + 15}" fill="#1f2933">{times:.2f}, {peak:.0f} MiB</text>'
        y += ROW


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(arguments)
    drawn = picture(json.loads(FIGURES.read_text()))
    if given.check:
        return int(PICTURE.read_text() != drawn)
    PICTURE.write_text(drawn)
    print(f"wrote {PICTURE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
