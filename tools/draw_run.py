"""Draw a run that is under way into docs/pictures/run.svg, as `quarry watch` shows it on a terminal.

Theory of operation. It follows a run as the command does, and keeps what the command would print once a share of its rows
has an outcome. The picture names no font and no address, so that it looks the same without a network.

    eval "$(.venv/bin/quarry local env)"
    .venv/bin/quarry submit manifest.json
    .venv/bin/python tools/draw_run.py <run id> --share 0.5
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI

from quarry_cli.client.api import Client
from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.screen.live import card

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "run.svg"
WIDTH_CHARS = 100
LOOK_EVERY_S = 0.3
JOBS_SHOWN = 8
ID = "run"
FORMAT = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
  <!-- Drawn by tools/draw_run.py from a real run on the local stack. -->
  <style>
    .{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
      font-size: {char_height}px; line-height: {line_height}px; }}
    .{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
    {styles}
  </style>
  <defs>
    <clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
    {lines}
  </defs>
  {chrome}
  <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix" xml:space="preserve">
    {matrix}
    </g>
  </g>
</svg>
"""


class _Seen(Exception):
    """The share is reached; `view` is what the run looked like."""

    def __init__(self, view: RunView) -> None:
        super().__init__(view.run_id)
        self.view = view


class _Until:
    """Stops following when at least `share` of the rows have an outcome."""

    def __init__(self, share: float) -> None:
        self._share = share

    def show(self, view: RunView) -> None:
        if view.rows.accepted and (view.rows.ok + view.rows.error) / view.rows.accepted >= self._share:
            raise _Seen(view)

    def note(self, text: str) -> None:
        """Nothing is drawn of a run that has not arrived."""


def picture(view: RunView) -> str:
    """The SVG of a run's card below the command that shows it."""
    console = Console(record=True, width=WIDTH_CHARS, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(f"$ quarry watch {view.run_id}\n", markup=False)
    console.print(card(view, JOBS_SHOWN))
    drawn = console.export_svg(title="quarry", theme=DIMMED_MONOKAI, code_format=FORMAT, unique_id=ID)
    return re.sub(r"[ \t]+$", "", drawn, flags=re.MULTILINE)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("run")
    parser.add_argument("--share", type=float, default=0.5, help="of its rows that have an outcome")
    parser.add_argument("--to", type=Path, default=PICTURE)
    given = parser.parse_args(arguments)
    try:
        Client().follow(given.run, _Until(given.share), every_s=LOOK_EVERY_S)
    except _Seen as seen:
        given.to.write_text(picture(seen.view))
        print(f"wrote {given.to}")
        return 0
    print(f"run {given.run} ended before {given.share:.0%} of its rows had an outcome", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
