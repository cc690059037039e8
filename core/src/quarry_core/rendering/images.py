"""Images into the lines of records: an encoder of texts, with a place in each line that the row's images take.

Theory of operation. The lines are those of `encode`, with a mark at the beginning of the last message's content, where
the blocks of the images go (models read best what shows first). The mark has quotation marks that are not escaped, which
no value of a row can have inside its own; so it stands in each line once. Rows without a line, for want of a text, cost no
image.

Images are read from S3 a few at a time, ahead of the row whose turn it is, and never more than `AHEAD_IMAGES` are held,
each of at most `bytes_max` bytes: memory is bounded whatever the dataset has. What is sent are the bytes as they are:
nothing is decoded, so nothing can unpack. An image that cannot be sent costs its own row. What only the role's permissions
keep from being read would cost them all: when no image of a bucket was read, and `DENIED_MAX` and half of all were denied,
the source is refused instead.
"""

from __future__ import annotations

import binascii
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa

from quarry_core.contract.images import ImageColumn
from quarry_core.errors import Missing, MissingBucket, Refused, credentials_fault
from quarry_core.images.header import ODDITIES, Header, NotAnImage, read_header
from quarry_core.models import ImageContent
from quarry_core.ports import ObjectRef, Objects
from quarry_core.rendering.encode import Encoder
from quarry_core.rendering.image_values import BadReference, reference_of
from quarry_core.rendering.row_encoder import HEAD_BYTES, LINES_BYTES_MAX, ROW_DIGITS, Encoded, Unsent, UnsentCode
from quarry_core.tabular.errors import SourceError

# In flight, or read and waiting for their row's turn.
AHEAD_IMAGES = 8
DENIED_MAX = 20
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a row's image is not sent."""

    code: UnsentCode
    message: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """An image that can be sent: its block of content as JSON, and what its bytes say."""

    block: bytes
    header: Header
    bucket: str = ""


@dataclass(slots=True)
class ImageTally:
    """What was sent of images: how many, and of what is unusual about them, how many (`Header.oddities`)."""

    sent: int = 0
    odd: Counter[str] = field(default_factory=Counter)


class ImageLoader:
    """Reads single images and makes them content. May be called from several threads.

    Args:
        objects: the port that reads them.
        content: what the model takes, and in which form.
        owner: the account that must own their buckets.
    """

    def __init__(self, objects: Objects, content: ImageContent, owner: str | None = None) -> None:
        self.limits = content.limits
        self._objects = objects
        self._owner = owner
        # Around the base64 of an image; which is not made JSON again, for it needs no escapes.
        self._around = {
            kind: tuple(_encode(content.block(kind, "<>")).split(b"<>")) for kind in ("png", "jpeg", "gif", "webp")
        }

    def load(self, value: Any) -> Loaded | Fault | None:
        """The image that a value of a column names or is; None: the row has none.

        Args:
            value: text, bytes, or an object of both, as `reference_of` takes it.

        Raises:
            Throttled, Unknown: S3 gave no answer.
        """
        try:
            found = reference_of(value)
        except BadReference as error:
            return Fault("BAD_IMAGE", str(error))
        if found is None:
            return None
        if isinstance(found, bytes):
            return self._of_bytes(found, "")
        where = f"s3://{found.bucket}/{found.key}"
        try:
            # One byte more than it may have: what is too long is never read whole.
            data = self._objects.read(self._owned(found), 0, self.limits.bytes_max + 1)
        except MissingBucket:
            return Fault("IMAGE_MISSING", f"{where}: there is no such bucket")
        except Missing:
            return Fault("IMAGE_MISSING", f"{where}: there is no such object")
        except Refused as error:
            if credentials_fault(error):
                raise  # the worker's want, not the image's fault
            return Fault("IMAGE_DENIED" if error.denied else "BAD_IMAGE", f"{where} cannot be read ({error.code})")
        loaded = self._of_bytes(data, where, cut=len(data) > self.limits.bytes_max)
        return loaded if isinstance(loaded, Fault) else Loaded(loaded.block, loaded.header, found.bucket)

    def _owned(self, found: ObjectRef) -> ObjectRef:
        return ObjectRef(found.key, found.bucket, owner=self._owner)

    def _of_bytes(self, data: bytes, where: str, *, cut: bool = False) -> Loaded | Fault:
        named = f"{where}: the image " if where else "the image "
        if cut or len(data) > self.limits.bytes_max:
            return Fault("IMAGE_TOO_LARGE", named + self.limits.too_long(None if cut else len(data)))
        try:
            header = read_header(data)
        except NotAnImage as error:
            return Fault("BAD_IMAGE", named + str(error))
        if why := self.limits.fault(header):
            return Fault("IMAGE_TOO_LARGE", named + why)
        before, behind = self._around[header.format]
        return Loaded(before + binascii.b2a_base64(data, newline=False) + behind, header)


