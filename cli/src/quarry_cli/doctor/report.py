"""All checks at once: the list of them, and how a refusal to answer becomes "unknown"."""

from __future__ import annotations

import asyncio

import msgspec

from quarry_cli.aws.asking import reason
from quarry_cli.aws.environment import Environment
from quarry_cli.aws.finding import Finding, NotKnown, Outcome
from quarry_cli.doctor.checks import (
    account,
    bedrock_role,
    bucket,
    events,
    ledger,
    models,
    queues,
    quotas,
    schedule,
    scheduler_role,
)
from quarry_cli.doctor.checks.check import Check
from quarry_core.errors import PortError

_ROLE_READS = (
    "iam:GetRole",
    "iam:ListRolePolicies",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:GetPolicy",
    "iam:GetPolicyVersion",
)
_QUEUE_READS = ("sqs:GetQueueUrl", "sqs:GetQueueAttributes")
_QUOTA_READS = ("servicequotas:ListServiceQuotas", "servicequotas:ListAWSDefaultServiceQuotas")

CHECKS = (
    Check(
        "clock",
        "Does the clock here agree with AWS's?",
        "Every request is refused: signature expired, or not yet current",
        ("sts:GetCallerIdentity",),
        account.clock,
    ),
    Check(
        "bucket",
        "Does the bucket exist, in the region of the jobs?",
        "The input is uploaded, but the job remains in Submitted, or fails in Validating",
        ("s3:GetBucketLocation",),
        bucket.region,
    ),
    Check(
        "bucket-versioning",
        "Is versioning of the bucket enabled?",
        "A run fails because its source was overwritten",
        ("s3:GetBucketVersioning",),
        bucket.versioning,
    ),
    Check(
        "bucket-public-access",
        "Is all public access to the bucket blocked?",
        "A finding of every security review",
        ("s3:GetBucketPublicAccessBlock", "s3:GetBucketLocation"),
        bucket.public_access,
    ),
    Check(
        "bucket-encryption",
        "Does the bucket encrypt new objects?",
        "A finding of every security review",
        ("s3:GetEncryptionConfiguration", "s3:GetBucketLocation"),
        bucket.encryption,
    ),
    Check(
        "role",
        "Does the role of QUARRY_BEDROCK_ROLE_ARN exist, in this account?",
        "Bedrock cannot find the role",
        ("iam:GetRole",),
        bedrock_role.there,
    ),
    Check(
        "trust",
        "May Bedrock assume it, for batch jobs of this account and region only?",
        "AccessDeniedException, or ValidationException, when the job is created",
        ("iam:GetRole",),
        bedrock_role.trust,
    ),
    Check(
        "s3-access",
        "May the role list and read the input and write the output, in a bucket of this account only?",
        "The job fails at once, and CloudTrail shows AccessDenied of S3",
        (*_ROLE_READS, "s3:GetBucketPolicy"),
        bedrock_role.s3_access,
    ),
    Check(
        "key-access",
        "If the bucket uses a KMS key: may the role use it, by its own policy and the key's?",
        "AccessDenied that mentions KMS",
        (*_ROLE_READS, "s3:GetEncryptionConfiguration", "s3:GetBucketLocation", "kms:DescribeKey", "kms:GetKeyPolicy"),
        bedrock_role.key_access,
    ),
    Check(
        "profile-access",
        "May the role invoke each inference profile, and its model in every region of the profile?",
        "AccessDenied for bedrock:InvokeModel",
        (*_ROLE_READS, "bedrock:GetInferenceProfile"),
        bedrock_role.profile_access,
    ),
    Check(
        "pass-role",
        "May the scheduler pass Bedrock's role to Bedrock?",
        "AccessDeniedException that names iam:PassRole, when the job is created",
        (*_ROLE_READS, "iam:SimulatePrincipalPolicy"),
        scheduler_role.pass_role,
    ),
    Check(
        "create-job",
        "May the scheduler create jobs, of these models?",
        "AccessDeniedException that names bedrock:CreateModelInvocationJob",
        (*_ROLE_READS, "iam:SimulatePrincipalPolicy", "bedrock:GetInferenceProfile"),
        scheduler_role.create_job,
    ),
    Check(
        "on-demand",
        "May the scheduler ask these models on demand, where that is allowed?",
        "Rows that are too few for a job end with REFUSED",
        (*_ROLE_READS, "iam:SimulatePrincipalPolicy", "bedrock:GetInferenceProfile"),
        scheduler_role.ask_on_demand,
    ),
    Check(
        "model",
        "Do the models belong to a family that Quarry can prompt, and are they available in the region?",
        "The manifest is refused, or ValidationException when the job is created",
        ("bedrock:ListFoundationModels", "bedrock:GetInferenceProfile"),
        models.there,
    ),
    Check(
        "model-access",
        "Does the account have access to the models?",
        "ValidationException: model not accessible, or an error about a subscription",
        ("bedrock:GetFoundationModelAvailability",),
        models.access,
    ),
    Check(
        "model-batch",
        "Does batch inference support the models in this region?",
        "ValidationException: Batch inference is not supported for the requested model",
        ("bedrock:ListFoundationModels", *_QUOTA_READS),
        models.batch,
    ),
    Check(
        "records",
        "How many records must and may a job hold, and is MAX_RECORDS_PER_JOB between the two?",
        "Job contains less records than the required minimum",
        ("bedrock:ListFoundationModels", *_QUOTA_READS),
        quotas.records,
    ),
    Check(
        "job-quota",
        "Does the account allow as many active jobs as QUARRY_JOB_QUOTA?",
        "ServiceQuotaExceededException, or jobs that wait in Bedrock's own queue",
        ("bedrock:ListFoundationModels", *_QUOTA_READS),
        quotas.jobs,
    ),
    Check(
        "queues",
        "Do the queues exist, in this region?",
        "Manifests stay in their queue",
        _QUEUE_READS,
        queues.there,
    ),
    Check(
        "redrive",
        "Does each queue have its dead-letter queue?",
        "A message that cannot be handled is delivered again and again",
        _QUEUE_READS,
        queues.redrive,
    ),
    Check(
        "dead-letters",
        "Are the dead-letter queues empty?",
        "A manifest without a run, an event that changed nothing",
        _QUEUE_READS,
        queues.dead_letters,
    ),
    Check(
        "event-rule",
        "Does the rule for job events exist, and is it enabled?",
        "Only the sweep sees that jobs end, late",
        ("events:DescribeRule",),
        events.rule,
    ),
    Check(
        "event-pattern",
        "Does it match job events of this environment?",
        "Only the sweep sees that jobs end, late",
        ("events:DescribeRule", "events:TestEventPattern"),
        events.pattern,
    ),
    Check(
        "event-target",
        "Does it deliver to the events queue, with a dead-letter queue for what it cannot deliver?",
        "Only the sweep sees that jobs end, late",
        ("events:DescribeRule", "events:ListTargetsByRule", *_QUEUE_READS),
        events.target,
    ),
    Check(
        "event-delivery",
        "Do the queues, and their keys if they have any, let this rule deliver and no other?",
        "FailedInvocations of the rule, and nothing in the queue",
        (*_QUEUE_READS, "kms:DescribeKey", "kms:GetKeyPolicy"),
        events.delivery,
    ),
    Check(
        "ledger",
        "Does the table exist, with its keys?",
        "The services do not become ready",
        ("dynamodb:DescribeTable",),
        ledger.table,
    ),
    Check(
        "ledger-expiry",
        "Are expired items deleted from the table?",
        "The table grows forever",
        ("dynamodb:DescribeTimeToLive",),
        ledger.expiry,
    ),
    Check(
        "ledger-recovery",
        "Can the table be restored to a point in time?",
        "A finding of every review",
        ("dynamodb:DescribeContinuousBackups",),
        ledger.recovery,
    ),
    Check(
        "sweep",
        "Is there a schedule that wakes the scheduler?",
        "With no scheduler running, nothing is submitted",
        ("scheduler:ListSchedules", "scheduler:GetSchedule", *_QUEUE_READS),
        schedule.sweep,
    ),
)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in one environment."""

    env: str
    account: str
    region: str
    models: list[str]
    checks: list[Finding]

    @property
    def healthy(self) -> bool:
        return self.count(Outcome.FAILED) == 0

    def count(self, outcome: Outcome) -> int:
        return sum(1 for finding in self.checks if finding.outcome is outcome)


async def check_all(environment: Environment) -> Report:
    """Make every check; none of them keeps the others from being made."""
    findings = await asyncio.gather(*(_made(check, environment) for check in CHECKS))
    return Report(
        env=environment.env,
        account=environment.account,
        region=environment.region,
        models=list(environment.models),
        checks=list(findings),
    )


async def _made(check: Check, environment: Environment) -> Finding:
    try:
        message = await check.check_all(environment)
    except NotKnown as error:
        return Finding(check=check.name, outcome=Outcome.UNKNOWN, message=str(error))
    except PortError as error:
        return Finding(check=check.name, outcome=Outcome.UNKNOWN, message=reason(error))
    except Exception as error:  # a policy or an answer of a form that nobody foresaw must not hide the other checks
        message = f"the answer cannot be interpreted: {type(error).__name__}: {error}"
        return Finding(check=check.name, outcome=Outcome.UNKNOWN, message=message)
    if isinstance(message, str):
        return Finding(check=check.name, outcome=Outcome.OK, message=message)
    what = "; ".join(fault.message for fault in message)
    return Finding(check=check.name, outcome=Outcome.FAILED, message=what, faults=list(message))
