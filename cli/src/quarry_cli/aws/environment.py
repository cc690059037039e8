"""The environment that is checked: its names, and what AWS knows of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from quarry_cli.aws.asking import Answer, Ask, Asking, reason, skew_of
from quarry_cli.aws.environment_settings import EnvironmentSettings
from quarry_cli.aws.finding import NotKnown
from quarry_cli.aws.policy import Document
from quarry_core.contract import names
from quarry_core.errors import PortError
from quarry_core.models import NoOneModel, canonical_model, is_application_profile, model_behind
from quarry_core.ports import Clock


class Unreadable(NotKnown):
    """Something is there, and may not be read."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role as IAM tells it."""

    name: str
    arn: str
    policies: tuple[Document, ...]


@dataclass(slots=True)
class Environment:
    """One environment.

    Attributes:
        settings: the variables.
        asking: reads AWS.
        account: of the credentials, 12 digits; `partition` likewise (`aws`, `aws-us-gov`).
        models: ids to look at: those that were named, else those of open runs.
        scheduler_role: name of the role that creates jobs; None takes the names that Quarry gives.
        skew_s: local clock minus AWS's, seconds; None if AWS told no time.
    """

    settings: EnvironmentSettings
    asking: Asking
    account: str
    partition: str = "aws"
    models: Sequence[str] = ()
    scheduler_role: str | None = None
    skew_s: float | None = None

    @property
    def env(self) -> str:
        return self.settings.env

    @property
    def region(self) -> str:
        return self.settings.region

    @property
    def bucket(self) -> str:
        return self.settings.bucket

    @property
    def bucket_arn(self) -> str:
        return f"arn:{self.partition}:s3:::{self.bucket}"

    @property
    def bedrock_role_arn(self) -> str:
        return self.settings.bedrock_role_arn or self.role_arn(f"{self.env}-quarry-bedrock")

    def role_arn(self, name: str) -> str:
        return f"arn:{self.partition}:iam::{self.account}:role/{name}"

    @property
    def jobs_arn(self) -> str:
        return f"arn:{self.partition}:bedrock:{self.region}:{self.account}:model-invocation-job/*"

    @property
    def rule(self) -> str:
        return f"{self.env}-quarry-job-events"

    @property
    def rule_arn(self) -> str:
        return f"arn:{self.partition}:events:{self.region}:{self.account}:rule/{self.rule}"

    @property
    def event_target_dlq(self) -> str:
        return f"{self.env}-quarry-event-target-dlq"

    def queue_arn(self, queue: str) -> str:
        return f"arn:{self.partition}:sqs:{self.region}:{self.account}:{queue}"

    # ----------------------------------------------------------------------- reading

    async def queue(self, name: str) -> Answer | None:
        """Attributes of one of the five queues, with its URL as `url`; None if it does not exist."""
        return await self.queue_at(self.settings.queue_url(name), names.queue_name(self.env, name))

    async def dead_letter_queue(self, name: str) -> Answer | None:
        """Likewise of its dead-letter queue."""
        return await self.queue_at(self.settings.dead_letter_url(name), names.dead_letter_queue_name(self.env, name))

    async def undelivered(self) -> Answer | None:
        """Likewise of the queue of what EventBridge could not deliver."""
        return await self.queue_at(self.settings.event_target_dlq_url, self.event_target_dlq)

    async def queue_at(self, url: str, name: str) -> Answer | None:
        if not url:
            known = await self.asking.found("sqs", "get_queue_url", QueueName=name)
            if known is None:
                return None
            url = str(known["QueueUrl"])
        reported = await self.asking.found("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["All"])
        return {**reported["Attributes"], "url": url} if reported else None

    async def role_trusting(self, name: str) -> Answer | None:
        """A role without its policies: ARN and trust."""
        reported = await self.asking.found("iam", "get_role", RoleName=name)
        found: Answer | None = reported["Role"] if reported else None
        return found

    async def role(self, name: str) -> Role | None:
        """A role with all its policies, None if there is none.

        Raises:
            Unreadable: one of its policies may not be read, so nothing can be said of the rest.
        """
        reported = await self.role_trusting(name)
        if reported is None:
            return None
        try:
            policies = await self._policies(name)
        except PortError as error:
            raise Unreadable(f"the policies of role {name} cannot be read: {reason(error)}") from error
        return Role(name, reported["Arn"], policies)

    async def _policies(self, name: str) -> tuple[Document, ...]:
        found: list[Any] = []
        for policy in await self.asking.pages("iam", "list_role_policies", "PolicyNames", "Marker", RoleName=name):
            reported = await self.asking("iam", "get_role_policy", RoleName=name, PolicyName=policy)
            found.append(reported["PolicyDocument"])
        attached = await self.asking.pages(
            "iam", "list_attached_role_policies", "AttachedPolicies", "Marker", RoleName=name
        )
        for policy in attached:
            arn = policy["PolicyArn"]
            version = (await self.asking("iam", "get_policy", PolicyArn=arn))["Policy"]["DefaultVersionId"]
            reported = await self.asking("iam", "get_policy_version", PolicyArn=arn, VersionId=version)
            found.append(reported["PolicyVersion"]["Document"])
        return tuple(document(each) for each in found)

    async def bedrock_role(self) -> Role:
        """The role of QUARRY_BEDROCK_ROLE_ARN. Raises NotKnown where the check `role` says what is wrong."""
        role = await self.role(role_name(self.bedrock_role_arn))
        if role is None or role.arn != self.bedrock_role_arn:
            raise NotKnown("the role does not exist: see the check `role`")
        return role

    async def bedrock_role_absent(self) -> bool:
        """Whether the role is surely not there; one that may not be looked at is not absent."""
        try:
            reported = await self.role_trusting(role_name(self.bedrock_role_arn))
        except PortError:
            return False
        return reported is None or reported["Arn"] != self.bedrock_role_arn

    async def find_scheduler_role(self) -> Role:
        """The role that creates jobs: the scheduler's, or on one server that of all services. Raises NotKnown."""
        wanted = self.scheduler_role_names()
        for name in wanted:
            if role := await self.role(name):
                return role
        raise NotKnown(f"there is no role {' or '.join(wanted)}: name the one that creates jobs, --scheduler-role NAME")

    def scheduler_role_names(self) -> list[str]:
        if self.scheduler_role:
            return [role_name(self.scheduler_role)]
        return [f"{self.env}-quarry-scheduler", f"{self.env}-quarry-server"]

    async def profile(self, model: str) -> Answer | None:
        """The inference profile that an id names; None for any other id, and for a profile that does not exist."""
        if not is_profile(model):
            return None
        return await self.asking.found("bedrock", "get_inference_profile", inferenceProfileIdentifier=model)

    async def behind(self, model: str) -> str:
        """The model that an application inference profile stands for; any other id as it is.

        Raises:
            NotKnown: there is no such profile, or no one model behind it.
        """
        if not is_application_profile(model):
            return model
        profile = await self.profile(model)
        if profile is None:
            raise NotKnown(f"there is no inference profile {model}")
        try:
            return model_behind([str(each["modelArn"]) for each in profile["models"]])
        except NoOneModel as error:
            raise NotKnown(f"{model} cannot be used: {error}") from error

    async def model_names(self) -> dict[str, str]:
        """What the region's foundation models are called, by id without a context length."""
        reported = await self.asking("bedrock", "list_foundation_models")
        return {canonical_model(each["modelId"]): str(each.get("modelName", "")) for each in reported["modelSummaries"]}

    async def model_name(self, model: str) -> str:
        """What a model is called; empty if it is not there or may not be asked for."""
        try:
            return (await self.model_names()).get(canonical_model(model), "")
        except PortError:
            return ""

    def model_arn(self, model: str) -> str:
        named = f"arn:{self.partition}:bedrock:{self.region}::foundation-model/{model}"
        return model if model.startswith("arn:") else named

    def named(self) -> Sequence[str]:
        """The models to look at. Raises NotKnown if there are none."""
        if not self.models:
            raise NotKnown("no run is open: name a model with --model ID")
        return self.models


async def identify(
    settings: EnvironmentSettings,
    ask: Ask,
    clock: Clock,
    *,
    models: Sequence[str] = (),
    scheduler_role: str | None = None,
) -> Environment:
    """Find out whose account it is, and what the time is there.

    Raises:
        PortError: AWS does not say who is asking, so nothing can be looked at; `skew_of` may tell why.
    """
    asking = Asking(ask)
    reported = await asking("sts", "get_caller_identity")
    return Environment(
        settings,
        asking,
        account=str(reported["Account"]),
        partition=str(reported.get("Arn", "arn:aws")).split(":")[1],
        models=models,
        scheduler_role=scheduler_role,
        skew_s=skew_of(reported, clock),
    )


def document(raw: Any) -> Document:
    """A policy, from JSON text (IAM's may be percent-encoded) or parsed already."""
    if isinstance(raw, str):
        raw = json.loads(raw if raw.lstrip().startswith("{") else unquote(raw)) if raw else {}
    return raw or {}


def is_profile(model: str) -> bool:
    """Whether an id is an inference profile's: an ARN that says so, or a geography before the model's provider."""
    if model.startswith("arn:"):
        return "inference-profile/" in model
    return model.partition(".")[0] != canonical_model(model).partition(".")[0]


def profile_arns(profile: Answer) -> list[str]:
    """What a profile is to IAM: itself, and its model in each of its regions."""
    return [str(profile["inferenceProfileArn"]), *(str(each["modelArn"]) for each in profile.get("models", []))]


def role_name(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]
