"""Prometheus and its tools as the tests see them: rules read, queries read, a server of one's own with squeezed time.

**Squeezed time.** The rules speak of minutes, hours and a month; a test has a minute. Every time in a copy of the rules
is therefore put through `squeezed_s`, a cube root: 5 minutes are 6 s, 1 hour 14 s, 6 hours 26 s, a day 40 s, 30 days 2
minutes. Their order stays, so a short window is shorter than a long one and a `for` outlasts what it outlasted; the
expressions, labels and thresholds of numbers are those that ship.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram
from tools.growth import TILE

from quarry_core.telemetry import metrics
from quarry_local import launch, loopback, processes, prometheus

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules"
RULE_TESTS = ROOT / "deploy" / "prometheus" / "tests"
PYTHON = ROOT / ".venv-deploy" / "bin" / "python"
TOOL = Path(__file__).with_name("promql_tool.py")
TARGET_LABELS = frozenset({"cluster", "namespace", "env", "job", "instance"})
# What Prometheus itself and the client library add, and the rules use.
FOREIGN: Mapping[str, frozenset[str]] = {
    "up": frozenset(),
    "ALERTS": frozenset({"alertname", "alertstate"}),
    "process_start_time_seconds": frozenset(),
    "process_resident_memory_bytes": frozenset(),
    "process_cpu_seconds_total": frozenset(),
    "process_open_fds": frozenset(),
}

UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
SQUEEZED_5_MIN_S = 6.0
DURATION = r"(?:\d+(?:ms|[smhd]))+"
RANGE = re.compile(rf"(\[|offset )({DURATION})(?::({DURATION}))?")
COMPARED = re.compile(r"\((\d+) \* (60|3600|86400)\)")
READY_WITHIN_S = 30.0
SCRAPE_MS = 1_000


def program(name: str) -> str:
    """`prometheus`, or a tool that comes with it (`promtool`, `amtool`); where there is none, the test is skipped."""
    try:
        server = prometheus.executable()
    except prometheus.PrometheusUnavailable as error:
        pytest.skip(str(error))
    if name == "prometheus":
        return str(server)
    beside = server.with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"there is a Prometheus and no {name}: {server}"
    return found


def promtool(*words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("promtool"), *words], input=given, capture_output=True, text=True, timeout=120, check=False
    )


# ------------------------------------------------------------------ what is written


def groups(file: str) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = yaml.safe_load((RULES / file).read_text())["groups"]
    return read


def rules(kind: str) -> list[dict[str, Any]]:
    """Every rule that ships: kind `alert` or `record`."""
    files = sorted(path.name for path in RULES.glob("*.yaml"))
    return [rule for file in files for group in groups(file) for rule in group["rules"] if kind in rule]


def named(queries: Sequence[str]) -> list[dict[str, Any]]:
    """For each query: `selectors` (`name`, `labels`) and `grouping`, as `promql_tool` reads it."""
    python = os.environ.get("QUARRY_DEPLOY_PYTHON", str(PYTHON))
    done = subprocess.run([python, TOOL], input=json.dumps(list(queries)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    read: list[dict[str, Any]] = json.loads(done.stdout)
    return read


def registered() -> dict[str, frozenset[str]]:
    """Each series that `quarry_core.telemetry.metrics` declares, with its own labels."""
    found: dict[str, frozenset[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            labels = frozenset(metric._labelnames)
            [family] = metric.describe()
            match metric:
                case Counter():
                    found |= dict.fromkeys((f"{family.name}_total", f"{family.name}_created"), labels)
                case Histogram():
                    found |= dict.fromkeys((f"{family.name}_{part}" for part in ("sum", "count", "created")), labels)
                    found[f"{family.name}_bucket"] = labels | {"le"}
                case Gauge():
                    found[family.name] = labels
    return found


def unknown(queries: Mapping[str, str]) -> list[str]:
    """What these queries (by where they stand) name and nothing provides: metrics, recording rules, labels."""
    known = {**registered(), **FOREIGN}
    recorded = {rule["record"] for rule in rules("record")}
    found = []
    for (where, _), asked in zip(queries.items(), named(list(queries.values())), strict=True):
        allowed = set(TARGET_LABELS)
        for selector in asked["selectors"]:
            name, labels = selector["name"], set(selector["labels"])
            if name in recorded:
                continue  # its labels are those of its own expression
            if name not in known:
                found.append(f"{where}: nothing registers {name}")
                continue
            allowed |= known[name]
            if foreign := labels - known[name] - TARGET_LABELS:
                found.append(f"{where}: {name} has no label {', '.join(sorted(foreign))}")
        if not any(selector["name"] in recorded for selector in asked["selectors"]):
            found += [
                f"{where}: groups by {label}, which nothing in it has" for label in set(asked["grouping"]) - allowed
            ]
    return found


# ------------------------------------------------------------------ squeezed time


def squeezed_s(seconds: float) -> float:
    """The length that a time of the rules has in a test. Monotone, so that the order of all times stays."""
    return SQUEEZED_5_MIN_S * (seconds / 300) ** (1 / 3)


def squeezed(text: str) -> str:
    """An expression, or a duration such as `5m`, with every time in it squeezed."""

    def duration(given: str) -> str:
        long_s = sum(int(count) * UNIT_S[unit] for count, unit in re.findall(r"(\d+)(ms|[smhd])", given))
        return f"{round(squeezed_s(long_s) * 1_000)}ms"

    def ranged(found: re.Match[str]) -> str:
        step = f":{duration(found[3])}" if found[3] else ""
        return f"{found[1]}{duration(found[2])}{step}"

    if re.fullmatch(DURATION, text):
        return duration(text)
    text = COMPARED.sub(lambda found: f"{squeezed_s(int(found[1]) * int(found[2])):.3f}", text)
    return RANGE.sub(ranged, text)


def write_squeezed_rules(directory: Path) -> Path:
    """A copy of the rules that ship in squeezed time."""
    directory.mkdir(parents=True)
    for file in sorted(RULES.glob("*.yaml")):
        copy = {"groups": groups(file.name)}
        for group in copy["groups"]:
            if "interval" in group:  # it divides a tile, as 15 s do a minute, which squeezed times would not
                group["interval"] = squeezed(TILE)
            for rule in group["rules"]:
                for time in {"expr", "for", "keep_firing_for"} & rule.keys():
                    rule[time] = squeezed(rule[time])
        (directory / file.name).write_text(yaml.safe_dump(copy, sort_keys=False))
    return directory


# ------------------------------------------------------------------ a server


class Server:
    """A Prometheus that runs."""

    def __init__(self, port: int) -> None:
        self.port = port

    def query(self, query: str) -> list[dict[str, Any]]:
        """The samples of an instant vector, as Prometheus tells them (`metric`, `value`)."""
        answer = loopback.ask_json(self.port, f"/api/v1/query?{urllib.parse.urlencode({'query': query})}")
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def firing(self) -> set[str]:
        """Names of the alerts that fire now."""
        alerts = loopback.ask_json(self.port, "/api/v1/alerts")["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def fired(self) -> set[str]:
        """Names of the alerts that fired at any time since it runs."""
        series = self.query('max by (alertname) (max_over_time(ALERTS{alertstate="firing"}[1h]))')
        return {sample["metric"]["alertname"] for sample in series}

    def rules(self) -> list[dict[str, Any]]:
        """The loaded rules, each with its `health` and `lastError`."""
        loaded = loopback.ask_json(self.port, "/api/v1/rules")["data"]["groups"]
        return [rule for group in loaded for rule in group["rules"]]

    def targets(self) -> dict[str, str]:
        """Health (`up`, `down`, `unknown`) by job."""
        active = loopback.ask_json(self.port, "/api/v1/targets")["data"]["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in active}


@contextlib.contextmanager
def a_server(
    home: Path, services: Mapping[str, Sequence[int]], env: str, rules: Path = RULES, scrape_ms: int = SCRAPE_MS
) -> Iterator[Server]:
    """A Prometheus for the length of a `with` block that scrapes the services' ports and judges them every second.

    Where there is no Prometheus, the test is skipped.
    """
    program("prometheus")
    targets = prometheus.targets_file(home)
    prometheus.write_targets(targets, services)
    reported = prometheus.configuration(targets, rules, env, scrape_ms=scrape_ms, evaluate_ms=scrape_ms)
    what = prometheus.program(home, home / "prometheus.log", reported)
    running = begun = launch.begin(what)
    try:
        running = launch.finish(what, begun, READY_WITHIN_S, again=lambda _: None)
        yield Server(running.port)
    finally:
        processes.stop([running], grace_s=10)
