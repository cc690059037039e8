import json

import pyarrow as pa
import pytest

from quarry_core.contract.results import (
    RESULT_COLUMNS,
    SPARK_SCHEMA,
    ColumnTaken,
    check_columns,
    outcome_schema,
    result_schema,
)


def test_the_result_has_the_sources_columns_then_the_answer_then_ours():
    source = pa.schema([pa.field("a", pa.int8(), metadata={"unit": "m"})], metadata={"pandas": "{}"})

    result = result_schema(source, "response")

    assert result.names == ["a", "response", *RESULT_COLUMNS]
    assert result.metadata == source.metadata
    assert result.field("a").equals(source.field("a"), check_metadata=True)


@pytest.mark.parametrize("name", RESULT_COLUMNS)
def test_a_source_with_a_column_of_ours_is_refused_by_name_and_remedy(name):
    with pytest.raises(ColumnTaken, match=rf"'{name}'.*rename.*'source_{name}'"):
        check_columns(pa.schema([("a", pa.string()), (name, pa.string())]), "response")


def test_only_the_answer_column_of_this_run_is_taken():
    source = pa.schema([("embedding", pa.string())])

    check_columns(source, "response")
    with pytest.raises(ColumnTaken, match="embedding"):
        check_columns(source, "embedding")


def test_a_source_that_has_one_name_twice_is_refused():
    with pytest.raises(ColumnTaken, match="more than one column named 'a'"):
        result_schema(pa.schema([("a", pa.string()), ("a", pa.int8())]), "response")


def test_an_unknown_answer_column_is_refused():
    with pytest.raises(ValueError, match="'image' is not an answer column"):
        outcome_schema("image")


@pytest.mark.parametrize("name", ["Status", "RESPONSE", "Record_Id", "sTATUS"])
def test_a_column_that_is_ours_but_for_case_is_refused_naming_both(name):
    with pytest.raises(
        ColumnTaken, match=rf"named '{name.lower()}' \('{name}', apart from .*result_prefix to 'quarry_'"
    ):
        check_columns(pa.schema([(name, pa.string())]), "response")


def test_with_a_prefix_our_columns_have_other_names_and_the_source_may_have_these():
    source = pa.schema([("Status", pa.string()), ("response", pa.string())])

    result = result_schema(source, "response", "quarry_")

    assert result.names == ["Status", "response", "quarry_response", *(f"quarry_{name}" for name in RESULT_COLUMNS)]
    with pytest.raises(ColumnTaken, match=r"'quarry_status'.*result_prefix to 'q_'"):
        check_columns(pa.schema([("Quarry_Status", pa.string())]), "response", "quarry_")


def test_columns_of_the_source_that_differ_by_case_alone_are_left_to_the_source():
    assert result_schema(pa.schema([("text", pa.string()), ("TEXT", pa.string())]), "response").names[:2] == [
        "text",
        "TEXT",
    ]


def test_schemas_that_other_readers_believe_instead_of_the_file_know_our_columns_or_are_left_out():
    spark = {"type": "struct", "fields": [{"name": "a", "type": "interval day to second", "nullable": True}]}
    metadata = {SPARK_SCHEMA: json.dumps(spark), "parquet.avro.schema": "{}", "origin": "x"}

    kept = result_schema(pa.schema([("a", pa.int64())], metadata), "embedding", "q_").metadata

    assert kept.keys() == {SPARK_SCHEMA, b"origin"}
    reported = json.loads(kept[SPARK_SCHEMA])
    assert reported["type"] == "struct"
    assert reported["fields"][0] == spark["fields"][0]
    assert [each["name"] for each in reported["fields"][1:]] == [
        "q_embedding",
        *(f"q_{name}" for name in RESULT_COLUMNS),
    ]
    assert reported["fields"][1]["type"] == {"type": "array", "elementType": "float", "containsNull": True}
    assert {each["type"] for each in reported["fields"][2:]} == {"string", "long"}


@pytest.mark.parametrize("schema", ["", "[]", "{}", '{"fields": 1}', "null", "StructType(List())", "[" * 9_999])
def test_what_is_no_schema_of_sparks_is_left_out(schema):
    assert result_schema(pa.schema([("a", pa.int64())], {SPARK_SCHEMA: schema}), "response").metadata is None


@pytest.mark.parametrize(
    ("column", "prefix", "sentence"),
    [
        (
            "topic",
            "",
            "become columns of the result, and the source has columns named 'topic' already: rename them in the",
        ),
        ("Topic", "", "named 'topic' ('Topic', apart from upper and lower case"),
        (
            "q_topic",
            "q_",
            "become columns of the result behind result_prefix 'q_', and the source has columns named 'q_topic'",
        ),
    ],
)
def test_a_property_named_like_a_column_of_the_source_is_named_with_both_remedies(column, prefix, sentence):
    source = pa.schema([("id", pa.string()), (column, pa.string())])

    with pytest.raises(ColumnTaken) as refused:
        check_columns(source, "response", prefix, ["kind", "topic"])

    assert sentence in str(refused.value)
    assert "for example to 'answer_topic', or set result_prefix to 'quarry_' in the manifest" in str(refused.value)
