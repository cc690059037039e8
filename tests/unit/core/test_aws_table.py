"""What no emulator can show of DynamoDB: contention, throttling, lost replies, half-done batches."""

from __future__ import annotations

import pytest

from quarry_core.aws.table import BACKOFF_FIRST_S, BACKOFF_MAX_S, RETRIES_AFTER_LOSS_MAX, RETRIES_MAX, DynamoTable
from quarry_core.errors import Missing, Refused, Stale, Throttled, Unknown
from quarry_core.ports import Cond, Delete, Put, Update, Write
from tests.unit.core.scripted import CUT, CUT_IN_BODY, Answer, scripted, set_credentials, wrong

DONE = Answer()
WRITES: list[Write] = [Put(("run#r1", "run"), {}), Update(("run#r1", "totals"), (Cond("n", "eq", 1),), add={"n": 1})]
THROTTLED = wrong("ThrottlingException")
IN_PROGRESS = wrong("TransactionInProgressException")


def cancelled(*codes):
    reasons = [{"Code": code, "Message": None if code == "None" else f"about {code}"} for code in codes]
    return wrong("TransactionCanceledException", CancellationReasons=reasons)


BUSY = cancelled("None", "TransactionConflict")


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    set_credentials(monkeypatch)


async def transact(script, writes=WRITES):
    """What became of the transaction, the requests it took, and the pauses between them."""
    async with scripted("dynamodb", script) as (aws, reported):
        try:
            await DynamoTable(aws, "table").transact(writes)
        except Exception as error:
            return error, reported.requests, reported.clock.slept
        return None, reported.requests, reported.clock.slept


@pytest.mark.promise("S8")
@pytest.mark.parametrize(
    "codes",
    [
        ("ConditionalCheckFailed", "None"),
        ("TransactionConflict", "ConditionalCheckFailed"),
        ("ValidationError", "ConditionalCheckFailed"),
    ],
)
async def test_a_failed_premise_is_stale_at_once_and_says_which(codes):
    error, requests, _ = await transact([cancelled(*codes)])
    assert type(error) is Stale
    assert ("run#r1/run", "run#r1/totals")[codes.index("ConditionalCheckFailed")] in str(error)
    assert len(requests) == 1


@pytest.mark.parametrize(
    "codes", [("None", "ValidationError"), ("TransactionConflict", "ItemCollectionSizeLimitExceeded")]
)
async def test_a_write_that_can_never_be_done_is_refused_at_once(codes):
    error, requests, _ = await transact([cancelled(*codes)])
    assert type(error) is Refused
    assert error.code == codes[1]
    assert "run#r1/totals" in str(error)
    assert len(requests) == 1


@pytest.mark.parametrize("code", ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"])
async def test_a_contended_transaction_is_sent_again_under_the_same_token(code):
    error, requests, _ = await transact([cancelled("None", code), cancelled(code, "None"), DONE])
    assert error is None
    assert len(requests) == 3
    assert requests[0].body == requests[1].body == requests[2].body
    assert len(requests[0].body["ClientRequestToken"]) == 32


async def test_pauses_between_sendings_have_full_jitter_and_a_limit():
    error, requests, slept = await transact([BUSY])
    assert type(error) is Throttled
    assert "TransactionConflict" in str(error)
    assert len(requests) == RETRIES_MAX + 1 == 9
    assert len(slept) == RETRIES_MAX
    for number, pause_s in enumerate(slept):
        assert 0 <= pause_s <= min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2**number)
    assert len(set(slept)) == RETRIES_MAX


async def test_a_throttled_transaction_is_sent_again_then_given_up():
    error, requests, _ = await transact([THROTTLED, THROTTLED, DONE])
    assert error is None
    assert len(requests) == 3
    error, requests, _ = await transact([THROTTLED])
    assert type(error) is Throttled
    assert len(requests) == RETRIES_MAX + 1


@pytest.mark.promise("S1")
@pytest.mark.parametrize("loss", [CUT, CUT_IN_BODY, wrong("InternalServerError", 500)], ids=["cut", "in body", "500"])
async def test_a_lost_reply_is_asked_for_again_under_the_same_token(loss):
    error, requests, _ = await transact([loss, DONE])
    assert error is None
    assert len(requests) == 2
    assert requests[0].body == requests[1].body


