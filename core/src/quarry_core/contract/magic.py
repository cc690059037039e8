"""What the first bytes of a file tell of it. Pure.

Names of files that Athena writes have no ending, others have two; a few bytes are surer. Text has no sign of its own: a
line that opens a JSON object is JSON lines, other text is most likely CSV and says nothing about it.
"""

from __future__ import annotations

from typing import Literal

Magic = Literal["parquet", "encrypted", "gzip", "zstd", "json", "text", "binary"]

_SIGNS: tuple[tuple[bytes, Magic], ...] = (
    (b"PAR1", "parquet"),
    (b"PARE", "encrypted"),
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
# What is no data that can be read, by name for the sentence about it.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"\xff\x06\x00\x00sNaPpY", "Snappy"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x89LZO", "LZO"),
    (b"\x78\x9c", "zlib (deflate)"),
    (b"\x78\xda", "zlib (deflate)"),
    (b"PK\x03\x04", "a zip archive or a workbook"),
    (b"Obj\x01", "Avro"),
    (b"ORC", "ORC"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3\x00", "a SQLite database"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"%PDF-", "a PDF"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
)
_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def magic_of(head: bytes) -> Magic:
    """The kind of a file by its first bytes; a dozen are enough, and for text the more the better."""
    for sign, kind in _SIGNS:
        if head.startswith(sign):
            return kind
    # zstd's skippable frames, with which a seekable or a padded file begins.
    if len(head) >= 4 and 0x50 <= head[0] <= 0x5F and head[1:4] == b"\x2a\x4d\x18":
        return "zstd"
    if other_name(head):
        return "binary"
    if head.startswith(_UTF16_MARKS):
        return "text"
    if b"\x00" in head:
        return "binary"
    return "json" if head.removeprefix(_MARK).lstrip()[:1] == b"{" else "text"


def other_name(head: bytes) -> str:
    """What a file is called that is of no format which is read; empty if its bytes have no known sign."""
    return next((name for sign, name in _OTHERS if head.startswith(sign)), "")
