"""Which rows and columns of a source a manifest asks for, and what folders' names mean. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Of columns that folders named `column=value` make; text is the default, for nothing is guessed.
PartitionType = Literal["string", "int", "float", "bool", "date", "timestamp"]

# Their numbers are held in memory while the rows are chosen.
SAMPLE_ROWS_MAX = 1_000_000


class Sample(BaseModel):
    """The manifest's `sample`: a part of the rows, chosen by their numbers and a seed, so always the same part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: Annotated[int, Field(strict=True, ge=1, le=SAMPLE_ROWS_MAX)] | None = Field(
        None, description="So many rows, or all if there are no more."
    )
    share: Annotated[float, Field(strict=True, gt=0, lt=1)] | None = Field(
        None, description="About this share of the rows: 0.01 is one in a hundred."
    )
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = Field(0, description="Another seed chooses other rows.")

    @model_validator(mode="before")
    @classmethod
    def _is_object(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError('must be an object: {"rows": 1000} or {"share": 0.01}')  # noqa: TRY004 pydantic's way
        return value

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.rows is None) == (self.share is None):
            raise ValueError('needs exactly one of rows and share: {"rows": 1000} or {"share": 0.01}')
        return self
