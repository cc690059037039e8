"""What Quarry relies on in AWS, asked of the emulator: one test per API.

Every assertion is what AWS does. Where an emulator is known to do otherwise, the test says `deviation`, names it and
asserts it, so that an emulator that fixes its ways is noticed too.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from quarry_core import errors
from quarry_core.aws.retries import retries
from quarry_core.contract import names

UPLOAD_PART_BYTES_MIN = 5 * 1024 * 1024


@pytest.fixture
def s3(aws):
    return aws.client("s3")


@pytest.fixture
def bucket(resources):
    return resources.place.bucket


@pytest.fixture
def sqs(aws):
    return aws.client("sqs")


@pytest.fixture
def dynamodb(aws):
    return aws.client("dynamodb")


@pytest.fixture
def table(resources):
    return resources.place.table


@pytest.fixture
def events(aws):
    return aws.client("events")


def refused(call, **arguments) -> Any:
    """The error response of a call that must fail."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response


def code(response):
    return response["Error"]["Code"]


def status(response):
    return response["ResponseMetadata"]["HTTPStatusCode"]


# --------------------------------------------------------------------------- S3


@pytest.mark.promise("S4")
def test_a_second_put_if_none_match_is_refused_with_412_and_changes_nothing(s3, bucket):
    s3.put_object(Bucket=bucket, Key="outcomes/a", Body=b"first", IfNoneMatch="*", Metadata={"run": "r1"})

    answer = refused(s3.put_object, Bucket=bucket, Key="outcomes/a", Body=b"second", IfNoneMatch="*")

    assert (code(answer), status(answer)) == ("PreconditionFailed", 412)
    assert code(answer) in errors.PRECONDITION
    stands = s3.get_object(Bucket=bucket, Key="outcomes/a")
    assert stands["Body"].read() == b"first"
    assert stands["Metadata"] == {"run": "r1"}


@pytest.mark.promise("S4")
def test_of_many_puts_if_none_match_at_once_exactly_one_succeeds(aws, bucket):
    clients = [aws.client("s3") for _ in range(8)]  # boto3 builds clients one at a time

    def put(number_and_client):
        number, client = number_and_client
        try:
            client.put_object(Bucket=bucket, Key="plans/race", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError as error:
            return code(error.response)
        return str(number).encode()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(put, enumerate(clients)))

    assert {answer for answer in answers if isinstance(answer, str)} <= errors.PRECONDITION
    written = [answer for answer in answers if isinstance(answer, bytes)]
    assert written == [clients[0].get_object(Bucket=bucket, Key="plans/race")["Body"].read()]


def upload(s3, bucket, key, *bodies):
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    parts = []
    for number, body in enumerate(bodies, 1):
        where = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
        parts.append({"PartNumber": number, "ETag": s3.upload_part(**where, PartNumber=number, Body=body)["ETag"]})
    return {"Bucket": bucket, "Key": key, "UploadId": upload_id, "MultipartUpload": {"Parts": parts}}


@pytest.mark.promise("S4")
def test_completing_an_upload_if_none_match_is_refused_where_an_object_stands(s3, bucket):
    complete = upload(s3, bucket, "results/part", b"a" * UPLOAD_PART_BYTES_MIN, b"tail")
    s3.complete_multipart_upload(**complete, IfNoneMatch="*")

    again = upload(s3, bucket, "results/part", b"other")
    answer = refused(s3.complete_multipart_upload, **again, IfNoneMatch="*")

    assert code(answer) in errors.PRECONDITION
    assert s3.head_object(Bucket=bucket, Key="results/part")["ContentLength"] == UPLOAD_PART_BYTES_MIN + 4
    s3.abort_multipart_upload(Bucket=bucket, Key="results/part", UploadId=again["UploadId"])


def test_an_aborted_upload_leaves_no_object(s3, bucket):
    begun = upload(s3, bucket, "results/aborted", b"x")
    s3.abort_multipart_upload(Bucket=bucket, Key="results/aborted", UploadId=begun["UploadId"])

    assert code(refused(s3.head_object, Bucket=bucket, Key="results/aborted")) in errors.MISSING
    assert code(refused(s3.complete_multipart_upload, **begun)) == "NoSuchUpload"


