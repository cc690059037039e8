"""A run as it was accepted: everything pinned, so that a step repeated next week does what it would do today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from quarry_core.contract.csv_dialect import Csv
from quarry_core.contract.manifest import Vpc
from quarry_core.contract.prompts import Prompt
from quarry_core.ports import ObjectRef

# A DynamoDB item holds 400 KB: the pins, a refusal and the rest of the run's item fit into it.
PINS_BYTES_MAX = 360_000


class Source(BaseModel):
    """The object that holds the rows, pinned by version or ETag."""

    model_config = ConfigDict(frozen=True)

    format: Literal["csv", "parquet"]
    bucket: str
    key: str
    size_bytes: int
    etag: str
    version_id: str | None = None
    bucket_owner: str | None = None

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef(self.key, self.bucket, self.etag, self.version_id, self.bucket_owner)

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class Pins(BaseModel):
    """What the manifest meant on the day it was accepted."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    job_name_prefix: str
    model_id: str
    pool: str
    family: str
    family_version: str
    source: Source
    prompt: Prompt | None = None
    inference: Mapping[str, Any] = Field(default_factory=dict)
    max_records_total: int | None = None
    max_num_jobs: int | None = None
    max_records_per_job: int | None = None
    timeout_hours: int
    tags: Mapping[str, str] = Field(default_factory=dict)
    output_kms_key: str | None = None
    vpc: Vpc | None = None
    csv: Csv | None = None
    result_prefix: str = ""


class Run(BaseModel):
    """The ledger's run item: immutable. It has pins, or the sentence with which its manifest was refused."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    manifest_hash: str
    accepted_at: str
    pins: Pins | None = None
    refusal: str = ""
