"""The allocators, chosen once per process, so that memory stays flat over a run, and freed pages are used again.

Measured on this code, settling the same shard of 50,000 rows twenty times: pyarrow's default (mimalloc) peaks at
230 MB, the system's at 219 MB, jemalloc at 195 MB; and reading Parquet files of 31 to 500 MB, the default's peak
creeps up by a fifth, while the others' stays (`benchmarks/`, `tests/unit/core/test_rows_memory.py`).
"""

from __future__ import annotations

import ctypes
import sys
from importlib.abc import MetaPathFinder

import pyarrow as pa

# Blocks of rows are some hundred kilobytes. glibc maps what has more than 128 KiB, and unmaps it when it
# is freed: each block would be paid for by a page fault for every 4 KiB of it.
KEPT_BLOCK_BYTES_MAX = 4 << 20
KEPT_BYTES_MAX = 32 << 20
# Each of glibc's arenas keeps what its threads have freed. With as many as it likes (eight a core), 200,000 rows through the
# whole stack peaked at 258 MB in the collector and 250 in the preprocessor; with two at 249 and 246.
ARENAS_MAX = 2
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h


class _NoPandas(MetaPathFinder):
    """As if it were not installed. None in `sys.modules`, which says the same to Python, breaks pyarrow's own import."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("a service has no pandas", name=fullname)


def keep_freed_memory() -> bool:
    """Let the C library keep what Python frees, up to `KEPT_BYTES_MAX`; False where it cannot be told."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # not glibc
        return False
    limits = (
        (_M_MMAP_THRESHOLD, KEPT_BLOCK_BYTES_MAX),
        (_M_TRIM_THRESHOLD, KEPT_BYTES_MAX),
        (_M_ARENA_MAX, ARENAS_MAX),
    )
    return all(mallopt(what, most) for what, most in limits)


def leave_pandas_out() -> None:
    """Keep pyarrow from importing pandas, which it does with its first list wherever pandas is installed: some 45 MB."""
    sys.meta_path.insert(0, _NoPandas())


def choose_arrow_allocator() -> str:
    """Take jemalloc where this build of pyarrow has it, else the system's; its name."""
    try:
        pool = pa.jemalloc_memory_pool()
    except NotImplementedError:
        pool = pa.system_memory_pool()
    pa.set_memory_pool(pool)
    return str(pool.backend_name)
