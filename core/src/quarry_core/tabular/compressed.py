"""gzip and zstd unpacked as a stream: to the end, within bounds, or not at all.

A compressed file may be several files one behind the other (members of gzip, frames of zstd): what many tools write,
and what many readers cut short after the first without a word. So every member is read, and a file whose last one does
not end, or that has something else behind it, is refused. Zero bytes behind the last member of gzip are padding.

Which compression it is tells the beginning of the file, never its name: writers give such files any name or none.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal, Self

import pyarrow as pa

from quarry_core.contract.magic import magic_of, other_name
from quarry_core.tabular.errors import SourceError

Compression = Literal["gzip", "zstd"]

MAGIC_BYTES = 16
CHUNK_BYTES = 1 << 18
OUT_BYTES = 1 << 20
GIB = 1 << 30
# A file may unpack to so many times its size, or to so much in any case: a text of one sentence goes far beyond.
EXPANSION_RATIO_MAX = 200
EXPANSION_FREE_BYTES = 4 * GIB
EXPANDED_BYTES_MAX = 1024 * GIB

_GZIP = b"\x1f\x8b"


def compression_of(head: bytes, key: str) -> Compression | None:
    """What the first `MAGIC_BYTES` of a file of text say; None if it is not compressed.

    Raises:
        SourceError: it is packed in a way that is not read, or no text at all; the text says what to do.
    """
    kind = magic_of(head)
    if kind in ("gzip", "zstd"):
        return kind
    if kind in ("parquet", "encrypted"):
        raise SourceError(f'{key} is Parquet data; narrow s3_uri to files of one format, or set format to "parquet"')
    name = other_name(head)
    if name:
        raise SourceError(
            f"{key} is {name}, which is not read; unpack or convert it, and compress it with gzip or zstd if you like"
        )
    return None


@dataclass(slots=True)
class _Bounds:
    """Counts what goes in and what comes out."""

    key: str
    packed_bytes: int = 0
    unpacked_bytes: int = 0

    def unpacked(self, size_bytes: int) -> None:
        self.unpacked_bytes += size_bytes
        if self.unpacked_bytes > EXPANDED_BYTES_MAX:
            raise SourceError(
                f"{self.key} unpacks to more than {EXPANDED_BYTES_MAX // GIB} GiB; write the data as several files"
            )
        free = max(EXPANSION_FREE_BYTES, EXPANSION_RATIO_MAX * self.packed_bytes)
        if self.unpacked_bytes > free:
            raise SourceError(
                f"{self.key} unpacks to more than {EXPANSION_RATIO_MAX} times its size ({self.packed_bytes} bytes have "
                f"become {self.unpacked_bytes}); if that is right, unpack it and name the unpacked file"
            )


class _Counted(io.RawIOBase):
    """A stream that tells the bounds what is read of it."""

    def __init__(self, body: BinaryIO, bounds: _Bounds) -> None:
        super().__init__()
        self._body = body
        self._bounds = bounds

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._body.read(size)
        self._bounds.packed_bytes += len(data)
        return data


def unpacked(body: BinaryIO, compression: Compression, key: str) -> BinaryIO:
    """The unpacked bytes of a stream that stands at the beginning of a compressed file.

    Raises, while it is read:
        SourceError: the file is damaged, cut short, has something behind its end, or unpacks to more than is read.
    """
    bounds = _Bounds(key)
    counted = _Counted(body, bounds)
    chunks = _gunzipped(counted, key) if compression == "gzip" else _unzstd(counted, key)
    return Chunks(_watched(chunks, bounds))


def unpacked_beginning(head: bytes, compression: Compression, bytes_max: int) -> bytes:
    """What the first bytes of a compressed file unpack to, at most `bytes_max`; that the file goes on is no fault."""
    out = bytearray()
    with io.BytesIO(head) as body:
        try:
            stream = unpacked(body, compression, "")
            while len(out) < bytes_max and (data := stream.read(min(bytes_max - len(out), 1 << 14))):
                out += data
        except SourceError:
            pass
    return bytes(out)


def _watched(chunks: Iterator[bytes], bounds: _Bounds) -> Iterator[bytes]:
    for chunk in chunks:
        bounds.unpacked(len(chunk))
        yield chunk


class Chunks(io.RawIOBase, BinaryIO):
    """Chunks of bytes as a stream to read forward: a read gives as much as it asks for, but at the end."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = memoryview(b"")

    def __enter__(self) -> Self:
        return self

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = -1 if size is None else size
        pieces: list[bytes | memoryview] = []
        have = 0
        while wanted < 0 or have < wanted:
            if not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    break
                self._rest = memoryview(chunk)
            piece = self._rest if wanted < 0 else self._rest[: wanted - have]
            self._rest = self._rest[len(piece) :]
            pieces.append(piece)
            have += len(piece)
        return b"".join(pieces)


# --------------------------------------------------------------------------- gzip


def _gunzipped(body: io.RawIOBase, key: str) -> Iterator[bytes]:
    data = body.read(CHUNK_BYTES) or b""
    while data:
        if len(data) == 1:
            data += body.read(CHUNK_BYTES) or b""
        if not data.startswith(_GZIP) and data != _GZIP[:1]:
            _check_padding(data, body, key)
            return
        data = yield from _member(data, body, key)
        data = data or body.read(CHUNK_BYTES) or b""


def _check_padding(data: bytes, body: io.RawIOBase, key: str) -> None:
    """Refuse what stands behind the last member, if it is more than zero bytes."""
    while data:
        if data.strip(b"\0"):
            raise SourceError(
                f"{key} has something behind its gzip data that is none; compress the whole file again (gzip FILE)"
            )
        data = body.read(CHUNK_BYTES) or b""


def _member(data: bytes, body: io.RawIOBase, key: str) -> Generator[bytes, None, bytes]:
    """Unpack one member, which begins with `data`; return what was read behind it."""
    decoder = zlib.decompressobj(31)  # with gzip's header and checksum
    while not decoder.eof:
        try:
            out = decoder.decompress(data, OUT_BYTES)
        except zlib.error as error:
            raise SourceError(f"{key} is damaged gzip data ({error}); compress and upload it again") from error
        data = decoder.unconsumed_tail
        if out:
            yield out
        elif not data and not decoder.eof and not (data := body.read(CHUNK_BYTES) or b""):
            raise SourceError(f"{key} is cut short: its gzip data does not end; upload it again")
    return decoder.unused_data


# --------------------------------------------------------------------------- zstd


def _unzstd(body: io.RawIOBase, key: str) -> Iterator[bytes]:
    # Arrow's stream goes on with the next frame, and demands that the last one ends; windows beyond 128 MiB are refused.
    try:
        with pa.CompressedInputStream(pa.PythonFile(body, "r"), "zstd") as stream:
            while data := stream.read(OUT_BYTES):
                yield data
    except OSError as error:
        reason = str(error)
        if "Truncated" in reason:
            raise SourceError(f"{key} is cut short: its zstd data does not end; upload it again") from error
        if "too much memory" in reason:
            raise SourceError(
                f"{key} needs a window of more than 128 MiB to be unpacked; compress it without --long or --ultra"
            ) from error
        if "Unknown frame" in reason:
            raise SourceError(
                f"{key} has something behind its zstd data that is none; compress the whole file again (zstd FILE)"
            ) from error
        raise SourceError(f"{key} is damaged zstd data ({reason}); compress and upload it again") from error
