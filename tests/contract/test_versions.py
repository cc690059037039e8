"""One suite for the `Versions` port: the fake and the AWS adapter (on the embedded AWS) keep the same rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from quarry_core.aws.s3.objects import s3_client
from quarry_core.aws.s3.versions import S3Versions
from quarry_core.ports import ERASED_AT_ONCE_MAX, ObjectVersion, Versions
from tests.world.objects import FakeObjects


@dataclass
class Place:
    versions: Versions
    put: Any  # key, body
    delete: Any  # key: a marker is put over what stands


@pytest.fixture
def s3_place(aws, fresh_env, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client, bucket = s3_client(aws.region, aws.endpoint_url), f"versions-{fresh_env}"
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return Place(
        S3Versions(bucket, client),
        lambda key, body: client.put_object(Bucket=bucket, Key=key, Body=body),
        lambda key: client.delete_object(Bucket=bucket, Key=key),
    )


@pytest.fixture(params=["fake", "aws"])
def place(request):
    if request.param == "aws":
        return request.getfixturevalue("s3_place")
    fake = FakeObjects()
    return Place(fake, fake.plant, fake.delete)


def found(place: Place, prefix: str) -> list[ObjectVersion]:
    return list(place.versions.under(prefix))


def test_every_version_and_every_marker_is_listed_and_goes(place):
    for body in (b"one", b"second"):
        place.put("runs/a/1", body)
    place.put("runs/a/2", b"x")
    place.delete("runs/a/2")
    place.put("runs/ab/1", b"another run's")

    versions = found(place, "runs/a/")

    assert sorted((each.key, each.size_bytes) for each in versions) == [
        ("runs/a/1", 3),
        ("runs/a/1", 6),
        ("runs/a/2", 0),
        ("runs/a/2", 1),
    ]
    place.versions.erase(versions[:2])
    assert len(found(place, "runs/a/")) == 2
    place.versions.erase(versions)
    assert found(place, "runs/a/") == []
    assert len(found(place, "runs/")) == 1


def test_nothing_is_no_request_and_too_many_are_refused(place):
    place.versions.erase([])
    with pytest.raises(ValueError, match="1000"):
        place.versions.erase([ObjectVersion("k", "v")] * (ERASED_AT_ONCE_MAX + 1))
    assert found(place, "none/") == []


def test_more_than_a_page_goes_while_it_is_listed_and_listed_again(place):
    for number in range(1_005):
        place.put("many/k", b"%d" % number)
    for _ in range(3):  # a listing may lose its place where the version that it has come to is gone
        some: list[ObjectVersion] = []
        for each in place.versions.under("many/"):
            some.append(each)
            if len(some) == ERASED_AT_ONCE_MAX:
                place.versions.erase(some)
                some = []
        place.versions.erase(some)
    assert found(place, "many/") == []
