"""Images made by hand, byte by byte: small, of any size that they claim, sound or not. No decoder is asked."""

from __future__ import annotations

import struct
import zlib

SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)


def exif(orientation: int, order: str = "<") -> bytes:
    """The block of a camera that was held so."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int = 8, height: int = 6, *, bits: int = 8, frames: int = 1, orientation: int = 0, fill: int = 0
) -> bytes:
    """`fill`: so many bytes more, which compress to no less."""
    more = chunk(b"acTL", struct.pack(">II", frames, 0)) if frames > 1 else b""
    more += chunk(b"eXIf", exif(orientation)) if orientation else b""
    more += chunk(b"tEXt", bytes(fill)) if fill else b""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(16)))
    return b"\x89PNG\r\n\x1a\n" + header + more + pixels + chunk(b"IEND", b"")


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpeg(
    width: int = 8, height: int = 6, *, channels: int = 3, orientation: int = 0, order: str = "<", frame: int = 0xC0
) -> bytes:
    more = segment(0xE1, b"Exif\0\0" + exif(orientation, order)) if orientation else b""
    start = struct.pack(">BHHB", 8, height, width, channels) + bytes(3 * channels)
    scan = segment(0xDA, bytes(10)) + b"pixels\xff\0more"
    return (
        b"\xff\xd8"
        + segment(0xE0, b"JFIF\0")
        + more
        + segment(0xDB, bytes(65))
        + segment(frame, start)
        + scan
        + b"\xff\xd9"
    )


def gif(width: int = 8, height: int = 6, frames: int = 1) -> bytes:
    picture = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\0"
    pause = b"!\xf9\x04\0\x0a\0\0\0"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + (pause + picture) * frames + b";"


def webp(width: int = 8, height: int = 6, form: str = "VP8 ", *, frames: int = 0, orientation: int = 0) -> bytes:
    """`form`: `VP8 ` (lossy), `VP8L` (lossless) or `VP8X` (with more beside it)."""
    chunks: list[tuple[bytes, bytes]] = []
    if form == "VP8X":
        chunks.append((b"VP8X", bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")))
    if form == "VP8L":
        chunks.append((b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14)))
    elif not frames:
        chunks.append((b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height) + b"odd"))
    chunks += [(b"ANMF", bytes(16))] * frames
    if orientation:
        chunks.append((b"EXIF", exif(orientation)))
    body = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) & 1) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
