"""From text to a JSON object: byte order marks, text that is none, and what UTF-8 cannot carry."""

from __future__ import annotations

import base64
import json

import pytest

from quarry_core.contract.json_text import (
    NESTING_PARSED_MAX,
    NotAnObject,
    fixed,
    half_pairs,
    nested,
    parse_object,
    repeated_keys,
    without_nulls,
)
from quarry_core.text import visible


@pytest.mark.parametrize("text", ['{"a": 1}', '\ufeff{"a": 1}', ' \n{"a": 1}\r\n', '\ufeff\ufeff{"a": 1}'])
def test_a_byte_order_mark_says_nothing(text):
    assert parse_object(text) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("{'a': 1}", "json.dumps"),
        (base64.b64encode(b'{"a": 1}').decode(), "it is base64: send the JSON itself"),
        ("[1]", "not a JSON object but a list: send each object as a message of its own"),
        ("null", "not a JSON object but null"),
        ("1e400", "not a JSON object but a number"),
        ("true", "not a JSON object but true or false"),
        ('"a word"', "not a JSON object but a string"),
        ('{"a": %s}' % ("9" * 5_000), "a number has thousands of digits"),
        ('{"a":' * 100_000, "nested more than 500 deep"),
        ('{"a":' * 501 + "1" + "}" * 501, "nested more than 500 deep"),
        ("\x00\x1b[2J", "not JSON"),
        ('{"a": 1}\n{"a": 2}\n', "send each object as a message of its own"),
    ],
)
def test_text_that_is_no_object_is_reported_what_it_is(text, why):
    with pytest.raises(NotAnObject) as refused:
        parse_object(text)
    assert why in str(refused.value)
    assert visible(str(refused.value)) == str(refused.value)
    assert len(str(refused.value)) < 600


def test_text_of_an_object_inside_a_string_is_returned_as_text():
    assert parse_object(json.dumps(json.dumps({"a": 1}))) == '{"a": 1}'
    assert parse_object(json.dumps(json.dumps(json.dumps({"a": 1})))) == json.dumps('{"a": 1}')


def test_every_half_of_a_surrogate_pair_is_found_with_its_place():
    data = json.loads(r'{"a": "x\ud83d", "b": {"c\udc00": [1, "\ude00y"]}, "whole": "\ud83d\ude00", "n": null}')

    found = dict(half_pairs(data))

    assert sorted(found) == ["a", "b.c\\udc00", "b.c\\udc00.1"]
    assert "character 2 is half of a surrogate pair (\\ud83d)" in found["a"]
    assert "the key holds half" in found["b.c\\udc00"]
    json.dumps(fixed(data), ensure_ascii=False).encode()


def test_every_key_that_stands_twice_is_found_with_its_place():
    data = parse_object(r'{"a": 1, "\u0061": 2, "b": [{"c": {"d": 1, "d": 1}}], "e": {"a": 3}}')

    found = dict(repeated_keys(data))

    assert sorted(found) == ["a", "b.0.c.d"]
    assert found["a"] == "the key appears twice in its object: keep one"
    assert data["a"] == 2


def test_null_is_unset_at_any_depth_and_stays_in_lists():
    assert without_nulls({"a": None, "b": {"c": None, "d": [None, {"e": None}]}}) == {"b": {"d": [None, {}]}}


def test_depth_is_counted_without_recursion():
    deep: object = 1
    for _ in range(NESTING_PARSED_MAX * 100):
        deep = [deep]
    assert nested(deep) == NESTING_PARSED_MAX * 100
    assert nested(1) == 0
    assert nested({"a": 1}) == 1
