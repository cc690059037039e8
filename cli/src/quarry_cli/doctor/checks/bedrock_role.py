"""The role that Bedrock works under: is it there, may Bedrock assume it, does it reach bucket, key and profiles?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quarry_cli.aws.environment import Environment, Role, document, profile_arns, role_name
from quarry_cli.aws.finding import Fault, NotKnown, command, setting, statements
from quarry_cli.aws.policy import Act, Document, Holds, Verdict, by_identity, by_resource
from quarry_cli.doctor import needed
from quarry_cli.doctor.checks.bucket import default_encryption
from quarry_cli.doctor.needed import STRANGER
from quarry_core.contract.job_request import check_role_arn
from quarry_core.errors import Missing


async def there(environment: Environment) -> str | Sequence[Fault]:
    arn = environment.bedrock_role_arn
    try:
        check_role_arn(arn)
    except ValueError as error:
        return [_misnamed(environment, str(error), f"arn:{environment.partition}:iam::{environment.account}:role/...")]
    account = arn.split(":")[4]
    if account != environment.account:
        message = f"{arn} belongs to account {account}, the credentials belong to {environment.account}"
        return [_misnamed(environment, message, arn.replace(f":{account}:", f":{environment.account}:", 1))]
    role = await environment.role_trusting(role_name(arn))
    if role is None:
        return [
            Fault(
                message=f"there is no role {arn}",
                remedy="Create it, or copy the ARN again from IAM into QUARRY_BEDROCK_ROLE_ARN.",
                fix=command(
                    *("iam", "create-role", "--role-name", role_name(arn)),
                    *("--assume-role-policy-document", needed.policy(needed.trust(environment))),
                ),
            )
        ]
    if role["Arn"] != arn:
        return [_misnamed(environment, f"the role's ARN is {role['Arn']}, not {arn}", role["Arn"])]
    return f"{arn} exists"


def _misnamed(environment: Environment, message: str, arn: str) -> Fault:
    return Fault(
        message=message,
        remedy="Copy the ARN from IAM: the role must belong to the account that the jobs run in.",
        fix=setting("QUARRY_BEDROCK_ROLE_ARN", arn if arn != environment.bedrock_role_arn else "<the role's ARN>"),
    )


async def trust(environment: Environment) -> str | Sequence[Fault]:
    role = await environment.role_trusting(role_name(environment.bedrock_role_arn))
    if role is None or role["Arn"] != environment.bedrock_role_arn:
        raise NotKnown("the role does not exist: see the check `role`")
    policy = document(role.get("AssumeRolePolicyDocument"))
    where = f"trust policy of role {role_name(environment.bedrock_role_arn)}, in place of its statement for Bedrock"
    fix = statements(where, needed.trust(environment))
    ours = _assumed(policy, environment.account, environment.jobs_arn.replace("/*", "/000000000000"))
    if ours.refused:
        return [
            Fault(
                message="Bedrock may not assume the role for batch jobs of this account and region",
                remedy="Correct Principal, aws:SourceAccount and aws:SourceArn of the trust policy.",
                fix=fix,
            )
        ]
    theirs = _assumed(policy, STRANGER, environment.jobs_arn.replace(environment.account, STRANGER))
    if theirs.allow is Holds.YES and theirs.deny is Holds.NO:
        return [
            Fault(
                message="Bedrock may assume the role for jobs of any account: aws:SourceAccount is missing",
                remedy="Restrict the trust to this account and its batch jobs.",
                fix=fix,
            )
        ]
    if not ours.allowed:
        raise NotKnown("the trust policy has conditions that cannot be evaluated from outside")
    return "Bedrock may assume the role, for batch jobs of this account only"


def _assumed(policy: Document, account: str, job: str) -> Verdict:
    context = {"aws:SourceAccount": account, "aws:SourceArn": job, "aws:SecureTransport": "true"}
    return by_resource(policy, {needed.BEDROCK}, Act("sts:AssumeRole", None, context))


async def s3_access(environment: Environment) -> str | Sequence[Fault]:
    role = await environment.bedrock_role()
    policy = await _bucket_policy(environment)
    acts = _s3_acts(environment, role, environment.account)
    verdicts = [_s3_verdict(environment, role, policy, act) for act in acts]
    missing = [act for act, verdict in zip(acts, verdicts, strict=True) if verdict.allow is Holds.NO]
    denied = [act for act, verdict in zip(acts, verdicts, strict=True) if verdict.deny is Holds.YES]
    fix = statements(f"policy of role {role.name}, in place of its statements for S3", *needed.s3_access(environment))
    faults = []
    if missing:
        faults.append(
            Fault(
                message=f"the role may not {_listed(missing)}: jobs end Failed at once, with AccessDenied of S3",
                remedy="Name the bucket and its account in the role's policy.",
                fix=fix,
            )
        )
    if denied:
        faults.append(
            Fault(
                message=f"a Deny blocks {_listed(denied)}",
                remedy="Remove it from the role's policy or the bucket's; a Deny overrides any Allow.",
            )
        )
    if faults:
        return faults
    loose = [
        act
        for act in _s3_acts(environment, role, STRANGER)
        if (message := by_identity(role.policies, act)).allow is Holds.YES and message.deny is Holds.NO
    ]
    if loose:
        return [
            Fault(
                message=f"the role may {_listed(loose)} whoever owns the bucket: aws:ResourceAccount is missing",
                remedy=(
                    "Restrict the statements to this account: a bucket of that name could belong to another account."
                ),
                fix=fix,
            )
        ]
    if not all(verdict.allowed for verdict in verdicts):
        raise NotKnown("the policies have conditions that cannot be evaluated from outside")
    return f"the role reads batch-input and writes batch-output in {environment.bucket}, in this account only"


def _s3_acts(environment: Environment, role: Role, owner: str) -> list[Act]:
    bucket = environment.bucket_arn
    return [
        _act(environment, role, "s3:ListBucket", bucket, owner, **{"s3:prefix": "batch-input/any/00000.jsonl"}),
        _act(environment, role, "s3:GetObject", f"{bucket}/batch-input/any/00000.jsonl", owner),
        _act(environment, role, "s3:PutObject", f"{bucket}/batch-output/any/00000-1/any/00000.jsonl.out", owner),
    ]


def _act(environment: Environment, role: Role, action: str, resource: str, owner: str, **more: str) -> Act:
    context: dict[str, str | None] = {
        "aws:PrincipalArn": role.arn,
        "aws:PrincipalAccount": environment.account,
        "aws:ResourceAccount": owner,
        "s3:ResourceAccount": owner,
        "aws:RequestedRegion": environment.region,
        "aws:SecureTransport": "true",
        **more,
    }
    return Act(action, resource, context)


def _s3_verdict(environment: Environment, role: Role, policy: Document | None, act: Act) -> Verdict:
    """Within one account either policy suffices; one that names the whole account leaves it to the role."""
    mine = by_identity(role.policies, act)
    theirs = by_resource(policy, {role.arn}, act)
    account = by_resource(policy, _account(environment), act)
    return mine.either(theirs).either(Verdict(Holds.NO, account.deny))


def _account(environment: Environment) -> set[str]:
    return {environment.account, f"arn:{environment.partition}:iam::{environment.account}:root"}


async def _bucket_policy(environment: Environment) -> Document | None:
    message = await environment.asking.found("s3", "get_bucket_policy", Bucket=environment.bucket)
    return document(message["Policy"]) if message else None


async def key_access(environment: Environment) -> str | Sequence[Fault]:
    role = await environment.bedrock_role()
    rule = await default_encryption(environment)
    named = rule.get("KMSMasterKeyID")
    if not str(rule.get("SSEAlgorithm", "")).startswith("aws:kms") or not named:
        return "the bucket's encryption needs no key of yours"
    try:
        key = (await environment.asking("kms", "describe_key", KeyId=named))["KeyMetadata"]
    except Missing:
        gone = (
            f"the bucket's key {named} does not exist: nothing can be written, and nothing written with it can be read"
        )
        return [Fault(message=gone, remedy="Give the bucket a key that exists, in its own region.")]
    if key.get("KeyManager") == "AWS":
        return "the bucket's key is an AWS managed key, which every role of the account may use through S3"
    if key.get("KeyState", "Enabled") != "Enabled":
        enable = command("kms", "enable-key", "--key-id", key["Arn"])
        return [Fault(message=f"key {key['Arn']} is {key['KeyState']}", remedy="Enable it.", fix=enable)]
    message = await environment.asking("kms", "get_key_policy", KeyId=key["Arn"], PolicyName="default")
    return _judge_key(environment, role, key["Arn"], document(message["Policy"]))


def _judge_key(environment: Environment, role: Role, key: str, policy: Document) -> str | Sequence[Fault]:
    faults, unclear = [], False
    own: list[str] = []
    delegated: list[str] = []
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        via = f"s3.{environment.region}.amazonaws.com"
        act = _act(
            environment,
            role,
            action,
            key,
            environment.account,
            **{"kms:ViaService": via, "kms:CallerAccount": environment.account},
        )
        mine = by_identity(role.policies, act)
        direct = by_resource(policy, {role.arn}, act)
        account = by_resource(policy, _account(environment), act)
        # A key's policy that names the account leaves it to IAM; without that, IAM's policies say nothing of a key.
        through = Verdict(min(mine.allow, account.allow), max(mine.deny, account.deny))
        verdict = direct.either(through)
        unclear = unclear or not verdict.allowed
        if verdict.refused:
            (own if account.allow is Holds.NO else delegated).append(action)
    if delegated:
        faults.append(
            Fault(
                message=f"the role may not use the bucket's key: {', '.join(delegated)}",
                remedy="Add the statement for the key to the role's policy.",
                fix=statements(f"policy of role {role.name}", needed.key_use(key)),
            )
        )
    if own:
        faults.append(
            Fault(
                message=f"the policy of the bucket's key allows neither the role nor IAM policies: {', '.join(own)}",
                remedy="Add the role to the key policy.",
                fix=statements(f"policy of key {key}", needed.key_policy(role.arn)),
            )
        )
    if faults:
        return faults
    if unclear:
        raise NotKnown("the policies have conditions that cannot be evaluated from outside")
    return f"the role may decrypt and encrypt with {key}"


async def profile_access(environment: Environment) -> str | Sequence[Fault]:
    """With an inference profile, the role invokes the profile and its model in each of its regions."""
    profiles: dict[str, Any] = {}
    for model in environment.named():
        message = await environment.profile(model)
        if message is not None:
            profiles[model] = message
    if not profiles:
        return "no inference profile is used"
    role = await environment.bedrock_role()
    faults = []
    for model, message in profiles.items():
        wanted = profile_arns(message)
        acts = [_act(environment, role, "bedrock:InvokeModel", resource, environment.account) for resource in wanted]
        if any(by_identity(role.policies, act).refused for act in acts):
            faults.append(
                Fault(
                    message=f"the role may not invoke {model} in all regions that the profile uses",
                    remedy="Add the profile, and its model in each region.",
                    fix=statements(f"policy of role {role.name}", needed.invoke(wanted)),
                )
            )
    return faults or f"the role may invoke {', '.join(profiles)}"


def _listed(acts: Sequence[Act]) -> str:
    return ", ".join(act.action for act in acts)
