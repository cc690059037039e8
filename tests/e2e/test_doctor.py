"""`quarry doctor` on a stack: idle when it is healthy, and for each fault that is planted one check fails, with its fix.

The fixes are carried out as they are printed, and must fix.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from quarry_cli.aws.asking import Answer
from quarry_cli.aws.connections import Reading, open_reading
from quarry_cli.aws.environment_settings import EnvironmentSettings
from quarry_cli.doctor.report import CHECKS
from quarry_cli.main import app
from quarry_core.clock import SystemClock
from quarry_core.errors import raise_for
from quarry_local import policies
from quarry_local import resources as local_resources
from quarry_local.clients import Clients
from quarry_local.policies import Place
from quarry_local.settings import StackSettings
from tests.aws_kept import KeptClients
from tests.e2e.conftest import a_stack
from tests.e2e.fixer import ADDED, Fixer
from tests.e2e.user import CLAUDE, User

ENV = "doctor"
QUOTA = 3
ELSEWHERE = "eu-west-1"
# AWS's variables of whoever runs the tests must not reach the command.
FOREIGN = ("AWS_", "QUARRY_", "BOTO_", "MAX_")


class Clinic:
    """A stack without services, and doctor's visits to it."""

    def __init__(self, user: User) -> None:
        self.user = user
        made = user.stack.clients()
        self.clients = KeptClients(made.endpoint_url, made.region)
        self._variables: dict[str, str] = {}
        self._asked: dict[tuple[str, str], Any] = {}
        self.place = Place(ENV, "us-east-1", user.env["QUARRY_BEDROCK_ROLE_ARN"].split(":")[4])
        self.iam, self.s3, self.sqs, self.events, self.kms, self.dynamodb, self.scheduler = map(
            self.clients.client, ("iam", "s3", "sqs", "events", "kms", "dynamodb", "scheduler")
        )

    @contextlib.asynccontextmanager
    async def reading(self, settings: EnvironmentSettings) -> AsyncIterator[Reading]:
        """Doctor's connection with clients that last: to create them anew costs ten times as much as their calls."""

        async def ask(service: str, operation: str, parameters: Mapping[str, Any]) -> Answer:
            endpoint = self._variables.get(f"AWS_ENDPOINT_URL_{service.replace('-', '_').upper()}")
            try:
                client = self._client(service, endpoint or self._variables["AWS_ENDPOINT_URL"])
                answer: Answer = getattr(client, operation)(**parameters)
            except Exception as error:
                raise_for(error, f"{service} {operation}")
            return answer

        async def open_models() -> Sequence[str]:
            return []

        yield Reading(ask, open_models, SystemClock())

    def _client(self, service: str, endpoint: str) -> Any:
        if (service, endpoint) not in self._asked:
            self._asked[service, endpoint] = Clients(endpoint, self.place.region).client(service)
        return self._asked[service, endpoint]

    def visit(self, *options: str, given: Mapping[str, str] | None = None, open_with: Any = None):
        """`quarry doctor` in this process, with the stack's variables; the result of typer's runner."""
        unset = {name: None for name in os.environ if name.startswith(FOREIGN)}
        self._variables = {**self.user.env, **(given or {})}
        variables = {**unset, **self._variables}
        return CliRunner().invoke(app, ["doctor", *options], env=variables, obj=open_with or self.reading)

    def found(self, *options: str, **more: Any) -> tuple[int, dict[str, Any]]:
        """The exit code, and the findings by check."""
        result = self.visit("--json", *options, **more)
        assert result.exit_code in (0, 1), result.output
        return result.exit_code, {each["check"]: each for each in json.loads(result.stdout)["checks"]}

    def restore(self) -> None:
        for role in ("bedrock", "scheduler"):
            with contextlib.suppress(self.iam.exceptions.NoSuchEntityException):
                self.iam.delete_role_policy(RoleName=self.place.role(role), PolicyName=ADDED)
        local_resources.create(self.clients, ENV)

    # ------------------------------------------------------------------ planting

    def trust(self, document: Any) -> None:
        name = self.place.role("bedrock")
        self.iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(document))

    def access(self, document: Any, role: str = "bedrock") -> None:
        name = self.place.role(role)
        self.iam.put_role_policy(RoleName=name, PolicyName="access", PolicyDocument=json.dumps(document))

    def queue(self, name: str, **attributes: str) -> None:
        url = self.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)

    def empty_bucket(self) -> None:
        listed = self.s3.list_object_versions(Bucket=self.place.bucket)
        for each in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
            self.s3.delete_object(Bucket=self.place.bucket, Key=each["Key"], VersionId=each["VersionId"])
        self.s3.delete_bucket(Bucket=self.place.bucket)

    def encrypt_with(self, **policy: Any) -> None:
        """Give the bucket a key; `policy` is CreateKey's."""
        key = self.kms.create_key(**policy)["KeyMetadata"]["Arn"]
        rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": rule}]}
        self.s3.put_bucket_encryption(Bucket=self.place.bucket, ServerSideEncryptionConfiguration=rules)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory, warm) -> Iterator[Clinic]:
    settings = StackSettings(env=ENV, quota=QUOTA, services=False)
    with a_stack(tmp_path_factory.mktemp(ENV), settings, warm) as user:
        yield Clinic(user)


