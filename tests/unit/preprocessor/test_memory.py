"""What one run's file takes of a preprocessor's memory is bounded, whatever is in it: it has the rows of others as well."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

PEAK_MB_MAX = 400
PREPARING = Path(__file__).with_name("preparing.py")


def load():
    spec = importlib.util.spec_from_file_location("preparing", PREPARING)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["preparing"] = module
    spec.loader.exec_module(module)
    return module


preparing = load()
COMES_OF_IT = {
    "200,000 columns": "there are 200000 columns",
    "rows over the file's limit": "is over 33554432 bytes",
    "rows over the model's limit": '"sendable": 0, "unsent": ["TOO_LARGE"]',
    "control characters": '"sendable": 0, "unsent": ["TOO_LARGE"]',
    "a template times a giant": '"sendable": 0, "unsent": ["TOO_LARGE"]',
    "a template times a cell": "exceeds 150000000 bytes",
    "giants among dwarfs": '"too_large"',
    "rows of 24 MB in UTF-16": '"sendable": 3',
    "as many columns as may be": '"sendable": 1000',
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize("case", list(preparing.CASES))
def test_no_csv_file_takes_more_than_its_share_of_the_memory(case, tmp_path):
    preparing.write_case(case, tmp_path / "data.csv")
    ran = subprocess.run(
        [sys.executable, PREPARING, case, tmp_path], check=True, capture_output=True, text=True, timeout=110
    )
    (tmp_path / "data.csv").unlink()
    assert COMES_OF_IT[case] in ran.stdout
    assert json.loads(ran.stdout)["peak_mb"] < PEAK_MB_MAX
