"""Every bad source gets a sentence that names it and says what to do."""

from __future__ import annotations

import pytest

from quarry_core.contract.manifest_reading import REFUSAL_BYTES_MAX
from tests.unit.core.sources.bad_inputs import BAD


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.what)
def test_a_bad_source_gets_its_sentence(bad):
    reported = bad.reported()

    assert bad.sentence in reported
    assert reported.partition(":")[0].partition(".")[0] in ("s3_uri", "format", "csv", "partition_types")
    assert len(reported.encode()) < REFUSAL_BYTES_MAX
