"""A Prometheus of the local stack: scrapes the three services and judges them by the rules that ship.

It is a program of its own that Quarry does not install. It is found where `QUARRY_PROMETHEUS` says, or on the PATH, and
asked nothing that releases since 2.42 do not know. Its targets are a file that the stack replaces whenever a process
comes or goes; a process that died stays a target, which is how Prometheus comes to say that it is down.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from quarry_local.launch import Program
from quarry_local.loopback import LOOPBACK

NAME = "prometheus"
READY = "/-/ready"
VARIABLE = "QUARRY_PROMETHEUS"
RULES = Path("deploy", "prometheus", "rules")
RUNBOOK = Path("docs", "runbook.md")
KEPT_DAYS = 7
HOW_TO_GET = (
    f"put the program `prometheus` (2.42 or later) on the PATH, or name it in {VARIABLE}; "
    "on Debian and Ubuntu tools/fetch_prometheus.sh fetches one without installing it"
)


class PrometheusUnavailable(Exception):
    """Prometheus or its rules cannot be had here; the message says why, and what would help."""


def executable() -> Path:
    """The program.

    Raises:
        PrometheusUnavailable: `QUARRY_PROMETHEUS` names no program, or there is none on the PATH.
    """
    if named := os.environ.get(VARIABLE):
        if not os.access(named, os.X_OK) or Path(named).is_dir():
            raise PrometheusUnavailable(f"{VARIABLE} names {named}, which is not a program")
        return Path(named).resolve()
    found = shutil.which("prometheus")
    if found is None:
        raise PrometheusUnavailable(f"Prometheus was not found: {HOW_TO_GET}")
    return Path(found)


def shipped_rules() -> Path:
    """The directory of the rules that ship.

    Raises:
        PrometheusUnavailable: there is no checkout here or above.
    """
    for directory in (*Path(__file__).resolve().parents, Path.cwd(), *Path.cwd().parents):
        if (directory / RULES).is_dir():
            return directory / RULES
    raise PrometheusUnavailable(f"no {RULES} here or above: run from a checkout")


def linked_rules(home: Path) -> Path:
    """A copy of the rules that ship, in `home`, whose alerts link to the checkout's own runbook; the copy's directory.

    Raises:
        PrometheusUnavailable: as `shipped_rules`.
    """
    shipped = shipped_rules()
    book = shipped.parents[len(RULES.parts) - 1] / RUNBOOK
    copy = home / "rules"
    copy.mkdir(parents=True, exist_ok=True)
    for file in shipped.glob("*.yaml"):
        text = file.read_text(encoding="utf-8").replace(RUNBOOK.as_posix(), book.as_uri())
        (copy / file.name).write_text(text, encoding="utf-8")
    return copy


def configuration(
    targets: Path, rules: Path, env: str, *, scrape_ms: int = 5_000, evaluate_ms: int = 15_000
) -> dict[str, object]:
    """Prometheus's configuration: one job a service, named as the alerts want it.

    Args:
        targets: the file that `write_targets` writes.
        rules: a directory of rule files.
        env: the label that tells environments apart.
        scrape_ms: time from scrape to scrape, in milliseconds; a scrape may take as long.
        evaluate_ms: time from one evaluation of the rules to the next, in milliseconds.
    """
    return {
        "global": {
            "scrape_interval": f"{scrape_ms}ms",
            "scrape_timeout": f"{scrape_ms}ms",
            "evaluation_interval": f"{evaluate_ms}ms",
        },
        "rule_files": [str(rules / "*.yaml")],
        "scrape_configs": [
            {
                "job_name": "quarry",  # each group of targets brings the label `job` that it goes by
                "file_sd_configs": [{"files": [str(targets)]}],
                "relabel_configs": [{"target_label": "env", "replacement": env}],
            }
        ],
    }


def write_targets(file: Path, ports: Mapping[str, Iterable[int]]) -> None:
    """Replace the targets: the ports on loopback, by service."""
    groups = [
        {"targets": [f"{LOOPBACK}:{port}" for port in found], "labels": {"job": f"quarry-{service}"}}
        for service, found in ports.items()
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps(groups, indent=1), encoding="utf-8")
    new.replace(file)


def targets_file(home: Path) -> Path:
    return home / "targets.json"


def program(home: Path, log: Path, configured: Mapping[str, object]) -> Program:
    """How to run Prometheus; `home` takes its configuration and its data.

    Raises:
        PrometheusUnavailable: as `executable`.
    """
    found = str(executable())
    home.mkdir(parents=True, exist_ok=True)
    file = home / "prometheus.yaml"
    file.write_text(json.dumps(configured, indent=1), encoding="utf-8")  # JSON is YAML too
    command = (
        found,
        f"--config.file={file}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--storage.tsdb.retention.time={KEPT_DAYS}d",
        "--log.level=warn",
    )
    return Program(
        NAME,
        lambda port: (*command, f"--web.listen-address={LOOPBACK}:{port}"),
        lambda _: {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "NO_PROXY": LOOPBACK},
        READY,
        log,
    )
