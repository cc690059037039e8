"""Folders as Spark, Athena, Snowflake and DuckDB write them: what is skipped, what is refused, what becomes a column."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pytest

from tests.unit.core.sources.finding import CSV, PARQUET, Bucket

UUID = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"


@pytest.fixture
def data():
    return Bucket()


# --------------------------------------------------------------------------- what is skipped


def test_markers_and_hidden_files_are_no_rows(data):
    data.put("t/1.csv", "t/sub/2.csv")
    data.put("t/", "t/sub/", "t/_SUCCESS", "t/sub_$folder$", "t/y=1_$folder$", body=b"")
    data.put("t/_metadata", "t/_common_metadata", "t/.1.csv.crc", "t/_committed_123", "t/_x/3.csv", "t/.y/4.csv")
    found = data.find("s3://data/t/")
    assert found.listing is not None
    assert [file.key for file in found.listing.files] == ["t/1.csv", "t/sub/2.csv"]
    assert found.skipped == 11


def test_a_hidden_folder_is_read_by_whoever_names_it(data):
    data.put("t/_old/1.csv", "t/_old/_2.csv", "t/_new/.3.csv")
    assert data.keys("s3://data/t/_old/") == ["t/_old/1.csv"]
    assert data.keys("s3://data/t/_old/*.csv") == ["t/_old/1.csv"]
    assert data.keys("s3://data/*/_old/*") == ["t/_old/1.csv"]
    assert data.keys("s3://data/t/_new/.*") == ["t/_new/.3.csv"]


def test_a_hive_column_may_begin_with_an_underscore_and_a_value_may_too(data):
    data.put("t/_p=_x/1.csv", "t/_p=.y/1.csv")
    found = data.find("s3://data/t/")
    assert found.listing is not None
    assert found.listing.partitions == ("_p",)
    assert [file.values for file in found.listing.files] == [(".y",), ("_x",)]


@pytest.mark.parametrize("key", ["t/2.csv", "t/part-2", "t/x.parquet", "t/folder_$folder$/2.csv"])
def test_any_other_object_without_a_byte_is_an_error_that_names_it(data, key):
    data.put("t/1.csv")
    data.put(key, body=b"")
    assert data.refused("s3://data/t/") == (
        f"s3_uri: s3://data/{key} is empty (0 bytes): most likely an upload that broke. Upload it again, or delete it if"
        " it should hold no rows"
    )
    assert data.keys("s3://data/t/1.*") == ["t/1.csv"], "what the pattern does not mean is nobody's business"


def test_an_object_without_a_byte_in_a_list_is_an_error_too(data):
    data.put("1.csv")
    data.put("2.csv", body=b"")
    assert "s3://data/2.csv is empty (0 bytes)" in data.refused(["s3://data/1.csv", "s3://data/2.csv"])


def test_athenas_side_files_are_no_rows(data):
    data.put(f"t/{UUID}.csv", f"t/{UUID}.csv.metadata", f"t/{UUID}.metadata", f"t/{UUID}-manifest.csv")
    assert data.keys("s3://data/t/") == [f"t/{UUID}.csv"]


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("s3://data/t/", "holds no data: all 2 objects are markers or hidden, with names that begin with _ or ."),
        ("s3://data/t/*.csv", "matches no object: * does not cross a slash, **/ does"),
        ("s3://data/t/{a,b}*.csv", "braces are no wildcards: name what they stand for in a list"),
        ("s3://data/u*", "names folders, and no object: end it with /** for what is in them"),
        ("s3://data/nowhere/", "does not exist: there is no object with this key, and none in a folder of that name"),
        ("s3://nobody/t/", "there is no bucket nobody"),
        ("s3://nobody/t/*", "there is no bucket nobody"),
    ],
)
def test_a_name_that_names_nothing_is_told_why(data, uri, sentence):
    data.put("t/_SUCCESS", "t/", body=b"")
    data.put("u1/1.csv")
    assert sentence in data.refused(uri)


def test_an_object_that_is_missing_is_answered_with_the_nearest(data):
    data.put("t/topics.csv")
    assert data.refused("s3://data/t/topic.csv") == (
        "s3_uri: s3://data/t/topic.csv does not exist: the bucket data has no such object; did you mean"
        " s3://data/t/topics.csv?"
    )


# --------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "uri", ["s3://data/out/", "s3://data/out", "s3://data/out/*", "s3://data/out/part-*", "s3://data/**"]
)
def test_a_job_that_has_not_finished_is_waited_for(data, uri):
    data.put("out/part-1.csv", "out/_temporary/0/task_1/part-2.csv")
    assert data.refused(uri) == (
        "s3_uri: s3://data/out/ has files under _temporary/ and no _SUCCESS: the job that writes it has not finished, or"
        " has failed. Wait for its _SUCCESS, or delete _temporary/ if the files beside it are all there are"
    )
    data.put("out/_SUCCESS", body=b"")
    assert data.keys(uri) == ["out/part-1.csv"]


def test_a_job_that_has_not_begun_to_commit_is_waited_for_too(data):
    data.put("out/__magic_job-1/tasks/part-2.csv")
    assert "no _SUCCESS" in data.refused("s3://data/out/")
    assert "no _SUCCESS" in data.refused("s3://data/out/__magic_job-1/tasks/")


def test_a_marker_alone_is_no_unfinished_job_and_a_missing_success_no_fault(data):
    data.put("out/part-1.csv")
    data.put("out/_temporary/", "out/_temporary/0/", body=b"")
    assert data.keys("s3://data/out/") == ["out/part-1.csv"]


DELTA = ("t/part-0.parquet", "t/_delta_log/00000000000000000000.json")
ICEBERG = (
    f"t/data/00000-0-{UUID}-00001.parquet",
    f"t/metadata/00000-{UUID}.metadata.json",
    f"t/metadata/snap-1-1-{UUID}.avro",
)
HUDI = ("t/p=1/a_0.parquet", "t/p=1/.hoodie_partition_metadata", "t/.hoodie/hoodie.properties")
LANCE = ("t/data/a.lance", "t/_versions/1.manifest", "t/_transactions/0.txn")


@pytest.mark.parametrize(
    ("keys", "uri", "kind"),
    [
        (DELTA, "s3://data/t/", "a Delta table"),
        (DELTA, "s3://data/t", "a Delta table"),
        (DELTA, "s3://data/t/*.parquet", "a Delta table"),
        (DELTA, "s3://data/t/part*", "a Delta table"),
        (DELTA, "s3://data/*/part-0.parquet", "a Delta table"),
        (DELTA, "s3://data/", "a Delta table"),
        (DELTA, "s3://data/t/_delta_log/", "a Delta table"),
        (("t/y=1/m=2/part-0.parquet", *DELTA), "s3://data/t/y=1/m=2/", "a Delta table"),
        (("t/y=1/m=2/part-0.parquet", *DELTA), "s3://data/t/y=*/m=2/p*", "a Delta table"),
        (ICEBERG, "s3://data/t/", "an Iceberg table"),
        (ICEBERG, "s3://data/t/data/", "an Iceberg table"),
        (("t/data/y=1/x.parquet", *ICEBERG), "s3://data/t/data/y=1/", "an Iceberg table"),
        (ICEBERG, "s3://data/t/**/*.parquet", "an Iceberg table"),
        (HUDI, "s3://data/t/", "a Hudi table"),
        (HUDI, "s3://data/t/p=1/", "a Hudi table"),
        (LANCE, "s3://data/t/", "a Lance table"),
        (LANCE, "s3://data/t/data/", "a Lance table"),
    ],
)
def test_a_table_is_no_folder_of_files(data, keys, uri, kind):
    data.put(*keys, body=PARQUET)
    reported = data.refused(uri)
    assert f"is {kind}; its folder also holds files whose rows were deleted or replaced" in reported
    assert "export" in reported.lower()


def test_a_table_beside_what_a_pattern_means_is_nobodys_business(data):
    data.put(*DELTA, body=PARQUET)
    data.put("u/1.parquet", body=PARQUET)
    assert data.keys("s3://data/*/1.parquet") == ["u/1.parquet"]
    assert data.keys("s3://data/u/") == ["u/1.parquet"]


def test_objects_of_a_table_that_are_named_one_by_one_are_taken_at_their_word(data):
    data.put(*DELTA, "t/part-1.parquet", body=PARQUET)
    assert len(data.keys(["s3://data/t/part-0.parquet", "s3://data/t/part-1.parquet"])) == 2


def test_folders_of_the_names_that_tables_use_are_no_tables(data):
    data.put("t/data/1.parquet", "t/metadata/notes.parquet", "t/versions/1.parquet", body=PARQUET)
    data.put("t/_delta_log/", body=b"")
    assert len(data.keys("s3://data/t/")) == 3
    assert len(data.keys("s3://data/t/data/")) == 1


# --------------------------------------------------------------------------- formats


def test_files_of_several_kinds_are_refused_with_what_was_found(data):
    data.put("t/1.parquet", "t/2.parquet", body=PARQUET)
    data.put("t/notes.txt", "t/x.csv")
    assert data.refused("s3://data/t/") == (
        "s3_uri: s3://data/t/ names files of several kinds: 2 .parquet (t/1.parquet), 1 .csv (t/x.csv), 1 .txt"
        " (t/notes.txt). A source is of one format: narrow it, for example to s3://data/t/**/*.parquet, or name the files"
        " in a list"
    )
    assert data.keys("s3://data/t/**/*.parquet") == ["t/1.parquet", "t/2.parquet"]


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        (
            "t/1.txt",
            "'t/1.txt' ends in .txt, which may be text of any form. Read are CSV (.csv), JSON lines (.jsonl, .ndjson",
        ),
        ("t/1.tsv", 'ends in .tsv, which is not read as it is; give "format": "csv" and "csv": {"delimiter": "\\t"}'),
        ("t/1.orc", "'t/1.orc' ends in .orc, which is not yet supported; convert it to .csv, .parquet or .jsonl"),
        ("t/1.csv.bz2", "compress it with gzip or zstd, or not at all"),
        ("t/1.zip", "unpack it"),
        ("t/1.parquet.gz", "ends in .parquet.gz, which is not read: Parquet is compressed inside; decompress the file"),
        ("t/1.md", "which is no data file"),
    ],
)
def test_files_of_a_format_that_is_not_read_are_told_what_to_do(data, key, sentence):
    data.put(key)
    assert sentence in data.refused("s3://data/t/")


def test_the_manifest_may_say_the_format(data):
    data.put("t/1.txt", "t/2.dat", "t/3")
    assert data.find("s3://data/t/", format="csv").format == "csv"
    data.put("u/1.tsv")
    assert data.find("s3://data/u/", format="csv", csv={"delimiter": "\t"}).format == "csv"
    assert data.find("s3://data/u/1.tsv", format="csv", csv={"delimiter": "\t"}).format == "csv"


def test_a_dialect_says_that_files_without_an_ending_are_csv(data):
    data.put("t/1", "t/2")
    assert data.find("s3://data/t/", csv={"delimiter": "|"}).format == "csv"
    assert "neither .csv, .parquet nor .jsonl" in data.refused("s3://data/t/")


def test_names_without_an_ending_are_told_by_a_few_first_bytes(data):
    data.put(*(f"t/20240101_000000_{number:05d}_abcde" for number in range(1_000)), body=PARQUET)
    assert data.find("s3://data/t/").format == "parquet"
    gets = [line for line in data.objects.asked if line.startswith("GET")]
    assert len(gets) == 16
    assert gets[0].endswith("00000_abcde")
    assert gets[-1].endswith("00999_abcde")


def test_names_without_an_ending_beside_others_must_be_of_their_format(data):
    data.put("t/1.parquet", "t/2", body=PARQUET)
    assert data.find("s3://data/t/").format == "parquet"
    data.put("t/3")
    assert data.refused("s3://data/t/") == (
        "s3_uri: 't/3' is text by its first bytes, and the files whose names say so are parquet: a source is of one"
        " format. Narrow the pattern, or give the format in `format`"
    )


LINES = b'{"topic": "x"}\n' * 3


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda body: pa.compress(body, "zstd", asbytes=True)])
def test_json_lines_without_an_ending_are_told_however_they_are_packed(data, pack):
    data.put("t/1", "t/2.gz", "t/3.zst", body=pack(LINES))
    assert data.find("s3://data/t/").format == "jsonl"
    data.put("u/1", "u/2.gz", body=pack(CSV))
    assert "neither .csv, .parquet nor .jsonl" in data.refused("s3://data/u/")
    assert data.find("s3://data/u/", format="csv").format == "csv"
    assert data.find("s3://data/u/", csv={}).format == "csv"


def test_an_ending_of_two_parts_is_the_format_of_the_first(data):
    data.put("t/1.json.gz", "t/2.jsonl", "t/3.ndjson.zst", "u/1.csv.gz", "u/2.csv", "v/part-0.snappy.parquet")
    assert [data.find(f"s3://data/{folder}/").format for folder in "tuv"] == ["jsonl", "csv", "parquet"]


def test_text_without_an_ending_beside_csv_is_csv(data):
    data.put("t/1.csv", "t/part-2")
    assert data.find("s3://data/t/").format == "csv"


def test_files_without_names_that_differ_by_their_bytes_are_refused_naming_both(data):
    data.put("t/1", body=PARQUET)
    data.put("t/2")
    assert "'t/2' is text by its first bytes, and 't/1' is Parquet" in data.refused("s3://data/t/")


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"PARE" + b"x" * 20, "is Parquet with an encrypted footer, and Quarry has no keys; write it unencrypted"),
        (b"ORC" + b"x" * 20, "is ORC, which is not read; convert it to .csv, .parquet or .jsonl"),
        (b"Obj\x01" + b"x" * 20, "is Avro, which"),
        (b"BZh91AY", "is bzip2, which"),
        (b"\xfd7zXZ\x00", "is xz, which"),
        (b"PK\x03\x04", "is a zip archive or a workbook, which"),
        (b"\x00\x01\x02", "is binary data of no known format, which"),
        (gzip.compress(PARQUET), "is Parquet inside gzip or zstd, which"),
    ],
)
def test_bytes_of_no_format_that_is_read_are_called_by_their_name(data, body, what):
    data.put("t/1", body=body)
    assert f"'t/1' {what}" in data.refused("s3://data/t/")
    assert f"'t/1' {what}" in data.refused("s3://data/t/1")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "csv: s3_uri names Parquet, which needs no dialect; leave csv out"),
        ({"format": "parquet"}, "csv: format is parquet, which needs no dialect; leave csv out"),
    ],
)
def test_a_dialect_for_parquet_is_refused(data, changes, sentence):
    data.put("t/1.parquet", body=PARQUET)
    assert data.refused("s3://data/t/", csv={"delimiter": ";"}, **changes) == sentence


# --------------------------------------------------------------------------- hive folders


def test_folders_named_column_equals_value_become_columns_of_text(data):
    data.put("t/y=2024/zip=01/1.csv", "t/y=2024/zip=__HIVE_DEFAULT_PARTITION__/1.csv", "t/y=2023/zip=a%2Fb/x/1.csv")
    found = data.find("s3://data/t/")
    assert found.listing is not None
    assert found.listing.partitions == ("y", "zip")
    assert [file.values for file in found.listing.files] == [("2023", "a/b"), ("2024", "01"), ("2024", None)]


def test_only_folders_below_the_one_that_was_named_are_columns(data):
    data.put("t/y=2023/m=1/1.csv", "t/y=2024/m=1/1.csv", "t/y=2024/m=2/1.csv")
    for uri, columns in (
        ("s3://data/t/y=2024/", ("m",)),
        ("s3://data/t/y=2024/m=*/*", ("m",)),
        ("s3://data/t/y=*/m=1/*", ("y", "m")),
        ("s3://data/t/**", ("y", "m")),
        (["s3://data/t/y=2023/", "s3://data/t/y=2024/"], ("m",)),
        (["s3://data/t/y=2023/m=1/1.csv", "s3://data/t/y=2024/m=1/1.csv"], ()),
    ):
        found = data.find(uri)
        assert found.listing is not None
        assert found.listing.partitions == columns, uri


@pytest.mark.parametrize("other", ["t/1.csv", "t/m=1/y=2/1.csv", "t/y=1/1.csv", "t/y=1/m=1/d=1/1.csv"])
def test_files_in_folders_of_other_columns_are_refused_naming_two(data, other):
    data.put("t/y=1/m=1/1.csv", other)
    reported = data.refused("s3://data/t/")
    assert "s3_uri: the folders of a source must name the same columns in the same order: " in reported
    assert "s3://data/t/y=1/m=1/1.csv has y=, m=" in reported
    assert f"s3://data/{other} has " in reported


def test_a_folder_name_that_is_no_text_is_refused(data):
    data.put("t/y=%ff/1.csv")
    assert data.refused("s3://data/t/") == (
        "s3_uri: s3://data/t/y=%ff/1.csv: the folder name '%ff' is not UTF-8 when its %… are decoded; rename the folder"
    )


def test_types_of_columns_are_held_against_the_folders(data):
    data.put("t/y=1/m=1/1.csv", "t/y=1/m=x/1.csv")
    assert data.find("s3://data/t/", partition_types={"y": "int", "m": "string"}).listing is not None
    assert data.refused("s3://data/t/", partition_types={"z": "int"}) == (
        "partition_types: z is no column that folders of the form z=… make; the folders make the columns y, m. Remove it,"
        " or name the folder above in s3_uri"
    )


def test_types_of_columns_need_folders(data):
    data.put("t/1.csv")
    for uri in ("s3://data/t/", "s3://data/t/1.csv"):
        assert data.refused(uri, partition_types={"y": "int"}).endswith(
            "make; the source has none. Remove it, or name the folder above in s3_uri"
        )


# --------------------------------------------------------------------------- Athena's lists


def athena(data: Bucket, *lines: str) -> str:
    data.put(f"results/{UUID}-manifest.csv", body="".join(f"{line}\n" for line in lines).encode())
    return f"s3://data/results/{UUID}-manifest.csv"


def test_athenas_list_of_a_querys_files_is_read_as_one(data):
    data.put("out/y=1/b", "out/y=1/a", "out/y=2/c", "out/y=2/stale", body=PARQUET)
    uri = athena(data, "s3://data/out/y=1/b", "s3://data/out/y=2/c", "s3://data/out/y=1/a")
    found = data.find(uri)
    assert found.listing is not None
    assert [file.key for file in found.listing.files] == ["out/y=1/b", "out/y=2/c", "out/y=1/a"]
    assert (found.listing.partitions, found.format) == (("y",), "parquet")


def test_athenas_list_of_many_files_costs_pages_and_not_a_request_for_each(data):
    keys = [f"out/y=1/{number:04d}" for number in range(900)]
    data.put(*keys, body=PARQUET)
    found = data.find(athena(data, *(f"s3://data/{key}" for key in keys)))
    assert found.listing is not None
    assert (len(found.listing.files), found.listing.partitions) == (900, ("y",))
    asked = [line for line in data.objects.asked if not line.startswith("GET out/")]
    assert asked == [f"HEAD results/{UUID}-manifest.csv", f"GET results/{UUID}-manifest.csv", "LIST out/y=1/0"]


def test_athenas_list_of_many_files_that_are_gone_is_not_asked_for_one_by_one(data):
    data.put("out/x", body=PARQUET)
    reported = data.refused(athena(data, *(f"s3://data/out/{number:05d}" for number in range(2_000))))
    assert reported.startswith("s3_uri: of the 2,000 files that s3://data/results/")
    assert "2,000 were not found: run the query again if they were deleted, or name their folder" in reported
    assert len(data.objects.asked) == 3


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["topic", "x"], "is called like Athena's list of a query's files, and is none ('topic' is not of the form"),
        ([], "lists no files: the query has written no rows"),
        (["s3://other/a"], "lists files in another bucket: name their folder instead"),
        (["s3://data/out/gone"], "s3://data/out/gone does not exist"),
        (["s3://data/out/a", "s3://data/out/a"], "s3://data/out/a is named twice"),
    ],
)
def test_a_list_that_cannot_be_followed_is_told_why(data, lines, sentence):
    data.put("out/a", body=PARQUET)
    assert sentence in data.refused(athena(data, *lines))


def test_athenas_list_may_not_name_quarrys_own_files(data):
    data.put("plans/r/x.parquet", body=PARQUET, bucket="world")
    data.put(f"inputs/{UUID}-manifest.csv", body=b"s3://world/plans/r/x.parquet\n", bucket="world")
    assert "own working files" in data.refused(f"s3://world/inputs/{UUID}-manifest.csv")


# --------------------------------------------------------------------------- the environment's own bucket


@pytest.mark.parametrize(
    "uri",
    [
        "s3://world/",
        "s3://world/**",
        "s3://world/*",
        "s3://world/p*/x.csv",
        "s3://world/batch*/**",
        "s3://any-s3alias/",
    ],
)
def test_what_takes_in_quarrys_own_files_is_refused(data, uri):
    assert "takes in Quarry's own working files" in data.refused(uri)


@pytest.mark.parametrize(
    "uri",
    ["s3://world/plans/", "s3://world/plans", "s3://world/rows/*/x.parquet", "s3://world/batch-input/r/",
     ["s3://world/inputs/a.csv", "s3://world/outcomes/r/"]],
)  # fmt: skip
def test_quarrys_own_folders_are_no_source(data, uri):
    assert "is one of Quarry's own working files" in data.refused(uri)


def test_the_same_folders_in_another_bucket_are_nobodys_business(data):
    data.put("plans/1.csv")
    assert data.keys("s3://data/plans/") == ["plans/1.csv"]
    assert data.keys("s3://data/*/1.csv") == ["plans/1.csv"]


@pytest.mark.parametrize("uri", ["s3://world/results/r1/", "s3://world/results/r1/part-*", "s3://world/results/r1/*"])
def test_the_results_of_an_earlier_run_are_a_folder_once_it_has_ended(data, uri):
    data.put("results/r1/part-00000.parquet", "results/r1/part-00002.parquet", body=PARQUET, bucket="world")
    assert data.refused(uri) == (
        "s3_uri: s3://world/results/r1/ has neither _report.json nor _SUCCESS yet: its results are still being"
        " written. Wait until they are"
    )
    data.put("results/r1/_report.json", body=b"{}", bucket="world")
    data.put("results/r1/_SUCCESS", body=b"ok", bucket="world")
    assert data.keys(uri) == ["results/r1/part-00000.parquet", "results/r1/part-00002.parquet"]


def test_compacted_results_are_a_folder_once_they_are_whole(data):
    uri = "s3://world/results/compact_parts/r1/"
    data.put("results/compact_parts/r1/part-00000.parquet", body=PARQUET, bucket="world")
    data.put("results/compact_parts/r1/_plan.json", body=b"{}", bucket="world")
    assert "has neither _report.json nor _SUCCESS yet" in data.refused(uri)
    data.put("results/compact_parts/r1/_SUCCESS", bucket="world")
    assert data.keys(uri) == ["results/compact_parts/r1/part-00000.parquet"]
