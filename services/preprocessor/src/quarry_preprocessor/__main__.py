"""`python -m quarry_preprocessor`: one process of the preprocessor."""

from __future__ import annotations

import sys

from quarry_core.service.process import main
from quarry_core.tabular.memory import choose_arrow_allocator, keep_freed_memory, leave_pandas_out
from quarry_preprocessor.handler import QUEUES, build

if __name__ == "__main__":
    leave_pandas_out()
    keep_freed_memory()
    choose_arrow_allocator()
    sys.exit(main("preprocessor", build, QUEUES))
