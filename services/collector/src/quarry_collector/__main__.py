"""`python -m quarry_collector`: one process of the collector."""

from __future__ import annotations

import sys

from quarry_collector.handler import QUEUES, build
from quarry_core.service.process import main
from quarry_core.tabular.memory import choose_arrow_allocator, keep_freed_memory, leave_pandas_out

if __name__ == "__main__":
    leave_pandas_out()
    keep_freed_memory()
    choose_arrow_allocator()
    sys.exit(main("collector", build, QUEUES))
