"""What a manifest's `split` names: splits of a Hugging Face dataset, and slices of them. Pure.

The notation is that of the `datasets` library (its `ReadInstruction.from_spec`; documentation "Slice splits"):
`train`, `train[:100]`, `train[-5:]`, `train[10%:20%]`, `train[:10%](pct1_dropremainder)`, and sums of them,
`train+test[:50%]`. Percentages are rounded to the nearest row, of two equally near ones to the even; with
`pct1_dropremainder` each per cent has as many rows as every other, and what is left over is dropped. Boundaries beyond
the split's end are its end. A slice says nothing in rows before the rows of the split are counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

SPLIT_CHARS_MAX = 500
SLICES_MAX = 50
Rounding = Literal["closest", "pct1_dropremainder"]

# A split's name as `datasets` allows it.
SPLIT_NAME = re.compile(r"\w+(\.\w+)*")
_NUMBER = "-?[0-9]+(?:_[0-9]+)*"
_SLICE = re.compile(
    rf"(?P<split>{SPLIT_NAME.pattern})"
    rf"(?P<slice>\[(?:(?P<first>{_NUMBER})(?P<first_pct>%)?)?:(?:(?P<last>{_NUMBER})(?P<last_pct>%)?)?\])?"
    r"(?:\((?P<rounding>[^)]*)\))?"
)
_DIGITS_MAX = 15
_FORM = "a slice is train[:100], train[-5:], train[10%:20%]; sums are train[:10%]+test"


class SplitError(ValueError):
    """What `split` says is no split; the text says what to write."""


class SplitSlice(BaseModel):
    """One summand of a split.

    Attributes:
        split: its name.
        first, last: boundaries, in rows or in per cent; negative ones count from the end, None is the end itself.
        percent: whether the boundaries are per cent.
        rounding: of per cent.
        files: how many files hold the split, once they are known.
    """

    model_config = ConfigDict(frozen=True)

    split: str
    first: int | None = None
    last: int | None = None
    percent: bool = False
    rounding: Rounding = "closest"
    files: int = 0

    @property
    def whole(self) -> bool:
        """Whether it is all of the split, however many rows that has."""
        full = 100 if self.percent else None
        return self.first in {None, 0} and self.last in {None, full} and self.rounding == "closest"

    def bounds(self, rows: int) -> tuple[int, int]:
        """The rows [from, to) of a split that has so many; empty where the boundaries meet or cross.

        Raises:
            SplitError: `pct1_dropremainder` of fewer than 100 rows.
        """
        first, last = self.first, self.last
        if self.percent:
            if self.rounding == "pct1_dropremainder" and rows < 100:
                raise SplitError(
                    f"{self.split} has {rows} rows, and pct1_dropremainder of fewer than 100 is nothing: leave it out"
                )
            first, last = (None if bound is None else self._of(bound, rows) for bound in (first, last))
        begin = _within(0 if first is None else first, rows)
        return begin, max(_within(rows if last is None else last, rows), begin)

    def _of(self, percent: int, rows: int) -> int:
        if self.rounding == "pct1_dropremainder":
            return percent * (rows // 100)
        # Python's round, as there: half of a row goes to the even one. Exact, where a float of many rows is not.
        quotient, rest = divmod(abs(percent) * rows, 100)
        up = rest * 2 > 100 or (rest * 2 == 100 and quotient % 2 == 1)
        return (quotient + up) * (1 if percent >= 0 else -1)

    def __str__(self) -> str:
        if self.first is None and self.last is None:
            return self.split
        unit = "%" if self.percent else ""
        first, last = ("" if bound is None else f"{bound}{unit}" for bound in (self.first, self.last))
        rounding = f"({self.rounding})" if self.rounding != "closest" else ""
        return f"{self.split}[{first}:{last}]{rounding}"


def _within(bound: int, rows: int) -> int:
    return min(max(rows + bound, 0) if bound < 0 else bound, rows)


def read_split(text: str) -> tuple[SplitSlice, ...]:
    """The summands of a split, in order. Raises SplitError."""
    if len(text) > SPLIT_CHARS_MAX:
        raise SplitError(f"has {len(text)} characters; at most {SPLIT_CHARS_MAX} are allowed")
    parts = text.split("+")
    if len(parts) > SLICES_MAX:
        raise SplitError(f"has {len(parts)} summands; at most {SLICES_MAX} are allowed")
    slices = tuple(_read_one(part.strip()) for part in parts)
    roundings = {each.rounding for each in slices if each.percent}
    if len(roundings) > 1:
        raise SplitError("its summands are rounded in different ways: give all of them (pct1_dropremainder), or none")
    return slices


def _read_one(text: str) -> SplitSlice:
    found = _SLICE.fullmatch(text)
    if found is None:
        raise SplitError(f"{text!r} is no split of a dataset: {_FORM}" if text else f"names no split: {_FORM}")
    bounds = [found["first"], found["last"]]
    if any(bound is not None and len(bound) > _DIGITS_MAX for bound in bounds):
        raise SplitError(f"{text!r}: no dataset has so many rows")
    percent = bool(found["first_pct"] or found["last_pct"])
    first, last = (None if bound is None else int(bound) for bound in bounds)
    if percent:
        for bound, sign in ((first, found["first_pct"]), (last, found["last_pct"])):
            if bound is not None and not sign:
                raise SplitError(f"{text!r}: one boundary is per cent and the other is not: write % behind both")
            if bound is not None and abs(bound) > 100:
                raise SplitError(f"{text!r}: {bound}% is more than all: give -100% to 100%")
    rounding = found["rounding"]
    if rounding is not None and rounding not in {"closest", "pct1_dropremainder"}:
        raise SplitError(f"{text!r}: there is no rounding {rounding!r}: leave it out, or write pct1_dropremainder")
    if rounding is not None and not percent:
        raise SplitError(f"{text!r}: only per cent are rounded: leave ({rounding}) out")
    return SplitSlice.model_validate(
        {"split": found["split"], "first": first, "last": last, "percent": percent, "rounding": rounding or "closest"}
    )


def taken_of(slices: Sequence[SplitSlice], file_rows: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """What the slices take of each file: its first row, and how many; of a file that is left out nothing.

    Args:
        slices: with their `files`: the list of files holds those of the first slice, then those of the second, and so on.
        file_rows: the rows of each file.

    Raises:
        SplitError: see `SplitSlice.bounds`.
    """
    assert sum(each.files for each in slices) == len(file_rows), "every file belongs to one slice"
    taken: list[tuple[int, int]] = []
    for each in slices:
        own = file_rows[len(taken) : len(taken) + each.files]
        first, last = each.bounds(sum(own))
        begins = 0
        for rows in own:
            begin = min(max(first - begins, 0), rows)
            taken.append((begin, max(min(last - begins, rows) - begin, 0)))
            begins += rows
    return tuple(taken)
