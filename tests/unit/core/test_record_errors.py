"""`record_errors` in a manifest: what it asks for, and what a slip in it is answered with."""

from __future__ import annotations

import jsonschema
import pytest

from quarry_core.contract.manifest import Manifest, ManifestError
from quarry_core.contract.manifest_reading import read_manifest
from quarry_core.contract.manifest_schema import manifest_schema
from quarry_core.contract.record_errors import ATTEMPTS, BY_DEFAULT, RecordErrors

MANIFEST = {
    "s3_uri": "s3://lake/reviews/",
    "job_name_prefix": "reviews",
    "model_id": "anthropic.claude-3-haiku-20240307-v1:0",
    "prompt_id": "joke_about_topic",
}


def read(record_errors) -> Manifest:
    return read_manifest(MANIFEST | {"record_errors": record_errors})


def asked(record_errors) -> RecordErrors:
    found = read(record_errors).record_errors
    assert found is not None
    return found


def test_what_is_asked_for_is_read_and_null_asks_for_the_default():
    assert read(None).record_errors is None
    for unset in ({}, {"retry": None, "max_attempts": None}):
        found = asked(unset)
        assert (found.codes, found.max_attempts) == (BY_DEFAULT, ATTEMPTS)
    assert asked({"retry": ["INVALID_OUTPUT", "MISSING"], "max_attempts": 5}) == RecordErrors(
        retry=("INVALID_OUTPUT", "MISSING"), max_attempts=5
    )
    assert asked({"retry": []}).codes == ()


@pytest.mark.parametrize(
    ("record_errors", "sentence"),
    [
        (3, 'record_errors: must be an object: {"retry": ["MODEL_ERROR", "MISSING"], "max_attempts": 3}'),
        ({"retry": "MISSING"}, "record_errors.retry: must be a list"),
        ({"retry": ["NULL_INPUT"]}, "record_errors.retry.0: must be 'MODEL_ERROR', 'THROTTLED'"),
        ({"retry": ["MISSING", "missing"]}, "record_errors.retry.1: must be 'MODEL_ERROR'"),
        ({"max_attempts": 0}, "record_errors.max_attempts: must be at least 1"),
        ({"max_attempts": 11}, "record_errors.max_attempts: must be at most 10"),
        ({"max_attempts": "3"}, "record_errors.max_attempts: must be a whole number"),
        ({"attempts": 3}, "record_errors.attempts: unknown key"),
    ],
)
def test_a_slip_is_answered_with_the_field_and_what_it_may_be(record_errors, sentence):
    with pytest.raises(ManifestError) as refused:
        read(record_errors)
    assert sentence in str(refused.value)


def test_the_published_schema_says_the_same():
    validator = jsonschema.Draft202012Validator(manifest_schema())
    for fine in (None, {}, {"retry": None}, {"retry": ["MISSING"], "max_attempts": 10}):
        assert validator.is_valid(MANIFEST | {"record_errors": fine}), fine
    for wrong in (3, {"retry": ["NULL_INPUT"]}, {"max_attempts": 11}, {"attempts": 3}):
        assert not validator.is_valid(MANIFEST | {"record_errors": wrong}), wrong
