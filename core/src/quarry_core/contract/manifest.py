"""The manifest: what the user drops on the queue, and what may be in it. Pure.

A field is here only when it works. Here each is described, checked alone, and held against the others; `read_manifest`
(`manifest_reading`) goes from JSON to a `Manifest`, and says all that is wrong in one answer. What needs the environment's
names is checked by `manifest_checks`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    StringConstraints,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from quarry_core.contract import job_request
from quarry_core.contract.canary import Canary, read_canary
from quarry_core.contract.column_names import names_fault
from quarry_core.contract.csv_dialect import NAMES_BYTES_MAX, Csv
from quarry_core.contract.hub_names import check_config, check_dataset_id, check_revision
from quarry_core.contract.images import ImageColumn, image_columns
from quarry_core.contract.manifest_fields import ANY_CANARY, ANY_IMAGES, ANY_SCHEMA, Count, Vpc, output_schema_of
from quarry_core.contract.manifest_requests import model_fault, prompt_of_requests, source_of_requests
from quarry_core.contract.names import RESULT_PREFIX_PATTERN, RUN_ID_PATTERN
from quarry_core.contract.prompts import Prompt, check_asks_rows, check_prompt_id
from quarry_core.contract.record_errors import RecordErrors
from quarry_core.contract.requests import RequestFormat, could_be_requests
from quarry_core.contract.s3_names import URIS_MAX, parse_s3_name
from quarry_core.contract.selection import PartitionType, Sample
from quarry_core.contract.share import CLASS_DEFAULT, WEIGHT_DEFAULT, AdmissionClass, Weight
from quarry_core.contract.source_format import SourceFormat, UnknownFormat, source_format
from quarry_core.contract.splits import read_split
from quarry_core.contract.where import parse_where
from quarry_core.models import (
    OutputMode,
    carriers_of,
    check_inference,
    family_of,
    image_content_of,
    is_application_profile,
    joined,
)
from quarry_core.structured.schema import OutputSchema, SchemaError
from quarry_core.structured.ways import check_sendable, mode_of
from quarry_core.text import shown_name

T = TypeVar("T")
# Asked one by one; above it a job is cheaper and faster.
ON_DEMAND_ROWS_MAX = 10_000

BUDGET_USD_MAX = 1_000_000_000

ONE_PROMPT = "a text model needs exactly one of prompt_id and prompt"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class ManifestError(ValueError):
    """A refused manifest; the text names every field that is wrong and what to do."""


class Manifest(BaseModel):
    """One dataset, one model, one prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    job_name_prefix: Annotated[str, StringConstraints(min_length=1, max_length=63)] = Field(
        description="Prefix of the name of every Bedrock job of the run."
    )
    model_id: str = Field(description="A model id, an inference profile id, or the ARN of either.")
    s3_uri: str | tuple[str, ...] | None = Field(
        None, description="The dataset: an object, a folder or a pattern (s3://bucket/key), or a list of them."
    )
    dataset_id: str | None = Field(
        None, description="The dataset, instead of s3_uri: one of the Hugging Face Hub, OWNER/NAME."
    )
    split: str | None = Field(
        None,
        description="Of dataset_id: a split, a slice or a sum: train[:10%]+test. By default train; all is every split.",
    )
    config: str | None = Field(None, description="Of dataset_id: which of its configs; by default its default one.")
    revision: str | None = Field(
        None, description="Of dataset_id: a branch, a tag or a commit; by default the newest commit of its main branch."
    )
    format: SourceFormat | None = Field(
        None, description="Of all files; needed where neither their names nor their first bytes tell it."
    )
    partition_types: Mapping[str, PartitionType] = Field(
        default_factory=dict,
        description="Types of columns that folders named column=value make; they are text otherwise.",
    )
    columns: tuple[str, ...] | None = Field(
        None, description="The columns of the source that are read and come back, in this order; by default all."
    )
    where: str | None = Field(
        None, description="A condition as in SQL; only rows of which it is true are taken: lang = 'en' and stars >= 4."
    )
    sample: Sample | None = Field(None, description="Take a part of the rows, chosen by chance but always the same.")
    id_column: str | None = Field(
        None,
        description="The column that names each row; the source is refused if a value is missing or appears twice.",
    )
    input_bucket_owner: Annotated[str, StringConstraints(pattern="^[0-9]{12}$")] | None = Field(
        None, description="The account that owns the dataset's bucket; nothing is read if another account owns it."
    )
    images: Annotated[tuple[ImageColumn, ...], BeforeValidator(image_columns), ANY_IMAGES] = Field(
        (),
        description="Columns of images that the model is shown with each row: S3 URIs, or the bytes."
        " A name, or a list of names or of objects {column, nulls}.",
    )
    prompt_id: str | None = Field(None, description="A prompt of the prompt store; null for embeddings.")
    prompt: Prompt | None = Field(
        None, description="The prompt itself, instead of prompt_id: a template, or an object."
    )
    inference: Mapping[str, Any] = Field(
        default_factory=dict, description="Inference parameters for the model's family; they override the prompt's."
    )
    request_format: RequestFormat | None = Field(
        None, description="The source is JSONL of ready requests in Bedrock's or OpenAI's form, which need no prompt."
    )
    csv: Csv | None = Field(None, description="For a CSV file that is not RFC 4180 in UTF-8 with commas: its dialect.")
    run_id: str | None = Field(
        None,
        pattern=f"^{RUN_ID_PATTERN.pattern}$",
        description="Your idempotency key, up to 32 of a-z, 0-9 and inner hyphens; without it one is derived.",
    )
    max_records_total: Count | None = Field(None, description="Take at most this many rows.")
    max_num_jobs: Count | None = Field(None, description="Make at most this many jobs; rows left out are reported.")
    max_records_per_job: Count | None = Field(None, description="Put at most this many records into one job.")
    timeout_hours: Annotated[int, Field(strict=True)] | None = Field(
        None, description="Bedrock's job timeout, 24 to 168 hours, waiting included."
    )
    tags: Mapping[str, str] = Field(
        default_factory=dict,
        description="Tags of every Bedrock job, beside those of the environment: at most 48 together. Keys that begin with quarry- are reserved.",
    )
    output_kms_key: str | None = Field(None, description="KMS key with which Bedrock encrypts its output.")
    vpc: Vpc | None = Field(None, description="Subnets and security groups for the jobs.")
    on_demand_below: Annotated[int, Field(strict=True, ge=0, le=ON_DEMAND_ROWS_MAX)] | None = Field(
        None,
        description="Ask a run of fewer rows on demand, record by record. By default that is the smallest job's number of"
        " records; 0 forbids it, also for what is left of a larger run.",
    )
    admission_class: AdmissionClass = Field(
        CLASS_DEFAULT,
        alias="class",
        description="Runs of a higher class are served first, as long as they have work waiting. `quarry set` changes it.",
    )
    weight: Weight = Field(
        WEIGHT_DEFAULT,
        description="Share of the pool's slots among runs of the same class: weight 4 gets four times as many as weight 1."
        " `quarry set` changes it.",
    )
    canary: Annotated[Canary, WrapValidator(read_canary), ANY_CANARY] | None = Field(
        None,
        description="Ask one small shard first, and the others only if its errors, truncated answers and projected cost stay"
        " within limits. By default in a run of more than 10 shards; true: always; false: never.",
    )
    budget_usd: Annotated[float, Field(strict=True, gt=0, le=BUDGET_USD_MAX, allow_inf_nan=False)] | None = Field(
        None,
        description="The most that the run may cost, in US dollars: no job is created that is likely to pass it."
        " `quarry set` changes it.",
    )
    record_errors: RecordErrors | None = Field(
        None, description="Which records with an error are asked again, and how often."
    )
    result_prefix: str | None = Field(
        None,
        pattern=f"^{RESULT_PREFIX_PATTERN.pattern}$",
        description="Prefix of every column that Quarry adds to the result.",
    )

    dry_run: Annotated[bool, Field(strict=True)] = Field(
        False, description="Count, plan and report what the run would be; nothing is sent to Bedrock, nothing is paid."
    )

    output_schema: Annotated[OutputSchema, PlainValidator(output_schema_of), ANY_SCHEMA] | None = Field(
        None,
        description='What each answer is: JSON Schema, or a list such as ["kind: a | b", "score: number"].'
        " Its properties become columns.",
    )
    output_mode: OutputMode | None = Field(
        None,
        description="How the model is asked for it: a schema that Bedrock enforces, a tool that it must call, or words."
        " By default the first that the model knows.",
    )

    @field_validator("prompt", mode="before")
    @classmethod
    def _bare_template(cls, value: object) -> object:
        return {"template": value} if isinstance(value, str) else value

    @field_validator("s3_uri", mode="before")
    @classmethod
    def _text_or_list(cls, value: object) -> object:
        if value is None:
            return None
        # Of a union pydantic would say what is wrong with each of its forms.
        each = value if isinstance(value, (list, tuple)) else (value,)
        if not all(isinstance(uri, str) for uri in each):
            raise ValueError("must be text in double quotes, or a list of such texts")
        return tuple(each) if isinstance(value, (list, tuple)) else value

    @field_validator("job_name_prefix", "s3_uri", "dataset_id", "split", "config", "revision", "tags", mode="before")
    @classmethod
    def _no_controls(cls, value: object) -> object:
        texts = (*value, *value.values()) if isinstance(value, dict) else value
        for text in texts if isinstance(texts, (list, tuple)) else (texts,):
            found = _CONTROL.search(text) if isinstance(text, str) else None
            if found is not None:
                raise ValueError(
                    f"holds the control character {shown_name(found[0])}, which no name may have: remove it"
                )
        return value

    @field_validator("s3_uri")
    @classmethod
    def _uris(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        uris = (value,) if isinstance(value, str) else value or ()
        if len(uris) > URIS_MAX:
            raise ValueError(f"has {len(uris)} entries; at most {URIS_MAX} are allowed: name folders or patterns")
        seen: set[str] = set()
        for uri in uris:
            parse_s3_name(uri)
            if uri in seen:
                raise ValueError(f"{shown_name(uri)} appears twice: its rows would be taken twice; name it once")
            seen.add(uri)
        return value

    @field_validator("columns")
    @classmethod
    def _columns(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None:
            fault = (
                names_fault(value) if value else "it is empty; name at least one column, or leave columns out for all"
            )
            if fault:
                raise ValueError(fault)
            size_bytes = sum(len(name.encode()) for name in value)
            if size_bytes > NAMES_BYTES_MAX:
                raise ValueError(f"the names have {size_bytes} bytes, more than {NAMES_BYTES_MAX}; name fewer columns")
        return value

    @field_validator("where")
    @classmethod
    def _where(cls, value: str | None) -> str | None:
        return _checked(parse_where, value)

    @field_validator("id_column")
    @classmethod
    def _id_column(cls, value: str | None) -> str | None:
        if value is not None and (fault := names_fault([value])):
            raise ValueError(fault)
        return value

    @field_validator("dataset_id")
    @classmethod
    def _dataset(cls, value: str | None) -> str | None:
        return _checked(check_dataset_id, value)

    @field_validator("split")
    @classmethod
    def _split(cls, value: str | None) -> str | None:
        return _checked(read_split, value)

    @field_validator("config")
    @classmethod
    def _config(cls, value: str | None) -> str | None:
        return _checked(check_config, value)

    @field_validator("revision")
    @classmethod
    def _revision(cls, value: str | None) -> str | None:
        return _checked(check_revision, value)

    _model: str = PrivateAttr("")

    def model_post_init(self, context: Any) -> None:
        self._model = (context or {}).get("model") or self.model_id

    @property
    def model(self) -> str:
        """The model: what family, limits and prices go by. That of an application inference profile, if it was looked up."""
        return self._model

    @property
    def model_known(self) -> bool:
        """False for an application inference profile of which nobody has looked up the model."""
        return not is_application_profile(self.model)

    @field_validator("model_id")
    @classmethod
    def _known_model(cls, value: str) -> str:
        job_request.check_model_id(value)
        return value

    @field_validator("prompt_id")
    @classmethod
    def _prompt_id(cls, value: str | None) -> str | None:
        if value is not None:
            check_prompt_id(value)
        return value

    @field_validator("timeout_hours")
    @classmethod
    def _timeout(cls, value: int | None) -> int | None:
        return _checked(job_request.check_timeout_hours, value)

    @field_validator("tags")
    @classmethod
    def _tags(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        job_request.check_user_tags(value)
        return value

    @field_validator("output_kms_key")
    @classmethod
    def _kms_key(cls, value: str | None) -> str | None:
        return _checked(job_request.check_kms_key, value)

    @property
    def uris(self) -> tuple[str, ...]:
        """What `s3_uri` names, one by one; nothing where the dataset is not in S3."""
        return (self.s3_uri,) if isinstance(self.s3_uri, str) else self.s3_uri or ()

    @model_validator(mode="after")
    def _fields_of_its_source(self) -> Self:
        """What belongs to the other kind of source is no wish that could be granted."""
        if self.dataset_id is None:
            for field in ("split", "config", "revision"):
                if getattr(self, field) is not None:
                    raise ValueError(f"{field}: it belongs to dataset_id, which is not given; leave it out")
            return self
        for field in ("input_bucket_owner", "partition_types"):
            if getattr(self, field):
                raise ValueError(
                    f"{field}: it belongs to s3_uri, and the dataset is on the Hugging Face Hub; leave it out"
                )
        return self

    @property
    def may_be_requests(self) -> bool:
        """Whether the source may hold ready requests, as far as `format` and its names tell."""
        return self.format == "jsonl" if self.format is not None else could_be_requests(self.uris)

    @model_validator(mode="after")
    def _names_promise_one_format(self) -> Self:
        """As far as they tell it. A folder may have a name of any kind, and what is in it is seen later."""
        if self.format is None:
            for uri in self.uris:
                name = parse_s3_name(uri)
                try:
                    promised = source_format(name.key) if name.kind == "object" else None
                except UnknownFormat as error:
                    raise ValueError(f"s3_uri: {error}") from error
                if self.csv is not None and promised == "parquet":
                    raise ValueError("csv: s3_uri names a Parquet object, which needs no dialect; leave csv out")
        elif self.csv is not None and self.format != "csv":
            raise ValueError(f"csv: format is {self.format}, which needs no dialect; leave csv out")
        return self

    @model_validator(mode="after")
    def _requests_fit(self) -> Self:
        if self.request_format is not None:
            fault = prompt_of_requests(self) or source_of_requests(
                may_be_requests=self.may_be_requests, has_dialect=self.csv is not None
            )
            if fault:
                raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def _prompt_fits_model(self) -> Self:
        if not self.model_known:
            return self  # the services look it up, and judge then
        fault = model_fault(self.model, self.request_format)
        if fault:
            raise ValueError(fault)
        if self.request_format is not None:
            return self
        family = family_of(self.model)
        if family.kind == "embedding":
            if self.prompt_id is not None or self.prompt is not None:
                raise ValueError(
                    f"prompt_id: {self.model_id} makes embeddings of the column input_text; leave prompt_id and"
                    " prompt null"
                )
        elif (self.prompt_id is not None and self.prompt is not None) or (
            self.prompt_id is None and self.prompt is None and not self.may_be_requests
        ):
            raise ValueError(f"prompt_id: {ONE_PROMPT}")
        if self.prompt is not None:
            try:
                check_asks_rows(self.prompt, images=bool(self.images))
            except ValueError as error:
                raise ValueError(f"prompt.template: {error}") from error
        if self.images:
            try:
                image_content_of(self.model)
            except ValueError as error:
                raise ValueError(f"images: {error}") from error
        given = joined(self.model, self.prompt.inference if self.prompt is not None else {}, self.inference)
        check_inference(self.model, given, whole=self.prompt_id is None)
        self.check_output(given)
        return self

    def check_output(self, inference: Mapping[str, Any]) -> OutputMode | None:
        """How the model is asked for the output schema, if there is one.

        Args:
            inference: the parameters that go with it.

        Raises:
            ValueError: it cannot be asked so; the text names the field, the place in the schema and the remedy.
        """
        if self.output_schema is None:
            if self.output_mode is not None:
                raise ValueError(
                    "output_mode: it says how output_schema is asked for: give output_schema, or leave it out"
                )
            return None
        carriers = carriers_of(self.model)
        mode = mode_of(carriers, self.output_mode, self.model)
        try:
            check_sendable(self.output_schema, carriers, mode, inference)
        except SchemaError as error:
            raise ValueError(f"output_schema: {error}") from error
        return mode


# By the key that a manifest has for each: `class` cannot be an attribute's name.
FIELDS: Mapping[str, FieldInfo] = {field.alias or name: field for name, field in Manifest.model_fields.items()}


def _checked(check: Callable[[T], object], value: T | None) -> T | None:
    if value is not None:
        check(value)
    return value
