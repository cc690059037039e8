"""One suite for the `Objects` port: the fake and the AWS adapter (on the embedded AWS) keep the same rules.

Below it stand the rules of the adapter alone: what it does when connections break and replies are lost.
"""

from __future__ import annotations

import functools
import io
import os
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from quarry_core.aws.s3.objects import S3Objects, s3_client
from quarry_core.aws.s3.upload import UPLOAD_PART_BYTES_MIN
from quarry_core.errors import Changed, Conflict, Missing, MissingBucket, Refused, Unknown
from quarry_core.ports import ObjectRef, Objects
from tests.world.objects import FakeObjects

OURS = {"run": "r1", "shard": "00002", "plan": "p1"}
BIG = os.urandom(1 << 20) * 12  # three upload parts


@dataclass
class Place:
    """A bucket with two hands: Quarry's (`objects`) and the user's (`plant`)."""

    objects: Objects
    plant: Any
    client: Any = None
    bucket: str = ""


def no_waiting(seconds):
    return None


made_client = functools.cache(s3_client)  # loading AWS's models is most of a test's time


@pytest.fixture
def client(aws, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return made_client(aws.region, aws.endpoint_url)


@pytest.fixture
def s3_place(client, fresh_env):
    bucket = f"objects-{fresh_env}"
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    def plant(key, body):
        answer = client.put_object(Bucket=bucket, Key=key, Body=body)
        return ObjectRef(key, bucket, answer["ETag"], answer["VersionId"])

    objects = S3Objects(bucket, client=client, upload_part_bytes=UPLOAD_PART_BYTES_MIN, pause=no_waiting)
    yield Place(objects, plant, client, bucket)
    for version in client.list_object_versions(Bucket=bucket).get("Versions", []):
        client.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])


@pytest.fixture(params=["fake", "aws"])
def place(request):
    if request.param == "aws":
        return request.getfixturevalue("s3_place")
    fake = FakeObjects()
    return Place(fake, fake.plant)


def upload(objects, key, body, metadata=OURS, piece=1 << 20):
    made = objects.create(key, metadata)
    for at in range(0, len(body), piece):
        assert made.write(memoryview(body)[at : at + piece]) == len(body[at : at + piece])
    return made


# --------------------------------------------------------------------------- writing once


@pytest.mark.promise("S4")
@pytest.mark.parametrize("size", [0, 1, UPLOAD_PART_BYTES_MIN, UPLOAD_PART_BYTES_MIN + 1, len(BIG)])
def test_an_upload_of_any_size_is_read_back_as_it_was_written(place, size):
    made = upload(place.objects, "k", BIG[:size])
    assert list(place.objects.list("")) == []
    assert made.commit() is True
    assert place.objects.read(ObjectRef("k")) == BIG[:size]
    assert dict(place.objects.head(ObjectRef("k")).metadata) == OURS


@pytest.mark.promise("S4")
def test_the_same_object_again_is_adopted_however_it_is_written(place):
    assert place.objects.put_once("k", b"first", OURS) is True
    assert place.objects.put_once("k", b"second", OURS) is False
    assert upload(place.objects, "k", b"third").commit() is False
    assert upload(place.objects, "k", BIG).commit() is False
    assert place.objects.read(ObjectRef("k")) == b"first"


@pytest.mark.promise("S4")
@pytest.mark.parametrize("other", [OURS | {"plan": "p2"}, {"run": "r1"}])
def test_another_object_at_the_same_place_is_a_conflict_and_stays(place, other):
    assert place.objects.put_once("k", b"theirs", other) is True
    with pytest.raises(Conflict):
        place.objects.put_once("k", b"ours", OURS)
    with pytest.raises(Conflict):
        upload(place.objects, "k", b"ours").commit()
    with pytest.raises(Conflict):
        upload(place.objects, "k", BIG).commit()
    assert place.objects.read(ObjectRef("k")) == b"theirs"


def test_more_metadata_than_asked_for_is_still_the_same_object(place):
    place.objects.put_once("k", b"x", OURS | {"attempt": "1"})
    assert place.objects.put_once("k", b"x", OURS) is False


