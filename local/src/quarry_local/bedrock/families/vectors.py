"""Embeddings that are cheap to make, repeat, and have length 1. Pure.

A vector is put together from chunks of 32 numbers, each picked by one byte of the text's hash out of 256 that are made
and rendered once. All chunks of one size have the same length, so every vector has length 1 however they are
combined; two texts share a chunk as often as chance has it. Rendering a vector is then one join.
"""

from functools import cache
from hashlib import sha256, shake_256

import numpy as np
import numpy.typing as npt

CHUNK = 32


@cache
def _drawn(dimensions: int, length: float) -> npt.NDArray[np.float32]:
    drawn = np.random.default_rng(dimensions).standard_normal((256, CHUNK))
    scale = length * np.sqrt(CHUNK / dimensions)
    scaled: npt.NDArray[np.float32] = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True) * scale).astype(np.float32)
    return scaled


@cache
def chunks(dimensions: int, length: float = 1.0) -> tuple[list[bytes], list[bytes]]:
    """256 rendered chunks of vectors with this length, as floats and as bits."""
    scaled = _drawn(dimensions, length)
    floats = [",".join(str(value) for value in chunk).encode() for chunk in scaled]
    bits = [",".join("1" if value > 0 else "0" for value in chunk).encode() for chunk in scaled]
    return floats, bits


def picks(text: str, dimensions: int) -> bytes:
    """Which chunks make the text's vector."""
    count = dimensions // CHUNK
    if count <= 32:
        return sha256(text.encode()).digest()[:count]
    return shake_256(text.encode()).digest(count)


def rendered(text: str, dimensions: int) -> bytes:
    """The text's unit vector, as JSON numbers with commas."""
    floats, _ = chunks(dimensions)
    return b",".join([floats[pick] for pick in picks(text, dimensions)])


def vector(text: str, dimensions: int) -> npt.NDArray[np.float32]:
    """The same vector as numbers, for forms that are made from them."""
    return _drawn(dimensions, 1.0)[np.frombuffer(picks(text, dimensions), np.uint8)].ravel()
