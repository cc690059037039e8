"""The images of a few rows, from everywhere: how large they are, how many LLM tokens, and whether they may be read at all.

What a plan needs to know of images and would cost a request each to know exactly. Only what holds for a whole bucket
refuses the source: one image that is missing or damaged is its row's own fault, and is found when its record is written.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from quarry_core.contract.images import ImageColumn
from quarry_core.images.header import ODDITIES
from quarry_core.images.limits import tokens_of
from quarry_core.rendering.images import AHEAD_IMAGES, Fault, ImageLoader, Loaded, bucket_of, denied_bucket
from quarry_core.tabular.errors import SourceError

FAULTS_SHOWN = 3
# One row in so many, and not a single one: then the permission is missing, and not the row astray.
DENIED_SHARE = 20


@dataclass(slots=True)
class ImageSample:
    """What was seen of images.

    Attributes:
        rows: how many were looked at.
        images: how many of their images can be sent, `block_bytes` long with their base64, `tokens` together.
        spread_bytes: the sum of the squares of the lengths, for the spread.
        faults: why others cannot be: one sentence each, of the first ones.
        faulty: how many others there are.
        odd: what is unusual about those that can be sent, by `Header.oddities`.
    """

    rows: int = 0
    images: int = 0
    block_bytes: int = 0
    spread_bytes: int = 0
    tokens: int = 0
    faulty: int = 0
    faults: list[str] = field(default_factory=list)
    odd: Counter[str] = field(default_factory=Counter)
    _denied: Counter[str] = field(default_factory=Counter)
    _read: set[str] = field(default_factory=set)

    @property
    def record_bytes(self) -> float:
        """The images of a record, base64 counted: their mean, and two standard errors, for a shard that is too large costs."""
        if not self.rows:
            return 0.0
        mean = self.block_bytes / self.rows
        variance = max(self.spread_bytes / self.rows - mean * mean, 0.0)
        return mean + 2 * math.sqrt(variance / self.rows)

    @property
    def record_tokens(self) -> float:
        """LLM tokens of the images of a record."""
        return self.tokens / self.rows if self.rows else 0.0

    def notes(self, *, sure: bool) -> Iterator[str]:
        """What a plan says of images."""
        if self.images:
            by = (
                "by the formula of the model's maker"
                if sure
                else "by Claude's formula, for want of the model's own: a guess"
            )
            yield (
                f"images: of {self.rows} rows looked at, {self.images} images can be sent: about {self.block_bytes / self.images / 1e3:,.0f} KB"
                f" as base64 and {self.tokens / self.images:,.0f} tokens each ({by})"
            )
        for word in ODDITIES:
            if self.odd[word]:
                yield f"images: {self.odd[word]} of the {self.images} looked at are unusual: each {ODDITIES[word]}"
        if self.faulty:
            shown = "; ".join(self.faults)
            yield f"images: {self.faulty} of those looked at cannot be sent, and their rows will be error rows: {shown}"

    def add(self, loaded: Loaded | Fault | None) -> int:
        """Take note of an image; its length."""
        if isinstance(loaded, Loaded):
            self._read.add(loaded.bucket)
            self.images += 1
            self.tokens += tokens_of(loaded.header)
            self.odd.update(loaded.header.oddities)
            return len(loaded.block)
        if loaded is not None:
            self.faulty += 1
            if loaded.code == "IMAGE_DENIED":
                self._denied[bucket_of(loaded.message)] += 1
            if len(self.faults) < FAULTS_SHOWN:
                self.faults.append(loaded.message)
        return 0

    def check(self) -> None:
        """Refuse a bucket of which no image may be read, if it is more than a few rows' own. Raises SourceError."""
        for bucket, denied in self._denied.items():
            if bucket not in self._read and (
                denied == self.rows or (denied > 1 and denied * DENIED_SHARE >= self.rows)
            ):
                raise SourceError(denied_bucket(bucket))


def look_at_images(loader: ImageLoader, images: Sequence[ImageColumn], sample: Iterable[pa.RecordBatch]) -> ImageSample:
    """Read the images of a sample of rows. Blocking.

    Raises:
        SourceError: none of those of a bucket may be read.
        PortError: S3 gave no answer; and as the sample's reading.
    """
    seen = ImageSample()
    with ThreadPoolExecutor(AHEAD_IMAGES, "images") as pool:
        for batch in sample:
            for values in _rows(batch, images):
                size_bytes = sum(map(seen.add, pool.map(loader.load, values)))
                seen.rows += 1
                seen.block_bytes += size_bytes
                seen.spread_bytes += size_bytes * size_bytes
    seen.check()
    return seen


def _rows(batch: pa.RecordBatch, images: Sequence[ImageColumn]) -> Iterator[list[Any]]:
    columns = [batch.column(one.column) for one in images]
    for row in range(batch.num_rows):
        yield [column[row].as_py() for column in columns]
