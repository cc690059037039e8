"""What single fields of the manifest are made of, where it is more than a text or a number. Pure."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from quarry_core.contract import job_request
from quarry_core.contract.canary import Canary
from quarry_core.contract.images import ImageColumn
from quarry_core.contract.result_names import check_fields
from quarry_core.structured.schema import OutputSchema, read_schema

Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)]


class Vpc(BaseModel):
    """Where Bedrock runs the job's network interfaces (contract sections 1.2 and 6)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subnet_ids: tuple[str, ...] = Field(description="1 to 16 subnets.")
    security_group_ids: tuple[str, ...] = Field(description="1 to 5 security groups.")

    @model_validator(mode="after")
    def _patterns(self) -> Self:
        job_request.check_vpc(self.subnet_ids, self.security_group_ids)
        return self


def output_schema_of(value: object) -> OutputSchema:
    schema = read_schema(value)
    check_fields(list(schema.properties))
    return schema


ANY_SCHEMA = WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "string"}}]})

_IMAGE_COLUMN = {"anyOf": [{"type": "string"}, ImageColumn.model_json_schema()]}
ANY_IMAGES = WithJsonSchema(
    {"anyOf": [*_IMAGE_COLUMN["anyOf"], {"type": "array", "items": _IMAGE_COLUMN}, {"type": "null"}]}
)
ANY_CANARY = WithJsonSchema({"anyOf": [{"type": "boolean"}, Canary.model_json_schema()]})