@pytest.mark.promise("S4")
def test_the_first_of_two_uploads_to_commit_wins(place):
    slow, fast = upload(place.objects, "k", BIG), upload(place.objects, "k", b"fast", OURS | {"shard": "00004"})
    assert fast.commit() is True
    with pytest.raises(Conflict):
        slow.commit()
    assert place.objects.read(ObjectRef("k")) == b"fast"


@pytest.mark.parametrize("size", [10, len(BIG)])
def test_an_aborted_upload_leaves_nothing(place, size):
    made = upload(place.objects, "k", BIG[:size])
    made.abort()
    made.abort()
    with pytest.raises(Missing):
        place.objects.head(ObjectRef("k"))
    with pytest.raises(ValueError, match="over"):
        made.write(b"more")
    with pytest.raises(ValueError, match="over"):
        made.commit()


def test_abort_after_commit_is_harmless(place):
    made = upload(place.objects, "k", BIG)
    made.commit()
    made.abort()
    assert place.objects.head(ObjectRef("k")).size_bytes == len(BIG)


def test_what_is_deleted_may_be_written_again(place):
    place.objects.put_once("k", b"1", OURS)
    place.objects.delete("k")
    place.objects.delete("k")
    with pytest.raises(Missing):
        place.objects.read(ObjectRef("k"))
    assert place.objects.put_once("k", b"2", {"run": "r2"}) is True


@pytest.mark.parametrize(
    "metadata", [{}, {"Run": "r"}, {"run": "rün"}, {"run": " r"}, {"run": "a\nb"}, {"run": "x" * 2_048}]
)
def test_metadata_that_s3_would_not_return_as_it_is_is_refused_before_anything_is_sent(place, metadata):
    with pytest.raises(ValueError, match="metadata"):
        place.objects.put_once("k", b"x", metadata)
    with pytest.raises(ValueError, match="metadata"):
        place.objects.create("k", metadata)


def test_a_body_too_large_for_put_once_is_refused(place):
    with pytest.raises(ValueError, match="create"):
        place.objects.put_once("k", bytes((64 << 20) + 1), OURS)


# --------------------------------------------------------------------------- reading and pins


def test_listing_is_in_key_order_and_under_the_prefix_only(place):
    for key in ("a/2", "a/10", "b/1", "a/1"):
        place.objects.put_once(key, key.encode(), OURS)
    assert [(info.key, info.size_bytes) for info in place.objects.list("a/")] == [("a/1", 3), ("a/10", 4), ("a/2", 3)]
    assert [info.etag for info in place.objects.list("b/")] == [place.objects.head(ObjectRef("b/1")).etag]


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(0, None, b"0123456789"), (3, None, b"3456789"), (3, 4, b"3456"), (8, 9, b"89"), (10, None, b""), (99, 5, b""), (2, 0, b"")],
)  # fmt: skip
def test_a_range_is_what_a_slice_would_be(place, start, length, expected):
    ref = place.plant("k", b"0123456789")
    assert place.objects.read(ref, start, length) == expected


def test_an_empty_object_can_be_read_in_every_way(place):
    ref = place.plant("k", b"")
    assert place.objects.read(ref) == b""
    assert place.objects.stream(ref).read(10) == b""
    assert place.objects.random_access(ref).read() == b""


def test_a_stream_gives_all_bytes_from_its_start_in_full_reads(place):
    ref = place.plant("k", BIG)
    with place.objects.stream(ref, 1_000) as body:
        pieces = list(iter(lambda: body.read(1 << 20), b""))
    assert b"".join(pieces) == BIG[1_000:]
    assert {len(piece) for piece in pieces[:-1]} == {1 << 20}


def test_a_stream_fills_a_buffer_of_the_callers(place):
    ref = place.plant("k", b"0123456789")
    buffer = bytearray(4)
    with place.objects.stream(ref, 8) as body:
        assert io.BufferedReader(body).readinto(buffer) == 2
    assert bytes(buffer[:2]) == b"89"


def test_random_access_reads_anywhere(place):
    ref = place.plant("k", BIG)
    with place.objects.random_access(ref) as source:
        assert source.seekable()
        assert source.seek(-8, io.SEEK_END) == len(BIG) - 8
        assert source.read() == BIG[-8:]
        for at, size in [(5, 10), (15, 10), (3, 4), (70_000, 200_000), (0, 1), (len(BIG) - 3, 10), (len(BIG) + 9, 3)]:
            source.seek(at)
            assert source.read(size) == BIG[at : at + size]
            assert source.tell() == at + len(BIG[at : at + size])
        source.seek(100)
        buffer = bytearray(7)
        assert source.readinto(buffer) == 7
        assert bytes(buffer) == BIG[100:107]
    with pytest.raises(ValueError, match="closed"):
        source.read(1)