def test_a_small_upload_part_that_is_not_the_last_is_refused_by_aws(aws, s3, bucket):
    complete = upload(s3, bucket, "results/small", b"tiny", b"tail")

    if aws.kind == "ministack":  # deviation: no least size of upload parts. The adapter must keep it itself.
        s3.complete_multipart_upload(**complete)
        assert s3.get_object(Bucket=bucket, Key="results/small")["Body"].read() == b"tinytail"
    else:
        assert code(refused(s3.complete_multipart_upload, **complete)) == "EntityTooSmall"


def test_a_read_if_match_is_refused_with_412_once_the_object_changed(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="inputs/a", Body=b"0123456789")["ETag"]
    assert s3.get_object(Bucket=bucket, Key="inputs/a", IfMatch=etag)["Body"].read() == b"0123456789"

    s3.put_object(Bucket=bucket, Key="inputs/a", Body=b"other")

    answer = refused(s3.get_object, Bucket=bucket, Key="inputs/a", IfMatch=etag)
    assert (code(answer), status(answer)) == ("PreconditionFailed", 412)


def test_a_ranged_read_gives_those_bytes_and_the_whole_size(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="inputs/range", Body=b"0123456789")["ETag"]

    middle = s3.get_object(Bucket=bucket, Key="inputs/range", Range="bytes=3-5", IfMatch=etag)
    tail = s3.get_object(Bucket=bucket, Key="inputs/range", Range="bytes=-2")
    past = s3.get_object(Bucket=bucket, Key="inputs/range", Range="bytes=8-100")

    assert (middle["Body"].read(), status(middle), middle["ContentRange"]) == (b"345", 206, "bytes 3-5/10")
    assert tail["Body"].read() == b"89"
    assert past["Body"].read() == b"89"
    beyond = refused(s3.get_object, Bucket=bucket, Key="inputs/range", Range="bytes=10-")
    assert (code(beyond), status(beyond)) == ("InvalidRange", 416)


def test_an_old_version_is_read_by_its_id_also_after_a_delete(s3, bucket):
    first = s3.put_object(Bucket=bucket, Key="inputs/v", Body=b"first")["VersionId"]
    second = s3.put_object(Bucket=bucket, Key="inputs/v", Body=b"second")["VersionId"]
    s3.delete_object(Bucket=bucket, Key="inputs/v")

    assert first != second
    assert code(refused(s3.get_object, Bucket=bucket, Key="inputs/v")) == "NoSuchKey"
    assert s3.get_object(Bucket=bucket, Key="inputs/v", VersionId=first)["Body"].read() == b"first"
    assert s3.head_object(Bucket=bucket, Key="inputs/v", VersionId=second)["ContentLength"] == 6


def test_an_absent_object_is_missing_in_each_call_and_deleting_it_is_no_error(s3, bucket):
    assert code(refused(s3.get_object, Bucket=bucket, Key="nothing")) in errors.MISSING
    assert code(refused(s3.head_object, Bucket=bucket, Key="nothing")) in errors.MISSING
    assert code(refused(s3.get_object, Bucket="no-such-bucket-of-ours", Key="nothing")) in errors.MISSING
    s3.delete_object(Bucket=bucket, Key="nothing")


def test_listing_is_in_key_order_and_pages(s3, bucket):
    keys = [f"batch-output/r/{n:02d}" for n in range(7)]
    for key in reversed(keys):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    s3.put_object(Bucket=bucket, Key="batch-output/s/00", Body=b"")

    pages = list(
        s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix="batch-output/r/", PaginationConfig={"PageSize": 3}
        )
    )

    assert [entry["Key"] for page in pages for entry in page["Contents"]] == keys
    assert len(pages) == 3


# --------------------------------------------------------------------------- DynamoDB


def item(pk, sk, **attributes):
    return {"pk": {"S": pk}, "sk": {"S": sk}, **attributes}


def key(pk, sk):
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def put(table, pk, sk, **attributes):
    return {
        "Put": {
            "TableName": table,
            "Item": item(pk, sk, **attributes),
            "ConditionExpression": "attribute_not_exists(#pk)",
            "ExpressionAttributeNames": {"#pk": "pk"},
        }
    }