async def test_replies_lost_for_good_are_unknown():
    error, requests, _ = await transact([CUT])
    assert type(error) is Unknown
    assert len(requests) == RETRIES_AFTER_LOSS_MAX + 1


@pytest.mark.promise("S1")
@pytest.mark.parametrize("then", [THROTTLED, BUSY, IN_PROGRESS], ids=["throttled", "busy", "in progress"])
async def test_nobody_says_that_nothing_was_done_after_a_reply_was_lost(then):
    error, requests, _ = await transact([CUT, then])
    assert type(error) is Unknown
    assert len(requests) == RETRIES_MAX + 1


async def test_the_answer_after_a_lost_reply_counts():
    error, requests, _ = await transact([CUT, cancelled("ConditionalCheckFailed", "None")])
    assert type(error) is Stale
    assert len(requests) == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (wrong("ValidationException"), Refused),
        (wrong("AccessDeniedException"), Refused),
        (wrong("IdempotentParameterMismatchException"), Refused),
        (wrong("ResourceNotFoundException"), Missing),
    ],
)
async def test_what_dynamodb_answers_to_the_whole_request_is_not_asked_again(answer, kind):
    error, requests, _ = await transact([answer])
    assert type(error) is kind
    assert len(requests) == 1


async def test_each_transaction_has_a_token_of_its_own():
    async with scripted("dynamodb", [DONE]) as (aws, reported):
        table = DynamoTable(aws, "table")
        await table.transact(WRITES)
        await table.transact(WRITES)
    assert len({request.body["ClientRequestToken"] for request in reported.requests}) == 2


async def test_one_write_is_a_transaction_too():
    _, requests, _ = await transact([DONE], [Delete(("p", "s"), (Cond("pk", "exists"),))])
    assert requests[0].headers["x-amz-target"].endswith(".TransactWriteItems")


def wire(number):
    return {"pk": {"S": "p"}, "sk": {"S": str(number)}}


async def test_keys_that_a_batch_left_out_are_asked_for_again():
    def half(request):
        keys = request.body["RequestItems"]["table"]["Keys"]
        done, left = keys[: (len(keys) + 1) // 2], keys[(len(keys) + 1) // 2 :]
        unprocessed = {"table": {"Keys": left, "ConsistentRead": True}} if left else {}
        return Answer({"Responses": {"table": done}, "UnprocessedKeys": unprocessed})

    async with scripted("dynamodb", half) as (aws, reported):
        found = await DynamoTable(aws, "table").get_many([("p", str(number)) for number in range(8)])
    assert set(found) == {("p", str(number)) for number in range(8)}
    asked = [len(request.body["RequestItems"]["table"]["Keys"]) for request in reported.requests]
    assert asked == [8, 4, 2, 1]


async def test_a_batch_that_never_gets_on_is_throttled():
    stuck = Answer({"Responses": {}, "UnprocessedKeys": {"table": {"Keys": [wire(1)]}}})
    async with scripted("dynamodb", [stuck]) as (aws, reported):
        with pytest.raises(Throttled):
            await DynamoTable(aws, "table").get_many([("p", "1")])
    assert len(reported.requests) == RETRIES_MAX + 1


async def test_every_read_is_consistent():
    async with scripted("dynamodb", [Answer({"Items": [], "Responses": {}})]) as (aws, reported):
        table = DynamoTable(aws, "table")
        await table.get(("p", "1"))
        await table.query("p", most=1)
        await table.get_many([("p", "1")])
    get, query, batch = (request.body for request in reported.requests)
    assert get["ConsistentRead"] is query["ConsistentRead"] is True
    assert batch["RequestItems"]["table"]["ConsistentRead"] is True


async def test_a_query_asks_for_no_more_than_is_missing():
    pages = [
        Answer({"Items": [wire(1), wire(2)], "LastEvaluatedKey": wire(2)}),
        Answer({"Items": [], "LastEvaluatedKey": wire(3)}),
        Answer({"Items": [wire(4), wire(5)], "LastEvaluatedKey": wire(5)}),
    ]
    async with scripted("dynamodb", pages) as (aws, reported):
        found = await DynamoTable(aws, "table").query("p", most=4)
    assert [item["sk"] for item in found] == ["1", "2", "4", "5"]
    asked = [(request.body["Limit"], request.body.get("ExclusiveStartKey")) for request in reported.requests]
    assert asked == [(4, None), (2, wire(2)), (2, wire(3))]
