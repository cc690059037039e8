"""`python -m quarry_collector`: one process of the collector."""

from __future__ import annotations

import sys

from quarry_collector.handler import QUEUES, build
from quarry_core.memory import choose_arrow_allocator
from quarry_core.service import main

if __name__ == "__main__":
    choose_arrow_allocator()
    sys.exit(main("collector", build, QUEUES))
