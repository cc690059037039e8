"""One panel as a picture: figures, bars and lines, from its own queries' data. Grafana draws more finely."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, MultipleLocator, NullLocator
from PIL import Image
from tools.dashboards.asking import Panel, Series, Target
from tools.dashboards.numbers import in_words

# The grid: Grafana's 24 columns, in pixels of the picture.
COLUMN_PX, LINE_PX, GAP_PX, DOTS_PER_INCH = 50, 30, 6, 100
TEXT, FAINT, PAPER, CARD, EDGE = "#1f2937", "#6b7280", "#eef1f5", "#ffffff", "#d5dae1"
LETTER_PX, SIGN_PX, LEGEND_LINE_PX = 5.75, 24, 15
SHOWN_SHARE = 0.6
POINTS = 110
PALETTE = ("#3f8f5f", "#3274d9", "#e0a32e", "#8a63c9", "#d1603d", "#35a3b5", "#c25b93", "#7a8b2f", "#6b7280", "#8c5a3c")
NAMED = {
    "purple": "#8a63c9",
    "yellow": "#e3b92f",
    "red": "#d64545",
    "orange": "#e08a1e",
    "green": "#2f8f4e",
    "blue": "#2f6fd0",
    "transparent": "#ffffff",
}
TICK_PX = 75
FONT_POINTS_MIN = 5.2
# Where an axis may have its ticks, from one to the next.
STEPS = {
    "s": (
        0.01,
        0.02,
        0.05,
        0.1,
        0.2,
        0.5,
        1,
        2,
        5,
        10,
        20,
        30,
        60,
        120,
        300,
        600,
        1_200,
        1_800,
        3_600,
        7_200,
        21_600,
        86_400,
    ),
    "bytes": tuple(2.0**power for power in range(10, 40)),
}
ORDERS_S = (1, 10, 60, 600, 3_600, 36_000, 360_000)
TICKS_MAX = 5
AREA_SHARE = 0.45
GRID = "#e6e9ee"

Colour = tuple[float, float, float]  # red, green, blue, each 0 to 1


@dataclass(frozen=True)
class Seen:
    """What `tools/run_for_dashboards.py` prints."""

    prometheus: str
    start_s: float
    last_s: float
    over_s: float
    end_s: float

    @property
    def shown_until_s(self) -> float:
        return self.last_s + SHOWN_SHARE * (self.over_s - self.last_s)


@dataclass(frozen=True)
class Drawn:
    """A panel with what its queries found."""

    panel: Panel
    found: Sequence[tuple[Target, Sequence[Series]]]

    @property
    def defaults(self) -> dict[str, Any]:
        return dict(self.panel.raw["fieldConfig"]["defaults"])

    @property
    def unit(self) -> str:
        return str(self.defaults["unit"])

    def named(self) -> list[tuple[str, Series]]:
        """Every series with its legend, in the panel's order."""
        return [(series.name(target.legend), series) for target, found in self.found for series in found]

    def overridden(self, name: str, key: str) -> Any:
        """A property that the panel gives to one series by its name, or None."""
        for each in self.panel.raw["fieldConfig"]["overrides"]:
            if each["matcher"]["options"] == name:
                return next((given["value"] for given in each["properties"] if given["id"] == key), None)
        return None

    def colour_of(self, value: float) -> str:
        """By the panel's thresholds."""
        steps = self.defaults["thresholds"]["steps"]
        reached = [step for step in steps if step["value"] is None or value >= step["value"]]
        return NAMED[reached[-1]["color"]]


