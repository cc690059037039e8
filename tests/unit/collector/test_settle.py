import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_collector.settle import (
    Ended,
    ErrorCode,
    Example,
    NotConserved,
    NotEnded,
    Repeat,
    Seen,
    Settle,
    Settlement,
    add_up,
    check_conservation,
    decide,
)

STATUSES = botocore.session.get_session().get_service_model("bedrock").shape_for("ModelInvocationJobStatus").enum
REST = {
    "Completed": ErrorCode.MISSING,
    "PartiallyCompleted": ErrorCode.NOT_PROCESSED,
    "Expired": ErrorCode.EXPIRED,
    "Stopped": ErrorCode.NOT_PROCESSED,
    "Failed": ErrorCode.JOB_FAILED,
}
RUNNING = {"Submitted", "Validating", "Scheduled", "InProgress", "Stopping"}


def ended(status, **more):
    return Ended(**{"attempt": 1, "rows": 10, "reported": 4, "status": status, **more})


@pytest.mark.promise("S10")
@pytest.mark.parametrize("status", STATUSES)
def test_every_status_that_bedrock_knows_has_its_answer_here(status):
    assert set(STATUSES) == set(REST) | RUNNING, "Bedrock has a new status: decide what it means"
    if status in RUNNING:
        with pytest.raises(NotEnded):
            decide(ended(status))
    else:
        decision = decide(ended(status, message="Bedrock's words"))
        assert isinstance(decision, Settle)
        assert decision.code == REST[status]
        assert "Bedrock's words" in decision.message


@pytest.mark.parametrize("status", ["Paused", "", None, "completed"])
def test_a_status_that_nobody_knows_is_not_an_end(status):
    with pytest.raises(NotEnded):
        decide(ended(status))


@pytest.mark.promise("S10")
@pytest.mark.parametrize("status", ["Completed", "PartiallyCompleted", "Expired", "Failed"])
def test_a_job_that_reported_nothing_is_asked_again_but_only_so_often(status):
    decisions = [decide(ended(status, reported=0, attempt=attempt), repeats_max=2) for attempt in (1, 2, 3, 4)]

    assert [type(each) for each in decisions] == [Repeat, Repeat, Settle, Settle]
    assert [each.code for each in decisions if isinstance(each, Settle)] == [REST[status]] * 2


def test_a_stopped_job_is_never_repeated_for_somebody_meant_it():
    assert decide(ended("Stopped", reported=0)) == Settle(
        ErrorCode.NOT_PROCESSED, "the job was stopped before this record"
    )


@pytest.mark.parametrize("status", ["Completed", "PartiallyCompleted", "Expired", "Failed"])
def test_one_line_about_one_record_was_paid_for_and_forbids_a_repeat(status):
    assert isinstance(decide(ended(status, reported=1)), Settle)


def test_a_completed_job_of_record_errors_alone_is_not_repeated():
    assert isinstance(decide(ended("Completed", reported=10)), Settle)


def test_a_refused_job_is_never_repeated_and_its_message_is_kept():
    decision = decide(Ended(attempt=1, rows=5, refused=True, message="ValidationException: not supported"))

    assert decision == Settle(
        ErrorCode.REFUSED, "Bedrock refused to create the job: ValidationException: not supported"
    )


def test_a_shard_below_the_minimum_has_no_job_and_is_settled():
    decision = decide(Ended(attempt=1, rows=5, unsent=2, below_minimum=True))

    assert isinstance(decision, Settle)
    assert decision.code == ErrorCode.BELOW_MINIMUM


def test_no_repeats_can_be_asked_for():
    assert isinstance(decide(ended("Failed", reported=0), repeats_max=0), Settle)


def test_bedrocks_message_is_cut_to_the_length_that_it_may_have():
    decision = decide(ended("Failed", message="x" * 10_000))

    assert isinstance(decision, Settle)
    assert len(decision.message) < 2_200


@pytest.mark.promise("S3")
def test_more_reported_of_than_there_are_rows_is_refused():
    with pytest.raises(NotConserved):
        decide(ended("Completed", unsent=7, reported=4))


@pytest.mark.promise("S3")
@given(ok=st.integers(0, 5), wrong=st.integers(0, 5), rows=st.integers(0, 10))
def test_an_account_is_believed_only_if_it_adds_up(ok, wrong, rows):
    account = Settlement(rows=rows, ok=ok, errors={"MISSING": wrong})

    if ok + wrong == rows:
        check_conservation(account, rows)
    else:
        with pytest.raises(NotConserved):
            check_conservation(account, rows)
    with pytest.raises(NotConserved):
        check_conservation(account, rows + 1)


def test_accounts_add_up_and_keep_the_first_examples():
    one = Settlement(
        rows=3,
        ok=1,
        errors={"MISSING": 2},
        input_tokens=5,
        output_tokens=7,
        examples={"MISSING": (Example("a", "m"), Example("b", "m"))},
        seen=Seen(lines=4, duplicated=1, unexpected=1, corrupt=1, unexpected_ids=("x",), corrupt_heads=("h",)),
    )

    total = add_up([one, one])

    assert (total.rows, total.ok, total.error, total.input_tokens, total.output_tokens) == (6, 2, 4, 10, 14)
    assert [each.record_id for each in total.examples["MISSING"]] == ["a", "b", "a"]
    assert total.seen == Seen(8, 2, 2, 2, ("x", "x"), ("h", "h"))
    assert add_up([]) == Settlement(rows=0, ok=0)
