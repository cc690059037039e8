"""How many jobs, and how many records in one, the account allows: held against Quarry's own settings."""

from __future__ import annotations

from collections.abc import Sequence

from quarry_cli.aws.asking import reason
from quarry_cli.aws.environment import Environment
from quarry_cli.aws.finding import Fault, NotKnown, command, setting
from quarry_core.errors import PortError
from quarry_core.models import limits_of
from quarry_core.models.on_demand import why_never
from quarry_core.models.quota_names import SERVICE, BatchQuotas, Limit, ModelQuotas, Quota


async def batch_quotas(environment: Environment) -> BatchQuotas:
    """AWS's defaults, and over them what the account has. Raises NotKnown."""
    try:
        defaults = await environment.asking.pages(
            "service-quotas", "list_aws_default_service_quotas", "Quotas", "NextToken", ServiceCode=SERVICE
        )
        applied = await environment.asking.pages(
            "service-quotas", "list_service_quotas", "Quotas", "NextToken", ServiceCode=SERVICE
        )
    except PortError as error:
        raise NotKnown(f"Service Quotas cannot be read: {reason(error)}") from error
    return BatchQuotas([*defaults, *applied])


async def jobs(environment: Environment) -> str | Sequence[Fault]:
    wanted = environment.settings.job_quota
    quotas = await batch_quotas(environment)
    known = {
        name: found.limits[Limit.JOBS]
        for name, found in (await _chosen(environment, quotas)).items()
        if Limit.JOBS in found.limits
    }
    if not known:
        raise NotKnown(f"no quota states how many jobs of {', '.join(environment.models) or 'any model'} may be active")
    short = {name: quota for name, quota in known.items() if quota.value < wanted}
    if not short:
        least = min(known.values(), key=lambda quota: quota.value)
        return f"QUARRY_JOB_QUOTA is {wanted}, but the account allows {least.value:g} active jobs of {', '.join(known)}"
    return [_too_many(name, quota, wanted) for name, quota in short.items()]


def _too_many(name: str, quota: Quota, wanted: int) -> Fault:
    raised = ""
    if quota.adjustable:
        raised = " Or request an increase: " + str(
            command(
                *("service-quotas", "request-service-quota-increase", "--service-code", SERVICE),
                *("--quota-code", quota.code, "--desired-value", str(wanted)),
            ).value
        )
    return Fault(
        message=f"QUARRY_JOB_QUOTA is {wanted}, but the account allows {quota.value:g} active jobs of {name}",
        remedy=f"Lower the setting: Create refuses the excess jobs, or they wait in Bedrock's queue.{raised}",
        fix=setting("QUARRY_JOB_QUOTA", f"{quota.value:g}"),
    )


async def records(environment: Environment) -> str | Sequence[Fault]:
    """What one job must and may hold, and what becomes of a run with fewer rows, which only its manifest can change."""
    quotas = await batch_quotas(environment)
    wanted = environment.settings.max_records_per_job
    chosen = await _chosen(environment, quotas)
    faults, message = [], []
    for model in environment.named():
        known = limits_of(model)
        read = chosen[model].limits if model in chosen else {}
        least = read[Limit.RECORDS_MIN].value if Limit.RECORDS_MIN in read else known.records_min
        most = read[Limit.RECORDS_MAX].value if Limit.RECORDS_MAX in read else known.records_max
        asked = environment.settings.on_demand and why_never(model) is None
        fewer = "asked on demand" if asked else "refused"
        message.append(f"a job of {model} holds {least:,.0f} to {most:,.0f} records: a run of fewer rows is {fewer}")
        if wanted is not None and not least <= wanted <= most:
            faults.append(
                Fault(
                    message=(
                        f"MAX_RECORDS_PER_JOB is {wanted:,}, and a job of {model} holds {least:,.0f} to {most:,.0f}"
                    ),
                    remedy=(
                        "Set it within these limits, or leave it out; the same limits apply to a manifest's"
                        " max_records_per_job."
                    ),
                    fix=setting("MAX_RECORDS_PER_JOB", f"{min(max(wanted, least), most):.0f}"),
                )
            )
    return faults or "; ".join(message)


async def _chosen(environment: Environment, quotas: BatchQuotas) -> dict[str, ModelQuotas]:
    """The quotas of the models to look at; without any, the model that allows the most jobs stands for all."""
    if environment.models:
        found = {model: quotas.of(model, await environment.model_name(model)) for model in environment.models}
        return {model: each for model, each in found.items() if each is not None}
    with_jobs = [each for each in quotas if Limit.JOBS in each.limits]
    if not with_jobs:
        return {}
    most = max(with_jobs, key=lambda each: each.limits[Limit.JOBS].value)
    return {f"{most.name} (no model is named, so this is the highest of any)": most}