class Card:
    """One panel's place on the picture, in pixels from the top left."""

    def __init__(self, figure: Figure, place: dict[str, int]) -> None:
        self.figure = figure
        self.width, self.height = figure.get_figwidth() * DOTS_PER_INCH, figure.get_figheight() * DOTS_PER_INCH
        self.x, self.y = place["x"] * COLUMN_PX + GAP_PX, place["y"] * LINE_PX + GAP_PX
        self.w, self.h = place["w"] * COLUMN_PX - GAP_PX, place["h"] * LINE_PX - GAP_PX

    def text(self, x: float, y: float, words: str, px_max: float = 0, **style: Any) -> None:
        """At a place inside; with `px_max` it is no wider, but smaller, and cut where it would be too small to read."""
        text = self.figure.text((self.x + x) / self.width, 1 - (self.y + y) / self.height, words, **style)
        while px_max and text.get_window_extent().width > px_max:
            if text.get_fontsize() > FONT_POINTS_MIN:
                text.set_fontsize(max(FONT_POINTS_MIN, text.get_fontsize() - 0.4))
            elif len(words) > 1:
                words = words[:-1].rstrip()
                text.set_text(words + "…")
            else:
                return

    def axes(self, left: float, top: float, right: float, bottom: float) -> Axes:
        """Axes inside, so far from the card's edges."""
        w, h = self.w - left - right, self.h - top - bottom
        x, y = (self.x + left) / self.width, 1 - (self.y + top + h) / self.height
        return self.figure.add_axes((x, y, w / self.width, h / self.height))

    def frame(self, title: str) -> None:
        x, y = self.x / self.width, 1 - (self.y + self.h) / self.height
        shape = FancyBboxPatch(
            (x, y), self.w / self.width, self.h / self.height, boxstyle="square,pad=0", fc=CARD, ec=EDGE, lw=0.8
        )
        shape.set_transform(self.figure.transFigure)
        shape.set_zorder(-1)  # the axes are drawn on it
        self.figure.add_artist(shape)
        self.text(10, 8, title, self.w - 16, fontsize=8.6, fontweight="bold", color=TEXT, va="top")


def draw_row(card: Card, title: str) -> None:
    card.text(2, card.h / 2, title, fontsize=11, fontweight="bold", color=TEXT, va="center")


def draw_figure(card: Card, drawn: Drawn, seen: Seen) -> None:
    decimals = drawn.defaults.get("decimals")
    series = drawn.named()
    for position, (name, each) in enumerate(series):
        value = each.points[-1][1]
        words = in_words(value, drawn.unit, decimals, seen.shown_until_s)
        x = card.w * (position + 0.5) / len(series)
        big = 20 if len(series) == 1 else 15
        below = len(series) > 1
        style = {"ha": "center", "va": "center"}
        room = card.w / len(series) - 8
        card.text(x, 0.56 * card.h, words, room, fontsize=big, fontweight="bold", color=drawn.colour_of(value), **style)
        if below:
            card.text(x, 0.83 * card.h, name, room, fontsize=7.2, color=FAINT, **style)


def draw_bars(card: Card, drawn: Drawn, seen: Seen) -> None:
    series = sorted(drawn.named(), key=lambda each: each[1].points[-1][1])
    values = [each.points[-1][1] for _, each in series]
    axes = card.axes(0.42 * card.w, 30, 70, 8)
    axes.barh(range(len(series)), values, color=[drawn.colour_of(value) for value in values], height=0.62)
    axes.set_yticks(range(len(series)), [name for name, _ in series], fontsize=7.6, color=TEXT)
    for position, value in enumerate(values):
        words = in_words(value, drawn.unit, drawn.defaults.get("decimals"), seen.shown_until_s)
        axes.text(value, position, f" {words}", va="center", fontsize=7.6, color=TEXT)
    axes.set_xlim(0, max(values) or 1)
    axes.xaxis.set_visible(False)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def draw_lines(card: Card, drawn: Drawn, seen: Seen) -> None:
    defaults = drawn.defaults
    start_s, end_s = seen.start_s, seen.shown_until_s
    grid = _grid(seen)
    names = drawn.named()
    lines = _legend_lines([name for name, _ in names], card.w - 20)
    axes = card.axes(62, 34, 16, 30 + LEGEND_LINE_PX * len(lines))
    stacked = defaults["custom"].get("stacking", {}).get("mode") == "normal"
    colours = {}
    below = [0.0] * len(grid)
    tallest = 0.0
    for number, (name, series) in enumerate(names):
        given = drawn.overridden(name, "color")
        colour = NAMED.get(given["fixedColor"], PALETTE[0]) if given else PALETTE[number % len(PALETTE)]
        colours[name] = colour
        values = _on_grid(series, grid)
        dashed = drawn.overridden(name, "custom.lineStyle") is not None
        if stacked and not dashed:
            above = [low + (0 if math.isnan(value) else value) for low, value in zip(below, values, strict=True)]
            edge = [high if value > 0 else math.nan for high, value in zip(above, values, strict=True)]
            axes.fill_between(grid, below, above, color=colour, alpha=AREA_SHARE, lw=0)
            axes.plot(grid, edge, color=colour, lw=1.1)
            below = values = above
        else:
            axes.plot(grid, values, color=colour, lw=1.5, ls="--" if dashed else "-")
        tallest = max([tallest, *(value for value in values if not math.isnan(value))])
    if stacked and tallest == 0:
        axes.plot(grid, below, color=next(iter(colours.values())), lw=1.5)
    for step in defaults.get("thresholds", {}).get("steps", []):
        if step["value"] is not None:
            axes.axhline(step["value"], color=NAMED[step["color"]], lw=1, ls=(0, (5, 4)))
            tallest = max(tallest, step["value"])
    axes.set_xlim(start_s, end_s)
    if _orders(drawn):
        axes.set_yscale("log")
        axes.set_ylim(1, tallest * 1.5)
    else:
        axes.set_ylim(0, 1.06 if defaults.get("max") == 1 else (tallest * 1.12 or 1))
    _dress(axes, drawn, seen)
    _draw_legend(card, lines, colours)


