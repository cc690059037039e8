"""A run as it was accepted: everything pinned, so that a step repeated next week does what it would do today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from quarry_core.contract.canary import CANARY_ABOVE_SHARDS, Canary
from quarry_core.contract.csv_dialect import Csv
from quarry_core.contract.hub_names import in_hub
from quarry_core.contract.images import ImageColumn
from quarry_core.contract.manifest_fields import Vpc
from quarry_core.contract.prompts import Prompt
from quarry_core.contract.record_errors import RecordRetries
from quarry_core.contract.requests import RequestFormat
from quarry_core.contract.selection import PartitionType, Sample
from quarry_core.contract.share import CLASS_DEFAULT, WEIGHT_DEFAULT, AdmissionClass
from quarry_core.contract.source_format import SourceFormat
from quarry_core.contract.versions import RetryOf
from quarry_core.models import Carrier, OutputMode
from quarry_core.models.family import Invocation
from quarry_core.ports import ObjectRef

# A DynamoDB item holds 400 KB: the pins, a refusal and the rest of the run's item fit into it.
PINS_BYTES_MAX = 360_000


class Source(BaseModel):
    """What holds the rows: one object, pinned by version or ETag, or several, pinned by a list of them.

    Attributes:
        format: of all files.
        bucket: of the object, or of all files that do not name another.
        key: the object's; of several files what the manifest named: a folder, a pattern, or the first of a list.
        size_bytes: of all files together.
        etag: of the one object; empty for several.
        files: how many there are.
        listing: SHA-256 of `plans/<run_id>/files.json`, which pins each of several files; empty for one object.
    """

    model_config = ConfigDict(frozen=True)

    format: SourceFormat
    bucket: str
    key: str
    size_bytes: int
    etag: str = ""
    version_id: str | None = None
    bucket_owner: str | None = None
    files: int = 1
    listing: str = ""

    @property
    def ref(self) -> ObjectRef:
        """The one object."""
        return ObjectRef(self.key, self.bucket, self.etag, self.version_id, self.bucket_owner, self.size_bytes)

    @property
    def field(self) -> str:
        """The manifest's field that names it."""
        return "dataset_id" if in_hub(self.bucket) else "s3_uri"

    @property
    def copied(self) -> bool:
        """Whether the rows of each shard are kept in the bucket, for the join: all but those of Parquet in S3 are."""
        return self.format != "parquet" or in_hub(self.bucket)

    @property
    def uri(self) -> str:
        """For people."""
        if in_hub(self.bucket):
            return f"{self.bucket}/{self.key}"
        return f"s3://{self.bucket}/{self.key}"


class Output(BaseModel):
    """What answers are asked for, and how.

    Attributes:
        text: the output schema as JSON; its order is that of the columns.
        mode: how a model is asked for it.
        carrier: in which member of a record.
    """

    model_config = ConfigDict(frozen=True)

    text: str
    mode: OutputMode
    carrier: Carrier


class Pins(BaseModel):
    """What the manifest meant on the day it was accepted.

    Attributes:
        model_id: as Bedrock is told it.
        base_model: of an application inference profile, which does not say it: the model that it stood for.
        family: by which name `models.reader_named` knows how the answers are read.
        tags: of its jobs: the manifest's, and the environment's as they were on that day.
        images: columns of images that go into the records.
        columns, where, sample, id_column: as of the manifest; empty where it has none.
        request_format: of the source's ready requests; None where a prompt, or the column `input_text`, asks.
        invocation: how Bedrock is to read the records; None is its own default, InvokeModel.
        admission_class, weight: with which its lane opens; the lane has what they are now.
        record_retries: which records with an error are asked again, and how often.
        retry: of a run that asks the error rows of an ended one again; None of any other.
        budget_usd: the most that it may cost; the totals have what it is now.
        canary: what its first shard must not exceed; None: it has no canary.
        canary_above_shards: a run of no more shards than this has none either.
        on_demand_below: a run of fewer rows is asked on demand, and so is what is below the minimum of a job; 0: neither.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    job_name_prefix: str
    model_id: str
    base_model: str = ""
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
    partition_types: Mapping[str, PartitionType] = Field(default_factory=dict)
    columns: tuple[str, ...] | None = None
    where: str = ""
    sample: Sample | None = None
    id_column: str = ""
    result_prefix: str = ""
    dry_run: bool = False
    request_format: RequestFormat | None = None
    invocation: Invocation | None = None
    on_demand_below: int = 0
    output: Output | None = None
    images: tuple[ImageColumn, ...] = ()
    admission_class: AdmissionClass = CLASS_DEFAULT
    weight: int = WEIGHT_DEFAULT
    record_retries: RecordRetries = RecordRetries()
    retry: RetryOf | None = None
    canary: Canary | None = None
    budget_usd: float | None = None
    canary_above_shards: int = CANARY_ABOVE_SHARDS

    @property
    def model(self) -> str:
        """The model: what family, limits and prices go by."""
        return self.base_model or self.model_id


class Run(BaseModel):
    """The ledger's run item: immutable. It has pins, or the sentence with which its manifest was refused.

    `sender` is the id under which SQS knows who sent the manifest: AIDA… of a user, AROA…:session of a role.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    manifest_hash: str
    accepted_at: str
    pins: Pins | None = None
    refusal: str = ""
    sender: str = ""

    @property
    def version(self) -> int:
        """Of the dataset, that its results are."""
        return self.pins.retry.version if self.pins is not None and self.pins.retry is not None else 1

    @property
    def counted_as(self) -> str:
        """The run whose dataset this is about, under whose id the count of the source and the copies of its rows stand."""
        return self.pins.retry.root if self.pins is not None and self.pins.retry is not None else self.run_id