def admit(table, holder, limit):
    """The slot as the ledger takes it: counter and holders move together, on their premise."""
    return {
        "Update": {
            "TableName": table,
            "Key": key("pool#a", "quota"),
            "UpdateExpression": "ADD #in_use :one, #holders :holder",
            "ConditionExpression": "#in_use < :limit AND NOT contains(#holders, :name)",
            "ExpressionAttributeNames": {"#in_use": "in_use", "#holders": "holders"},
            "ExpressionAttributeValues": {
                ":one": {"N": "1"},
                ":limit": {"N": str(limit)},
                ":holder": {"SS": [holder]},
                ":name": {"S": holder},
            },
        }
    }


def pool(dynamodb, table):
    return dynamodb.get_item(TableName=table, Key=key("pool#a", "quota"), ConsistentRead=True)["Item"]


def test_a_transaction_does_all_or_nothing_and_says_which_premise_failed(dynamodb, table):
    dynamodb.put_item(TableName=table, Item=item("run#a", "run"))

    answer = refused(
        dynamodb.transact_write_items, TransactItems=[put(table, "run#b", "run"), put(table, "run#a", "run")]
    )

    assert code(answer) == errors.TRANSACTION_CANCELED
    reasons = [reason["Code"] for reason in answer["CancellationReasons"]]
    assert reasons == ["None", "ConditionalCheckFailed"]
    assert reasons[1] in errors.STALE
    assert "Item" not in dynamodb.get_item(TableName=table, Key=key("run#b", "run"), ConsistentRead=True)


def test_a_transaction_holds_a_put_an_update_a_delete_and_a_check_together(dynamodb, table):
    dynamodb.put_item(TableName=table, Item=item("run#a", "shard#00000", state={"S": "PENDING"}))
    dynamodb.put_item(TableName=table, Item=item("run#a", "wait#1#00000"))
    dynamodb.put_item(TableName=table, Item=item("run#a", "totals", state={"S": "RUNNING"}))
    named = {"ExpressionAttributeNames": {"#state": "state"}}

    dynamodb.transact_write_items(
        TransactItems=[
            put(table, "run#a", "job#00000#1"),
            {
                "Update": {
                    "TableName": table,
                    "Key": key("run#a", "shard#00000"),
                    "UpdateExpression": "SET #state = :to",
                    "ConditionExpression": "#state = :from",
                    "ExpressionAttributeValues": {":to": {"S": "ADMITTED"}, ":from": {"S": "PENDING"}},
                    **named,
                }
            },
            {
                "Delete": {
                    "TableName": table,
                    "Key": key("run#a", "wait#1#00000"),
                    "ConditionExpression": "attribute_exists(#pk)",
                    "ExpressionAttributeNames": {"#pk": "pk"},
                }
            },
            {
                "ConditionCheck": {
                    "TableName": table,
                    "Key": key("run#a", "totals"),
                    "ConditionExpression": "#state = :running",
                    "ExpressionAttributeValues": {":running": {"S": "RUNNING"}},
                    **named,
                }
            },
        ]
    )

    rows = dynamodb.query(
        TableName=table,
        KeyConditionExpression="#pk = :pk",
        ExpressionAttributeNames={"#pk": "pk"},
        ExpressionAttributeValues={":pk": {"S": "run#a"}},
        ConsistentRead=True,
    )["Items"]
    assert {row["sk"]["S"]: row.get("state", {}).get("S") for row in rows} == {
        "job#00000#1": None,
        "shard#00000": "ADMITTED",
        "totals": "RUNNING",
    }


@pytest.mark.promise("S1")
def test_a_slot_is_taken_at_most_as_often_as_the_limit_allows_by_however_many_at_once(aws, dynamodb, table):
    dynamodb.put_item(TableName=table, Item=item("pool#a", "quota", in_use={"N": "0"}))
    clients = [aws.client("dynamodb") for _ in range(4)]  # boto3 builds clients one at a time

    def take(number):
        try:
            clients[number % 4].transact_write_items(
                TransactItems=[admit(table, f"r/{number:05d}/1", limit=3), put(table, "run#a", f"shard#{number:05d}")]
            )
        except ClientError as error:
            reasons = {reason["Code"] for reason in error.response["CancellationReasons"]} - {"None"}
            assert reasons <= errors.STALE | errors.TRANSACTION_BUSY
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        taken = sum(threads.map(take, range(20)))

    stands = pool(dynamodb, table)
    assert taken == int(stands["in_use"]["N"]) == len(stands["holders"]["SS"]) <= 3