@pytest.mark.parametrize("how", ["head", "read", "stream", "random_access"])
@pytest.mark.parametrize("where", [{}, {"bucket": "no-such-bucket-here"}])
def test_what_does_not_exist_is_missing(place, how, where):
    with pytest.raises(Missing):
        getattr(place.objects, how)(ObjectRef("nowhere", **where))


def test_a_get_tells_a_missing_bucket_from_a_missing_object(place):
    with pytest.raises(MissingBucket):
        place.objects.read(ObjectRef("k", "no-such-bucket-of-anybody"), 0, 1)
    with pytest.raises(MissingBucket):
        list(place.objects.list("", "no-such-bucket-of-anybody"))
    with pytest.raises(Missing) as answer:
        place.objects.read(ObjectRef("k"), 0, 1)
    assert not isinstance(answer.value, MissingBucket)


def test_another_bucket_is_listed_by_its_name(place):
    place.plant("here/1", b"x")
    bucket = place.bucket or place.objects.bucket

    assert [info.key for info in place.objects.list("here/", bucket)] == ["here/1"]


def test_a_listing_is_in_the_order_of_the_keys_bytes(place):
    keys = ["o/a", "o/z", "o/é", "o/\uffee", "o/\U0001f600"]
    for key in reversed(keys):
        place.plant(key, b"x")

    assert [info.key for info in place.objects.list("o/")] == keys


@pytest.mark.parametrize("how", ["head", "read", "stream", "random_access"])
def test_a_replaced_object_is_not_taken_for_the_pinned_one(place, how):
    pinned = place.plant("k", b"one")
    place.plant("k", b"two")
    with pytest.raises(Changed):
        getattr(place.objects, how)(ObjectRef("k", etag=pinned.etag))


def test_a_pinned_version_outlives_its_replacement(place):
    pinned = place.plant("k", b"one")
    place.plant("k", b"two")
    assert place.objects.read(pinned) == b"one"
    assert place.objects.stream(pinned).read(9) == b"one"
    assert place.objects.random_access(pinned).read(9) == b"one"
    assert place.objects.read(pinned, 1, 1) == b"n"
    assert place.objects.stream(pinned, 2).read(9) == b"e"
    with place.objects.random_access(pinned) as source:
        source.seek(1)
        assert source.read(1) == b"n"
    assert place.objects.head(pinned).version_id == pinned.version_id


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_pin_taken_from_head_holds_with_and_without_its_quotes(place, quote):
    place.plant("k", b"one")
    info = place.objects.head(ObjectRef("k"))
    assert place.objects.read(ObjectRef("k", etag=f"{quote}{info.etag}{quote}", version_id=info.version_id)) == b"one"


def test_an_object_replaced_while_it_is_read_at_random_is_changed(place):
    place.plant("k", BIG)
    with place.objects.random_access(ObjectRef("k")) as source:
        source.read(10)
        place.plant("k", bytes(len(BIG)))
        source.seek(1 << 20)
        with pytest.raises(Changed):
            source.read(10)


def test_a_version_that_is_gone_is_changed(place):
    pinned = place.plant("k", b"one")
    gone = ObjectRef("k", version_id=(pinned.version_id or "")[:-1] + "~")
    with pytest.raises(Changed):
        place.objects.read(gone)


# --------------------------------------------------------------------------- the adapter's own: replies that are lost


class Lossy:
    """A boto3 client whose replies can be lost after the service has done its work."""

    def __init__(self, client, **faults):
        self._client = client
        self._faults = faults
        self.calls = []

    def __getattr__(self, name):
        operation = getattr(self._client, name)

        def call(**arguments):
            self.calls.append(name)
            fault = self._faults.get(name)
            return operation(**arguments) if fault is None else fault(operation, arguments)

        return call


