"""What is asked of many things side by side: all of it, a few at a time. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
AT_ONCE_MAX = 64  # the threads are fewer


def pieces(whole: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(whole), AT_ONCE_MAX):
        yield whole[start : start + AT_ONCE_MAX]