def test_the_same_transaction_token_again_writes_nothing_twice_and_with_other_content_is_refused(dynamodb, table):
    dynamodb.put_item(TableName=table, Item=item("pool#a", "quota", in_use={"N": "0"}))
    add = {
        "Update": {
            "TableName": table,
            "Key": key("pool#a", "quota"),
            "UpdateExpression": "ADD #in_use :one",
            "ExpressionAttributeNames": {"#in_use": "in_use"},
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
    }
    token = f"token-{table}"
    for _ in range(2):
        dynamodb.transact_write_items(TransactItems=[add], ClientRequestToken=token)

    assert pool(dynamodb, table)["in_use"] == {"N": "1"}
    other = refused(dynamodb.transact_write_items, TransactItems=[put(table, "run#a", "run")], ClientRequestToken=token)
    assert code(other) == "IdempotentParameterMismatchException"


def test_string_sets_grow_and_shrink_by_member_and_vanish_when_empty(dynamodb, table):
    dynamodb.put_item(TableName=table, Item=item("pool#a", "quota", in_use={"N": "0"}))

    def change(verb, member):
        dynamodb.update_item(
            TableName=table,
            Key=key("pool#a", "quota"),
            UpdateExpression=f"{verb} #holders :member",
            ExpressionAttributeNames={"#holders": "holders"},
            ExpressionAttributeValues={":member": {"SS": [member]}},
        )

    for member in ("a", "b", "b"):
        change("ADD", member)
    assert sorted(pool(dynamodb, table)["holders"]["SS"]) == ["a", "b"]
    change("DELETE", "a")
    change("DELETE", "never there")
    assert pool(dynamodb, table)["holders"]["SS"] == ["b"]
    change("DELETE", "b")
    assert "holders" not in pool(dynamodb, table)


def test_a_holder_cannot_take_its_slot_twice(dynamodb, table):
    dynamodb.put_item(TableName=table, Item=item("pool#a", "quota", in_use={"N": "0"}))
    dynamodb.transact_write_items(TransactItems=[admit(table, "r/00000/1", limit=3)])

    answer = refused(dynamodb.transact_write_items, TransactItems=[admit(table, "r/00000/1", limit=3)])

    assert answer["CancellationReasons"][0]["Code"] == "ConditionalCheckFailed"
    assert pool(dynamodb, table)["in_use"] == {"N": "1"}


def test_a_condition_may_compare_two_attributes(dynamodb, table):
    dynamodb.put_item(TableName=table, Item=item("pool#a", "quota", in_use={"N": "2"}, admit_limit={"N": "2"}))

    answer = refused(
        dynamodb.update_item,
        TableName=table,
        Key=key("pool#a", "quota"),
        UpdateExpression="ADD #in_use :one",
        ConditionExpression="#in_use < #limit",
        ExpressionAttributeNames={"#in_use": "in_use", "#limit": "admit_limit"},
        ExpressionAttributeValues={":one": {"N": "1"}},
    )

    assert code(answer) in errors.STALE


def test_arithmetic_in_a_condition_is_refused_by_aws(aws, dynamodb, table):
    dynamodb.put_item(TableName=table, Item=item("pool#a", "quota", in_use={"N": "2"}))
    update = {
        "TableName": table,
        "Key": key("pool#a", "quota"),
        "UpdateExpression": "SET #in_use = :three",
        "ConditionExpression": "#in_use + :one = :three",
        "ExpressionAttributeNames": {"#in_use": "in_use"},
        "ExpressionAttributeValues": {":one": {"N": "1"}, ":three": {"N": "3"}},
    }

    if aws.kind == "ministack":  # deviation: it computes. Our expressions are checked by a unit test instead.
        dynamodb.update_item(**update)
    else:
        assert code(refused(dynamodb.update_item, **update)) == "ValidationException"


def test_a_query_by_prefix_is_consistent_in_key_order_and_pages_from_behind_a_key(dynamodb, table):
    for number in (4, 2, 0, 3, 1):
        dynamodb.put_item(TableName=table, Item=item("run#a", f"shard#{number:05d}"))
    dynamodb.put_item(TableName=table, Item=item("run#a", "totals"))
    dynamodb.put_item(TableName=table, Item=item("run#b", "shard#00009"))

    def query(**more):
        return dynamodb.query(
            TableName=table,
            KeyConditionExpression="#pk = :pk AND begins_with(#sk, :prefix)",
            ExpressionAttributeNames={"#pk": "pk", "#sk": "sk"},
            ExpressionAttributeValues={":pk": {"S": "run#a"}, ":prefix": {"S": "shard#"}},
            ConsistentRead=True,
            **more,
        )

    first = query(Limit=2)
    rest = query(ExclusiveStartKey=key("run#a", "shard#00001"))
    backwards = query(ScanIndexForward=False, Limit=1)

    assert [row["sk"]["S"] for row in first["Items"]] == ["shard#00000", "shard#00001"]
    assert first["LastEvaluatedKey"] == key("run#a", "shard#00001")
    assert [row["sk"]["S"] for row in rest["Items"]] == ["shard#00002", "shard#00003", "shard#00004"]
    assert [row["sk"]["S"] for row in backwards["Items"]] == ["shard#00004"]


def test_many_items_are_read_at_once_and_absent_ones_are_left_out(dynamodb, table):
    dynamodb.put_item(TableName=table, Item=item("run#a", "run"))
    asked = {"Keys": [key("run#a", "run"), key("run#b", "run")], "ConsistentRead": True}

    answer = dynamodb.batch_get_item(RequestItems={table: asked})

    assert [row["pk"]["S"] for row in answer["Responses"][table]] == ["run#a"]
    assert answer["UnprocessedKeys"] == {}


def test_a_transaction_of_more_than_100_writes_is_refused(dynamodb, table):
    writes = [put(table, "run#a", f"shard#{n:05d}") for n in range(101)]

    assert code(refused(dynamodb.transact_write_items, TransactItems=writes)) == "ValidationException"
    dynamodb.transact_write_items(TransactItems=writes[:100])


def test_two_writes_to_one_item_in_a_transaction_are_refused(dynamodb, table):
    twice = [put(table, "run#a", "run"), put(table, "run#a", "run")]

    assert code(refused(dynamodb.transact_write_items, TransactItems=twice)) == "ValidationException"


def test_the_table_is_on_demand_restorable_and_forgets_by_expires_at(dynamodb, table):
    described = dynamodb.describe_table(TableName=table)["Table"]
    ttl = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    backups = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]

    assert described["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert (ttl["TimeToLiveStatus"], ttl["AttributeName"]) == ("ENABLED", "expires_at")
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


# --------------------------------------------------------------------------- SQS


def receive(sqs, url, wait_s=5, **more):
    return sqs.receive_message(
        QueueUrl=url, WaitTimeSeconds=wait_s, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"], **more
    ).get("Messages", [])


@pytest.fixture
def url(resources):
    return resources.queue_urls["scheduler"]


def test_a_message_handed_back_comes_again_at_once_and_counts_its_receives(sqs, url):
    sqs.send_message(
        QueueUrl=url,
        MessageBody="wake",
        MessageAttributes={"quarry_origin_id": {"DataType": "String", "StringValue": "o1"}},
    )

    (first,) = receive(sqs, url)
    assert receive(sqs, url, wait_s=0) == []  # invisible while it is held
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    (second,) = receive(sqs, url)

    assert first["MessageId"] == second["MessageId"]
    assert second["Body"] == "wake"
    assert second["MessageAttributes"]["quarry_origin_id"]["StringValue"] == "o1"
    assert [m["Attributes"]["ApproximateReceiveCount"] for m in (first, second)] == ["1", "2"]
    assert int(second["Attributes"]["SentTimestamp"]) > 0
    sqs.delete_message(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"])
    assert receive(sqs, url, wait_s=0) == []


def test_a_held_message_stays_invisible_for_as_long_as_its_visibility_is_extended(sqs, url):
    sqs.send_message(QueueUrl=url, MessageBody="wake")
    (held,) = receive(sqs, url, VisibilityTimeout=1)

    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=held["ReceiptHandle"], VisibilityTimeout=30)

    assert receive(sqs, url, wait_s=2) == []


def test_a_message_whose_holder_is_silent_comes_again_after_its_visibility(sqs, url):
    sqs.send_message(QueueUrl=url, MessageBody="wake")
    receive(sqs, url, VisibilityTimeout=1)

    (again,) = receive(sqs, url, wait_s=5)

    assert again["Attributes"]["ApproximateReceiveCount"] == "2"


def test_a_long_poll_ends_as_soon_as_a_message_comes(aws, sqs, url):
    waiting = aws.client("sqs")
    with ThreadPoolExecutor(1) as thread:
        begun = time.monotonic()
        poll = thread.submit(receive, waiting, url, wait_s=20)
        sqs.send_message(QueueUrl=url, MessageBody="wake", DelaySeconds=1)
        (message,) = poll.result()

    took_s = time.monotonic() - begun
    assert message["Body"] == "wake"
    assert 0.5 < took_s < 10  # not before its delay, and long before the poll's own end


def test_a_batch_holds_ten_and_a_receive_gives_at_most_ten(sqs, url):
    entries = [{"Id": str(n), "MessageBody": str(n)} for n in range(11)]
    assert code(refused(sqs.send_message_batch, QueueUrl=url, Entries=entries)).endswith("TooManyEntriesInBatchRequest")
    sqs.send_message_batch(QueueUrl=url, Entries=entries[:10])
    sqs.send_message_batch(QueueUrl=url, Entries=entries[10:])

    bodies = []
    while got := receive(sqs, url, wait_s=1, MaxNumberOfMessages=10):
        assert len(got) <= 10
        bodies += [message["Body"] for message in got]

    assert sorted(bodies, key=int) == [str(n) for n in range(11)]


def test_depth_tells_visible_held_and_delayed_messages_apart(sqs, url):
    for delay_s in (0, 0, 60):
        sqs.send_message(QueueUrl=url, MessageBody="wake", DelaySeconds=delay_s)
    receive(sqs, url, MaxNumberOfMessages=1)

    depth = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]

    kinds = ("", "NotVisible", "Delayed")
    assert [depth[f"ApproximateNumberOfMessages{kind}"] for kind in kinds] == ["1", "1", "1"]


