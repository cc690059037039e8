"""What an image is, told by its bytes: its format, its size, and what is unusual about it. Nothing is decoded.

Theory of operation. A name or a Content-Type is not believed: models refuse an image whose bytes are of another format.
Each of the four formats that Bedrock's models take says its size, and where it ends, in a few fields that are reached by
length, so that reading them costs the same for a stamp and for a poster, and no pixel is ever unpacked: a small file that
would become gigabytes costs nothing here, and shows its size. What is cut off (a broken upload) is found, since the end
that each format must have is not there. Whether the pixels between are sound, only a decoder could tell.

Sources: PNG (W3C, third edition), ITU T.81 and Exif 2.32, GIF89a, the WebP container specification.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

ImageFormat = Literal["png", "jpeg", "gif", "webp"]
# Of the parts of a file that are walked through; real ones have a few hundred (a long animation has thousands).
PARTS_MAX = 100_000
EXIF_BYTES_MAX = 1 << 16


# What no limit forbids and a model may see otherwise than a viewer shows it.
ODDITIES: Mapping[str, str] = {
    "turned": "is turned or mirrored by its Exif orientation, which models may not put right",
    "cmyk": "has the colours of print (CMYK), which models may see wrongly",
    "deep": "has more than 8 bits a channel, which models may not read",
    "animated": "has several frames, of which models see the first at most",
}


class NotAnImage(ValueError):
    """No image that any model takes; the text says what it is, and what to do, and goes on after "the image"."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the bytes say.

    Attributes:
        format: of the bytes.
        width, height: in pixels, as they are stored.
        orientation: by Exif: 1 is upright; 2 to 8 are mirrored or turned, which a viewer puts right and models may not.
        cmyk: the colours are those of print.
        bits: of a channel.
        animated: there is more than one frame.
    """

    format: ImageFormat
    width: int
    height: int
    orientation: int = 1
    cmyk: bool = False
    bits: int = 8
    animated: bool = False

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as they are meant to be seen."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)

    @property
    def oddities(self) -> tuple[str, ...]:
        """What is unusual about it, by the names of `ODDITIES`."""
        found = {
            "turned": self.orientation != 1,
            "cmyk": self.cmyk,
            "deep": self.bits > 8,
            "animated": self.animated,
        }
        return tuple(word for word, holds in found.items() if holds)


def read_header(data: bytes) -> Header:
    """Read what an image's bytes say of it.

    Raises:
        NotAnImage: they are not PNG, JPEG, GIF or WebP, or they are cut off, or contradict themselves.
    """
    if not data:
        raise NotAnImage("is empty (0 bytes): upload it again")
    try:
        header = _read(data)
    except (struct.error, IndexError):
        raise _cut("it") from None
    if not (header.width and header.height):
        raise NotAnImage(f"is {header.width} x {header.height} pixels: it has none")
    return header


def format_of(data: bytes) -> ImageFormat | None:
    """Which of the four formats bytes begin as."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return None


def _read(data: bytes) -> Header:
    match format_of(data):
        case "png":
            return _png(data)
        case "jpeg":
            return _jpeg(data)
        case "gif":
            return _gif(data)
        case "webp":
            return _webp(data)
    raise NotAnImage(_other(data))


def _cut(what: str) -> NotAnImage:
    return NotAnImage(f"is cut off: {what} ends before its end: upload it again")


def _bounded(parts: int) -> None:
    if parts > PARTS_MAX:
        raise NotAnImage(f"has more than {PARTS_MAX:,} parts: write it again with an image library")


# --------------------------------------------------------------------------- PNG


def _png(data: bytes) -> Header:
    animated, orientation, at, parts = False, 1, 8, 0
    if data[12:16] != b"IHDR":
        raise NotAnImage("begins as PNG and has no IHDR: write it again with an image library")
    width, height, bits = struct.unpack_from(">IIB", data, 16)
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + length > len(data):
            raise _cut("the PNG file")
        if kind == b"IEND":
            return Header("png", width, height, orientation, bits=bits, animated=animated)
        if kind == b"acTL":
            animated = struct.unpack_from(">I", data, at + 8)[0] > 1
        elif kind == b"eXIf":
            orientation = _orientation(data[at + 8 : at + 8 + min(length, EXIF_BYTES_MAX)])
        at, parts = at + 12 + length, parts + 1
        _bounded(parts)


# --------------------------------------------------------------------------- JPEG

_ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOFn; the others are tables


def _jpeg(data: bytes) -> Header:
    found, orientation, at, parts = None, 1, 2, 0
    while True:
        if data[at] != 0xFF:
            raise NotAnImage("begins as JPEG and is damaged before its pixels: write it again with an image library")
        while data[at] == 0xFF:  # any number of them may come before a marker
            at += 1
        marker, at = data[at], at + 1
        if marker == 0xD9:
            raise NotAnImage("is a JPEG file without pixels: write it again with an image library")
        if marker in _ALONE:
            continue
        (length,) = struct.unpack_from(">H", data, at)
        if at + length > len(data):
            raise _cut("the JPEG file")
        if marker in _FRAMES:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, at + 2)
            found = Header("jpeg", width, height, cmyk=channels == 4, bits=bits)
        elif marker == 0xE1 and data[at + 2 : at + 8] == b"Exif\0\0":
            orientation = _orientation(data[at + 8 : at + length])
        elif marker == 0xDA:
            break
        at, parts = at + length, parts + 1
        _bounded(parts)
    if found is None:
        raise NotAnImage("is a JPEG file that does not say its size: write it again with an image library")
    if data.rfind(b"\xff\xd9", at) < 0:
        raise _cut("the JPEG file")
    return Header("jpeg", found.width, found.height, orientation, found.cmyk, found.bits)


