"""Memory does not depend on a source's size: each step at two sizes, each in a process of its own.

The allocator is the system's. Arrow's default (mimalloc) keeps freed memory until it has warmed up: reading Parquet
peaks at 118, 134, 138, 141, 142 MB for 31, 62, 125, 250, 500 MB, where the system's stays between 98 and 102 MB. That is the
allocator's growth, which ends; what is guarded here is ours, which must not begin.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SMALL_ROWS, LARGE_ROWS = 20_000, 80_000  # 31 and 125 MB of CSV
GROWTH_MAX = 1.10


@pytest.fixture(scope="module")
def benchmark():
    place = Path(__file__).parents[3] / "benchmarks" / "read_rows.py"
    spec = importlib.util.spec_from_file_location("read_rows_benchmark", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folders(benchmark, tmp_path_factory):
    made = {}
    for rows in (SMALL_ROWS, LARGE_ROWS):
        made[rows] = tmp_path_factory.mktemp(f"rows{rows}")
        benchmark.generate(made[rows], rows)
    yield made
    for folder in made.values():
        for path in folder.iterdir():
            path.unlink()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize("step", ["count quoted", "read quoted", "read parquet"])
def test_four_times_the_rows_take_no_more_memory(benchmark, folders, step):
    small, large = (benchmark.apart(step, folders[rows], "system") for rows in (SMALL_ROWS, LARGE_ROWS))
    assert large["rows"] == 4 * small["rows"]
    assert large["peak_kb"] < GROWTH_MAX * small["peak_kb"]
