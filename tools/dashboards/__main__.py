"""Generate deploy/grafana/*.json from this directory. With `--check`, name the stale ones and exit 1.

    .venv-deploy/bin/python -m tools.dashboards [--check]

The same code gives the same bytes. To add a panel, write it down in overview.py, scheduler.py or services.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from tools.dashboards import overview, scheduler, services

ROOT = Path(__file__).resolve().parents[2]
MADE = ROOT / "deploy" / "grafana"


def texts() -> dict[str, str]:
    """The files by name."""
    built = {module.__name__.rpartition(".")[2]: module.build().build() for module in (overview, scheduler, services)}
    return {f"{name}.json": JSONEncoder(sort_keys=True, indent=2).encode(made) + "\n" for name, made in built.items()}


def main(arguments: list[str]) -> int:
    wanted = texts()
    there = {path.name: path.read_text(encoding="utf-8") for path in MADE.glob("*.json")}
    stale = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    if arguments == ["--check"]:
        for name in stale:
            print(f"deploy/grafana/{name} is stale: run make dashboards", file=sys.stderr)
        return int(bool(stale))
    for name in stale:
        if name in wanted:
            (MADE / name).write_text(wanted[name], encoding="utf-8")
        else:
            (MADE / name).unlink()
        print(f"deploy/grafana/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