def lose_reply(times=1):
    left = [times]

    def fault(operation, arguments):
        answer = operation(**arguments)
        if left[0]:
            left[0] -= 1
            raise ReadTimeoutError(endpoint_url="https://s3")
        return answer

    return fault


def answer(code, status):
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "op")


def with_faults(place, **faults):
    lossy = Lossy(place.client, **faults)
    return lossy, S3Objects(place.bucket, client=lossy, upload_part_bytes=UPLOAD_PART_BYTES_MIN, pause=no_waiting)


def uploads_left_open(place):
    return place.client.list_multipart_uploads(Bucket=place.bucket).get("Uploads", [])


@pytest.mark.promise("S4")
def test_a_put_whose_reply_is_lost_is_found_standing(s3_place):
    _, objects = with_faults(s3_place, put_object=lose_reply())
    assert objects.put_once("k", b"x", OURS) is False
    assert s3_place.objects.read(ObjectRef("k")) == b"x"


@pytest.mark.promise("S4")
def test_a_completion_whose_reply_is_lost_is_found_standing(s3_place):
    _, objects = with_faults(s3_place, complete_multipart_upload=lose_reply())
    assert upload(objects, "k", BIG).commit() is False
    assert s3_place.objects.read(ObjectRef("k")) == BIG
    assert uploads_left_open(s3_place) == []


def test_a_race_of_two_conditional_writers_is_tried_again(s3_place):
    left = [answer("ConditionalRequestConflict", 409)] * 2

    def race(operation, arguments):
        if left:
            raise left.pop()
        return operation(**arguments)

    lossy, objects = with_faults(s3_place, put_object=race)
    assert objects.put_once("k", b"x", OURS) is True
    assert lossy.calls == ["put_object", "head_object", "put_object", "head_object", "put_object"]


def test_a_race_without_end_is_unknown(s3_place):
    def race(operation, arguments):
        raise answer("ConditionalRequestConflict", 409)

    _, objects = with_faults(s3_place, put_object=race)
    with pytest.raises(Unknown):
        objects.put_once("k", b"x", OURS)


def test_a_refused_write_is_reported_as_it_was_answered(s3_place):
    def refuse(operation, arguments):
        raise answer("AccessDenied", 403)

    _, objects = with_faults(s3_place, put_object=refuse, head_object=refuse)
    with pytest.raises(Refused):
        objects.put_once("k", b"x", OURS)


@pytest.mark.parametrize("step", ["create_multipart_upload", "upload_part", "complete_multipart_upload"])
def test_an_upload_that_fails_takes_its_parts_back(s3_place, step):
    def refuse(operation, arguments):
        raise answer("AccessDenied", 403)

    _, objects = with_faults(s3_place, **{step: refuse})
    with pytest.raises(Refused):
        upload(objects, "k", BIG).commit()
    assert uploads_left_open(s3_place) == []


def test_an_upload_that_is_not_needed_takes_its_parts_back(s3_place):
    s3_place.objects.put_once("k", b"theirs", {"run": "r2"})
    with pytest.raises(Conflict):
        upload(s3_place.objects, "k", BIG).commit()
    s3_place.objects.put_once("same", b"ours", OURS)
    assert upload(s3_place.objects, "same", BIG).commit() is False
    upload(s3_place.objects, "other", BIG).abort()
    assert uploads_left_open(s3_place) == []


def test_upload_parts_under_s3s_minimum_are_refused_although_the_emulator_takes_them(client):
    with pytest.raises(ValueError, match="upload_part_bytes"):
        S3Objects("bucket", client=client, upload_part_bytes=UPLOAD_PART_BYTES_MIN - 1)


class Breaking:
    """A body that breaks after so many bytes, with an error or by ending early."""

    def __init__(self, body, after, error):
        self._body, self._left, self._error = body, after, error

    def read(self, size):
        if self._left == 0:
            if self._error:
                raise self._error
            return b""
        piece = self._body.read(min(size, self._left))
        self._left -= len(piece)
        return piece

    def close(self):
        self._body.close()


def break_bodies(times, after, error):
    left = [times]

    def fault(operation, arguments):
        found = operation(**arguments)
        if left[0]:
            left[0] -= 1
            found["Body"] = Breaking(found["Body"], after, error)
        return found

    return fault


