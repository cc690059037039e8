"""What one run's file takes of a preprocessor's memory is bounded, whatever is in it: it has the rows of others as well."""

from __future__ import annotations

import json
import sys

import pytest

from tests.unit.preprocessor import preparing
from tests.warm import Warm

PEAK_MB_MAX = 400
MAIN = f"import {preparing.__name__} as preparing; preparing.main()"
COMES_OF_IT = {
    "200,000 columns": "there are 200000 columns",
    "rows over the file's limit": "is over 33554432 bytes",
    "rows over the model's limit": '"sendable": 0, "unsent": ["TOO_LARGE"]',
    "control characters": '"sendable": 0, "unsent": ["TOO_LARGE"]',
    "a template times a giant": '"sendable": 0, "unsent": ["TOO_LARGE"]',
    "a template times a cell": "exceeds 150000000 bytes",
    "giants among dwarfs": '"too_large"',
    "rows of 24 MB in UTF-16": '"sendable": 3',
    "as many columns as may be": '"sendable": 500',
}


@pytest.fixture(scope="module")
def python():
    with Warm([preparing.__name__]) as warm:
        yield warm


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize("case", list(preparing.CASES))
def test_no_csv_file_takes_more_than_its_share_of_the_memory(case, python, tmp_path):
    preparing.write_case(case, tmp_path / "data.csv")
    ran = python.run("-c", MAIN, case, str(tmp_path))
    (tmp_path / "data.csv").unlink()
    assert COMES_OF_IT[case] in ran.stdout
    assert json.loads(ran.stdout)["peak_mb"] < PEAK_MB_MAX
