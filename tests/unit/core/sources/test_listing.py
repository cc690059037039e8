"""From `s3_uri` to files: what is taken, in which order, at the cost of which requests."""

from __future__ import annotations

import pytest

from quarry_core.contract.listing import FILES_MAX
from quarry_core.errors import Refused
from quarry_core.sources import finding as finding_module
from tests.unit.core.sources.finding import CSV, PARQUET, Bucket


@pytest.fixture
def data():
    return Bucket()


# --------------------------------------------------------------------------- one object


def test_one_object_costs_one_head_and_is_pinned_in_place(data):
    data.put("a/rows.csv")
    found = data.find("s3://data/a/rows.csv")
    assert data.objects.asked == ["HEAD a/rows.csv"]
    assert (found.listing, found.format, found.key, found.size_bytes) == (None, "csv", "a/rows.csv", len(CSV))
    assert found.one is not None
    assert found.one.version_id


def test_a_list_of_one_object_is_that_object(data):
    data.put("a/rows.csv")
    assert data.find(["s3://data/a/rows.csv"]).one is not None


@pytest.mark.parametrize(("body", "form"), [(PARQUET, "parquet")])
def test_an_object_whose_name_tells_nothing_is_known_by_its_first_bytes(data, body, form):
    data.put("a/20240101_000000_00001_abcde", body=body)
    assert data.find("s3://data/a/20240101_000000_00001_abcde").format == form


def test_an_object_that_is_called_like_a_pattern_is_that_object(data):
    data.put("a/[x]*.csv", "a/xy.csv")
    found = data.find("s3://data/a/[x]*.csv")
    assert found.one is not None
    assert found.key == "a/[x]*.csv"
    assert data.keys("s3://data/a/x*.csv") == ["a/xy.csv"]


# --------------------------------------------------------------------------- folders


def test_a_folder_is_its_files_in_the_order_of_their_bytes(data):
    data.put(
        "a/10.csv",
        "a/9.csv",
        "a/B.csv",
        "a/a/c.csv",
        "a/é.csv",
        "a/z.csv",
        "a/\U0001f600.csv",
        "a/\uffee.csv",
        "ab.csv",
    )
    assert data.keys("s3://data/a/") == [
        "a/10.csv", "a/9.csv", "a/B.csv", "a/a/c.csv", "a/z.csv", "a/é.csv", "a/\uffee.csv", "a/\U0001f600.csv",
    ]  # fmt: skip


def test_a_bucket_that_lists_in_an_order_of_its_own_changes_nothing(data, monkeypatch):
    """A directory bucket of S3 Express, for one."""
    data.put("a/1.csv", "a/2.csv", "a/3.csv")
    listed = data.objects.list
    monkeypatch.setattr(data.objects, "list", lambda *asked: reversed(list(listed(*asked))))
    assert data.keys("s3://data/a/") == ["a/1.csv", "a/2.csv", "a/3.csv"]


@pytest.mark.parametrize("name", ["out", "out.csv", "v1.2"])
def test_a_folder_may_be_named_without_its_slash(data, name):
    data.put(f"{name}/1.csv", f"{name}x/2.csv")
    found = data.find(f"s3://data/{name}")
    assert found.listing is not None
    assert [file.key for file in found.listing.files] == [f"{name}/1.csv"]


def test_an_object_is_meant_rather_than_the_folder_of_its_name(data):
    data.put("out.csv", "out.csv/1.csv")
    assert data.find("s3://data/out.csv").one is not None


def test_files_are_pinned_by_what_the_listing_says(data):
    data.put("a/1.csv", "a/2.csv")
    found = data.find("s3://data/a/")
    assert found.listing is not None
    for file in found.listing.files:
        standing = data.objects.standing["data"][file.key]
        assert (file.etag, file.size_bytes, file.version_id, file.bucket) == (standing.etag, len(CSV), None, "")
    assert found.size_bytes == 2 * len(CSV)


def test_the_whole_of_anothers_bucket_is_a_folder_too(data):
    data.put("1.csv", "a/2.csv")
    assert data.keys("s3://data/") == ["1.csv", "a/2.csv"]


# --------------------------------------------------------------------------- requests


@pytest.mark.parametrize(("files", "pages"), [(1, 1), (999, 1), (1_001, 2), (2_500, 3)])
def test_a_folder_costs_the_pages_of_its_listing_and_nothing_for_each_file(data, files, pages):
    for number in range(files):
        data.put(f"lake/t/{number:05d}.csv")
    assert len(data.keys("s3://data/lake/t/")) == files
    assert data.objects.asked == ["LIST lake/t/"] * pages


def test_parquet_costs_one_request_more_for_each_folder_above(data):
    data.put("lake/t/1.parquet", body=PARQUET)
    data.find("s3://data/lake/t/")
    assert data.objects.asked == ["LIST lake/t/", "LIST lake/_delta_log/", "LIST _delta_log/"]


def test_a_pattern_costs_one_head_and_the_listing_of_what_it_begins_with(data):
    data.put("lake/t/part-1.csv", "lake/t/part-2.csv", "lake/u/part-3.csv")
    assert data.keys("s3://data/lake/t/part-*.csv") == ["lake/t/part-1.csv", "lake/t/part-2.csv"]
    assert data.objects.asked == ["HEAD lake/t/part-*.csv", "LIST lake/t/part-", "LIST lake/t/_"]


def test_a_long_list_of_objects_is_looked_up_by_pages(data):
    keys = [f"a/{number:04d}.csv" for number in range(600)]
    data.put(*keys, "b.csv")
    assert data.keys([f"s3://data/{key}" for key in reversed(keys)]) == keys[::-1]
    assert data.objects.asked == ["LIST a/0"]


