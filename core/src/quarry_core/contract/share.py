"""How large a part of its pool a run gets: its admission class and its weight. Pure.

The highest class is served first: while a run of it has a shard waiting, none of a lower class is admitted. Inside a
class, slots are given in proportion to the weights.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

AdmissionClass = Literal["high", "normal", "low"]
CLASSES: tuple[AdmissionClass, ...] = get_args(AdmissionClass)  # the highest first
CLASS_DEFAULT: AdmissionClass = "normal"
WEIGHT_DEFAULT = 1
WEIGHT_MAX = 100
Weight = Annotated[int, Field(strict=True, ge=1, le=WEIGHT_MAX)]
