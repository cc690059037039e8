"""What an image's bytes say of it, whatever its name says; and what is no image that a model takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.images.header import Header, NotAnImage, format_of, read_header
from quarry_core.images.limits import ImageLimits, tokens_of
from tests.world.images import HEIC, SVG, chunk, gif, jpeg, png, segment, webp

SOUND = {
    "png": png(30, 20),
    "jpeg": jpeg(30, 20),
    "jpeg of another kind": jpeg(30, 20, frame=0xC2),
    "gif": gif(30, 20),
    "webp": webp(30, 20),
    "webp, lossless": webp(30, 20, "VP8L"),
    "webp, extended": webp(30, 20, "VP8X"),
}


@pytest.mark.parametrize("name", SOUND)
def test_the_bytes_tell_format_and_size(name):
    header = read_header(SOUND[name])
    assert header == Header(name.split()[0].strip(","), 30, 20)  # type: ignore[arg-type]
    assert header.oddities == ()
    assert format_of(SOUND[name]) == header.format


@pytest.mark.parametrize(
    ("image", "oddities"),
    [
        (jpeg(30, 20, orientation=6), ("turned",)),
        (jpeg(30, 20, orientation=8, order=">"), ("turned",)),
        (jpeg(30, 20, orientation=1), ()),
        (jpeg(30, 20, orientation=9), ()),
        (png(30, 20, orientation=5), ("turned",)),
        (webp(30, 20, "VP8X", orientation=7), ("turned",)),
        (jpeg(30, 20, channels=4), ("cmyk",)),
        (jpeg(30, 20, channels=4, orientation=6), ("turned", "cmyk")),
        (png(30, 20, bits=16), ("deep",)),
        (png(30, 20, frames=3), ("animated",)),
        (gif(30, 20, frames=3), ("animated",)),
        (webp(30, 20, "VP8X", frames=2), ("animated",)),
    ],
)
def test_what_is_unusual_about_an_image_is_seen(image, oddities):
    header = read_header(image)
    assert (header.width, header.height, header.oddities) == (30, 20, oddities)
    assert header.upright == ((20, 30) if header.orientation >= 5 else (30, 20))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty (0 bytes)"),
        (HEIC, "is HEIC, and models take JPEG, PNG, GIF and WebP: convert it to JPEG or PNG"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "is AVIF"),
        (b"\0\0\0\x20ftypisom\0\0\0\0", "is a video or sound file"),
        (b"II*\0\x08\0\0\0", "is TIFF"),
        (b"BM\x36\0", "is BMP"),
        (SVG, "is SVG, a vector format, which is not rendered here"),
        (b'\xef\xbb\xbf \n<SVG width="1">', "is SVG"),
        (b"%PDF-1.7\n", "is PDF, a vector format"),
        (b"<!DOCTYPE html><html>", "is an HTML page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "is text (XML or JSON)"),
        (b"hello, I am a photo", "by its first bytes (68 65 6c 6c 6f 2c 20 49)"),
        (png(0, 20), "is 0 x 20 pixels: it has none"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", bytes(20)), "has no IHDR"),
        (b"\xff\xd8" + segment(0xE0, b"JFIF\0") + b"\xff\xd9", "is a JPEG file without pixels"),
        (b"\xff\xd8" + segment(0xDA, bytes(4)) + b"\xff\xd9", "does not say its size"),
        (b"\xff\xd8\xff\xe0\0\x04ab" + b"rubbish", "is damaged before its pixels"),
        (b"GIF89a" + bytes(7) + b";", "is a GIF file without a picture"),
        (b"GIF89a" + bytes(7) + b"?", "is a damaged GIF file"),
    ],
)
def test_what_is_no_image_says_what_it_is_and_what_to_do(data, sentence):
    with pytest.raises(NotAnImage) as caught:
        read_header(data)
    assert sentence in str(caught.value)
    assert ": " in str(caught.value)


@pytest.mark.parametrize("name", SOUND)
def test_an_image_that_is_cut_anywhere_is_refused(name):
    whole = SOUND[name]
    for size in range(len(whole)):
        with pytest.raises(NotAnImage):
            read_header(whole[:size])


def test_what_stands_behind_an_image_does_not_matter():
    for image in (png(30, 20), jpeg(30, 20), gif(30, 20), webp(30, 20)):
        assert read_header(image + b"a camera's own notes").width == 30


def test_a_file_of_endless_parts_is_given_up():
    with pytest.raises(NotAnImage, match="has more than 100,000 parts"):
        read_header(png()[:33] + chunk(b"tEXt", b"") * 100_001 + chunk(b"IEND", b""))
    with pytest.raises(NotAnImage, match="has more than 100,000 parts"):
        read_header(gif()[:-1] + b"!\xfe" + b"\x01x" * 100_001 + b"\0;")


@given(st.sampled_from(sorted(SOUND)), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8))
def test_damaged_bytes_are_read_or_refused_and_never_anything_else(name, changes):
    image = bytearray(SOUND[name])
    for place, value in changes:
        image[place % len(image)] = value
    try:
        header = read_header(bytes(image))
    except NotAnImage:
        return
    assert header.width > 0 < header.height


def test_a_side_and_a_length_have_a_most():
    limits = ImageLimits()
    assert limits.fault(Header("png", 8_000, 8_000)) is None
    assert "is 8,001 x 3 pixels, and the model takes 8,000 a side" in (limits.fault(Header("png", 8_001, 3)) or "")
    assert limits.too_long(4_000_000) == ("has 4,000,000 bytes, and the model takes 3,932,160 at most: make it smaller")


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [
        (200, 200, 53),
        (1_000, 1_000, 1_333),
        (1_092, 1_092, 1_590),
        (8_000, 8_000, 1_600),
        (3_136, 1_568, 1_600),
        (1, 1, 1),
    ],
)
def test_tokens_follow_the_published_formula(width, height, tokens):
    """Anthropic's guide has 54, 1,334 and 1,590 for the first three."""
    assert tokens_of(Header("png", width, height)) == tokens
