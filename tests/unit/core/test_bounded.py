"""Texts of unknown origin, made fit for an item and a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract.bounded import ITEM_TEXT_BYTES_MAX, bounded_text, shown_name, visible
from quarry_core.ledger.ledger import Ledger
from quarry_core.ports import Cond, Put, Update
from tests.world.table import FakeTable

ANYTHING = st.text(st.characters(codec=None, categories=None), max_size=300)


@given(ANYTHING, st.integers(0, 400))
def test_any_text_fits_in_the_bytes_given_and_is_utf_8_without_a_control_character(text, bytes_max):
    line = bounded_text(text, bytes_max)

    assert len(line.encode()) <= bytes_max
    assert not any(dead_letter < " " or "\x7f" <= dead_letter < "\xa0" for dead_letter in line)


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
