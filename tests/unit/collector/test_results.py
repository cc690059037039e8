import pyarrow as pa
import pytest

from quarry_core.results import RESULT_COLUMNS, ColumnTaken, check_columns, outcome_schema, result_schema


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
