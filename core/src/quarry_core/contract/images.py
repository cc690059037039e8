"""Which columns of a source are images that the model is shown. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from quarry_core.contract.column_names import names_fault
from quarry_core.contract.prompts import MissingColumn, NullPolicy, require_columns
from quarry_core.text import shown_name

# As many as Converse takes in a message; Claude takes more, if they are smaller then.
IMAGES_MAX = 20
_FORM = 'must name columns: ["photo"], or [{"column": "photo", "nulls": "skip"}]'


class ImageColumn(BaseModel):
    """A column of which each row holds one image: its S3 URI, its bytes, or a `data:` URL."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str = Field(min_length=1, description="The column.")
    nulls: NullPolicy = Field(
        "error", description="What becomes of a row without an image: error, empty (it is asked without), or skip."
    )

    unusual: Literal["send", "error"] = Field(
        "send",
        description="What becomes of an image that models may see otherwise than viewers show it (turned by Exif, CMYK, more"
        " than 8 bits, animated): it is sent as it is, or its row is an error.",
    )

    @field_validator("column")
    @classmethod
    def _named(cls, value: str) -> str:
        if fault := names_fault([value]):
            raise ValueError(fault)
        return value


def image_columns(value: Any) -> Any:
    """The manifest's `images` as a list of objects: one name, or a list of names and objects. Raises ValueError."""
    each = list(value) if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(one, (str, Mapping, ImageColumn)) for one in each):
        raise ValueError(_FORM)
    if len(each) > IMAGES_MAX:
        raise ValueError(f"has {len(each)} columns; at most {IMAGES_MAX} images may go into a request: name fewer")
    found = [{"column": one} if isinstance(one, str) else one for one in each]
    names = [one.column if isinstance(one, ImageColumn) else one.get("column") for one in found]
    for name in names:
        if names.count(name) > 1 and isinstance(name, str):
            raise ValueError(f"{shown_name(name)!r} appears twice: name each column once")
    return tuple(found)


def check_image_columns(images: Sequence[ImageColumn], available: Collection[str]) -> None:
    """Raise MissingColumn for the first column of images that the dataset does not have."""
    try:
        require_columns([one.column for one in images], available)
    except MissingColumn as error:
        raise MissingColumn(f"images: {error}") from error
