from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core import names
from quarry_core.job_request import CLIENT_TOKEN_PATTERN, JOB_NAME_PATTERN

words = st.from_regex(r"[a-z0-9]{1,16}", fullmatch=True)
shards = st.integers(0, names.SHARD_MAX).map(names.shard_id)


@given(
    prefix=st.text(max_size=80),
    run=words,
    shard=shards,
    attempt=st.integers(1, 99),
    env=st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True),
)
def test_a_job_name_fits_bedrocks_pattern_and_reads_back(prefix, run, shard, attempt, env):
    parts = names.JobName(run, shard, attempt, env)
    name = names.job_name(prefix, parts)
    assert len(name) <= 63
    assert re.fullmatch(JOB_NAME_PATTERN, name)
    assert names.parse_job_name(name, env) == parts
    assert re.fullmatch(CLIENT_TOKEN_PATTERN, names.client_token(name))


def test_a_job_of_another_environment_is_not_ours():
    name = names.job_name("p", names.JobName("r", "00000", 1, "prod"))
    assert names.parse_job_name(name, "dev") is None
    assert names.parse_job_name("somebody-elses-job", "dev") is None


@given(shard=shards, row=st.integers(0, names.ROW_MAX))
def test_a_record_id_is_eleven_digits_and_gives_its_row_back(shard, row):
    record = names.record_id(shard, row)
    assert re.fullmatch(r"[0-9]{11}", record)
    assert names.row_of(record, shard) == row


@pytest.mark.parametrize("record", ["", "0000000000", "000010000000", "00001000000", "0000000000x", "00000٠٠٠٠٠٠"])
def test_a_record_id_that_is_not_of_the_shard_is_no_row(record):
    assert names.row_of(record, "00000") is None


def test_an_s3_uri_that_is_none_is_told():
    assert names.parse_s3_uri("s3://bucket/a b/c.csv") == ("bucket", "a b/c.csv")
    for wrong in ("http://bucket/key", "s3://Bucket/key", "s3://bucket", "s3://bucket/"):
        with pytest.raises(ValueError, match="s3://bucket/key"):
            names.parse_s3_uri(wrong)