@pytest.mark.promise("S9")
def test_a_message_that_kills_its_process_too_often_goes_to_the_dead_letter_queue(sqs, resources, fresh_env):
    source, dead = resources.queue_urls["collector"], resources.dead_letter_urls["collector"]
    dead_arn = resources.place.queue_arn(names.dead_letter_queue_name(fresh_env, "collector"))
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2})
    sqs.set_queue_attributes(QueueUrl=source, Attributes={"RedrivePolicy": redrive})
    sqs.send_message(QueueUrl=source, MessageBody="poison")

    for _ in range(2):
        (held,) = receive(sqs, source)
        sqs.change_message_visibility(QueueUrl=source, ReceiptHandle=held["ReceiptHandle"], VisibilityTimeout=0)
    assert receive(sqs, source, wait_s=1) == []

    (dead_lettered,) = receive(sqs, dead)
    assert dead_lettered["Body"] == "poison"


def test_each_queue_keeps_less_long_than_its_dead_letter_queue_and_is_encrypted(sqs, resources, fresh_env):
    def attributes(url):
        return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]

    for name in names.QUEUES:
        source, dead = attributes(resources.queue_urls[name]), attributes(resources.dead_letter_urls[name])
        assert int(source["MessageRetentionPeriod"]) < int(dead["MessageRetentionPeriod"]) == 14 * 24 * 3600
        redrive = json.loads(source["RedrivePolicy"])
        assert redrive["deadLetterTargetArn"] == dead["QueueArn"]
        assert int(redrive["maxReceiveCount"]) == 30
        assert source["SqsManagedSseEnabled"] == dead["SqsManagedSseEnabled"] == "true"


