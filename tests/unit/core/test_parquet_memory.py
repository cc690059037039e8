"""Whatever a Parquet file unpacks to: the process that reads it stays under 400 MB, or refuses it by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.core import parquet_giants
from tests.unit.core.parquet_giants import READ, REFUSED

PEAK_MB_MAX = 400
ROOT = Path(__file__).parents[3]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc"),
]


@pytest.fixture
def prepared(tmp_path):
    """The outcome and the peak memory of a process of its own."""

    def prepare(name):
        path = tmp_path / "t.parquet"
        for act in (["write", name, str(path)], ["prepare", str(path)]):
            ran = subprocess.run(
                [sys.executable, "-m", parquet_giants.__name__, *act], cwd=ROOT, check=True, capture_output=True
            )
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
