"""The role that creates jobs, the scheduler's: may it pass Bedrock's role on, and create jobs?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quarry_cli.aws.environment import Patient, Role, Unreadable, profile_arns, reason
from quarry_cli.aws.finding import Fault, NotKnown, statements
from quarry_cli.aws.policy import Act, Holds, by_identity
from quarry_cli.doctor import needed
from quarry_core.errors import PortError


async def pass_role(patient: Patient) -> str | Sequence[Fault]:
    if await patient.bedrock_role_absent():
        raise NotKnown("there is no such role to pass: see the check `role`")
    act = Act(
        "iam:PassRole",
        patient.bedrock_role_arn,
        {"iam:PassedToService": needed.BEDROCK, "iam:AssociatedResourceArn": patient.jobs_arn},
    )
    return await _may(patient, act, "pass Bedrock's role on", needed.pass_role(patient))


async def create_job(patient: Patient) -> str | Sequence[Fault]:
    jobs = patient.jobs_arn
    asked, added = [jobs], [jobs]
    for model in patient.models:
        profile = await patient.profile(model)
        arns = profile_arns(profile) if profile is not None else [patient.model_arn(model)]
        # That Create looks at a profile's models in other regions is not documented: granted with it, but not missed.
        asked, added = [*asked, arns[0]], [*added, *arns]
    statement = needed.create_job(added)
    for resource in asked:
        act = Act("bedrock:CreateModelInvocationJob", resource.replace("/*", "/000000000000"), {})
        told = await _may(patient, act, f"create jobs on {resource}", statement)
        if not isinstance(told, str):
            return told
    creator = await patient.creator()
    return f"{creator.name} may create jobs" + (f" of {', '.join(patient.models)}" if patient.models else "")


async def _may(patient: Patient, act: Act, what: str, statement: Mapping[str, Any]) -> str | Sequence[Fault]:
    """By the role's own policies where they may be read, and by IAM's simulation where that may be asked."""
    role, unread = await _read(patient)
    simulated = await _simulated(patient, role, act)
    where = f"policy of role {role.name if role else patient.creator_names()[0]}"
    if role is None:
        if simulated is None:
            raise NotKnown(unread)
        if simulated.get("EvalDecision") == "allowed":
            return f"IAM's simulation says: the scheduler's role may {what}"
        return [_fault("the scheduler's role", what, where, statement)]
    verdict = by_identity(role.policies, act)
    if verdict.deny is Holds.YES:
        told = f"{role.name} may not {what}: a Deny of its own stands against it"
        return [Fault(told=told, remedy="Take the Deny out of its policies; no Allow wins against it.")]
    if verdict.refused:
        return [_fault(role.name, what, where, statement)]
    if simulated is not None and (limit := _limit(simulated)):
        return [
            Fault(
                told=f"{role.name} may not {what}: {limit} forbids it",
                remedy=f"Its own policies allow it; {limit} must allow it too.",
                cure=statements(limit, statement),
            )
        ]
    if not verdict.allowed and (simulated is None or simulated.get("EvalDecision") != "allowed"):
        raise NotKnown("the role's policies have conditions that cannot be judged from outside")
    return f"{role.name} may {what}"


def _fault(who: str, what: str, where: str, statement: Mapping[str, Any]) -> Fault:
    return Fault(
        told=f"{who} may not {what}: Create answers AccessDeniedException",
        remedy="Add the statement to its policy.",
        cure=statements(where, statement),
    )


async def _read(patient: Patient) -> tuple[Role | None, str]:
    try:
        return await patient.creator(), ""
    except PortError as error:
        return None, f"the role cannot be read: {reason(error)}"
    except Unreadable as error:
        return None, str(error)


async def _simulated(patient: Patient, role: Role | None, act: Act) -> Mapping[str, Any] | None:
    """IAM's own answer; None if it may not be asked."""
    name = role.arn if role else patient.role_arn(patient.creator_names()[0])
    context = [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in act.context.items()
        if value is not None
    ]
    try:
        told = await patient.asking(
            "iam",
            "simulate_principal_policy",
            PolicySourceArn=name,
            ActionNames=[act.action],
            ResourceArns=[act.resource],
            ContextEntries=context,
        )
    except PortError:
        return None
    results = told.get("EvaluationResults", [])
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