# --------------------------------------------------------------------------- healthy


@pytest.mark.parametrize("options", [(), ("--model", CLAUDE)], ids=["no model", "a model"])
def test_it_is_idle_on_a_healthy_stack(clinic, options):
    code, found = clinic.found(*options, open_with=open_reading)

    assert code == 0, failed(found)
    assert list(found) == [check.name for check in CHECKS]
    unknown = {name for name, finding in found.items() if finding["outcome"] == "unknown"}
    # The stack has no schedule; without --model, there is no open run whose model could be looked at.
    of_models = {"profile-access", "model", "model-access", "model-batch", "records", "on-demand"}
    assert unknown == ({"sweep"} if options else {"sweep"} | of_models)
    assert "at least one scheduler must always run" in found["sweep"]["message"]


def test_without_json_it_prints_a_line_for_each_check(clinic):
    result = clinic.visit()

    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith(("ok ", "unknown "))] == [each.name for each in CHECKS]
    assert lines[-1] == "22 ok, 0 failed, 7 unknown"


# --------------------------------------------------------------------------- each fault


@dataclass(frozen=True)
class Planted:
    """A fault.

    Attributes:
        check: the one check that must fail.
        plant: does the harm; gives variables for the command, if it is done by one.
        says: a word of what is to be added.
        fixes: whether carrying out the fix fixes at once.
        options: of the command.
        undo: what `Clinic.restore` does not put back.
    """

    check: str
    plant: Callable[[Clinic], Mapping[str, str] | None]
    message: str
    fixes: bool = True
    options: tuple[str, ...] = ("--model", CLAUDE)
    undo: Callable[[Clinic], Any] = lambda clinic: None


def without(document: policies.Document, *, sid: str = "", key: str = "") -> policies.Document:
    """A policy less a statement, or less a condition's key in all of them."""
    statements = []
    for statement in document["Statement"]:
        conditions = {
            operator: kept
            for operator, keys in statement.get("Condition", {}).items()
            if (kept := {name: value for name, value in keys.items() if name != key})
        }
        bare = {name: value for name, value in statement.items() if name != "Condition"}
        if not sid or statement.get("Sid") != sid:
            statements.append({**bare, "Condition": conditions} if conditions else bare)
    return {**document, "Statement": statements}


def renamed(document: policies.Document, old: str, new: str) -> policies.Document:
    changed: policies.Document = json.loads(json.dumps(document).replace(old, new))
    return changed


def _trust_of_nobody(clinic: Clinic) -> None:
    clinic.trust(renamed(policies.bedrock_trust(clinic.place), "bedrock.amazonaws.com", "ec2.amazonaws.com"))


def _trust_of_another_account(clinic: Clinic) -> None:
    clinic.trust(renamed(policies.bedrock_trust(clinic.place), clinic.place.account, "999999999999"))


def _trust_of_every_account(clinic: Clinic) -> None:
    trust = without(policies.bedrock_trust(clinic.place), key="aws:SourceAccount")
    clinic.trust(without(trust, key="aws:SourceArn"))