@dataclass(slots=True)
class _Waiting:
    """A line whose images are being read."""

    row: int
    line: bytes
    images: list[Future[Loaded | Fault | None]]


class ImageEncoder:
    """Encodes the rows of a run whose records show images. What is not said here is as of `RowEncoder`.

    Args:
        texts: encodes the rows, with `mark` where the blocks of images go.
        mark: as `marked` made it.
        images: the columns, in the order in which their images are shown.
        loader: reads the images.

    Attributes:
        tally: of what was encoded so far.
    """

    def __init__(self, texts: Encoder, mark: bytes, images: Sequence[ImageColumn], loader: ImageLoader) -> None:
        self.columns = tuple(dict.fromkeys((*texts.columns, *(one.column for one in images))))
        self.tally = ImageTally()
        self._texts = texts
        self._mark = mark
        self._images = images
        self._loader = loader
        self._left_out: Mapping[int, Unsent] = {}

    def without(self, unsent: Sequence[Unsent]) -> ImageEncoder:
        """The same, which leaves out these rows of a shard in any case, each for the reason that is given."""
        other = ImageEncoder(self._texts, self._mark, self._images, self._loader)
        other.tally, other._left_out = self.tally, {one.row: one for one in unsent}
        return other

    @property
    def frame_bytes(self) -> int:
        """Of a line without an image."""
        return self._texts.frame_bytes - len(self._mark) + 1

    def texts(self, batch: pa.RecordBatch) -> Iterator[str]:
        """As `Encoder.texts`: an image is no text."""
        return self._texts.texts(batch)

    def could_be_too_large(self, text_bytes: int) -> bool:
        """As `Encoder.could_be_too_large`, of the texts alone."""
        return self._texts.could_be_too_large(text_bytes)

    def count_unsent(self, batch: pa.RecordBatch) -> int:
        """How many rows are not sent for their texts: no image is read to count."""
        return self._texts.count_unsent(batch)

    def encode_bounded(self, batch: pa.RecordBatch, shard: str, first_row: int) -> Iterator[Encoded]:
        """As `Encoder.encode_bounded`.

        Raises:
            SourceError: a bucket's images may not be read.
            Throttled, Unknown: S3 gave no answer.
        """
        lines: list[bytes] = []
        unsent: list[Unsent] = []
        size_bytes = 0
        buckets = _Buckets()
        with ThreadPoolExecutor(AHEAD_IMAGES, "images") as pool:
            try:
                for waiting in self._ahead(batch, shard, first_row, pool, unsent):
                    line = self._finished(waiting, unsent, buckets)
                    if line is None:
                        continue
                    if lines and size_bytes + len(line) > LINES_BYTES_MAX:
                        yield Encoded(b"".join(lines), len(lines))
                        lines, size_bytes = [], 0
                    lines.append(line)
                    size_bytes += len(line)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        unsent.sort(key=lambda one: one.row)
        yield Encoded(b"".join(lines), len(lines), tuple(unsent))

    def _ahead(
        self, batch: pa.RecordBatch, shard: str, first_row: int, pool: ThreadPoolExecutor, unsent: list[Unsent]
    ) -> Iterator[_Waiting]:
        """The lines in order, their images asked for before their turn."""
        columns = [batch.column(one.column) for one in self._images]
        queue: deque[_Waiting] = deque()
        held = 0
        for part in self._texts.encode_bounded(batch, shard, first_row):
            unsent += part.unsent
            for line in bytes(part.data).split(b"\n")[:-1]:
                row = int(line[HEAD_BYTES : HEAD_BYTES + ROW_DIGITS])
                if row in self._left_out:
                    unsent.append(self._left_out[row])
                    continue
                while queue and held + len(columns) > AHEAD_IMAGES:
                    held -= len(queue[0].images)
                    yield queue.popleft()
                values = [column[row - first_row].as_py() for column in columns]
                asked = [pool.submit(self._loader.load, value) for value in values]
                queue.append(_Waiting(row, line, asked))
                held += len(asked)
        yield from queue

    def _finished(self, waiting: _Waiting, unsent: list[Unsent], buckets: _Buckets) -> bytes | None:
        """The line with its images; None, and told, where one of them cannot be sent."""
        loaded = [future.result() for future in waiting.images]
        buckets.rows += 1
        blocks: list[bytes] = []
        why: Fault | None = None
        for column, one in zip(self._images, loaded, strict=True):
            fault = _no_image(column) if one is None else one
            if isinstance(one, Loaded):
                buckets.read.add(one.bucket)
                fault = _unusual(column, one)
                if fault is None:
                    blocks += (one.block, b",")
                    continue
            assert not isinstance(fault, Loaded)
            if fault is not None and fault.code == "IMAGE_DENIED":
                buckets.denied(fault.message)
            if fault is not None and (why is None or fault.code == "SKIPPED"):
                why = Fault(fault.code, _told(column, fault))
        if why is None:
            head, mark, tail = waiting.line.partition(self._mark)
            assert mark, "each line has its place for images"
            line = b"".join((head, b"[", *blocks, tail, b"\n"))
            limit = self._loader.limits.request_bytes_max
            if len(line) <= limit:
                self._count(loaded)
                return line
            why = Fault(
                "TOO_LARGE", f"with its images the record has {len(line)} bytes, and Bedrock takes {limit} at most"
            )
        unsent.append(Unsent(waiting.row, why.code, why.message))
        return None

    def _count(self, loaded: Sequence[Loaded | Fault | None]) -> None:
        for one in loaded:
            if isinstance(one, Loaded):
                self.tally.sent += 1
                self.tally.odd.update(one.header.oddities)


