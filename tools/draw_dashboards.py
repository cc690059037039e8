"""Draw the dashboards into docs/pictures: each panel from its own query and a real run's data.

    .venv/bin/python tools/run_for_dashboards.py /tmp/seen --rows 24000 > seen.json
    .venv-deploy/bin/python -m tools.draw_dashboards seen.json
    .venv/bin/quarry local down --directory /tmp/seen

A picture is what a person sees while the runs are under way: its end is at `SHOWN_SHARE` of the last ones. A query without a
series fails, by its panel's name, and no picture is written. Grafana draws more finely; what is the same is the layout,
the queries, the units, the limits and the colours by value.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image
from tools.dashboards.asking import Panel, Prometheus, answers, boards, filled
from tools.dashboards.pictures import (
    COLUMN_PX,
    DOTS_PER_INCH,
    DRAW,
    GAP_PX,
    LINE_PX,
    PAPER,
    POINTS,
    Card,
    Drawn,
    Seen,
    draw_row,
    palette,
)

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
WINDOW_S, WINDOW = 60, "1 minute"
FILE_BYTES_MAX = 100_000


class EmptyPanel(Exception):
    """A query found nothing; the message names its panel."""


def ask(prometheus: Prometheus, panel: Panel, seen: Seen) -> Drawn:
    """Raises EmptyPanel."""
    step_s = (seen.shown_until_s - seen.start_s) / POINTS
    found = list(answers(prometheus, panel, WINDOW_S, seen.start_s, seen.shown_until_s, step_s))
    for target, series in found:
        if not series:
            raise EmptyPanel(f"{panel.board}: {panel.title}: nothing comes of {target.query}")
    return Drawn(panel, found)


def draw(panels: Sequence[Panel], prometheus: Prometheus, seen: Seen) -> bytes:
    """A dashboard as PNG. Raises EmptyPanel."""
    places = [panel.raw["gridPos"] for panel in panels]
    height = max(place["y"] + place["h"] for place in places) * LINE_PX + GAP_PX
    width = 24 * COLUMN_PX + GAP_PX
    figure = Figure((width / DOTS_PER_INCH, height / DOTS_PER_INCH), dpi=DOTS_PER_INCH, facecolor=PAPER)
    for panel, place in zip(panels, places, strict=True):
        card = Card(figure, place)
        if panel.kind == "row":
            draw_row(card, panel.title)
        else:
            card.frame(filled(panel.title, WINDOW_S, WINDOW))
            DRAW[panel.kind](card, ask(prometheus, panel, seen), seen)
    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=DOTS_PER_INCH)
    small = io.BytesIO()
    picture = Image.open(raw).convert("RGB").quantize(palette=palette(), dither=Image.Dither.NONE)
    picture.save(small, format="png", optimize=True)
    return small.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("seen", type=Path, help="what tools/run_for_dashboards.py printed")
    parser.add_argument("--to", type=Path, default=PICTURES, help="directory of the pictures (default docs/pictures)")
    arguments = parser.parse_args()
    seen = Seen(**json.loads(arguments.seen.read_text(encoding="utf-8")))
    mpl.rcParams["font.family"] = "DejaVu Sans"
    try:
        made = {name: draw(panels, Prometheus(seen.prometheus), seen) for name, panels in boards().items()}
    except EmptyPanel as empty:
        print(empty, file=sys.stderr)
        return 1
    arguments.to.mkdir(parents=True, exist_ok=True)
    for name, picture in made.items():
        (arguments.to / f"{name}.png").write_bytes(picture)
        print(f"{arguments.to / f'{name}.png'}: {len(picture):,} bytes")
    return int(any(len(picture) > FILE_BYTES_MAX for picture in made.values()))


if __name__ == "__main__":
    sys.exit(main())
