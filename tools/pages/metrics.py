"""The metrics that the services register, and where each is set."""

from __future__ import annotations

import re

from prometheus_client import Counter, Gauge, Histogram
from tools.pages.text import ROOT, Lines, code, link, listed, table

from quarry_core.telemetry import metrics as metrics_of_core

SOURCES = ("core/src", "services/preprocessor/src", "services/scheduler/src", "services/collector/src")


def metrics() -> Lines:
    rows = []
    sources = [
        path for source in SOURCES for path in sorted((ROOT / source).rglob("*.py")) if path.name != "metrics.py"
    ]
    used = {path: set(re.findall(r"\bmetrics\.(\w+)", path.read_text())) for path in sources}
    for variable, metric in vars(metrics_of_core).items():
        if not isinstance(metric, Counter | Gauge | Histogram):
            continue
        (reported,) = metric.describe()
        name = reported.name + ("_total" if reported.type == "counter" else "")
        # prometheus_client has no public way to ask for the names of the labels.
        labels = listed(metric._labelnames)  # noqa: SLF001
        set_in = ", ".join(link(path) for path in sources if variable in used[path]) or "the AWS adapters' hook"
        rows.append([code(name), reported.type, labels, reported.documentation, set_in])
    return table(("Metric", "Type", "Labels", "What it shows", "Set in"), sorted(rows))
