"""What is counted of a text, and what it comes to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.planning.tokens import (
    COEFFICIENTS,
    FEATURES,
    PIECE_CHARS,
    Tokenizer,
    TokenSample,
    count_features,
    spread_places,
    tokenizer_of,
)


def counted(text):
    ((counts,),) = count_features([text])
    return {name: int(count) for name, count in zip(FEATURES, counts, strict=True) if count}


def tokens_of(text):
    ((tokens,),) = map(Tokenizer("claude2", own=False).tokens, count_features([text]))
    return tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        (" ", {}),
        ("Hello", {"ASCII letter": 5, "capital": 1}),
        ("aB a1 1a AB A1", {"ASCII letter": 7, "hump": 4, "capital": 4, "digit triple": 3}),
        ("1 12 123 1234 1234567", {"digit triple": 1 + 1 + 1 + 2 + 3}),
        ("a...b!?c-", {"ASCII letter": 3, "punctuation run": 3}),
        ("a\nb\n\nc  d   e f\t\tg", {"ASCII letter": 7, "blank run": 3 + 3}),
        ("a\r\nb", {"ASCII letter": 2, "blank run": 1}),
        ("é Ł ế", {"Latin-1 letter": 1, "other Latin letter": 1, "Vietnamese letter": 1}),
        ("Привет", {"Cyrillic": 6}),
        ("漢字かなカナ", {"Han": 2, "kana": 4}),
        ("한국 ไทย हि ע ع", {"Hangul": 2, "Thai": 3, "Devanagari": 2, "Hebrew": 1, "Arabic": 1}),
        ("😀 →", {"emoji": 1, "any other character": 1}),
        ("\U00020000\U000e0001\U0010ffff", {"Han": 1, "any other character": 2}),
    ],
)
def test_a_text_is_counted_as_the_features_are_defined(text, expected):
    assert counted(text) == expected


def test_half_a_surrogate_pair_is_any_other_character():
    assert counted("a\ud800b") == {"ASCII letter": 2, "any other character": 1}


def test_a_text_longer_than_a_piece_is_counted_to_its_end():
    assert counted("Ab1!" * (PIECE_CHARS // 2))["capital"] == PIECE_CHARS // 2


@given(st.lists(st.text("aB1! \n\0é漢😀", max_size=9), max_size=20))
def test_texts_counted_together_have_what_each_has_alone(texts):
    assert [list(counts) for part in count_features(texts) for counts in part] == [
        list(counts) for text in texts for part in count_features([text]) for counts in part
    ]


@pytest.mark.parametrize("chars", [1, PIECE_CHARS // 3, PIECE_CHARS - 1, PIECE_CHARS, PIECE_CHARS + 1])
def test_every_text_is_counted_beside_texts_that_fill_a_piece(chars):
    texts = ["a1", "Ab" * (chars // 2) + "c" * (chars % 2), "", "B2 "] * 2
    found = np.concatenate(list(count_features(texts)))
    assert found[:, FEATURES.index("ASCII letter")].tolist() == [1, chars, 0, 1] * 2
    assert found[:, FEATURES.index("digit triple")].tolist() == [1, 0, 0, 1] * 2


def test_every_tokenizer_has_a_coefficient_for_every_feature():
    assert {name: len(column) for name, column in COEFFICIENTS.items()} == dict.fromkeys(COEFFICIENTS, len(FEATURES))
    assert all(number >= 0 for column in COEFFICIENTS.values() for number in column)


@pytest.mark.parametrize(
    ("model_id", "name", "own"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", "claude2", False),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude2", False),
        ("openai.gpt-oss-120b-1:0", "o200k", True),
        ("meta.llama3-3-70b-instruct-v1:0", "llama3", True),
        ("us.meta.llama4-scout-17b-instruct-v1:0", "llama3", False),
        ("mistral.pixtral-large-2502-v1:0", "tekken", True),
        ("mistral.mistral-7b-instruct-v0:2", "tekken", False),
        ("amazon.titan-embed-text-v2:0", "o200k", False),
        ("amazon.nova-lite-v1:0", "o200k", False),
        ("arn:aws:bedrock:us-east-1:123456789012:custom-model/meta.llama3-1-8b-instruct-v1:0/abc", "llama3", True),
    ],
)
def test_each_model_has_a_tokenizer_and_it_is_said_whether_it_is_its_own(model_id, name, own):
    assert tokenizer_of(model_id) == Tokenizer(name, own)


def test_a_sample_tells_mean_and_spread_with_the_system_prompt_in_each_record():
    alone, with_system = TokenSample("anthropic.claude-3"), TokenSample("anthropic.claude-3", "You are terse.")
    texts = ["a few words", "a good many more words than the other one has"]
    for sample in (alone, with_system):
        sample.take(texts)

    found = alone.estimate()
    each = [tokens_of(text) for text in texts]
    assert (found.records, found.mean) == (2, pytest.approx(np.mean(each), abs=1e-3))
    assert found.spread == pytest.approx(np.std(each), abs=1e-3)
    system = tokens_of("You are terse.")
    assert with_system.estimate().mean == pytest.approx(found.mean + system, abs=2e-3)


def sample_of(places):
    sample = TokenSample("anthropic.claude-3")
    for words in places:
        sample.take(["word " * words] * 2)
    return sample


def test_a_sample_whose_neighbours_differ_is_told_to_be_unsure_and_a_sorted_one_is_not():
    alike, sorted_ones, mixed = sample_of([20] * 64), sample_of([10] * 32 + [30] * 32), sample_of([10, 30] * 32)

    assert alike.estimate().mean == sorted_ones.estimate().mean == mixed.estimate().mean
    assert alike.estimate().uncertainty == 0
    assert sorted_ones.estimate().uncertainty < 0.015
    assert mixed.estimate().uncertainty > 0.06


def test_a_sample_of_all_rows_is_sure():
    mixed = sample_of([10, 30] * 32)
    assert mixed.estimate(rows=128).uncertainty == 0
    assert 0 < mixed.estimate(rows=256).uncertainty < mixed.estimate().uncertainty


def test_a_sample_without_a_record_is_the_system_prompt_alone():
    empty = TokenSample("anthropic.claude-3", "You are terse.")
    empty.take([])

    found = empty.estimate()
    assert (found.records, found.spread, found.uncertainty) == (0, 0, 0)
    assert found.mean > 0


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 4_096, 4_097, 10_000, 2_200_000])
def test_places_are_spread_evenly_and_do_not_overlap(rows):
    places = list(spread_places(rows, 64, 64))

    ends = [first + taken for first, taken in places]
    assert all(end <= first for end, (first, _) in zip(ends, places[1:], strict=False))
    assert ends[-1] <= rows
    assert sum(taken for _, taken in places) == min(rows, 4_096)
