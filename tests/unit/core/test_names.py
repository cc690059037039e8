from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract import names
from quarry_core.contract.job_request import CLIENT_TOKEN_PATTERN, JOB_NAME_PATTERN

words = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)
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
    assert names.RUN_ID_PATTERN.fullmatch(run)
    assert names.parse_job_name(name, env) == parts
    assert re.fullmatch(CLIENT_TOKEN_PATTERN, names.client_token(name))


@given(prefix=st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True), cut=st.integers(0, 20), run=words)
def test_two_runs_never_share_a_jobs_name_however_prefix_and_run_id_are_cut(prefix, cut, run):
    """`a` + `b-c` and `a-b` + `c` are two runs."""
    moved = f"{prefix[cut:]}-{run}".lstrip("-")[:32].rstrip("-")
    one = names.job_name(prefix, names.JobName(run, "00000", 1, "dev"))
    other = names.job_name(prefix[:cut], names.JobName(moved, "00000", 1, "dev"))
    assert (one == other) <= (run == moved)


@pytest.mark.parametrize("run", ["", "-a", "a-", "A", "a_b", "a.b", "a" * 33, "a b", "é"])
def test_such_a_text_is_no_run_id(run):
    assert not names.RUN_ID_PATTERN.fullmatch(run)


def test_the_longest_run_id_leaves_room_for_a_prefix():
    name = names.job_name(
        "nightly reviews", names.JobName("2026-11-30-reviews-of-the-week-x", "99998", 999, "staging8")
    )
    assert name == "nightly-rev-2026.11.30.reviews.of.the.week.x-99998-999-staging8"


def test_a_job_of_another_environment_is_not_ours():
    name = names.job_name("p", names.JobName("r", "00000", 1, "prod"))
    assert names.parse_job_name(name, "dev") is None
    assert names.parse_job_name("somebody-elses-job", "dev") is None


@given(shard=shards, row=st.integers(0, names.ROW_MAX))
def test_a_record_id_is_eleven_digits_and_tells_its_row(shard, row):
    record = names.record_id(shard, row)
    assert re.fullmatch(r"[0-9]{11}", record)
    assert names.row_of(record, shard) == row


@pytest.mark.parametrize("record", ["", "0000000000", "000010000000", "00001000000", "0000000000x", "00000٠٠٠٠٠٠"])
def test_a_record_id_that_is_not_of_the_shard_is_no_row(record):
    assert names.row_of(record, "00000") is None


def test_an_s3_uri_that_is_none_is_reported():
    assert names.parse_s3_uri("s3://bucket/a b/c.csv") == ("bucket", "a b/c.csv")
    for wrong in ("http://bucket/key", "s3://bucket", "s3://bucket/", "s3:///key"):
        with pytest.raises(ValueError, match="s3://bucket/key"):
            names.parse_s3_uri(wrong)


@pytest.mark.parametrize("bucket", ["YOUR_BUCKET", "Bucket", "b", "my bucket", "b" * 64])
def test_a_name_that_no_bucket_has_is_reported_as_that(bucket):
    with pytest.raises(ValueError, match=f"^'{bucket}' is not a bucket name: bucket names have 3 to 63 of a-z"):
        names.parse_s3_uri(f"s3://{bucket}/inputs/jokes.csv")
