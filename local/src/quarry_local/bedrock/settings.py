"""Every setting, once: as a command-line flag (`--events-lost-share`) and as an environment variable
(`QUARRY_SIM_EVENTS_LOST_SHARE`).

`LiveSettings` may be changed while the server runs: `Faults` and `Pace` through `/_quarry/faults`, all of them through
`/_quarry/settings`. The rest is fixed at the start.
Durations are seconds of *simulated* time (see `clock`) unless the description says otherwise.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

from quarry_local.bedrock.faults.plan import Faults, Share
from quarry_local.bedrock.models.catalogue import Family

InvocationFault = Literal[
    "ModelErrorException", "ModelNotReadyException", "ModelTimeoutException", "ServiceUnavailableException"
]


class Pace(BaseModel):
    """How fast jobs go when nothing goes wrong."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    speed: float = Field(1.0, gt=0, le=1_000_000, description="simulated seconds per second; none on a stepped clock")
    submitted_s: NonNegativeFloat = Field(0.1, description="time in Submitted")
    validating_s: NonNegativeFloat = Field(0.4, description="minimum time in Validating")
    queue_s: NonNegativeFloat = Field(0.4, description="time in Scheduled, waiting for capacity")
    starting_s: NonNegativeFloat = Field(0.5, description="time in InProgress before the first record is done")
    seconds_per_1000_records: NonNegativeFloat = Field(1.0, description="time in InProgress per 1,000 records")
    stopping_s: NonNegativeFloat = Field(0.2, description="time in Stopping")


class FaultsAndPace(Faults, Pace):
    """What `/_quarry/faults` shows and changes."""


class LiveSettings(FaultsAndPace):
    quota: NonNegativeInt = Field(20, description="active jobs allowed per pool (contract section 5)")
    quotas: dict[str, NonNegativeInt] = Field(
        default_factory=dict, description="exceptions from the quota, by pool (the canonical base model id)"
    )

    batch_models: dict[str, Family] = Field(
        default_factory=dict, description="further models that batch inference supports: base model id and family"
    )

    application_profiles: dict[str, str] = Field(
        default_factory=dict,
        description="application inference profiles: the last part of each one's ARN, to the model or profile that it"
        " was made of",
    )

    records_min: NonNegativeInt = Field(100, description="minimum records of a job; with fewer it ends Failed")
    records_max: PositiveInt = Field(50_000, description="maximum records of a job, and of a file")
    file_bytes_max: PositiveInt = Field(1 << 30, description="maximum bytes of one input file")
    job_bytes_max: PositiveInt = Field(5 << 30, description="maximum total bytes of a job's input files")

    requests_per_minute: NonNegativeInt = Field(
        1_000, description="on-demand requests in 60 s, per model and per inference profile (contract section 9)"
    )
    requests_per_minute_by_model: dict[str, NonNegativeInt] = Field(
        default_factory=dict, description="overrides, by base model id or by a profile's id"
    )
    tokens_per_minute: NonNegativeInt = Field(2_000_000, description="on-demand tokens in 60 s, likewise")
    tokens_per_minute_by_model: dict[str, NonNegativeInt] = Field(
        default_factory=dict, description="overrides, by base model id or by a profile's id"
    )
    invocation_s: NonNegativeFloat = Field(0.0, description="time that one on-demand invocation takes")
    invocation_faults: dict[InvocationFault, Share] = Field(
        default_factory=dict, description="share of on-demand invocations that fail, by error"
    )
    models_without_access: tuple[str, ...] = Field(
        (), description="base model ids that the account may not use: their invocation and Create are denied"
    )


# LiveSettings stands first, for its config (frozen, unknown keys refused) is the one that both need.
class Settings(LiveSettings, BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="QUARRY_SIM_",
        cli_prog_name="quarry_local.bedrock",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
    )

    port: int = Field(0, ge=0, le=65535, description="port on 127.0.0.1; 0 takes a free one")
    tls: bool = Field(False, description="also listen with TLS, on `tls_port`")
    tls_port: int = Field(
        0, ge=0, le=65535, description="TLS port on 127.0.0.1, which also turns TLS on; 0 takes a free one"
    )
    tls_directory: Path = Field(
        Path(".quarry", "tls"), description="where its certificates are created once: clients trust `ca.pem`"
    )
    seed: int = Field(
        0, description=("seed of every random choice: failing records, faults of events, order of the output")
    )
    workers: int = Field(2, ge=1, le=16, description="threads that read, answer and write")
    aws_endpoint_url: str | None = Field(
        None, description="the emulator's address; AWS_ENDPOINT_URL and its per-service variants when unset"
    )
    aws_timeout_s: float = Field(10.0, gt=0, description="real seconds before a call to the emulator is abandoned")
    check_role: bool = Field(True, description="ask the emulator's IAM at Create whether the role exists")
    check_access: bool = Field(
        True, description="evaluate the role's trust policy at Create, its access to the job's files in Validating"
    )
    check_profiles: bool = Field(
        True, description="with an inference profile, also evaluate whether the role may invoke it and its models"
    )
    caller_role: str | None = Field(
        None, description="name of the role whose policies must let it pass the job's role; unset: not evaluated"
    )
    clock: Literal["running", "stepped"] = Field(
        "running", description="stepped: time moves only by POST /_quarry/clock, so that a run repeats exactly"
    )
    store: Path | None = Field(
        None, description="a directory in place of the emulator's S3 (`<bucket>/<key>`); then no emulator is needed"
    )
    print_events: bool = Field(False, description="with a store: write each event to standard output, one line each")
    rules_cache_s: NonNegativeFloat = Field(1.0, description="real seconds that rules, targets and policies are kept")

    def live(self) -> LiveSettings:
        return LiveSettings.model_validate(self.model_dump(include=set(LiveSettings.model_fields)))
