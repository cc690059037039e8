"""What an s3_uri names, on the embedded AWS: pages, orders and absences as S3's client tells them."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

import pytest

from quarry_core.aws.s3.objects import S3Objects, s3_client
from quarry_core.contract.manifest import ManifestError
from quarry_core.contract.manifest_reading import read_manifest
from quarry_core.sources.finding import PAGE_KEYS
from quarry_core.sources.listing import find_source
from tests.world.world import CLAUDE

ROWS = b"topic\nx\n"
FILES = PAGE_KEYS + 5


made_client = functools.cache(s3_client)  # loading AWS's models is most of a test's time


@pytest.fixture
def client(aws, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return made_client(aws.region, aws.endpoint_url)


@pytest.fixture
def objects(client, fresh_env):
    bucket = f"listing-{fresh_env}"
    client.create_bucket(Bucket=bucket)
    return S3Objects(bucket, client=client)


def put(objects, *keys, body=ROWS):
    def one(key):
        objects._client.put_object(Bucket=objects.bucket, Key=key, Body=body)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, keys))


def find(objects, uri):
    data = {"job_name_prefix": "j", "model_id": CLAUDE, "prompt": "{topic}", "s3_uri": uri}
    return find_source(objects, read_manifest(data), objects.bucket)


@pytest.mark.slow
def test_a_folder_of_more_than_a_page_is_found_whole(objects):
    keys = [f"inputs/f/{number:05d}.csv" for number in range(FILES)]
    put(objects, *keys)

    listing = find(objects, f"s3://{objects.bucket}/inputs/f/").listing

    assert [file.key for file in listing.files] == keys
    assert {file.etag for file in listing.files} == {listing.files[0].etag}
    assert not listing.files[0].etag.startswith('"')


def test_folders_patterns_and_lists_are_found_as_on_the_fake(objects):
    base = f"s3://{objects.bucket}/inputs"
    put(objects, "inputs/out/y=1/a b.csv", "inputs/out/y=2/é.csv", "inputs/x[1]*.csv", "inputs/z.csv")
    put(objects, "inputs/out/", "inputs/out/_SUCCESS", body=b"")

    for uri, keys in (
        (f"{base}/out/", ["inputs/out/y=1/a b.csv", "inputs/out/y=2/é.csv"]),
        (f"{base}/out", ["inputs/out/y=1/a b.csv", "inputs/out/y=2/é.csv"]),
        (f"{base}/out/y=*/[é]*", ["inputs/out/y=2/é.csv"]),
        ([f"{base}/z.csv", f"{base}/x[[]1]?.csv"], ["inputs/z.csv", "inputs/x[1]*.csv"]),
        ([f"{base}/z.csv", f"{base}/x[1]*.csv"], ["inputs/z.csv", "inputs/x[1]*.csv"]),
    ):
        assert [file.key for file in find(objects, uri).listing.files] == keys
    assert find(objects, f"{base}/x[1]*.csv").one is not None


def test_what_is_not_there_is_told_as_on_the_fake(objects):
    put(objects, "inputs/z.csv")

    for uri, sentence in (
        (f"s3://{objects.bucket}/inputs/nowhere/", "does not exist"),
        (f"s3://{objects.bucket}/inputs/*.parquet", "matches no object"),
        (f"s3://{objects.bucket}/inputs/y.csv", f"did you mean s3://{objects.bucket}/inputs/z.csv?"),
        ("s3://no-such-bucket-of-anybody/t/", "there is no bucket no-such-bucket-of-anybody"),
        ("s3://no-such-bucket-of-anybody/t/*", "there is no bucket no-such-bucket-of-anybody"),
    ):
        with pytest.raises(ManifestError, match=sentence.replace("?", r"\?")):
            find(objects, uri)
