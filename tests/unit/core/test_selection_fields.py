"""`columns`, `where`, `sample` and `id_column` in a manifest, and what a slip in them is answered with."""

from __future__ import annotations

import pytest

from quarry_core.contract.manifest import Manifest, ManifestError
from quarry_core.contract.manifest_checks import check_selection
from quarry_core.contract.manifest_reading import read_manifest
from quarry_core.contract.prompts import Prompt
from quarry_core.contract.selection import Sample

MANIFEST = {
    "s3_uri": "s3://lake/reviews/",
    "job_name_prefix": "reviews",
    "model_id": "anthropic.claude-3-haiku-20240307-v1:0",
    "prompt": "{text}",
}


def read(**change) -> Manifest:
    return read_manifest(MANIFEST | change)


def test_what_is_asked_for_is_read_and_null_asks_for_nothing():
    manifest = read(columns=["id", "text"], where="lang = 'en'", sample={"rows": 10, "seed": None}, id_column="id")
    assert manifest.columns == ("id", "text")
    assert manifest.sample == Sample(rows=10)
    unset = read(columns=None, where=None, sample=None, id_column=None)
    assert (unset.columns, unset.where, unset.sample, unset.id_column) == (None, None, None, None)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"columns": "text"}, "columns: must be a list"),
        ({"columns": []}, "columns: it is empty; name at least one column, or leave columns out for all"),
        ({"columns": ["a", "a"]}, "columns: several columns are named 'a'; give each a name of its own"),
        ({"columns": ["a", " "]}, "columns: column 2 of 2 has no name; name every column"),
        ({"columns": ["a", 1]}, "columns.1: must be text in double quotes"),
        (
            {"columns": ["x" * 4_000 + str(n) for n in range(20)]},
            "columns: the names have 80030 bytes, more than 65536",
        ),
        (
            {"where": "lang = en"},
            "where: at character 8 stands en, where a value should be; a text stands in single quotes",
        ),
        ({"where": ""}, "where: is empty; write a condition, as in lang = 'en', or leave where out"),
        ({"where": ["a = 1"]}, "where: must be text in double quotes"),
        ({"sample": 100}, 'sample: must be an object: {"rows": 1000} or {"share": 0.01}'),
        ({"sample": {}}, 'sample: needs exactly one of rows and share: {"rows": 1000} or {"share": 0.01}'),
        ({"sample": {"rows": 5, "share": 0.5}}, "sample: needs exactly one of rows and share"),
        ({"sample": {"rows": 0}}, "sample.rows: must be at least 1"),
        ({"sample": {"rows": 2_000_000}}, "sample.rows: must be at most 1,000,000"),
        ({"sample": {"rows": 1.5}}, "sample.rows: must be a whole number"),
        ({"sample": {"share": 1}}, "sample.share: must be less than 1"),
        ({"sample": {"share": 0}}, "sample.share: must be more than 0"),
        ({"sample": {"share": "10%"}}, "sample.share: must be a number"),
        ({"sample": {"rows": 1, "seed": -1}}, "sample.seed: must be at least 0"),
        ({"sample": {"n": 5}}, "sample.n: unknown key"),
        ({"id_column": ""}, "id_column: column 1 of 1 has no name"),
        ({"id_column": 5}, "id_column: must be text in double quotes"),
    ],
)
def test_a_slip_is_answered_with_the_field_and_the_remedy(change, sentence):
    with pytest.raises(ManifestError) as refused:
        read(**change)
    assert sentence in str(refused.value)


def test_a_choice_of_columns_has_what_the_records_need():
    prompt = Prompt(template="{text} {title}")
    check_selection(read(columns=["title", "text", "id"], id_column="id"), prompt)
    check_selection(read(id_column="id"), prompt)
    with pytest.raises(ManifestError) as refused:
        check_selection(read(columns=["title"], id_column="id"), prompt)
    assert str(refused.value) == (
        "columns: the records need 'text': add what is missing, or leave columns out for all; columns: id_column is 'id', "
        "which is not among them: add it"
    )
    with pytest.raises(ManifestError, match="the records need 'input_text'"):
        check_selection(read(columns=["title"]), None)


def test_the_ids_of_ready_requests_are_checked_anyway():
    check_selection(read(columns=["custom_id"]), None, requests=True)
    manifest = read(columns=["custom_id"], id_column="custom_id")
    with pytest.raises(ManifestError) as refused:
        check_selection(manifest, None, requests=True)
    assert str(refused.value) == (
        "id_column: the source holds ready requests, whose ids are checked anyway; leave id_column out"
    )