def _access_to_another_bucket(clinic: Clinic) -> None:
    clinic.access(renamed(policies.bedrock_access(clinic.place), clinic.place.bucket, "another-bucket"))


def _access_by_another_account(clinic: Clinic) -> None:
    clinic.access(renamed(policies.bedrock_access(clinic.place), clinic.place.account + '"]', '999999999999"]'))


def _access_without_resource_account(clinic: Clinic) -> None:
    clinic.access(without(policies.bedrock_access(clinic.place), key="aws:ResourceAccount"))


def _profiles_not_granted(clinic: Clinic) -> None:
    clinic.access(without(policies.bedrock_access(clinic.place), sid="InvokeProfilesAndTheirModels"))


def _denied_by_the_bucket(clinic: Clinic) -> None:
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{clinic.place.bucket}/batch-output/*",
    }
    clinic.s3.put_bucket_policy(
        Bucket=clinic.place.bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    )


def _role_deleted(clinic: Clinic) -> None:
    """The stand-in that the fix makes has no access yet: one fix leads to the next."""
    name = clinic.place.role("bedrock")
    clinic.iam.delete_role_policy(RoleName=name, PolicyName="access")
    clinic.iam.delete_role(RoleName=name)


def _role_of_another_account(clinic: Clinic) -> Mapping[str, str]:
    arn = clinic.place.role_arn("bedrock")
    return {"QUARRY_BEDROCK_ROLE_ARN": arn.replace(clinic.place.account, "999999999999")}


def _role_mistyped(clinic: Clinic) -> Mapping[str, str]:
    return {"QUARRY_BEDROCK_ROLE_ARN": clinic.place.role_arn("bedrock").replace(":role/", ":role/service-role/")}


def _pass_role_removed(clinic: Clinic) -> None:
    kept = policies.service_access(clinic.place, "scheduler")
    kept["Statement"] = [each for each in kept["Statement"] if each["Action"] != "iam:PassRole"]
    clinic.access(kept, "scheduler")


def _pass_role_to_another_service(clinic: Clinic) -> None:
    access = policies.service_access(clinic.place, "scheduler")
    clinic.access(renamed(access, '"bedrock.amazonaws.com"', '"ec2.amazonaws.com"'), "scheduler")


def _create_removed(clinic: Clinic) -> None:
    access = policies.service_access(clinic.place, "scheduler")
    clinic.access(renamed(access, "bedrock:CreateModelInvocationJob", "bedrock:CreateNothing"), "scheduler")


def _bucket_elsewhere(clinic: Clinic) -> None:
    clinic.empty_bucket()
    clinic.s3.create_bucket(Bucket=clinic.place.bucket, CreateBucketConfiguration={"LocationConstraint": ELSEWHERE})
    local_resources.create(clinic.clients, ENV)


def _bucket_gone(clinic: Clinic) -> None:
    clinic.empty_bucket()


def _versioning_off(clinic: Clinic) -> None:
    clinic.s3.put_bucket_versioning(Bucket=clinic.place.bucket, VersioningConfiguration={"Status": "Suspended"})


def _public_access_open(clinic: Clinic) -> None:
    clinic.s3.put_public_access_block(
        Bucket=clinic.place.bucket,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": False,
            "RestrictPublicBuckets": True,
        },
    )


def _public_access_unset(clinic: Clinic) -> None:
    clinic.s3.delete_public_access_block(Bucket=clinic.place.bucket)


def _key_not_granted(clinic: Clinic) -> None:
    clinic.encrypt_with()


def _key_closed(clinic: Clinic) -> None:
    admin = {"AWS": f"arn:aws:iam::{clinic.place.account}:role/admin"}
    only = {"Effect": "Allow", "Principal": admin, "Action": "kms:*", "Resource": "*"}
    clinic.encrypt_with(Policy=json.dumps({"Version": "2012-10-17", "Statement": [only]}))


def _queue_of_nowhere(clinic: Clinic) -> Mapping[str, str]:
    clinic.sqs.delete_queue(QueueUrl=clinic.user.env["QUARRY_COLLECTOR_QUEUE_URL"])
    return {}


def _redrive_removed(clinic: Clinic) -> None:
    clinic.queue(f"{ENV}-quarry-slices", RedrivePolicy="")


def _redrive_elsewhere(clinic: Clinic) -> None:
    wrong = {"deadLetterTargetArn": clinic.place.queue_arn(f"{ENV}-quarry-events-dlq"), "maxReceiveCount": 3}
    clinic.queue(f"{ENV}-quarry-slices", RedrivePolicy=json.dumps(wrong))


def _dead_letter(clinic: Clinic) -> None:
    clinic.sqs.send_message(QueueUrl=clinic.user.env["QUARRY_MANIFEST_DLQ_URL"], MessageBody="not understood")


def _purge(clinic: Clinic) -> None:
    clinic.sqs.purge_queue(QueueUrl=clinic.user.env["QUARRY_MANIFEST_DLQ_URL"])


def _rule_disabled(clinic: Clinic) -> None:
    clinic.events.disable_rule(Name=clinic.place.rule)


def _pattern_of_another_environment(clinic: Clinic) -> None:
    pattern = renamed(policies.event_pattern(clinic.place), f"-{ENV}", "-prod")
    clinic.events.put_rule(Name=clinic.place.rule, EventPattern=json.dumps(pattern), State="ENABLED")


def _target_removed(clinic: Clinic) -> None:
    clinic.events.remove_targets(Rule=clinic.place.rule, Ids=[local_resources.EVENT_TARGET_ID])


def _target_without_dlq(clinic: Clinic) -> None:
    target = {"Id": local_resources.EVENT_TARGET_ID, "Arn": clinic.place.queue_arn(f"{ENV}-quarry-events")}
    clinic.events.put_targets(Rule=clinic.place.rule, Targets=[target])


def _delivery_not_allowed(clinic: Clinic) -> None:
    clinic.queue(f"{ENV}-quarry-events", Policy="")


def _delivery_locked(clinic: Clinic) -> None:
    clinic.queue(f"{ENV}-quarry-events", KmsMasterKeyId=clinic.kms.create_key()["KeyMetadata"]["Arn"])


def _delivery_unlocked(clinic: Clinic) -> None:
    clinic.queue(f"{ENV}-quarry-events", KmsMasterKeyId="")


def _delivery_by_anybody(clinic: Clinic) -> None:
    name = f"{ENV}-quarry-events"
    loose = without(policies.event_delivery(clinic.place, name), key="aws:SourceArn")
    clinic.queue(name, Policy=json.dumps(loose))


def _rule_deleted(clinic: Clinic) -> None:
    _target_removed(clinic)
    clinic.events.delete_rule(Name=clinic.place.rule)


def _expiry_off(clinic: Clinic) -> None:
    clinic.dynamodb.update_time_to_live(
        TableName=clinic.place.table,
        TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires_at"},
    )


def _recovery_off(clinic: Clinic) -> None:
    clinic.dynamodb.update_continuous_backups(
        TableName=clinic.place.table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
    )


def _another_table(clinic: Clinic) -> Mapping[str, str]:
    name = "doctor-other"
    clinic.dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    clinic.dynamodb.update_time_to_live(
        TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"}
    )
    clinic.dynamodb.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    return {"QUARRY_TABLE": name}


def _drop_other_table(clinic: Clinic) -> None:
    clinic.dynamodb.delete_table(TableName="doctor-other")


def _quota_lower(clinic: Clinic) -> None:
    clinic.user.stack.set_simulator(quota=1)


def _quota_back(clinic: Clinic) -> None:
    clinic.user.stack.set_simulator(quota=QUOTA)


def _schedule_off(clinic: Clinic) -> None:
    clinic.scheduler.create_schedule(
        Name=f"{ENV}-quarry-sweep",
        ScheduleExpression="rate(5 minutes)",
        FlexibleTimeWindow={"Mode": "OFF"},
        State="DISABLED",
        Target={
            "Arn": clinic.place.queue_arn(f"{ENV}-quarry-scheduler"),
            "RoleArn": clinic.place.role_arn("sweep"),
            "Input": "{}",
        },
    )


def _schedule_gone(clinic: Clinic) -> None:
    clinic.scheduler.delete_schedule(Name=f"{ENV}-quarry-sweep")


FAULTS = {
    "trust of another service": Planted("trust", _trust_of_nobody, "bedrock.amazonaws.com"),
    "trust of another account": Planted("trust", _trust_of_another_account, "aws:SourceAccount"),
    "trust of every account": Planted("trust", _trust_of_every_account, "aws:SourceArn"),
    "access to another bucket": Planted("s3-access", _access_to_another_bucket, "s3:GetObject"),
    "access of another account": Planted("s3-access", _access_by_another_account, "aws:ResourceAccount"),
    "access without ResourceAccount": Planted("s3-access", _access_without_resource_account, "aws:ResourceAccount"),
    "denied by the bucket's policy": Planted(
        "s3-access",
        _denied_by_the_bucket,
        "",
        fixes=False,
        undo=lambda clinic: clinic.s3.delete_bucket_policy(Bucket=clinic.place.bucket),
    ),
    "role deleted": Planted("role", _role_deleted, "create-role"),
    "role of another account": Planted("role", _role_of_another_account, "QUARRY_BEDROCK_ROLE_ARN"),
    "role's path forgotten": Planted("role", _role_mistyped, "QUARRY_BEDROCK_ROLE_ARN"),
    "PassRole removed": Planted("pass-role", _pass_role_removed, "iam:PassedToService"),
    "PassRole to another service": Planted("pass-role", _pass_role_to_another_service, "iam:PassedToService"),
    "Create removed": Planted("create-job", _create_removed, "bedrock:CreateModelInvocationJob"),
    "bucket in another region": Planted(
        "bucket", _bucket_elsewhere, ELSEWHERE, fixes=False, undo=lambda clinic: clinic.empty_bucket()
    ),
    "no bucket": Planted("bucket", _bucket_gone, "create-bucket"),
    "versioning off": Planted("bucket-versioning", _versioning_off, "put-bucket-versioning"),
    "public access not blocked": Planted("bucket-public-access", _public_access_open, "put-public-access-block"),
    "public access unset": Planted("bucket-public-access", _public_access_unset, "put-public-access-block"),
    "key not granted to the role": Planted("key-access", _key_not_granted, "kms:GenerateDataKey"),
    "key that leaves nothing to IAM": Planted("key-access", _key_closed, "kms:GenerateDataKey"),
    "queue deleted": Planted("queues", _queue_of_nowhere, "create-queue"),
    "redrive removed": Planted("redrive", _redrive_removed, "RedrivePolicy"),
    "redrive to another queue": Planted("redrive", _redrive_elsewhere, "RedrivePolicy"),
    "a dead-letter message": Planted("dead-letters", _dead_letter, "receive-message", fixes=False, undo=_purge),
    "rule disabled": Planted("event-rule", _rule_disabled, "enable-rule"),
    "rule deleted": Planted("event-rule", _rule_deleted, "put-rule"),
    "pattern of another environment": Planted("event-pattern", _pattern_of_another_environment, f"-{ENV}"),
    "target removed": Planted("event-target", _target_removed, "put-targets"),
    "target without dead-letter queue": Planted("event-target", _target_without_dlq, "DeadLetterConfig"),
    "queue's policy removed": Planted("event-delivery", _delivery_not_allowed, "events.amazonaws.com"),
    "queue's key closed to EventBridge": Planted(
        "event-delivery", _delivery_locked, "kms:GenerateDataKey", undo=_delivery_unlocked
    ),
    "queue open to any rule": Planted("event-delivery", _delivery_by_anybody, "aws:SourceArn"),
    "TTL off": Planted("ledger-expiry", _expiry_off, "expires_at"),
    "recovery off": Planted("ledger-recovery", _recovery_off, "PointInTimeRecoveryEnabled"),
    "another table": Planted("ledger", _another_table, "create-table", fixes=False, undo=_drop_other_table),
    "quota below the setting": Planted("job-quota", _quota_lower, "QUARRY_JOB_QUOTA=1", undo=_quota_back),
    "schedule off": Planted("sweep", _schedule_off, "update-schedule", undo=_schedule_gone),
    "records below the minimum": Planted("records", lambda _: {"MAX_RECORDS_PER_JOB": "99"}, "MAX_RECORDS_PER_JOB=100"),
    "no such model": Planted(
        "model",
        lambda _: None,
        "anthropic.claude-3-haiku",
        fixes=False,
        options=("--model", "anthropic.claude-3-haiku-20240308-v1:0"),
    ),
    "a model of pictures": Planted(
        "model", lambda _: None, "", fixes=False, options=("--model", "stability.stable-image-core-v1:1")
    ),
    "model that batch refuses": Planted(
        "model-batch", lambda _: None, "quarry models", fixes=False, options=("--model", "anthropic.claude-sonnet-5")
    ),
    "profile not granted": Planted(
        "profile-access",
        _profiles_not_granted,
        "bedrock:InvokeModel",
        options=("--model", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ),
}


def failed(found: Mapping[str, Any]) -> dict[str, str]:
    return {name: finding["message"] for name, finding in found.items() if finding["outcome"] == "failed"}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_alone_named_with_its_fix_and_fixed_by_it(clinic, name):
    fault = FAULTS[name]
    given = dict(fault.plant(clinic) or {})
    try:
        code, found = clinic.found(*fault.options, given=given)

        assert (code, list(failed(found))) == (1, [fault.check]), failed(found)
        fixes = [each["fix"] for each in found[fault.check]["faults"] if each["fix"]]
        assert fault.message in json.dumps(fixes)
        if fault.fixes:
            fixed(clinic, fault, given)
    finally:
        fault.undo(clinic)
        clinic.restore()  # what it leaves behind would fail the next test, which takes one failed check only


def fixed(clinic: Clinic, fault: Planted, given: dict[str, str]) -> None:
    """Do what doctor says until it is idle; one fix may bare the next."""
    fixer = Fixer(clinic.clients)
    for _ in range(4):
        code, found = clinic.found(*fault.options, given={**given, **fixer.settings})
        if code == 0:
            return
        for finding in found.values():
            for each in finding["faults"]:
                assert each["fix"] is not None, each
                fixer.take(each["fix"])
    raise AssertionError(f"not fixed by its own fixes: {failed(found)}")


def test_a_failure_is_printed_with_the_statement_itself(clinic):
    _pass_role_removed(clinic)
    try:
        result = clinic.visit()
    finally:
        clinic.restore()

    assert result.exit_code == 1
    text = result.stdout
    printed = text[text.index("\n          {\n") : text.index("\n          }\n") + len("\n          }\n")]
    assert json.loads(printed) == {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": clinic.place.role_arn("bedrock"),
        "Condition": {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}},
    }


# --------------------------------------------------------------------------- what the stack itself cannot be


class Ahead(SystemClock):
    def now(self):
        return super().now() + timedelta(hours=1)


def test_a_clock_that_is_wrong_is_found(clinic):
    @contextlib.asynccontextmanager
    async def an_hour_ahead(settings):
        async with open_reading(settings) as reading:
            yield dataclasses.replace(reading, clock=Ahead())

    code, found = clinic.found(open_with=an_hour_ahead)

    assert (code, list(failed(found))) == (1, ["clock"])
    assert "ahead of" in found["clock"]["message"]


def test_a_model_without_access_is_found(clinic):
    clinic.user.stack.set_simulator(models_without_access=[CLAUDE])
    try:
        code, found = clinic.found("--model", CLAUDE)
    finally:
        clinic.user.stack.set_simulator(models_without_access=[])

    assert (code, list(failed(found))) == (1, ["model-access"])
    assert "aws-marketplace:Subscribe" in json.dumps(found["model-access"])


def test_models_lists_what_the_stack_has(clinic):
    unset = {name: None for name in os.environ if name.startswith(FOREIGN)}
    result = CliRunner().invoke(app, ["models", "claude", "--json"], env={**unset, **clinic.user.env})

    assert result.exit_code == 0, result.output
    lines = {line["id"]: line for line in json.loads(result.stdout)}
    assert {line["family"] for line in lines.values()} == {"anthropic"}
    assert lines[CLAUDE]["batch"] == "yes"
    assert lines["us.anthropic.claude-sonnet-5"]["batch"] == "no"
    assert lines["us.anthropic.claude-sonnet-4-5-20250929-v1:0"]["regions"] == ["us-east-1", "us-east-2", "us-west-2"]
