"""Where the environment is that a client talks to. Credentials and endpoints are AWS's own variables.

Nothing is guessed: a local stack in this directory is pointed out, and never used unasked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from quarry_cli.errors import NotConfigured
from quarry_core.contract.names import QUEUES, queue_url_variable
from quarry_core.settings import HUB_ENDPOINT, faults_of

LOCAL_STATE = "state.json"


class ClientSettings(BaseSettings):
    """Empty where the variable is not set: what is needed depends on the command."""

    model_config = SettingsConfigDict(env_prefix="QUARRY_", frozen=True, extra="ignore")

    env: str = Field("", description="The environment's name, shown to distinguish environments.")
    region: str = Field(
        "",
        validation_alias=AliasChoices("QUARRY_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"),
        description="AWS region of the bucket, the table and the queue.",
    )
    table: str = Field("", description="The ledger's DynamoDB table.")
    bucket: str = Field("", description="The environment's S3 bucket.")
    manifest_queue_url: str = Field("", description="The queue that manifests are sent to; needed only to submit.")
    input_bucket_owner_required: bool = Field(
        False,
        description=(
            "As for the services: a manifest must name the account that owns any bucket other than the environment's."
        ),
    )

    policy: str = Field(
        "", description="As for the services: what the environment allows. The command judges by it before it sends."
    )
    job_tags: str = Field(
        "", description="As for the services: tags of every batch job. The command judges by them before it sends."
    )

    hf_endpoint: str = Field(
        HUB_ENDPOINT, validation_alias="HF_ENDPOINT", description="The Hugging Face Hub, as for the services."
    )
    hf_token: SecretStr = Field(
        SecretStr(""),
        validation_alias="HF_TOKEN",
        description="Your access token of the Hub, to check a private dataset before its manifest is sent.",
    )

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None) -> Self:
        """From variables, by default the process's. Raises NotConfigured, naming one whose value cannot be read."""
        try:
            return cls(**_given(cls, variables))
        except ValidationError as error:
            raise NotConfigured("; ".join(faults_of(error))) from error

    def require(self, *fields: str) -> None:
        """Raises NotConfigured, naming every variable of `fields` that is not set."""
        missing = [f"QUARRY_{field.upper()}" for field in fields if not getattr(self, field)]
        if missing:
            raise NotConfigured(f"{_listed(missing)} not set; {_remedy()}")


class ServiceSettings(BaseSettings):
    """What the services plan by (`quarry_core.settings`), where this process has their variables; None where not.

    Apart from the others: only who plans needs them.
    """

    model_config = SettingsConfigDict(env_prefix="QUARRY_", frozen=True, extra="ignore", env_ignore_empty=True)

    job_quota: int | None = Field(None, ge=1, description="Jobs that may be active at once in one pool.")
    max_records_per_job: int | None = Field(
        None, ge=1, validation_alias="MAX_RECORDS_PER_JOB", description="Default of the manifest's field of that name."
    )
    max_total_records: int | None = Field(
        None, ge=1, validation_alias="MAX_TOTAL_RECORDS", description="Default of the manifest's max_records_total."
    )

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None) -> Self:
        """As `ClientSettings.read`."""
        try:
            return cls(**_given(cls, variables))
        except ValidationError as error:
            raise NotConfigured("; ".join(faults_of(error))) from error


class PageSettings(BaseSettings):
    """What `quarry ui` takes from the environment beside its options."""

    model_config = SettingsConfigDict(env_prefix="QUARRY_", frozen=True, extra="ignore")

    ui_token: SecretStr = Field(
        SecretStr(""),
        description="The token that `quarry ui` asks for, of at least 32 characters; empty makes one at each start.",
    )
    ui_allow_hosts: str = Field(
        "", description="As --allow-host: names under which others reach the page, with commas between them."
    )
    ui_dashboard_url: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="A dashboard that the page of a run leads to; `{run_id}` in it becomes the run's id.",
    )
    endpoint: str = Field(
        "",
        validation_alias="AWS_ENDPOINT_URL",
        description="AWS's own variable: where it leads elsewhere, the page has no links to AWS's console.",
    )

    @property
    def hosts(self) -> list[str]:
        return [name.strip() for name in self.ui_allow_hosts.split(",") if name.strip()]

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None) -> Self:
        """As `ClientSettings.read`."""
        try:
            return cls(**_given(cls, variables))
        except ValidationError as error:
            raise NotConfigured("; ".join(faults_of(error))) from error


def names_of(settings: type[BaseSettings], field: str) -> tuple[str, ...]:
    """The variables that a field is read from, the first that is set."""
    alias = settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(each for each in alias.choices if isinstance(each, str))
    return (alias,) if isinstance(alias, str) else (f"{settings.model_config.get('env_prefix', '')}{field}".upper(),)


def _given(settings: type[BaseSettings], variables: Mapping[str, str] | None) -> dict[str, Any]:
    """Arguments of the settings, for which the process's variables are not asked."""
    found: dict[str, Any] = {}
    if variables is None:
        return found
    for field, info in settings.model_fields.items():
        names = names_of(settings, field)
        value = next((variables[name] for name in names if variables.get(name)), None)
        found[names[0] if info.validation_alias else field] = info.get_default() if value is None else value
    return found


def other_queue_urls(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment's queues that are not for manifests, by name, as far as variables tell them."""
    known = os.environ if variables is None else variables
    reported = {name: known.get(queue_url_variable(name), "") for name in QUEUES if name != "manifests"}
    return {name: url for name, url in reported.items() if url}


def _listed(names: list[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} is"
    return f"{', '.join(names[:-1])} and {names[-1]} are"


def _remedy() -> str:
    local = 'eval "$(quarry local env)"'
    state = Path(os.environ.get("QUARRY_LOCAL_DIR", ".quarry")) / LOCAL_STATE
    if state.is_file():
        return (
            f"a local stack is recorded in {state}: run  {local}  to use it, or take the values of an"
            " environment in AWS from `terraform output`"
        )
    return f"take them from `terraform output`, name a profile with --env, or run  {local}  for a local stack"
