"""Texts of unknown origin, made fit for an item, a sentence, a terminal and JSON on one."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.ledger.ledger import Ledger
from quarry_core.ports import Cond, Put, Update
from quarry_core.text import (
    ITEM_TEXT_BYTES_MAX,
    MARK,
    STACKED_MAX,
    bounded_text,
    json_escaped,
    marked,
    one_line,
    shown_name,
    visible,
)
from tests.world.table import FakeTable

ANYTHING = st.text(st.characters(codec=None, categories=None), max_size=300)


@given(ANYTHING, st.integers(0, 400))
def test_any_text_fits_in_the_bytes_given_and_is_utf_8_without_a_control_character(text, bytes_max):
    line = bounded_text(text, bytes_max)

    assert len(line.encode()) <= bytes_max
    assert not any(each < " " or "\x7f" <= each < "\xa0" for each in line)


@given(ANYTHING, st.integers(60, 400))
def test_bounding_again_changes_nothing(text, bytes_max):
    line = bounded_text(text, bytes_max)

    assert bounded_text(line, bytes_max) == line


def test_a_text_that_is_cut_says_so():
    line = bounded_text("ä" * 300_000)

    assert len(line.encode()) <= ITEM_TEXT_BYTES_MAX
    assert line.endswith("… (cut; it had 300000 characters)")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("half \ud83d", "half \\ud83d"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc\x00", "a\\nb\\tc\\x00"),
        ("right-to-left \u202e", "right-to-left \\u202e"),
        ("ünïcode 😀 \U0001f469\u200d\U0001f4bb", "ünïcode 😀 \U0001f469\u200d\U0001f4bb"),
    ],
)
def test_what_a_terminal_would_obey_or_utf_8_cannot_carry_is_shown_as_its_escape(text, shown):
    assert visible(text) == shown


# What a terminal obeys, and what turns, hides or joins text: each one alone, and a half of a pair.
NASTY = "\x00\x07\x1b\x7f\x9b\u061c\u200b\u200e\u202e\u2066\ufeff\U000e0001\ud83d"


@given(ANYTHING, st.integers(1, 400), st.sampled_from([MARK, " "]))
def test_any_text_becomes_one_line_of_so_many_characters_that_can_be_shown(text, chars_max, mark):
    line = one_line(text, chars_max, mark)

    assert len(line) <= chars_max
    assert line == line.strip()
    assert line.replace("\u200c", "").replace("\u200d", "").isprintable()
    line.encode()


def test_what_cannot_be_shown_is_marked_or_left_out():
    assert one_line(f"a {NASTY} b", 100) == f"a {MARK * len(NASTY)} b"
    assert one_line(f"a{NASTY}b", 100, mark=" ") == "a b"
    assert one_line("a\n\t\u2028\xa0 b", 100) == "a b"
    assert marked("  a\u2028b\u2029c\xa0 \x1b[2J\t") == f"  a{MARK}b{MARK}c\xa0 {MARK}[2J{MARK}"
    assert one_line("\ud83d\ude00", 100) == "\U0001f600", "two halves are a whole"


def test_a_line_that_is_cut_ends_in_dots_and_costs_no_more_than_it_shows():
    assert one_line("x" * 300_000, 10) == "xxxxxxxxx…"
    assert one_line("xxxxxxxx xx", 10) == "xxxxxxxx…"
    assert one_line("x" * 10, 10) == "x" * 10


@given(ANYTHING)
def test_a_marked_line_keeps_its_length_its_spaces_and_all_that_can_be_shown(line):
    shown = marked(line)

    assert len(shown) == len(line)
    for before, after in zip(line, shown, strict=True):
        hidden = unicodedata.category(before)[0] == "C" or before in "\u2028\u2029"
        if before in "\u200c\u200d" or unicodedata.category(before) in ("Mn", "Me"):
            assert after in (before, MARK)
        else:
            assert after == (MARK if hidden else before)


@pytest.mark.parametrize(
    "text",
    [
        "\U0001f469\u200d\U0001f4bb",  # an emoji of two
        "\u2764\ufe0f\u200d\U0001f525",  # with a variation selector
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian: a word of two parts
        "\u0915\u094d\u200d\u0937",  # Hindi: half a consonant
        "\u05e9\u05bc\u05c1\u05b8\u0591",  # Hebrew: four marks on one character
        "Ti\u00ea\u0301ng Vie\u0323\u0302t",
    ],
)
def test_joiners_and_marks_that_a_script_needs_are_shown(text):
    assert marked(text) == one_line(text, 100) == text


@pytest.mark.parametrize(
    "text", ["pay\u200dpal", "a\u200c", "\u200d\u0645", "\u0645 \u200c\u0645", "\u0645\u200c\u200d\u0645"]
)
def test_joiners_that_join_nothing_would_make_two_texts_look_alike_and_are_marked(text):
    shown = marked(text)
    assert MARK in shown
    assert not {"\u200c", "\u200d"} & set(shown)


@pytest.mark.parametrize("heaped", ["\u0301", "\u0334\u035c", "\u20dd", "\U000e0101"])
def test_a_heap_of_marks_does_not_cover_the_lines_around_it(heaped):
    shown = marked("a" + heaped * 200)
    assert shown.startswith("a" + heaped)
    assert len(shown.replace(MARK, "")) == 1 + STACKED_MAX
    assert len(shown) == 1 + 200 * len(heaped)


@given(st.text(st.characters(codec="utf-8", categories=None), max_size=100))
def test_escaped_json_reads_back_the_same_and_holds_nothing_that_a_terminal_obeys(text):
    escaped = json_escaped(json.dumps({"a": text}, ensure_ascii=False))

    assert json.loads(escaped) == {"a": text}
    assert not any(
        each == "\x7f" or "\x80" <= each <= "\x9f" or each in NASTY for each in escaped if each < "\U00010000"
    )


@pytest.mark.parametrize(
    "each",
    [
        chr(code)
        for code in (0x7F, 0x9B, 0xAD, 0x61C, 0x200B, 0x200F, 0x2028, 0x202E, 0x2060, 0x2069, 0x206F, 0xFEFF, 0xFFFB)
    ],
)
def test_json_on_a_terminal_has_an_escape_for_what_turns_hides_or_joins_text(each):
    assert json_escaped(f'"{each}"') == f'"\\u{ord(each):04x}"'


def test_a_long_name_is_cut():
    assert len(shown_name("k" * 200_000)) == 80
    assert shown_name("short") == "short"


async def test_whatever_text_a_move_writes_the_item_can_hold_it():
    table = FakeTable()
    ledger = Ledger(table)

    await ledger.apply([Put(("run#r", "totals"), {"state": "ACCEPTED", "message": "m" * 500_000})])
    await ledger.apply(
        [Update(("run#r", "totals"), when=(Cond("state", "exists"),), set={"fault": "\ud83d\n" * 400_000})]
    )

    item = table.items["run#r", "totals"]
    assert len(item["message"].encode()) <= ITEM_TEXT_BYTES_MAX
    assert item["fault"].startswith("\\ud83d\\n")
    assert item["fault"].isprintable()
