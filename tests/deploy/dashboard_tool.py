"""Reads dashboards by the SDK's schema and writes them again; runs in `.venv-deploy`, which has the SDK.

Standard input: a JSON list of dashboards. Standard output: the same list as the schema has it. What the schema does not
know, or knows as something else, is not the same afterwards.
"""

from __future__ import annotations

import json
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard


def main() -> None:
    register_default_plugins()
    read = [Dashboard.from_json(each) for each in json.load(sys.stdin)]
    known = sorted(value for name, value in vars(units).items() if not name.startswith("_") and isinstance(value, str))
    print(JSONEncoder().encode({"dashboards": read, "units": known}))


if __name__ == "__main__":
    main()
