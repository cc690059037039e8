"""The role that creates jobs, the scheduler's: may it pass Bedrock's role on, create jobs, and ask on demand?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quarry_cli.aws.asking import reason
from quarry_cli.aws.environment import Environment, Role, Unreadable, profile_arns
from quarry_cli.aws.finding import Fault, NotKnown, statements
from quarry_cli.aws.policy import Act, Holds, by_identity
from quarry_cli.doctor import needed
from quarry_core.errors import PortError


async def pass_role(environment: Environment) -> str | Sequence[Fault]:
    if await environment.bedrock_role_absent():
        raise NotKnown("there is no such role to pass: see the check `role`")
    act = Act(
        "iam:PassRole",
        environment.bedrock_role_arn,
        {"iam:PassedToService": needed.BEDROCK, "iam:AssociatedResourceArn": environment.jobs_arn},
    )
    return await _may(environment, act, "pass Bedrock's role on", needed.pass_role(environment))


async def create_job(environment: Environment) -> str | Sequence[Fault]:
    jobs = environment.jobs_arn
    asked, added = [jobs], [jobs]
    for model in environment.models:
        profile = await environment.profile(model)
        arns = profile_arns(profile) if profile is not None else [environment.model_arn(model)]
        # That Create looks at a profile's models in other regions is not documented: granted with it, but not missed.
        asked, added = [*asked, arns[0]], [*added, *arns]
    statement = needed.create_job(added)
    for resource in asked:
        act = Act("bedrock:CreateModelInvocationJob", resource.replace("/*", "/000000000000"), {})
        message = await _may(environment, act, f"create jobs on {resource}", statement)
        if not isinstance(message, str):
            return message
    scheduler_role = await environment.find_scheduler_role()
    return f"{scheduler_role.name} may create jobs" + (
        f" of {', '.join(environment.models)}" if environment.models else ""
    )


async def ask_on_demand(environment: Environment) -> str | Sequence[Fault]:
    if not environment.settings.on_demand:
        return "nothing is asked on demand here (QUARRY_ON_DEMAND)"
    for model in environment.named():
        profile = await environment.profile(model)
        arns = profile_arns(profile) if profile is not None else [environment.model_arn(model)]
        for resource in arns:
            act = Act("bedrock:InvokeModel", resource, {})
            message = await _may(environment, act, f"invoke {resource}", needed.invoke(arns), "InvokeModel")
            if not isinstance(message, str):
                return message
    return f"the scheduler may ask {', '.join(environment.models)} on demand"


async def _may(
    environment: Environment, act: Act, what: str, statement: Mapping[str, Any], operation: str = "Create"
) -> str | Sequence[Fault]:
    """By the role's own policies where they may be read, and by IAM's simulation where that may be asked."""
    role, unread = await _read(environment)
    simulated = await _simulated(environment, role, act)
    where = f"policy of role {role.name if role else environment.scheduler_role_names()[0]}"
    if role is None:
        if simulated is None:
            raise NotKnown(unread)
        if simulated.get("EvalDecision") == "allowed":
            return f"according to IAM's simulation, the scheduler's role may {what}"
        return [_fault("the scheduler's role", what, where, statement, operation)]
    verdict = by_identity(role.policies, act)
    if verdict.deny is Holds.YES:
        message = f"{role.name} may not {what}: a Deny in its own policies blocks it"
        return [Fault(message=message, remedy="Remove the Deny from its policies; a Deny overrides any Allow.")]
    if verdict.refused:
        return [_fault(role.name, what, where, statement, operation)]
    if simulated is not None and (limit := _limit(simulated)):
        return [
            Fault(
                message=f"{role.name} may not {what}: {limit} forbids it",
                remedy=f"Its own policies allow it; {limit} must allow it too.",
                fix=statements(limit, statement),
            )
        ]
    if not verdict.allowed and (simulated is None or simulated.get("EvalDecision") != "allowed"):
        raise NotKnown("the role's policies have conditions that cannot be evaluated from outside")
    return f"{role.name} may {what}"


def _fault(who: str, what: str, where: str, statement: Mapping[str, Any], operation: str) -> Fault:
    return Fault(
        message=f"{who} may not {what}: {operation} answers AccessDeniedException",
        remedy="Add the statement to its policy.",
        fix=statements(where, statement),
    )


async def _read(environment: Environment) -> tuple[Role | None, str]:
    try:
        return await environment.find_scheduler_role(), ""
    except PortError as error:
        return None, f"the role cannot be read: {reason(error)}"
    except Unreadable as error:
        return None, str(error)


async def _simulated(environment: Environment, role: Role | None, act: Act) -> Mapping[str, Any] | None:
    """IAM's own answer; None if it may not be asked."""
    name = role.arn if role else environment.role_arn(environment.scheduler_role_names()[0])
    context = [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in act.context.items()
        if value is not None
    ]
    try:
        message = await environment.asking(
            "iam",
            "simulate_principal_policy",
            PolicySourceArn=name,
            ActionNames=[act.action],
            ResourceArns=[act.resource],
            ContextEntries=context,
        )
    except PortError:
        return None
    results = message.get("EvaluationResults", [])
    return results[0] if results else None


def _limit(simulated: Mapping[str, Any]) -> str:
    """What stands above the role's own policies and says no; empty if nothing does.

    A plain "no" of the simulation is not taken for one: it would be the role's own, which were read.
    """
    if simulated.get("EvalDecision") == "allowed":
        return ""
    if simulated.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations") is False:
        return "a service control policy of the organization"
    if simulated.get("PermissionsBoundaryDecisionDetail", {}).get("AllowedByPermissionsBoundary") is False:
        return "the role's permissions boundary"
    return ""