@pytest.mark.parametrize("error", [ReadTimeoutError(endpoint_url="https://s3"), ConnectionResetError(), None])
@pytest.mark.parametrize("how", ["stream", "random_access"])
def test_a_broken_connection_is_resumed_where_it_broke(s3_place, how, error):
    ref = s3_place.plant("k", BIG)
    lossy, objects = with_faults(s3_place, get_object=break_bodies(3, 1_000_000, error))
    with getattr(objects, how)(ref) as body:
        assert body.read(len(BIG)) == BIG
    assert lossy.calls.count("get_object") == 4


def test_resuming_is_bounded(s3_place):
    ref = s3_place.plant("k", BIG)
    lossy, objects = with_faults(s3_place, get_object=break_bodies(99, 10, ConnectionResetError()))
    with objects.stream(ref) as body, pytest.raises(Unknown, match="broke"):
        body.read(len(BIG))
    assert lossy.calls.count("get_object") == 6


def test_a_resumed_stream_never_mixes_two_objects(s3_place):
    s3_place.plant("k", BIG)
    _, objects = with_faults(s3_place, get_object=break_bodies(1, 1_000_000, ConnectionResetError()))
    with objects.stream(ObjectRef("k")) as body:
        s3_place.plant("k", bytes(len(BIG)))
        with pytest.raises(Changed):
            body.read(len(BIG))


def test_small_reads_near_each_other_are_one_request(s3_place):
    ref = s3_place.plant("k", BIG)
    lossy, objects = with_faults(s3_place)
    with objects.random_access(ref) as source:
        assert [source.read(100) for _ in range(50)] == [BIG[at : at + 100] for at in range(0, 5_000, 100)]
    assert lossy.calls == ["head_object", "get_object"]


def test_the_end_of_an_object_is_one_request_however_it_is_read(s3_place):
    ref = replace(s3_place.plant("k", BIG), size_bytes=len(BIG))
    lossy, objects = with_faults(s3_place)
    with objects.random_access(ref) as source:
        for at in (8, 60_000, 500, 8):
            source.seek(-at, io.SEEK_END)
            assert source.read(at) == BIG[-at:]
    assert lossy.calls == ["get_object"]


def test_a_replaced_object_is_asked_for_by_its_version_once(s3_place):
    ref = replace(s3_place.plant("k", BIG), size_bytes=len(BIG))
    s3_place.plant("k", b"another")
    lossy, objects = with_faults(s3_place)
    with objects.random_access(ref) as source:
        for at in (0, 1 << 20, 2 << 20):
            source.seek(at)
            assert source.read(10) == BIG[at : at + 10]
    assert len(lossy.calls) == 4


def test_every_request_says_who_sends_it_and_ends(client):
    config = client.meta.config
    assert "quarry/0.2.0" in config.user_agent
    assert (config.connect_timeout, config.read_timeout) == (5, 60)
    assert config.retries == {"mode": "standard", "total_max_attempts": 5}


def test_every_listing_says_who_must_own_the_bucket():
    asked = []

    class Client:
        """The emulator's buckets are nobody's."""

        def get_paginator(self, operation):
            return self

        def paginate(self, **arguments):
            asked.append(arguments)
            return []

    objects = S3Objects("ours", client=Client())
    assert list(objects.list("a/", "theirs", "123456789012")) == []
    assert list(objects.list("a/")) == []
    assert asked == [
        {"Bucket": "theirs", "Prefix": "a/", "ExpectedBucketOwner": "123456789012"},
        {"Bucket": "ours", "Prefix": "a/"},
    ]


def test_every_read_says_who_must_own_the_bucket(s3_place):
    asked = []

    def note(operation, arguments):
        asked.append(arguments.pop("ExpectedBucketOwner", None))  # the emulator's buckets are nobody's
        return operation(**arguments)

    pinned = s3_place.plant("k", b"bytes enough")
    lossy, objects = with_faults(s3_place, head_object=note, get_object=note)
    ref = ObjectRef("k", s3_place.bucket, pinned.etag, owner="123456789012")
    objects.head(ref)
    objects.read(ref, 2, 3)
    objects.stream(ref, 4).read()
    with objects.random_access(ref) as source:
        source.read(3)

    assert asked == ["123456789012"] * len(lossy.calls)
    assert set(lossy.calls) == {"head_object", "get_object"}
