"""Lines of a block of rows made together: the bytes of a JSON encoder, for whatever is in a text."""

from __future__ import annotations

import msgspec
import pyarrow as pa
import pytest

from quarry_core.rendering.blocks import SLOTS_MAX, Blocks, escaped

HEAD = b'{"recordId":"00012'


def test_every_character_is_escaped_as_the_encoder_does_it():
    everything = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    assert escaped(everything.encode()) == msgspec.json.encode(everything)[1:-1]


@pytest.mark.parametrize("slots", [1, 2, SLOTS_MAX])
def test_a_line_is_its_constants_with_the_values_between(slots):
    constants = [b'","a":"', *(b"<%d>" % place for place in range(slots - 1)), b'"}\n']
    texts = [[f'{row} "{place}"\n\\\x00é😀' if row else "" for row in range(3)] for place in range(slots)]
    kinds = [pa.large_string() if place % 2 else pa.string() for place in range(slots)]
    columns = [pa.array(values, kind) for values, kind in zip(texts, kinds, strict=True)]
    expected = b""
    for place, row in enumerate((7, 70_000, 999_999)):
        values = [msgspec.json.encode(column[place])[1:-1] for column in texts]
        between = [part for pair in zip(constants, [*values, b""], strict=True) for part in pair]
        expected += b"".join([HEAD, b"%06d" % row, *between])
    assert Blocks(constants).lines(HEAD, [7, 70_000, 999_999], columns) == expected


@pytest.mark.parametrize("bad", [b"\xff", b"\xf5", b"a\xffb\xff"])
def test_what_is_no_utf8_is_not_mistaken_for_a_mark(bad):
    column = pa.array([b"good", bad], pa.binary()).view(pa.string())
    assert Blocks([b"a", b"b", b"c"]).lines(HEAD, [0, 1], [column, column]) is None
