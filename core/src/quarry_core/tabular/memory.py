"""Arrow's allocator, chosen once per process, so that memory stays flat over a run.

Measured on this code, settling the same shard of 50,000 rows twenty times: pyarrow's default (mimalloc) peaks at
230 MB, the system's at 219 MB, jemalloc at 195 MB; and reading Parquet files of 31 to 500 MB, the default's peak
creeps up by a fifth, while the others' stays (`benchmarks/`, `tests/unit/core/test_rows_memory.py`).
"""

from __future__ import annotations

import pyarrow as pa


def choose_arrow_allocator() -> str:
    """Take jemalloc where this build of pyarrow has it, else the system's; its name."""
    try:
        pool = pa.jemalloc_memory_pool()
    except NotImplementedError:
        pool = pa.system_memory_pool()
    pa.set_memory_pool(pool)
    return str(pool.backend_name)
