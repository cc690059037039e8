"""How records go again: what is told apart, how the pool is cut, where a record's place is. Pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_collector.places import Listed
from quarry_collector.rounds import Lines, codes_of, plan_round, split
from quarry_collector.settle import ErrorCode, Settlement, check_conservation
from quarry_core.contract.names import record_id
from quarry_core.contract.record_errors import (
    BY_DEFAULT,
    RETRYABLE,
    TRANSIENT,
    RecordErrors,
    RecordRetries,
    goes_again,
)
from quarry_core.contract.states import ShardState
from quarry_core.ledger.rows import Shard
from quarry_core.models import ModelLimits
from quarry_core.planning.rounds import lineage

LIMITS = ModelLimits(records_min=100, records_max=1_000, file_bytes_max=100_000, job_bytes_max=1_000_000)


def copies(*counts, length=10):
    return [Lines(f"{2 * index:05d}", 1, [length] * count) for index, count in enumerate(counts)]


def shard(**changes):
    return Shard("r", "00000", ShardState.ENDED, 1, 1, "p", 0, 10, 10, 1, **changes)


# --------------------------------------------------------------------------- which


def test_the_table_names_error_codes_and_no_others():
    assert set(RETRYABLE) < set(ErrorCode)
    never = {code for code in ErrorCode if code not in RETRYABLE}
    assert {"REFUSED", "NULL_INPUT", "SKIPPED", "TOO_LARGE", "BELOW_MINIMUM", "INTERNAL_ERROR"} <= never


@pytest.mark.parametrize("code", ["408", "429", "500", "503", "ThrottlingException", "InternalServerException"])
def test_a_transient_error_of_the_model_goes_again(code):
    assert goes_again("MODEL_ERROR", f"{code}: please wait", BY_DEFAULT)


@pytest.mark.parametrize(
    "message", ["400: 429 bottles", "ValidationException: no", "no code: 500", "424: the model failed", "", "5000: x"]
)
def test_any_other_error_of_the_model_stands(message):
    assert not goes_again("MODEL_ERROR", message, BY_DEFAULT)


def test_the_transient_codes_are_those_that_the_service_model_gives_these_exceptions():
    import botocore.session

    model = botocore.session.get_session().get_service_model("bedrock-runtime")
    for name in (code for code in TRANSIENT if code.endswith("Exception")):
        status = model.shape_for(name).metadata["error"]["httpStatusCode"]
        assert TRANSIENT[name] == f"as {status}"
        assert name in TRANSIENT[str(status)]


def test_a_manifest_may_list_other_codes_or_none():
    assert set(RecordErrors().codes) == set(BY_DEFAULT)
    assert RecordErrors(retry=["INVALID_OUTPUT"]).codes == ("INVALID_OUTPUT",)
    assert RecordErrors(retry=[]).codes == ()
    assert goes_again("INVALID_OUTPUT", "$.score", ("INVALID_OUTPUT",))
    assert not goes_again("INVALID_OUTPUT", "$.score", BY_DEFAULT)


def test_nothing_goes_on_from_the_last_round_nor_in_a_run_of_an_earlier_release():
    retries = RecordRetries(codes=BY_DEFAULT, max_attempts=3)
    assert codes_of(retries, shard(round=2))
    assert codes_of(retries, shard(round=3)) == frozenset()
    assert codes_of(RecordRetries(), shard()) == frozenset()


def test_what_somebody_stopped_or_quarry_ended_does_not_go_again():
    retries = RecordRetries(codes=BY_DEFAULT, max_attempts=3)
    assert "NOT_PROCESSED" in codes_of(retries, shard(ended_status="PartiallyCompleted"))
    assert "NOT_PROCESSED" not in codes_of(retries, shard(ended_status="Stopped"))
    assert codes_of(retries, shard(error_code="NOT_PROCESSED")) == frozenset()


def test_an_account_is_split_and_still_adds_up():
    account = Settlement(rows=10, ok=4, errors={"MODEL_ERROR": 4, "NULL_INPUT": 1, "MISSING": 1})
    errors = [(1, "MODEL_ERROR", "429: x"), (2, "MODEL_ERROR", "400: y"), (3, "MODEL_ERROR", "500: z")]
    errors += [(5, "MISSING", "no line"), (9, "MODEL_ERROR", "400: w")]

    apart, rows = split(account, errors, BY_DEFAULT, lambda row: record_id("00002", row))

    assert rows == [1, 3, 5]
    assert apart.errors == {"MODEL_ERROR": 2, "NULL_INPUT": 1}
    assert apart.again == {"MODEL_ERROR": 2, "MISSING": 1}
    assert [each.record_id for each in apart.examples["MODEL_ERROR"]] == ["00002000002", "00002000009"]
    check_conservation(apart, 10)
    check_conservation(apart.final, 10)
    assert apart.final.errors == account.errors


# --------------------------------------------------------------------------- in which shards


@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=20).filter(any),
    st.one_of(st.none(), st.integers(100, 2_000)),
    st.integers(1, 900),
)
def test_no_job_is_below_the_minimum_or_above_what_it_may_hold_and_every_record_is_in_one(counts, records_max, length):
    pool = copies(*counts, length=length)
    plan = plan_round(2, pool, 100, LIMITS, records_max, 0)
    total = sum(counts)
    if plan is None:
        assert total < 100 or total * length > (total // 100) * 90_000
        return
    assert plan.records == total == sum(each.records for each in plan.shards)
    sizes = [each.records for each in plan.shards]
    assert min(sizes) >= 100
    assert max(sizes) <= 1_000
    assert max(sizes) - min(sizes) <= 1
    assert all(each.bytes <= 90_000 for each in plan.shards)
    assert [each.shard for each in plan.shards] == [f"{100 + index:05d}" for index in range(len(sizes))]
    pieces = [piece for each in plan.shards for piece in each.pieces]
    for copy in pool:
        mine = [piece for piece in pieces if piece.shard == copy.shard]
        assert sum(piece.records for piece in mine) == len(copy.lengths)
        assert [piece.start_byte for piece in mine] == [
            sum(before.bytes for before in mine[:index]) for index in range(len(mine))
        ]


def test_what_is_too_little_for_a_job_is_asked_on_demand_where_that_is_allowed():
    plan = plan_round(2, copies(30, 40), 4, LIMITS, None, 100)
    assert [(each.records, each.on_demand) for each in plan.shards] == [(70, True)]
    assert plan_round(2, copies(30, 40), 4, LIMITS, None, 0) is None


def test_a_higher_threshold_asks_on_demand_what_a_job_could_hold():
    plan = plan_round(2, copies(150), 2, LIMITS, None, 200)
    assert [(each.records, each.on_demand) for each in plan.shards] == [(150, True)]


def test_there_is_no_round_where_no_number_is_left():
    assert plan_round(2, copies(100), 100_000, LIMITS, None, 100) is None


def test_a_records_way_through_the_rounds_is_found():
    second = plan_round(2, copies(150, 100, 150), 6, LIMITS, 200, 0)
    assert lineage("00002", [second]) == [["00006", "00007"]]
    third = plan_round(3, [Lines("00006", 1, [1] * 50), Lines("00007", 1, [1] * 60)], 8, LIMITS, 200, 0)
    assert lineage("00002", [second, third]) == [["00006", "00007"], ["00008"]]
    assert lineage("00000", [second, third]) == [["00006"], ["00008"]]


# --------------------------------------------------------------------------- a record's place


IDS = [record_id("00000", 7), record_id("00000", 12), record_id("00004", 0), record_id("00010", 999_999)]


def test_a_listed_record_has_the_place_of_its_id_and_nothing_else_has_one():
    places = Listed("\n".join(IDS).encode())
    assert [places.row_of(each) for each in IDS] == [0, 1, 2, 3]
    others = ["00000000008", "", "00000000007 ", "abc", "99999999999", "٠٠٠٠٠٠٠٠٠٠٧"]
    assert places.rows_of([*others, *reversed(IDS)]).tolist() == [-1] * len(others) + [3, 2, 1, 0]
    assert [places.record_id(row) for row in range(4)] == IDS
    assert places.record_ids(1, 3).to_pylist() == IDS[1:3]


def test_a_list_out_of_order_places_each_where_it_stands():
    places = Listed("\n".join(reversed(IDS)).encode())
    assert places.rows_of(IDS).tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize("ids", [f"{IDS[0]}\n{IDS[0]}", "123", "0000000000x"])
def test_a_list_that_cannot_be_is_refused(ids):
    with pytest.raises(ValueError, match="record"):
        Listed(ids.encode())


def test_an_empty_list_has_no_place():
    assert Listed(b"").rows_of(IDS).tolist() == [-1] * 4
