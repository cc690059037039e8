"""Doctor's reading of policies: sure, sure not, or perhaps; and where it is sure, the simulated Bedrock's reader agrees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_cli.aws.policy import Act, Holds, by_identity, by_resource
from quarry_local.bedrock.iam import policy as witness

ROLE = "arn:aws:iam::123456789012:role/bedrock"
OBJECT = "arn:aws:s3:::bucket/batch-input/run/1.jsonl"


def judged(statement, **context):
    full = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", **statement}
    return by_identity([{"Statement": full}], Act("s3:GetObject", OBJECT, context))


@pytest.mark.parametrize(
    ("statement", "allow"),
    [
        ({}, Holds.YES),
        ({"Action": "S3:get*"}, Holds.YES),
        ({"Action": ["s3:PutObject", "s3:GetObject?"]}, Holds.NO),
        ({"Resource": "arn:aws:s3:::bucket/batch-*"}, Holds.YES),
        ({"Resource": "arn:aws:s3:::BUCKET/*"}, Holds.NO),
        ({"Resource": "arn:aws:s3:::${aws:PrincipalTag/team}/*"}, Holds.PERHAPS),
        ({"Action": None, "NotAction": "iam:*"}, Holds.YES),
        ({"Action": None, "NotAction": "s3:*"}, Holds.NO),
        ({"Resource": None, "NotResource": "arn:aws:s3:::bucket/secret/*"}, Holds.YES),
        ({"Resource": None, "NotResource": "arn:aws:s3:::bucket/*"}, Holds.NO),
        ({"Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}}, Holds.PERHAPS),
        ({"Condition": {"Bool": {"AWS:SecureTransport": True}}}, Holds.YES),
        ({"Condition": {"Bool": {"aws:SecureTransport": "false"}}}, Holds.NO),
        ({"Condition": {"NumericLessThan": {"aws:SecureTransport": "3"}}}, Holds.PERHAPS),
        ({"Condition": {"StringEquals": {"header": "x"}}}, Holds.NO),
        ({"Condition": {"StringNotEquals": {"header": "x"}}}, Holds.YES),
        ({"Condition": {"StringEqualsIfExists": {"header": "x"}}}, Holds.YES),
        ({"Condition": {"Null": {"header": "true"}}}, Holds.YES),
        ({"Condition": {"Null": {"header": "false"}}}, Holds.NO),
        (
            {"Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}, "Bool": {"aws:SecureTransport": "false"}}},
            Holds.NO,
        ),
    ],
    ids=str,
)
def test_what_a_statement_allows(statement, allow):
    kept = {name: value for name, value in statement.items() if value is not None}
    removed = {name for name, value in statement.items() if value is None}
    full = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", **kept}
    policy = {"Statement": [{name: value for name, value in full.items() if name not in removed}]}
    act = Act("s3:GetObject", OBJECT, {"aws:SecureTransport": "true", "header": None})

    assert by_identity([policy], act).allow is allow


def test_a_denial_wins_when_it_is_sure_and_does_not_when_it_is_perhaps():
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    act = Act("s3:GetObject", OBJECT, {})
    for condition, allowed in (({}, False), ({"StringEquals": {"aws:SourceVpc": "v"}}, True)):
        denial = {"Effect": "Deny", "Action": "s3:*", "Resource": "*", "Condition": condition}
        assert by_identity([{"Statement": [everything, denial]}], act).allowed is allowed


@pytest.mark.parametrize(
    ("principal", "named"),
    [
        ({"Principal": "*"}, True),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Principal": {"AWS": [ROLE]}}, True),
        ({"Principal": {"AWS": ROLE + "2"}}, False),
        ({"Principal": {"Service": "bedrock.amazonaws.com"}}, False),
        ({"NotPrincipal": {"AWS": ROLE}}, False),
        ({"NotPrincipal": {"AWS": ROLE + "2"}}, True),
        ({}, False),
    ],
    ids=str,
)
def test_whom_a_resources_policy_names(principal, named):
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*", **principal}
    assert by_resource({"Statement": [statement]}, {ROLE}, Act("s3:GetObject", OBJECT, {})).allowed is named


def test_no_policy_says_nothing():
    assert by_resource(None, {ROLE}, Act("s3:GetObject", OBJECT, {})).refused


# --------------------------------------------------------------------------- the witness

some = st.sampled_from
CONTEXT = {"aws:sourceaccount": "123456789012", "aws:securetransport": "true", "s3:prefix": "batch-input/a"}
CONDITIONS = st.dictionaries(
    some(["StringEquals", "StringNotEquals", "StringLike", "ArnLike", "Bool", "StringEqualsIfExists", "Null"]),
    st.dictionaries(some(sorted(CONTEXT)), some(["123456789012", "true", "false", "batch-*", ["no", "batch-input/a"]])),
    max_size=2,
)
STATEMENTS = st.builds(
    lambda effect, action, resource, condition: {
        "Effect": effect,
        action[0]: action[1],
        resource[0]: resource[1],
        "Condition": condition,
    },
    some(["Allow", "Allow", "Deny"]),
    st.tuples(some(["Action", "NotAction"]), some(["*", "s3:*", "s3:Get?bject", ["iam:*", "S3:GETOBJECT"], "sqs:*"])),
    st.tuples(some(["Resource", "NotResource"]), some(["*", OBJECT, "arn:aws:s3:::other/*", ["arn:*", "x"]])),
    CONDITIONS,
)


@given(st.lists(STATEMENTS, max_size=4))
def test_where_all_is_known_it_judges_as_the_simulated_bedrock_does(statements):
    document = {"Statement": statements}
    mine = by_identity([document], Act("s3:GetObject", OBJECT, CONTEXT))
    theirs = witness.by_identity([document], action="s3:GetObject", resource=OBJECT, context=CONTEXT)

    assert (mine.allow is Holds.YES, mine.deny is Holds.YES) == (theirs.allowed, theirs.denied)
    assert mine.allowed is (theirs.allowed and not theirs.denied)