def _orders(drawn: Drawn) -> bool:
    return "scaleDistribution" in drawn.defaults["custom"]


def _dress(axes: Axes, drawn: Drawn, seen: Seen) -> None:
    unit, decimals = drawn.unit, drawn.defaults.get("decimals")
    top = axes.get_ylim()[1]
    if _orders(drawn):
        axes.yaxis.set_major_locator(FixedLocator([each for each in ORDERS_S if each <= top]))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        step = next((step for step in STEPS.get(unit, ()) if top / step <= TICKS_MAX), None)
        axes.yaxis.set_major_locator(MultipleLocator(step) if step else MaxNLocator(4, integer=unit == "short"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: in_words(value, unit, decimals, seen.shown_until_s)))
    ticks = [moment for moment in range(int(seen.start_s), int(seen.shown_until_s) + 1) if moment % 60 == 0]
    every = -(-len(ticks) // max(1, int(drawn.panel.raw["gridPos"]["w"] * COLUMN_PX / TICK_PX)))
    axes.set_xticks(ticks[::every], [f"{datetime.fromtimestamp(each, UTC):%H:%M}" for each in ticks[::every]])
    axes.tick_params(labelsize=7.2, colors=FAINT, length=0)
    axes.grid(color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def _grid(seen: Seen) -> list[float]:
    step_s = (seen.shown_until_s - seen.start_s) / POINTS
    return [seen.start_s + number * step_s for number in range(POINTS + 1)]


def _on_grid(series: Series, grid: Sequence[float]) -> list[float]:
    """The series' value at each moment of the grid; NaN where it has none."""
    step_s = grid[1] - grid[0]
    at = {round((moment - grid[0]) / step_s): value for moment, value in series.points}
    return [at.get(number, math.nan) for number in range(len(grid))]


def _legend_lines(names: Sequence[str], width_px: float) -> list[list[str]]:
    lines: list[list[str]] = [[]]
    for name in names:
        if lines[-1] and sum(map(_legend_px, [*lines[-1], name])) > width_px:
            lines.append([])
        lines[-1].append(name)
    return lines


def _legend_px(name: str) -> float:
    return SIGN_PX + len(name) * LETTER_PX


def _draw_legend(card: Card, lines: Sequence[Sequence[str]], colours: Mapping[str, str]) -> None:
    for number, line in enumerate(lines):
        x, y = 12.0, card.h - LEGEND_LINE_PX * (len(lines) - number) + 3
        for name in line:
            card.text(x, y, "■", fontsize=8, color=colours[name], va="center")
            card.text(x + 12, y, name, fontsize=7.4, color=TEXT, va="center")
            x += _legend_px(name)


DRAW: dict[str, Callable[[Card, Drawn, Seen], None]] = {
    "stat": draw_figure,
    "bargauge": draw_bars,
    "timeseries": draw_lines,
}


def palette() -> Image.Image:
    """The colours that are drawn, and what lies between each and its ground: few, so that a picture is small."""
    grounds = [mpl.colors.to_rgb(CARD), mpl.colors.to_rgb(PAPER)]
    colours = [*grounds, mpl.colors.to_rgb(EDGE), mpl.colors.to_rgb(GRID)]
    for name in dict.fromkeys((*PALETTE, *NAMED.values())):
        drawn = mpl.colors.to_rgb(name)
        colours += [_between(grounds[0], drawn, share) for share in (AREA_SHARE, 0.75, 1)]
    for drawn in map(mpl.colors.to_rgb, (TEXT, FAINT)):
        colours += [_between(ground, drawn, share) for ground in grounds for share in (0.3, 0.65, 1)]
    palette = Image.new("P", (1, 1))
    palette.putpalette([round(255 * part) for colour in colours for part in colour])
    return palette


def _between(ground: Colour, colour: Colour, share: float) -> Colour:
    red, green, blue = (low + share * (high - low) for low, high in zip(ground, colour, strict=True))
    return red, green, blue
