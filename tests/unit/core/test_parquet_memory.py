"""Whatever a Parquet file unpacks to: the process that reads it stays under 400 MB, or refuses it by name."""

from __future__ import annotations

import json
import sys

import pytest

from tests.unit.core import parquet_giants
from tests.unit.core.parquet_giants import READ, REFUSED
from tests.warm import Warm

PEAK_MB_MAX = 400
MAIN = f"import {parquet_giants.__name__} as giants; giants.main()"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc"),
]


@pytest.fixture(scope="module")
def python():
    with Warm([parquet_giants.__name__]) as warm:
        yield warm


@pytest.fixture
def prepared(python, tmp_path):
    """The outcome and the peak memory of a process of its own."""

    def prepare(name):
        path = tmp_path / "t.parquet"
        python.run("-c", MAIN, "write", name, str(path))
        ran = python.run("-c", MAIN, "prepare", str(path))
        path.unlink()
        return json.loads(ran.stdout)

    return prepare


@pytest.mark.parametrize("name", READ)
def test_a_small_file_that_unpacks_to_much_is_read_in_small_batches(prepared, name):
    reported = prepared(name)
    assert reported["rows"] == reported["counted"]
    assert reported["gaps"] == reported["unsent"] == (3 if name == "control characters" else 0)
    assert reported["peak_mb"] < PEAK_MB_MAX


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_in_bounded_memory_is_refused_by_column_and_row_group(prepared, name):
    reported = prepared(name)
    assert REFUSED[name][2] in reported["refused"]
    assert reported["peak_mb"] < PEAK_MB_MAX