def test_a_list_among_many_other_objects_costs_no_more_than_one_request_and_a_half_each(data):
    for number in range(6_000):
        data.put(f"a/{number:04d}.csv")
    data.put("a/x.csv", "a/y.csv")
    data.keys([f"s3://data/a/{name}.csv" for name in ("0000", "x", "y", "0001")])
    assert data.objects.asked == ["LIST a/", "LIST a/", "HEAD a/x.csv", "HEAD a/y.csv"]


def test_a_list_is_looked_up_no_further_than_its_last_object(data):
    data.put(*(f"a/{number:04d}.csv" for number in range(3_000)))
    data.keys([f"s3://data/a/{name}.csv" for name in ("0000", "0001", "0500", "0999")])
    assert data.objects.asked == ["LIST a/0"]


def test_a_list_where_nothing_may_be_listed_is_asked_for_one_by_one(data, monkeypatch):
    def denied(prefix, bucket="", owner=None):
        raise Refused("AccessDenied", "AccessDenied")
        yield

    data.put(*(f"a/{number}.csv" for number in range(5)))
    monkeypatch.setattr(data.objects, "list", denied)
    assert len(data.keys([f"s3://data/a/{number}.csv" for number in range(5)])) == 5


# --------------------------------------------------------------------------- lists


def test_a_list_keeps_its_order_and_each_entry_its_own(data):
    data.put("b/2.csv", "b/1.csv", "a/1.csv", "c/x1.csv", "c/x2.csv", "c/y.csv")
    data.put("1.csv", bucket="other")
    found = data.find(["s3://data/b/", "s3://other/1.csv", "s3://data/a", "s3://data/c/x*.csv"])
    assert found.listing is not None
    assert [(file.bucket, file.key) for file in found.listing.files] == [
        ("", "b/1.csv"),
        ("", "b/2.csv"),
        ("other", "1.csv"),
        ("", "a/1.csv"),
        ("", "c/x1.csv"),
        ("", "c/x2.csv"),
    ]
    assert (found.bucket, found.key) == ("data", "b/")


@pytest.mark.parametrize("second", ["s3://data/a/", "s3://data/a/*.csv", "s3://data/a", "s3://data/**"])
def test_a_file_that_two_entries_name_is_refused(data, second):
    data.put("a/1.csv")
    assert data.refused(["s3://data/a/1.csv", second]) == (
        f"s3_uri: s3://data/a/1.csv is named by s3://data/a/1.csv and by {second}: its rows would be taken twice."
        " Name it once"
    )


# --------------------------------------------------------------------------- limits, owners, permissions


def test_too_many_files_are_refused_before_all_are_listed(data, monkeypatch):
    monkeypatch.setattr(finding_module, "FILES_MAX", 10)
    data.put(*(f"a/{number:04d}.csv" for number in range(3_000)))
    assert data.refused("s3://data/a/") == (
        "s3_uri: the source has more than 10 files: merge small ones, or name fewer in each of several manifests"
    )
    assert data.objects.asked == ["LIST a/"]
    data.put(*(f"b/{number}.csv" for number in range(8)), *(f"c/{number}.csv" for number in range(8)))
    assert "more than 10 files" in data.refused(["s3://data/b/", "s3://data/c/"])
    assert FILES_MAX == 50_000


def test_a_listing_ends_at_its_limit(data, monkeypatch):
    data.put(*(f"a/{number:04d}.txt" for number in range(2_500)), "a/z/1.csv")
    data.keys_listed_max = 2_000
    assert data.refused("s3://data/a/**/*.csv") == (
        "s3_uri: of the keys that begin like s3://data/a/**/*.csv only the first 2,000 were looked at"
    )
    monkeypatch.setattr(finding_module, "KEYS_LISTED_MAX", 2_000)
    assert data.refused("s3://data/a/**/*.csv") == (
        "s3_uri: more than 2,000 keys begin like s3://data/a/**/*.csv: begin it with a longer folder, or move the"
        " dataset to a folder of its own"
    )
    assert data.keys("s3://data/a/z/*.csv") == ["a/z/1.csv"]


def test_every_request_names_the_owner(data):
    data.put("a/1.csv", "a/2.csv")
    data.objects.owners["data"] = "999999999999"
    assert len(data.keys("s3://data/a/", input_bucket_owner="999999999999")) == 2
    reported = data.refused("s3://data/a/", input_bucket_owner="123456789012")
    assert "cannot be listed" in reported
    assert "does account 123456789012 own the bucket (input_bucket_owner)?" in reported


def test_a_folder_that_may_not_be_listed_is_told_with_the_grant(data, monkeypatch):
    def denied(prefix, bucket="", owner=None):
        raise Refused("AccessDenied: not you", "AccessDenied")
        yield

    monkeypatch.setattr(data.objects, "list", denied)
    assert data.refused("s3://data/a/") == (
        "s3_uri: s3://data/a/ cannot be listed (AccessDenied: not you): grant s3:ListBucket on data for the prefix 'a/'"
    )


def test_a_folder_above_that_may_not_be_listed_stops_nobody(data, monkeypatch):
    data.put("t/a/1.parquet", body=PARQUET)
    listed = data.objects.list

    def narrow(prefix, bucket="", owner=None):
        if not prefix.startswith("t/a/"):
            raise Refused("AccessDenied", "AccessDenied")
        return listed(prefix, bucket, owner)

    monkeypatch.setattr(data.objects, "list", narrow)
    assert data.keys("s3://data/t/a/") == ["t/a/1.parquet"]