# --------------------------------------------------------------------------- EventBridge, IAM


def event(resources, job_name, **changes):
    place = resources.place
    return json.dumps(
        {
            "id": "e1",
            "account": place.account,
            "region": place.region,
            "time": "2026-01-01T00:00:00Z",
            "source": "aws.bedrock",
            "detail-type": "Batch Inference Job State Change",
            "resources": [],
            "detail": {"batchJobName": job_name, "status": "Completed"},
            **changes,
        }
    )


def test_the_rule_matches_jobs_whose_names_end_in_the_environment_and_no_others(events, resources, fresh_env):
    pattern = events.describe_rule(Name=resources.place.rule)["EventPattern"]

    def matches(text):
        return events.test_event_pattern(EventPattern=pattern, Event=text)["Result"]

    assert matches(event(resources, f"prices-r1-00000-1-{fresh_env}"))
    assert not matches(event(resources, "prices-r1-00000-1-prod"))
    assert not matches(event(resources, f"prices-r1-00000-1-{fresh_env}-2"))
    assert not matches(event(resources, f"a-{fresh_env}", source="quarry.prod"))
    assert not matches(event(resources, f"a-{fresh_env}", **{"detail-type": "Model Customization Job State Change"}))


def test_the_rule_has_one_target_with_retries_and_a_dead_letter_queue_of_its_own(events, resources, fresh_env):
    place = resources.place
    rule = events.describe_rule(Name=place.rule)
    (target,) = events.list_targets_by_rule(Rule=place.rule)["Targets"]

    assert (rule["Arn"], rule["State"]) == (place.rule_arn, "ENABLED")
    assert target["Arn"] == place.queue_arn(names.queue_name(fresh_env, "events"))
    assert target["RetryPolicy"] == {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 24 * 3600}
    assert target["DeadLetterConfig"]["Arn"] == place.queue_arn(place.event_target_dlq)


