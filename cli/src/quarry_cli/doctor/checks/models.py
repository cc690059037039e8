"""The models: known to Quarry, there in the region, open to the account, and taken by batch inference."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from quarry_cli.aws.asking import reason
from quarry_cli.aws.environment import Environment, is_profile
from quarry_cli.aws.finding import Fault, NotKnown, setting, statements
from quarry_cli.aws.models_quotas import Access, Batch, read_access, takes_batch
from quarry_cli.doctor.checks.quotas import batch_quotas
from quarry_core.errors import Missing, PortError
from quarry_core.models import UnsupportedModel, canonical_model, family_of
from quarry_core.models.identity import CUSTOM

MARKETPLACE = {
    "Effect": "Allow",
    "Action": ["aws-marketplace:Subscribe", "aws-marketplace:ViewSubscriptions"],
    "Resource": "*",
}


async def there(environment: Environment) -> str | Sequence[Fault]:
    faults = []
    for model in environment.named():
        try:
            family_of(await environment.behind(model))
        except UnsupportedModel as error:
            faults.append(Fault(message=str(error), remedy="Name a model of a family that Quarry can prompt."))
            continue
        except NotKnown as error:
            remedy = "`quarry models` lists the profiles of this account with their ARNs."
            faults.append(Fault(message=str(error), remedy=remedy))
            continue
        if canonical_model(model).startswith(CUSTOM):
            continue
        if is_profile(model):
            if await environment.profile(model) is None:
                faults.append(await _absent(environment, model))
        elif canonical_model(model) not in await environment.model_names():
            faults.append(await _absent(environment, model))
    return faults or f"{', '.join(environment.named())}: available in {environment.region}"


async def _absent(environment: Environment, model: str) -> Fault:
    near = difflib.get_close_matches(canonical_model(model), await environment.model_names(), n=1, cutoff=0.6)
    return Fault(
        message=f"there is no {model} in {environment.region}",
        remedy="Name a model that exists: `quarry models` lists them." + (f" Did you mean {near[0]}?" if near else ""),
        fix=setting("model_id", near[0] if near else "<an id of `quarry models`>", "the manifest"),
    )


async def access(environment: Environment) -> str | Sequence[Fault]:
    faults, unknown = [], []
    for model in environment.named():
        try:
            meant = canonical_model(await environment.behind(model)).removeprefix(CUSTOM)
            message = await environment.asking("bedrock", "get_foundation_model_availability", modelId=meant)
        except Missing:
            unknown.append(f"{model}: there is no such model")
            continue
        except (PortError, NotKnown) as error:
            unknown.append(f"{model}: {reason(error) if isinstance(error, PortError) else error}")
            continue
        match read_access(message):
            case Access.NOT_AUTHORIZED:
                ask = "An organization's policy forbids it, or AWS has blocked it for the account: ask AWS Support."
                faults.append(Fault(message=f"the account is not authorized to use {model}", remedy=ask))
            case Access.NOT_HERE:
                other = "Use another region, or an inference profile that covers one."
                faults.append(Fault(message=f"{model} is not offered in {environment.region}", remedy=other))
            case Access.PENDING:
                unknown.append(f"{model}: the subscription is being created; that takes up to 15 minutes")
            case Access.NO_AGREEMENT:
                faults.append(_no_agreement(model))
    if faults:
        return faults
    if unknown:
        raise NotKnown("; ".join(unknown))
    return f"the account may use {', '.join(environment.named())}"


def _no_agreement(model: str) -> Fault:
    form = " For Claude, fill in the use case form of the Bedrock console first." if "anthropic." in model else ""
    return Fault(
        message=f"the account has no agreement for {model}: Create answers that the model is not accessible",
        remedy=f"Call the model once as a principal that may subscribe, and wait up to 15 minutes.{form}",
        fix=statements("policy of the principal that first calls the model", MARKETPLACE),
    )


async def batch(environment: Environment) -> str | Sequence[Fault]:
    try:
        quotas = await batch_quotas(environment)
    except NotKnown:
        quotas = None
    faults: list[Fault] = []
    message: list[str] = []
    unknown: list[str] = []
    for model in environment.named():
        try:
            meant = await environment.behind(model)
        except NotKnown as error:
            unknown.append(f"{model}: {error}")
            continue
        takes, why = takes_batch(meant, await environment.model_name(meant), quotas)
        if takes is Batch.NO:
            faults.append(
                Fault(
                    message=f"batch inference does not support {model} in {environment.region}: {why}",
                    remedy="Use another model or profile; `quarry models` shows which take batch jobs.",
                    fix=setting("model_id", "<an id of `quarry models` with batch: yes>", "the manifest"),
                )
            )
        else:
            (message if takes is Batch.YES else unknown).append(f"{model}: {why}")
    if faults:
        return faults
    if unknown:
        tried = "the first job will show it: Create immediately refuses what batch inference does not support"
        raise NotKnown(f"{'; '.join(unknown)}; {tried}")
    return "; ".join(message)
