"""Every setting, once: as a command-line flag (`--events-lost-share`) and as an environment variable
(`QUARRY_SIM_EVENTS_LOST_SHARE`).

`LiveSettings` may be changed while the server runs (`PUT /_quarry/settings`); the rest is fixed at the start.
Durations are seconds of *simulated* time (see `clock`) unless the description says otherwise.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

Share = Annotated[float, Field(ge=0, le=1)]


class LiveSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    speed: float = Field(1.0, gt=0, le=1_000_000, description="simulated seconds per second")

    quota: NonNegativeInt = Field(20, description="active jobs allowed per pool (contract section 5)")
    quotas: dict[str, NonNegativeInt] = Field(
        default_factory=dict, description="exceptions from the quota, by pool (the canonical base model id)"
    )
    quota_mode: Literal["refuse", "queue"] = Field(
        "refuse", description="above the quota: refuse Create, or let the job wait in Scheduled; sources disagree"
    )
    token_window_s: NonNegativeFloat | None = Field(
        None, description="how long a client request token is remembered; for ever when unset (not documented)"
    )

    submitted_s: NonNegativeFloat = Field(0.1, description="time in Submitted")
    validating_s: NonNegativeFloat = Field(0.4, description="least time in Validating")
    queue_s: NonNegativeFloat = Field(0.4, description="time in Scheduled, waiting for capacity")
    starting_s: NonNegativeFloat = Field(0.5, description="time in InProgress before the first record is done")
    seconds_per_1000_records: NonNegativeFloat = Field(1.0, description="time in InProgress per 1,000 records")
    stopping_s: NonNegativeFloat = Field(0.2, description="time in Stopping")

    records_min: NonNegativeInt = Field(100, description="least records of a job; fewer end it Failed")
    records_max: PositiveInt = Field(50_000, description="most records of a job, and of a file")
    file_bytes_max: PositiveInt = Field(1 << 30, description="most bytes of one input file")
    job_bytes_max: PositiveInt = Field(5 << 30, description="most bytes of a job's input files together")

    record_error_share: Share = Field(0.0, description="share of records that fail, chosen by seed, job name, record")
    record_error_code: int = Field(500, ge=400, le=599, description="error code of the records that fail by share")

    events_lost_share: Share = Field(0.0, description="share of events that never come (contract section 3)")
    events_doubled_share: Share = Field(0.0, description="share of events that come twice")
    events_reordered_share: Share = Field(0.0, description="share of events that the job's next event overtakes")
    events_delay_s: NonNegativeFloat = Field(0.0, description="time from a change of status to its event")


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
    seed: int = Field(0, description="seed of every choice: failing records, faults of events, order of the output")
    workers: int = Field(2, ge=1, le=16, description="threads that read, answer and write")
    aws_endpoint_url: str | None = Field(
        None, description="the emulator's address; AWS_ENDPOINT_URL and its kin when unset"
    )
    aws_timeout_s: float = Field(10.0, gt=0, description="real seconds before a call to the emulator is given up")
    check_role: bool = Field(True, description="ask the emulator's IAM at Create whether the role exists")
    rules_cache_s: NonNegativeFloat = Field(1.0, description="real seconds that rules, targets and policies are kept")

    def live(self) -> LiveSettings:
        return LiveSettings.model_validate(self.model_dump(include=set(LiveSettings.model_fields)))