# --------------------------------------------------------------------------- GIF


def _gif(data: bytes) -> Header:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at, frames, parts = 13 + _table(flags), 0, 0
    while True:
        kind = data[at]
        if kind == 0x3B:
            if not frames:
                raise NotAnImage("is a GIF file without a picture: write it again with an image library")
            return Header("gif", width, height, animated=frames > 1)
        if kind == 0x2C:
            frames += 1
            at += 10 + _table(data[at + 9]) + 1
        elif kind == 0x21:
            at += 2
        else:
            raise NotAnImage("is a damaged GIF file: write it again with an image library")
        while data[at]:
            at, parts = at + 1 + data[at], parts + 1
            _bounded(parts)
        at += 1


def _table(flags: int) -> int:
    """Bytes of a table of colours."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


# --------------------------------------------------------------------------- WebP


def _webp(data: bytes) -> Header:
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise _cut("the WebP file")
    width = height = frames = 0
    orientation = 1
    for kind, at, length in _chunks(data, size + 8):
        if kind == b"VP8X":
            width = 1 + int.from_bytes(data[at + 4 : at + 7], "little")
            height = 1 + int.from_bytes(data[at + 7 : at + 10], "little")
        elif kind == b"VP8 " and not width:
            across, down = struct.unpack_from("<HH", data, at + 6)
            width, height = across & 0x3FFF, down & 0x3FFF
        elif kind == b"VP8L" and not width:
            (packed,) = struct.unpack_from("<I", data, at + 1)
            width, height = 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
        elif kind == b"ANMF":
            frames += 1
        elif kind == b"EXIF":
            orientation = _orientation(data[at : at + min(length, EXIF_BYTES_MAX)].removeprefix(b"Exif\0\0"))
    return Header("webp", width, height, orientation, animated=frames > 1)


def _chunks(data: bytes, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, place and length of each chunk."""
    at, parts = 12, 0
    while at + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, at)
        if at + 8 + length > end:
            raise _cut("the WebP file")
        yield kind, at + 8, length
        at, parts = at + 8 + length + (length & 1), parts + 1
        _bounded(parts)


# --------------------------------------------------------------------------- Exif

_ORIENTATION, _SHORT = 0x0112, 3


def _orientation(exif: bytes) -> int:
    """The tag of the first directory of an Exif block; 1 where it is not there or makes no sense."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, start)
        for entry in range(entries):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, start + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return int(value) if kind == _SHORT and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


# --------------------------------------------------------------------------- what it is instead

_REMEDY = "convert it to JPEG or PNG"
_BRANDS = {
    b"heic": "HEIC", b"heix": "HEIC", b"heim": "HEIC", b"heis": "HEIC", b"hevc": "HEIC", b"hevx": "HEIC",
    b"mif1": "HEIF", b"msf1": "HEIF", b"avif": "AVIF", b"avis": "AVIF",
}  # fmt: skip
_BEGINNINGS = (
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"BM", "BMP"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\x01\0", "an icon (ICO)"),
    (b"8BPS", "a Photoshop file"),
)
_VECTORS = ((b"%PDF-", "PDF"), (b"%!PS", "PostScript"), (b"\xc5\xd0\xd3\xc6", "PostScript"))
_MARKUP_BYTES = 4_096


def _other(data: bytes) -> str:
    """What bytes are that are none of the four formats, in words."""
    if data[4:8] == b"ftyp":
        found = _BRANDS.get(data[8:12])
        if found is not None:
            return f"is {found}, and models take JPEG, PNG, GIF and WebP: {_REMEDY}"
        return f"is a video or sound file (ftyp {data[8:12]!r}): {_REMEDY}"
    for beginning, name in _BEGINNINGS:
        if data.startswith(beginning):
            return f"is {name}, and models take JPEG, PNG, GIF and WebP: {_REMEDY}"
    for beginning, name in _VECTORS:
        if data.startswith(beginning):
            return f"is {name}, a vector format, which is not rendered here: {_REMEDY}"
    head = data[:_MARKUP_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if head.startswith((b"<svg", b"<?xml", b"<!doctype svg")) and b"<svg" in head:
        return f"is SVG, a vector format, which is not rendered here: {_REMEDY}"
    if head.startswith((b"<!doctype html", b"<html")):
        return "is an HTML page, perhaps an error page that was saved as an image: upload the image itself"
    if head.startswith((b"<?xml", b"{")):
        return "is text (XML or JSON), perhaps an error message that was saved as an image: upload the image itself"
    return f"is none of JPEG, PNG, GIF and WebP by its first bytes ({data[:8].hex(' ')}): {_REMEDY}"
