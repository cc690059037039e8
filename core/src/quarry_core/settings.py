"""Every setting of the three services, read from the environment once, at the composition root.

Names are `QUARRY_<FIELD>`, units stand last. Two keep the names that their users know: `MAX_RECORDS_PER_JOB` and
`MAX_TOTAL_RECORDS`. `docs/settings.md` is generated from this file.
"""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0, le=86_400)]
# No repeat waits longer, whatever a row of the ledger says.
PAUSE_MAX_S = 86_400.0
Pause = Annotated[float, Field(ge=0, le=PAUSE_MAX_S)]


VALUE_CHARS_MAX = 100
HUB_ENDPOINT = "https://huggingface.co"


def faults_of(error: ValidationError) -> list[str]:
    """What is wrong with an environment's variables, each by its own name, in plain words."""
    faults = []
    for each in error.errors(include_url=False):
        name = str(each["loc"][0]) if each["loc"] else ""
        variable = name if name.isupper() else f"QUARRY_{name.upper()}"
        if not name:  # of several variables together: its text names them, and what they hold may be a secret
            faults.append(str(each["msg"]).removeprefix("Value error, "))
        elif each["type"] == "missing":
            faults.append(f"{variable} is not set")
        else:
            faults.append(f"{variable} is {str(each['input'])[:VALUE_CHARS_MAX]!r}: {each['msg']}")
    return faults


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="QUARRY_", frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True
    )

    env: str = Field(
        pattern=r"^[a-z0-9]{1,8}$", description="The environment's name; every resource name begins or ends with it."
    )
    region: str = Field(
        validation_alias=AliasChoices("QUARRY_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"),
        description="AWS region of the bucket, the queues and the models.",
    )
    table: str = Field(description="The ledger's DynamoDB table.")
    bucket: str = Field(description="The environment's S3 bucket.")
    bedrock_role_arn: str = Field(description="The role that Bedrock assumes to read and write the bucket.")

    manifest_queue_url: str = Field("", description="The user's queue: manifests.")
    manifest_dlq_url: str = Field("", description="Its dead-letter queue; by default the URL with -dlq appended.")
    slices_queue_url: str = Field("", description="Count and slice messages.")
    slices_dlq_url: str = Field("", description="Its dead-letter queue.")
    scheduler_queue_url: str = Field("", description="The scheduler's wake-ups and the sweep.")
    scheduler_dlq_url: str = Field("", description="Its dead-letter queue.")
    events_queue_url: str = Field("", description="Bedrock's job events.")
    events_dlq_url: str = Field("", description="Its dead-letter queue.")
    collector_queue_url: str = Field("", description="The collector's wake-ups.")
    collector_dlq_url: str = Field("", description="Its dead-letter queue.")

    hf_endpoint: str = Field(
        HUB_ENDPOINT,
        validation_alias="HF_ENDPOINT",
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
        description="The Hugging Face Hub that `dataset_id` names datasets of. Only the preprocessor asks it.",
    )
    hf_token: SecretStr = Field(
        SecretStr(""),
        validation_alias="HF_TOKEN",
        description="An access token of the Hub, for private and gated datasets; it is sent to HF_ENDPOINT alone.",
    )
    on_demand_queue_url: str = Field("", description="Shards that are asked on demand; unset: none is.")
    on_demand_dlq_url: str = Field("", description="Its dead-letter queue.")

    event_target_dlq_url: str = Field("", description="Queue of the events that EventBridge could not deliver.")

    job_quota: int = Field(20, ge=1, le=500, description="Jobs that may be active at once in one pool.")
    read_quotas: bool = Field(
        True, description="Whether the scheduler reads the account's quotas from Service Quotas, where it may."
    )
    quotas_every_s: Seconds = Field(3_600, description="How often it reads them; after a failure sooner.")
    read_batch_metrics: bool = Field(
        False,
        description="Whether the scheduler reads CloudWatch's namespace AWS/Bedrock/Batch, for what others have pending and for the"
        " pace before its own is known; it needs cloudwatch:GetMetricData.",
    )
    batch_metrics_every_s: Seconds = Field(300, description="How often it reads it.")
    max_records_per_job: int | None = Field(
        None,
        ge=1,
        validation_alias="MAX_RECORDS_PER_JOB",
        description="Default of the manifest's field of that name; unset: the model's quota.",
    )
    max_total_records: int | None = Field(
        None,
        ge=1,
        validation_alias="MAX_TOTAL_RECORDS",
        description="Default of the manifest's max_records_total; unset: all rows.",
    )
    open_runs_max: int = Field(
        1_000, ge=1, description="Runs that may be open at once; further manifests wait on their queue."
    )
    parquet_pages_bytes_max: int = Field(
        224 << 20,
        ge=1 << 20,
        description="Memory for the Parquet pages of a source that are open at once; the same in"
        " preprocessor and collector, which need about 150 MB more than this.",
    )
    shard_bytes_max: int = Field(
        950_000_000, ge=10_000, description="A shard's input file never exceeds this; a shard that would is split."
    )

    tick_every_s: Seconds = Field(30, description="A pool without wake-ups is checked this often.")
    sweep_every_s: Seconds = Field(60, description="A scheduler sweeps this often, with a tenth of jitter.")
    finish_after_s: Seconds = Field(
        120, description="Another scheduler's admission is taken over when its heartbeat has been stale for this long."
    )
    list_settle_s: Seconds = Field(
        300,
        description="After a Create with an unknown outcome, List must not show the name for this long before a retry.",
    )
    late_create_max_s: Seconds = Field(
        600,
        description=(
            "After a take-over, neither a refusal nor a cancellation returns the slot for this long: the Create of the"
            " scheduler before may still be on its way."
        ),
    )
    wake_after_slices_s: Seconds = Field(
        900,
        description=(
            "The sweep sends a slice's message again when the slice has been stale for this long and the"
            " queue has lost its message."
        ),
    )
    wake_after_ended_s: Seconds = Field(
        300, description="The same for an ended shard or a whole run; later pauses are longer."
    )
    wake_max: int = Field(500, ge=1, description="Most wake-ups that one sweep sends.")
    repeats_max: int = Field(2, ge=0, le=9, description="How often a job without any usable output is repeated.")
    repeat_pauses_s: Annotated[tuple[Pause, ...], NoDecode] = Field(
        (60, 600),
        description="Pause before the first, second, ... repeat, counted from when a scheduler first sees it; the last"
        " one applies to all later repeats.",
    )
    identical_failures_max: int = Field(
        5,
        ge=1,
        le=100,
        description="A step that fails this often in the same way, through no fault of AWS, ends its run.",
    )
    alike_failures_max: int = Field(
        10,
        ge=2,
        le=1_000,
        description="A queue of which this many messages in a row failed in the same way, through no fault of AWS, is left"
        " alone for 30 seconds, then longer, up to five minutes.",
    )
    worker_deaths_max: int = Field(
        4, ge=1, le=100, description="A piece of work in which this many workers died ends its run."
    )
    timeout_hours: int = Field(72, ge=24, le=168, description="Job timeout if the manifest gives none.")

    input_bucket_owner_required: bool = Field(
        False,
        description=(
            "A manifest must name the account that owns its source's bucket, unless it is the environment's own bucket."
        ),
    )

    visibility_timeout_s: int = Field(120, ge=10, le=43_200, description="Heartbeats renew it three times as often.")
    receive_wait_s: int = Field(10, ge=0, le=20, description="Long poll; a shorter one makes shutdown faster.")
    retry_after_max_s: int = Field(300, ge=1, description="Longest pause before a returned message is delivered again.")
    drain_s: Seconds = Field(
        25, description="After SIGTERM, work in progress has this long to finish; then it is returned to the queue."
    )
    slice_concurrency: int = Field(1, ge=1, le=8, description="Slices that one preprocessor writes at once.")
    settle_concurrency: int = Field(
        8,
        ge=1,
        le=8,
        description="Shards that one collector settles at once, while their inputs are 32 MiB together at most.",
    )
    create_concurrency: int = Field(
        4, ge=1, le=16, description="Create calls that one scheduler has in flight at once."
    )

    on_demand: bool = Field(
        True, description="Whether records that are too few for a batch job may be asked on demand, at its price."
    )
    on_demand_concurrency: int = Field(
        8, ge=1, le=64, description="Records that one scheduler asks on demand at once, of all runs together."
    )
    on_demand_requests_per_minute: int = Field(
        100, ge=1, le=100_000, description="Requests on demand that one scheduler sends to one model."
    )
    on_demand_tokens_per_minute: int = Field(
        200_000,
        ge=1_000,
        le=1_000_000_000,
        description="LLM tokens that these requests may take, as Bedrock counts them against its quota: input, and the"
        " most that may be answered.",
    )
    on_demand_attempts_max: int = Field(
        8, ge=1, le=20, description="How often a record is asked on demand when Bedrock throttles, times out or breaks."
    )

    refused_model_days: int = Field(
        1,
        ge=0,
        le=90,
        description="Days for which a model of which Bedrock refused to create a job is remembered, so that the next run of"
        " it is refused at once; 0: it is not. `quarry limits MODEL --forget` ends it earlier.",
    )

    prompt_text_days: int = Field(
        30,
        ge=1,
        le=3_650,
        description="Days that a run's prompt and inference parameters stay in the ledger after the run ends.",
    )

    policy: str = Field(
        "",
        description="What the environment allows, as YAML (docs/policy.md); empty: anything. Only the preprocessor judges by it.",
    )
    job_tags: str = Field(
        "",
        description="Tags of every batch job beside those of its manifest, as `team=search,cost-center=4711`: at most 48. They are"
        " pinned when a manifest is accepted, and no manifest can give their keys other values (docs/operations.md).",
    )
    webhook_url: str = Field(
        "",
        description="Where ended runs are told of by a signed POST; empty: nowhere. Its host is in QUARRY_WEBHOOK_HOSTS.",
    )
    webhook_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="The hosts that a webhook may have, with commas between them."
    )
    webhook_private: bool = Field(False, description="Whether the webhook's host may have a private address.")
    webhook_key: SecretStr = Field(
        SecretStr(""),
        description="The key that its requests are signed with: `whsec_` and 24 to 64 bytes in base64. While it is changed, the"
        " new one and the old one, with a comma between them. Only the collector needs it.",
    )
    notice_attempts_max: int = Field(
        20,
        ge=1,
        le=25,
        description="How often a notice is tried, with longer and longer pauses, before it is dead-lettered.",
    )

    metrics_host: str = Field(
        "0.0.0.0",  # noqa: S104 kubelet, load balancer and Prometheus ask from outside the container
        min_length=1,
        description="The address that serves /metrics, /healthz and /readyz; use 127.0.0.1 outside a container.",
    )
    metrics_port: int = Field(9090, ge=0, le=65_535, description="The port; 0 chooses a free one.")
    gauges_every_s: Seconds = Field(
        30, description="How often the depths of a service's queues are read: two requests per queue."
    )
    budget_usd: float | None = Field(
        None,
        gt=0,
        le=1_000_000_000,
        allow_inf_nan=False,
        description="What the runs of one calendar month (UTC) may cost together, in US dollars: no job is created that is likely"
        " to pass it, and its run is HELD until the setting is raised or the next month begins. Unset: no budget.",
    )
    budget_dollars: float | None = Field(
        None, gt=0, description="What 30 days may cost, for the alert; it stops nothing."
    )
    traces: bool | None = Field(
        None,
        description="Traces by OpenTelemetry; unset: on if there is an address for them and the extra is installed.",
    )
    traces_share: float = Field(1, ge=0, le=1, description="Share of the shards that are traced.")
    otlp_endpoint: str = Field(
        "",
        validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="The address for traces, by OTLP over HTTP; OpenTelemetry itself reads it and its other variables.",
    )
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="The lowest level that is logged."
    )

    @field_validator("repeat_pauses_s", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(float(part) for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("webhook_hosts", mode="before")
    @classmethod
    def _hosts(cls, value: object) -> object:
        return tuple(value.lower().replace(",", " ").split()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _webhook_is_allowed(self) -> Self:
        if not self.webhook_url:
            return self
        try:
            parts = urlsplit(self.webhook_url)
            host, _ = (parts.hostname or "").lower(), parts.port
        except ValueError as error:
            raise ValueError(f"QUARRY_WEBHOOK_URL: {error}") from error
        if parts.scheme != "https" or not host or parts.username is not None or parts.password is not None:
            raise ValueError("QUARRY_WEBHOOK_URL must be https://host/path, without a user or a password")
        if not self.webhook_url.isascii() or not self.webhook_url.isprintable() or " " in self.webhook_url:
            raise ValueError("QUARRY_WEBHOOK_URL must be printable ASCII without spaces")
        if host not in self.webhook_hosts:
            raise ValueError(
                f"QUARRY_WEBHOOK_URL: its host {host} is not in QUARRY_WEBHOOK_HOSTS; add it there if it may be told"
            )
        return self

    @property
    def asks_on_demand(self) -> bool:
        """Whether this environment may ask records on demand."""
        return self.on_demand and bool(self.on_demand_queue_url)

    def has_queue(self, name: str) -> bool:
        """Whether a queue's URL is set."""
        return bool(getattr(self, f"{_queue_field(name)}_queue_url"))

    def queue_urls(self, name: str) -> tuple[str, str]:
        """URL of a queue and of its dead-letter queue. Raises ValueError naming the variable that is not set."""
        field = _queue_field(name)
        url = str(getattr(self, f"{field}_queue_url"))
        if not url:
            raise ValueError(
                f"QUARRY_{field.upper()}_QUEUE_URL is not set; `terraform output` or `quarry local env` prints it"
            )
        return url, str(getattr(self, f"{field}_dlq_url")) or f"{url}-dlq"

    def repeat_pause_s(self, attempt: int) -> float:
        """Pause before the attempt that follows `attempt`."""
        if not self.repeat_pauses_s:
            return 0.0
        return self.repeat_pauses_s[min(attempt, len(self.repeat_pauses_s)) - 1]


def _queue_field(name: str) -> str:
    """How the fields of a queue begin; the user's own queue is named for one manifest."""
    return "manifest" if name == "manifests" else name.replace("-", "_")