def test_the_queue_of_events_lets_the_rule_deliver_and_nobody_else(sqs, resources):
    for url in (resources.queue_urls["events"], resources.event_target_dlq_url):
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy", "QueueArn"])["Attributes"]
        (statement,) = json.loads(attributes["Policy"])["Statement"]
        assert statement["Principal"] == {"Service": "events.amazonaws.com"}
        assert statement["Action"] == "sqs:SendMessage"
        assert statement["Resource"] == attributes["QueueArn"]
        assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": resources.place.rule_arn}}


def test_nobody_but_aws_may_put_an_event_of_aws(aws, events):
    answer = events.put_events(
        Entries=[{"Source": "aws.bedrock", "DetailType": "Batch Inference Job State Change", "Detail": "{}"}]
    )

    if aws.kind == "localstack":  # deviation: accepted. Quarry never puts one, so nothing rests on it.
        assert answer["FailedEntryCount"] == 0
    else:
        assert answer["FailedEntryCount"] == 1
        assert answer["Entries"][0]["ErrorCode"] == "NotAuthorizedForSourceException"


def test_an_event_that_quarry_puts_reaches_a_rule_of_the_user(events, sqs, resources, fresh_env):
    place = resources.place
    heard = sqs.create_queue(QueueName=f"{fresh_env}-heard")["QueueUrl"]
    events.put_rule(Name=f"{fresh_env}-ended", EventPattern=json.dumps({"source": [f"quarry.{fresh_env}"]}))
    target = {"Id": "heard", "Arn": place.queue_arn(f"{fresh_env}-heard")}
    events.put_targets(Rule=f"{fresh_env}-ended", Targets=[target])

    put_ = events.put_events(
        Entries=[{"Source": f"quarry.{fresh_env}", "DetailType": "Run Ended", "Detail": json.dumps({"run_id": "r1"})}]
    )

    assert put_["FailedEntryCount"] == 0
    (message,) = receive(sqs, heard)
    envelope = json.loads(message["Body"])
    assert (envelope["detail-type"], envelope["detail"]) == ("Run Ended", {"run_id": "r1"})


def test_the_role_of_bedrock_trusts_it_for_this_account_and_its_jobs_only(aws, resources):
    place = resources.place
    role = aws.client("iam").get_role(RoleName=place.role("bedrock"))["Role"]

    assert role["Arn"] == place.role_arn("bedrock")
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "bedrock.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": place.account},
        "ArnEquals": {"aws:SourceArn": f"arn:aws:bedrock:{place.region}:{place.account}:model-invocation-job/*"},
    }


def test_an_absent_role_is_reported_as_such(aws, fresh_env):
    assert code(refused(aws.client("iam").get_role, RoleName=f"{fresh_env}-nobody")) == "NoSuchEntity"


def test_the_bucket_is_versioned_encrypted_and_closed_to_the_public(s3, bucket):
    closed = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]

    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert list(closed.values()) == [True] * 4
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


# --------------------------------------------------------------------------- the other lane


@pytest.mark.docker
def test_the_localstack_client_finds_the_same_localstack(aws, resources):
    from localstack_client.session import Session

    session = Session(localstack_host=aws.endpoint_url.removeprefix("http://"))

    names_ = [
        entry["Name"] for entry in session.client("s3", config=Config(retries=retries(3))).list_buckets()["Buckets"]
    ]
    assert resources.place.bucket in names_
