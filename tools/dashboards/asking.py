"""The dashboards as they ship, read back and asked of a Prometheus: what their tests and their pictures share.

Needs nothing but Python. The variables get the values that a person meets first: every environment, every pool.
"""

from __future__ import annotations

import json
import math
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

MADE = Path(__file__).resolve().parents[2] / "deploy" / "grafana"
VARIABLE = re.compile(r"\$\{?(\w+)(?::\w+)?\}?")
ANSWER_S_MAX = 30.0


@dataclass(frozen=True)
class Target:
    """One query of a panel; `instant`: asked for one moment, not for a time."""

    query: str
    legend: str
    instant: bool


@dataclass(frozen=True)
class Panel:
    board: str
    raw: Mapping[str, Any]

    @property
    def title(self) -> str:
        return str(self.raw["title"])

    @property
    def kind(self) -> str:
        """Grafana's name: stat, timeseries, bargauge, row."""
        return str(self.raw["type"])

    @cached_property
    def targets(self) -> list[Target]:
        """In the panel's order; none of a row."""
        return [
            Target(each["expr"], each["legendFormat"], each["instant"])
            for each in sorted(self.raw.get("targets", ()), key=lambda each: each["refId"])
        ]


@dataclass(frozen=True)
class Series:
    """Labels, and points as (seconds since 1970, value); no point is NaN."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]

    def name(self, legend: str) -> str:
        """What Grafana's legend says."""
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: self.labels.get(found[1], ""), legend).strip()


def boards() -> dict[str, list[Panel]]:
    """The panels of each dashboard that ships, rows included, by the file's name without its end."""
    read = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(MADE.glob("*.json"))}
    return {name: [Panel(name, raw) for raw in board["panels"]] for name, board in read.items()}


def filled(text: str, window_s: int, window: str = "") -> str:
    """A query or a title with its variables put in.

    Raises:
        KeyError: a variable that the dashboards do not have.
    """
    values = {"cluster": ".*", "namespace": ".*", "env": ".*", "pool": ".*", "window": str(window_s)}
    return VARIABLE.sub(lambda found: window if found[0].endswith(":text}") else values[found[1]], text)


class Prometheus:
    """Its HTTP API, as far as panels need it.

    Args:
        url: where it answers, without a path.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        # The address is given by who runs this: no proxy stands between.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def over(self, query: str, start_s: float, end_s: float, step_s: float) -> list[Series]:
        """The series of a query over a time, without those that have no point. Raises OSError, ValueError."""
        found = self._ask("query_range", query=query, start=start_s, end=end_s, step=step_s)
        return [series for series in (_series(each, each["values"]) for each in found) if series.points]

    def at(self, query: str, moment_s: float) -> list[Series]:
        """Likewise at one moment."""
        found = self._ask("query", query=query, time=moment_s)
        return [series for series in (_series(each, [each["value"]]) for each in found) if series.points]

    def _ask(self, what: str, **parameters: str | float) -> list[dict[str, Any]]:
        url = f"{self._url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with self._opener.open(url, timeout=ANSWER_S_MAX) as answer:
            data: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return data


def _series(raw: Mapping[str, Any], values: Sequence[Sequence[Any]]) -> Series:
    points = ((float(moment), float(value)) for moment, value in values)
    return Series(raw["metric"], [point for point in points if not math.isnan(point[1])])


def answers(
    prometheus: Prometheus, panel: Panel, window_s: int, start_s: float, end_s: float, step_s: float
) -> Iterator[tuple[Target, list[Series]]]:
    """Each of the panel's queries with its series: over the time, or at its end. Raises as `Prometheus`."""
    for target in panel.targets:
        query = filled(target.query, window_s)
        if target.instant:
            yield target, prometheus.at(query, end_s)
        else:
            yield target, prometheus.over(query, start_s, end_s, step_s)