def _unusual(column: ImageColumn, one: Loaded) -> Fault | None:
    if column.unusual == "send" or not one.header.oddities:
        return None
    why = ", and ".join(ODDITIES[word] for word in one.header.oddities)
    return Fault("BAD_IMAGE", f"the image {why}: write it again with an image library, or leave `unusual` at send")


def _no_image(column: ImageColumn) -> Fault | None:
    match column.nulls:
        case "empty":
            return None
        case "skip":
            return Fault("SKIPPED", "is null in this row, and the manifest skips such rows")
        case _:
            return Fault("NULL_INPUT", "is null in this row")


def _told(column: ImageColumn, fault: Fault) -> str:
    of_column = fault.code in ("NULL_INPUT", "SKIPPED")
    return f"the column {column.column!r}{' ' if of_column else ': '}{fault.message}"


@dataclass(slots=True)
class _Buckets:
    """Which buckets' images were read, how many were denied, and of how many rows."""

    rows: int = 0
    read: set[str] = field(default_factory=set)
    _denied: Counter[str] = field(default_factory=Counter)

    def denied(self, message: str) -> None:
        bucket = bucket_of(message)
        self._denied[bucket] += 1
        if bucket not in self.read and self._denied[bucket] >= max(DENIED_MAX, self.rows / 2):
            raise SourceError(denied_bucket(bucket))


def bucket_of(message: str) -> str:
    """The bucket of which a fault's message speaks."""
    return message.removeprefix("s3://").partition("/")[0]


def denied_bucket(bucket: str) -> str:
    """The sentence for a bucket of which no image may be read."""
    return (
        f"images: the role of the preprocessor may not read s3://{bucket} (AccessDenied): add it to source_buckets of"
        " Terraform, and the key of its objects to source_kms_key_arns if they have one; in the environment's own bucket"
        " images stand under inputs/"
    )


def marked(body: dict[str, Any], mark: str) -> dict[str, Any]:
    """A body with the mark where the blocks of images go."""
    content = body["messages"][-1]["content"]
    content.insert(0, mark)
    return body
