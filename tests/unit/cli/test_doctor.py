"""`quarry doctor` on an account of fakes: what it says when it may not look, when nobody answers, and of rare things.

That each fault of a real stack is found and fixed is `tests/e2e/test_doctor.py`'s to show.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta

import pytest

from quarry_cli.aws import asking
from quarry_cli.doctor.report import CHECKS
from quarry_cli.main import app
from quarry_core.errors import Missing, Refused, Unknown
from tests.unit.cli.an_account import ACCOUNT, CLAUDE, PROFILE, REGION, VARIABLES, Account, allow, encrypted, policy
from tests.unit.cli.runner import runner

# Operations whose silence leaves no check without an answer: something else tells the same.
BY_THE_WAY = {("s3", "get_bucket_policy"), ("iam", "simulate_principal_policy")}
# The IAM action that an operation takes, where it is not the operation's own name.
ACTIONS = {
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "servicequotas:ListAwsDefaultServiceQuotas": "servicequotas:ListAWSDefaultServiceQuotas",
}
BOTH = ("--model", CLAUDE, "--model", PROFILE)


@pytest.fixture
def account():
    return Account()


def visit(account, *options, **variables):
    unset = {name: None for name in os.environ if name.startswith(("AWS_", "QUARRY_", "MAX_"))}
    given = {**unset, **VARIABLES, **variables}
    return runner().invoke(app, ["doctor", *options], obj=account.reading, env=given)


def findings(account, *options, **variables):
    """Findings by check. The exit code must say what they say."""
    result = visit(account, "--json", *options, **variables)
    found = {each["check"]: each for each in json.loads(result.stdout)["checks"]}
    assert result.exit_code == (1 if outcomes(found, "failed") else 0), result.output
    return found


def outcomes(found, outcome):
    return [name for name, finding in found.items() if finding["outcome"] == outcome]


def operations():
    account = Account()
    findings(account, *BOTH)
    return sorted({(service, operation) for service, operation, _ in account.asked} - {("sts", "get_caller_identity")})


# --------------------------------------------------------------------------- a healthy account


@pytest.mark.parametrize(("partition", "region"), [("aws", REGION), ("aws-us-gov", "us-gov-west-1")])
def test_every_check_passes_in_a_healthy_account_of_any_partition(partition, region):
    found = findings(Account(partition, region), *BOTH, QUARRY_REGION=region)

    assert outcomes(found, "ok") == [check.name for check in CHECKS], found


def test_it_only_reads_asks_nothing_twice_and_the_documented_policy_allows_what_it_asks(account):
    findings(account, *BOTH)

    assert len(account.asked) == len(set(account.asked))
    allowed = {action for check in CHECKS for action in check.reads}
    for service, operation, _ in account.asked:
        assert operation.split("_")[0] in {"get", "list", "describe", "test", "simulate"}
        name = "".join(word.capitalize() for word in operation.split("_"))
        action = f"{service.replace('-', '')}:{name}"
        assert ACTIONS.get(action, action) in allowed


def test_it_says_which_account_was_checked(account):
    text = visit(account, "--model", CLAUDE).stdout

    assert text.startswith(f"environment dev in account {ACCOUNT}, {REGION}\n")
    assert "0 failed" in text


# --------------------------------------------------------------------------- what cannot be looked at


@pytest.mark.parametrize("operation", operations(), ids=":".join)
def test_what_may_not_be_looked_at_is_unknown_and_no_failure(account, operation):
    account.deny(*operation)

    found = findings(account, *BOTH)

    assert outcomes(found, "failed") == []
    if operation not in BY_THE_WAY:
        message = [found[name]["message"] for name in outcomes(found, "unknown")]
        assert any("not allowed to read it" in each or "cannot be read" in each for each in message), found


@pytest.mark.parametrize("operation", operations(), ids=":".join)
def test_an_answer_that_is_lost_is_no_failure_either(account, operation):
    account.answers[operation] = Unknown("the connection broke")
    assert outcomes(findings(account, *BOTH), "failed") == []


@pytest.mark.parametrize(
    "operation", [("iam", "get_role_policy"), ("s3", "get_bucket_encryption"), ("sqs", "get_queue_attributes")]
)
def test_an_answer_of_a_form_that_nobody_foresaw_is_reported_as_such(account, operation):
    account.answers[operation] = {"Surprise": True}

    found = findings(account, *BOTH)

    assert outcomes(found, "failed") == []
    assert any("cannot be interpreted" in finding["message"] for finding in found.values())


@pytest.mark.parametrize(
    "text", ['["no statement"]', '{"Statement": "none"}', '{"Statement": {"Principal": "*", "Condition": ["none"]}}']
)
def test_a_policy_of_a_form_that_nobody_foresaw_hides_no_other_check(account, text):
    account.answers["s3", "get_bucket_policy"] = {"Policy": text}

    found = findings(account, *BOTH)

    assert outcomes(found, "unknown") == ["s3-access"]
    assert "cannot be interpreted" in found["s3-access"]["message"]


def test_with_nothing_allowed_all_is_unknown(account):
    for operation in operations():
        account.deny(*operation)

    found = findings(account, *BOTH)

    assert outcomes(found, "ok") == ["clock"]


def test_a_list_without_end_is_given_up(account):
    endless = {"Quotas": [], "NextToken": "again"}
    account.answers["service-quotas", "list_service_quotas"] = lambda given: endless | {"NextToken": len(account.asked)}

    found = findings(account, "--model", CLAUDE)

    assert f"more than {asking.PAGES_MAX} pages" in found["job-quota"]["message"]
    assert len(account.asked) < asking.REQUESTS_MAX


def test_the_requests_of_one_checkup_are_bounded(account, monkeypatch):
    monkeypatch.setattr(asking, "REQUESTS_MAX", 12)

    found = findings(account, *BOTH)

    assert len(account.asked) == 12
    assert outcomes(found, "failed") == []
    assert any("more than 12 requests" in finding["message"] for finding in found.values())


@pytest.mark.parametrize("name", VARIABLES)
def test_without_a_variable_it_cannot_look_and_names_it(account, name):
    result = visit(account, **{name: None})

    assert result.exit_code == 2
    assert f"{name} is not set" in result.stderr
    assert account.asked == []


@pytest.mark.parametrize("name", ["QUARRY_JOB_QUOTA", "MAX_RECORDS_PER_JOB"])
def test_a_variable_that_cannot_be_read_is_named(account, name):
    result = visit(account, **{name: "many"})

    assert result.exit_code == 2
    assert result.stderr.startswith(f"quarry: {name} is 'many'")
    assert account.asked == []


def test_without_credentials_it_cannot_look(account):
    account.answers["sts", "get_caller_identity"] = Refused("Invalid \x1b[2J\x9b2J", "InvalidClientTokenId")

    result = visit(account)

    assert result.exit_code == 2
    assert "AWS does not identify the caller" in result.stderr
    assert not {"\x1b", "\x9b"} & set(result.stderr)
    assert "clock" not in result.stderr


def test_credentials_that_are_refused_because_of_the_clock_say_so(account):
    class Answered(Exception):
        response = {"ResponseMetadata": {"HTTPHeaders": {"date": account.date()}}}  # noqa: RUF012

    refused = Refused("SignatureDoesNotMatch: Signature expired", "SignatureDoesNotMatch")
    refused.__cause__ = Answered()
    account.answers["sts", "get_caller_identity"] = refused
    account.clock.advance(timedelta(minutes=10).total_seconds())

    result = visit(account)

    assert result.exit_code == 2
    assert "the clock here is 600 s ahead of AWS's" in result.stderr


@pytest.mark.parametrize(("seconds", "outcome"), [(60, "ok"), (61, "failed"), (-61, "failed")])
def test_the_clock_may_be_a_minute_off(account, seconds, outcome):
    date = account.date()
    account.answers["sts", "get_caller_identity"] = {
        "Account": ACCOUNT,
        "ResponseMetadata": {"HTTPHeaders": {"date": date}},
    }
    account.clock.advance(seconds)

    assert findings(account)["clock"]["outcome"] == outcome


def test_a_date_that_is_none_tells_no_time(account):
    headers = {"HTTPHeaders": {"date": "this morning"}}
    account.answers["sts", "get_caller_identity"] = {"Account": ACCOUNT, "ResponseMetadata": headers}

    assert findings(account)["clock"]["outcome"] == "unknown"


# --------------------------------------------------------------------------- which models


def test_without_a_model_those_of_open_runs_are_looked_at(account):
    account.models = [PROFILE]
    assert f"{PROFILE}: available" in findings(account)["model"]["message"]
    assert findings(account, "--model", CLAUDE)["model"]["message"].startswith(CLAUDE)


def test_with_neither_it_says_how_to_name_one(account):
    found = findings(account)
    assert outcomes(found, "unknown") == [
        "profile-access",
        "on-demand",
        "model",
        "model-access",
        "model-batch",
        "records",
    ]
    assert "--model ID" in found["model"]["message"]


def test_more_models_than_can_be_looked_at_are_wrong_usage(account):
    options = [word for number in range(21) for word in ("--model", f"a.model-{number}")]
    assert visit(account, *options).exit_code == 2
    assert account.asked == []


def test_a_quota_above_every_models_is_found_without_a_model(account):
    assert outcomes(findings(account, QUARRY_JOB_QUOTA="21"), "failed") == ["job-quota"]
    account.raised = {name: 50.0 for name in account.quotas if name.startswith("Sum")}
    assert outcomes(findings(account, QUARRY_JOB_QUOTA="21"), "failed") == []


def test_a_model_without_quota_does_not_hide_that_another_is_short(account):
    found = findings(account, "--model", "anthropic.claude-opus-5", "--model", CLAUDE, QUARRY_JOB_QUOTA="30")

    assert "the account allows 20" in found["job-quota"]["message"]
    assert "request-service-quota-increase" in found["job-quota"]["faults"][0]["remedy"]


@pytest.mark.parametrize(("records", "fix"), [("99", "100"), ("50001", "50000")])
def test_records_per_job_must_lie_between_the_models_limits(account, records, fix):
    found = findings(account, "--model", CLAUDE, MAX_RECORDS_PER_JOB=records)

    assert outcomes(found, "failed") == ["records"]
    assert found["records"]["faults"][0]["fix"]["value"] == f"MAX_RECORDS_PER_JOB={fix}"


@pytest.mark.parametrize(("variable", "what"), [("true", "asked on demand"), ("false", "refused")])
def test_it_says_what_becomes_of_a_run_that_is_too_small_for_a_job(account, variable, what):
    found = findings(account, "--model", CLAUDE, QUARRY_ON_DEMAND=variable)

    assert found["records"]["message"].endswith(f"holds 100 to 50,000 records: a run of fewer rows is {what}")


@pytest.mark.parametrize(
    ("answer", "outcome", "message"),
    [
        ({}, "ok", "may use"),
        ({"agreementAvailability": {"status": "NOT_AVAILABLE"}}, "failed", "aws-marketplace:Subscribe"),
        ({"authorizationStatus": "NOT_AUTHORIZED"}, "failed", "not authorized"),
        ({"regionAvailability": "NOT_AVAILABLE"}, "failed", f"not offered in {REGION}"),
        ({"agreementAvailability": {"status": "PENDING"}}, "unknown", "15 minutes"),
    ],
    ids=["open", "no agreement", "not authorized", "not here", "pending"],
)
def test_access_to_a_model_is_reported(account, answer, outcome, message):
    account.answers["bedrock", "get_foundation_model_availability"] |= answer

    found = findings(account, "--model", CLAUDE)

    assert found["model-access"]["outcome"] == outcome
    assert message in json.dumps(found["model-access"])
    assert outcomes(found, "failed") == (["model-access"] if outcome == "failed" else [])


# --------------------------------------------------------------------------- roles and policies


def test_a_policy_that_is_attached_counts_and_its_denial_wins(account):
    scheduler = account.inline.pop("dev-quarry-scheduler")
    account.attached["dev-quarry-scheduler"] = scheduler
    assert outcomes(findings(account), "failed") == []

    scheduler["Statement"].append({"Effect": "Deny", "Action": "iam:*", "Resource": "*"})
    found = findings(account)
    assert outcomes(found, "failed") == ["pass-role"]
    assert "Deny" in found["pass-role"]["faults"][0]["remedy"]


def test_one_server_for_all_services_passes_the_role_too(account):
    account.inline["dev-quarry-server"] = account.inline.pop("dev-quarry-scheduler")
    assert "dev-quarry-server may pass" in findings(account)["pass-role"]["message"]


def test_a_role_of_another_name_is_given(account):
    account.inline["mine"] = account.inline.pop("dev-quarry-scheduler")
    found = findings(account)
    assert outcomes(found, "failed") == []
    assert "--scheduler-role NAME" in found["pass-role"]["message"]

    assert "mine may pass" in findings(account, "--scheduler-role", "mine")["pass-role"]["message"]


@pytest.mark.parametrize(("decision", "outcome"), [("allowed", "ok"), ("implicitDeny", "failed")])
def test_where_policies_may_not_be_read_the_simulation_is_asked(account, decision, outcome):
    account.deny("iam", "list_role_policies")
    account.simulated = {"EvalDecision": decision}

    assert findings(account)["pass-role"]["outcome"] == outcome


@pytest.mark.parametrize(
    ("detail", "who"),
    [
        ({"PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": False}}, "permissions boundary"),
        ({"OrganizationsDecisionDetail": {"AllowedByOrganizations": False}}, "service control policy"),
    ],
)
def test_what_stands_above_the_role_is_reported_by_the_simulation(account, detail, who):
    account.simulated = {"EvalDecision": "implicitDeny", **detail}

    found = findings(account, *BOTH)

    assert outcomes(found, "failed") == ["pass-role", "create-job", "on-demand"]
    assert who in found["pass-role"]["message"]


def test_a_simulation_that_says_no_without_a_reason_does_not_outweigh_the_policies(account):
    account.simulated = {"EvalDecision": "implicitDeny"}
    assert outcomes(findings(account), "failed") == []


def test_a_condition_that_only_the_request_can_meet_is_unknown(account):
    for statement in account.inline["dev-quarry-bedrock"]["Statement"]:
        statement["Condition"] = {"StringEquals": {"aws:SourceVpc": "vpc-1", "aws:ResourceAccount": ACCOUNT}}

    found = findings(account, *BOTH)

    assert outcomes(found, "failed") == []
    assert "cannot be evaluated" in found["s3-access"]["message"]


def test_a_denial_in_the_buckets_policy_that_asks_for_tls_or_encryption_is_no_fault(account):
    bucket = "arn:aws:s3:::dev-quarry-bucket"
    plain_http = {"Bool": {"aws:SecureTransport": "false"}}
    other_key = {"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}
    denials = [
        {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [bucket, f"{bucket}/*"], "Condition": each}
        for each in (plain_http, other_key)
    ]
    account.answers["s3", "get_bucket_policy"] = {"Policy": json.dumps(policy(*denials))}

    assert outcomes(findings(account, *BOTH), "failed") == []


def test_a_role_that_the_buckets_policy_lets_in_needs_no_policy_of_its_own(account):
    bucket = "arn:aws:s3:::dev-quarry-bucket"
    account.inline["dev-quarry-bedrock"]["Statement"] = [
        each for each in account.inline["dev-quarry-bedrock"]["Statement"] if "s3" not in str(each["Action"])
    ]
    assert outcomes(findings(account), "failed") == ["s3-access"]

    own = allow(["s3:GetObject", "s3:PutObject", "s3:ListBucket"], [bucket, f"{bucket}/*"])
    let_in = {**own, "Principal": {"AWS": account.bedrock_role}}
    account.answers["s3", "get_bucket_policy"] = {"Policy": json.dumps(policy(let_in))}
    assert outcomes(findings(account), "failed") == []


@pytest.mark.parametrize(
    ("change", "fix"),
    [({"KeyState": "Disabled"}, "enable-key"), ({"KeyManager": "AWS"}, None)],
    ids=["disabled", "AWS's own"],
)
def test_the_buckets_key_must_be_one_that_can_be_used(account, change, fix):
    account.answers["kms", "describe_key"]["KeyMetadata"].update(change)
    account.inline["dev-quarry-bedrock"]["Statement"] = [
        each for each in account.inline["dev-quarry-bedrock"]["Statement"] if "kms" not in str(each["Action"])
    ]

    found = findings(account)

    assert outcomes(found, "failed") == (["key-access"] if fix else [])
    if fix:
        assert fix in found["key-access"]["faults"][0]["fix"]["value"]


def test_a_key_that_does_not_exist_is_found(account):
    account.answers["kms", "describe_key"] = Missing("NotFoundException")
    assert outcomes(findings(account), "failed") == ["key-access"]


def test_a_bucket_without_any_encryption_is_found(account):
    account.answers["s3", "get_bucket_encryption"] = Missing("ServerSideEncryptionConfigurationNotFoundError")

    found = findings(account)

    assert outcomes(found, "failed") == ["bucket-encryption"]
    assert "put-bucket-encryption" in found["bucket-encryption"]["faults"][0]["fix"]["value"]


@pytest.mark.parametrize(("location", "region"), [(None, "us-east-1"), ("EU", "eu-west-1")])
def test_s3s_names_for_its_oldest_regions_are_understood(location, region):
    account = Account(region=region)
    account.answers["s3", "get_bucket_location"] = {"LocationConstraint": location}
    account.answers["s3", "get_bucket_encryption"] = encrypted({"SSEAlgorithm": "AES256"})

    assert outcomes(findings(account, QUARRY_REGION=region), "failed") == []


def test_a_key_may_name_the_role_itself(account):
    role = account.inline["dev-quarry-bedrock"]
    role["Statement"] = [each for each in role["Statement"] if "kms" not in str(each["Action"])]
    assert outcomes(findings(account), "failed") == ["key-access"]

    named = {**allow("kms:*", "*"), "Principal": {"AWS": account.bedrock_role}}
    account.answers["kms", "get_key_policy"] = {"Policy": json.dumps(policy(named))}
    assert outcomes(findings(account), "failed") == []


def test_a_trust_that_lets_every_account_in_is_found(account):
    del account.trust["Statement"][0]["Condition"]["StringEquals"]
    assert outcomes(findings(account), "failed") == []  # the jobs' ARN names the account too
    del account.trust["Statement"][0]["Condition"]

    found = findings(account)

    assert outcomes(found, "failed") == ["trust"]
    added = found["trust"]["faults"][0]["fix"]["value"][0]["Condition"]
    assert added["StringEquals"] == {"aws:SourceAccount": ACCOUNT}
    assert added["ArnEquals"] == {"aws:SourceArn": f"arn:aws:bedrock:{REGION}:{ACCOUNT}:model-invocation-job/*"}


def test_access_to_a_bucket_of_anybody_is_found(account):
    for statement in account.inline["dev-quarry-bedrock"]["Statement"][:2]:
        del statement["Condition"]
    found = findings(account)
    assert outcomes(found, "failed") == ["s3-access"]
    assert "aws:ResourceAccount is missing" in found["s3-access"]["message"]


def test_a_denial_that_is_sure_is_a_fault_that_no_statement_fixes(account):
    denial = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "*"}
    account.answers["s3", "get_bucket_policy"] = {"Policy": json.dumps(policy(denial))}

    found = findings(account)

    assert outcomes(found, "failed") == ["s3-access"]
    assert "s3:PutObject" in found["s3-access"]["message"]
    assert found["s3-access"]["faults"][0]["fix"] is None


def test_a_model_that_batch_inference_refuses_is_found(account):
    account.model |= {"modelId": "anthropic.claude-sonnet-5", "modelName": "Claude Sonnet 5"}
    assert outcomes(findings(account, "--model", "anthropic.claude-sonnet-5"), "failed") == ["model-batch"]


def test_a_model_of_which_nothing_is_known_is_unknown_until_the_first_job(account):
    account.model |= {"modelId": "anthropic.claude-next", "modelName": "Claude Next"}
    found = findings(account, "--model", "anthropic.claude-next")
    assert outcomes(found, "failed") == []
    assert "the first job will show it" in found["model-batch"]["message"]


# --------------------------------------------------------------------------- queues


@pytest.mark.parametrize("variables", [{}, {"QUARRY_SLICES_DLQ_URL": f"https://mine/{ACCOUNT}/dev-quarry-graveyard"}])
def test_a_queues_dead_letter_messages_are_where_the_services_put_them(account, variables):
    """By the variable, or else beside the queue."""
    url = f"https://mine/{ACCOUNT}/dev-quarry-parts"
    dead = "graveyard" if variables else "parts-dlq"
    account.queues["parts"] = account.queues.pop("slices")
    account.queues[dead] = account.queues.pop("slices-dlq")
    assert outcomes(findings(account, QUARRY_SLICES_QUEUE_URL=url, **variables), "failed") == []

    account.queues[dead]["ApproximateNumberOfMessages"] = "1200"
    found = findings(account, QUARRY_SLICES_QUEUE_URL=url, **variables)
    assert outcomes(found, "failed") == ["dead-letters"]
    assert "1,200 messages" in found["dead-letters"]["message"]


def test_what_eventbridge_could_not_deliver_is_where_the_services_count_it(account):
    account.queues["lost"] = account.queues["event-target-dlq"] | {"ApproximateNumberOfMessages": "3"}

    found = findings(account, QUARRY_EVENT_TARGET_DLQ_URL=f"https://mine/{ACCOUNT}/dev-quarry-lost")

    assert outcomes(found, "failed") == ["dead-letters"]


@pytest.mark.parametrize(
    ("manager", "lets_in", "fix"),
    [("AWS", True, "SqsManagedSseEnabled"), ("CUSTOMER", False, "kms:GenerateDataKey"), ("CUSTOMER", True, None)],
)
def test_eventbridge_must_be_let_in_by_a_queues_key(account, manager, lets_in, fix):
    account.queues["events"]["KmsMasterKeyId"] = "alias/any"
    account.answers["s3", "get_bucket_encryption"] = encrypted({"SSEAlgorithm": "AES256"})
    account.answers["kms", "describe_key"]["KeyMetadata"]["KeyManager"] = manager
    if lets_in:
        events = {
            **allow(["kms:Decrypt", "kms:GenerateDataKey*"], "*"),
            "Principal": {"Service": "events.amazonaws.com"},
        }
        account.answers["kms", "get_key_policy"] = {"Policy": json.dumps(policy(events))}

    found = findings(account)

    assert outcomes(found, "failed") == (["event-delivery"] if fix else [])
    if fix:
        assert fix in json.dumps(found["event-delivery"]["faults"][0]["fix"])


def test_a_queue_of_another_region_is_found(account):
    account.queues["slices"]["QueueArn"] = account.queues["slices"]["QueueArn"].replace(REGION, "eu-central-1")

    found = findings(account, QUARRY_SLICES_QUEUE_URL=f"https://elsewhere/{ACCOUNT}/dev-quarry-slices")

    assert outcomes(found, "failed") == ["queues"]
    assert "QUARRY_SLICES_QUEUE_URL=" in found["queues"]["faults"][0]["fix"]["value"]


def test_several_faults_of_one_check_are_reported_each_with_its_fix(account):
    for name in ("slices", "events"):
        del account.queues[name]["RedrivePolicy"]

    result = visit(account)

    assert result.exit_code == 1
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert sum(line.startswith("aws sqs set-queue-attributes") for line in lines) == 2
    assert "messages of dev-quarry-slices that cannot be handled go to nowhere:" in lines


def test_no_control_character_of_the_account_reaches_the_terminal(account):
    account.answers["events", "describe_rule"] = {"State": "DIS\x1b[31mABLED", "EventPattern": "{}"}

    assert "\x1b" not in visit(account).stdout
