"""What Create accepts, checked before anything is sent (contract sections 1.1, 1.2 and 1.6). Pure.

The SDK checks required members, types and minimum values only: a timeout of 169 hours or an `=` in an S3 URI leaves
the laptop and fails at AWS, hours after the manifest was accepted. So the same limits stand here, one small checker
for each manifest field, and all of them together in `check_request`. Each raises a ValueError that names the field
and the remedy. The `*_PATTERN` texts are those of the service model, and a test compares them with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from quarry_core.ports import JobRequest

JOB_NAME_PATTERN = r"[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63}"
ROLE_ARN_PATTERN = r"arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+"
MODEL_ID_PATTERN = (
    r"(arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:"
    r"(([0-9]{12}:custom-model/[a-z0-9-]{1,63}[.]{1}[a-z0-9-:]{1,63}/[a-z0-9]{12}$)"
    r"|(:foundation-model/([a-z0-9-]{1,63}[.]{1}[a-z0-9-]{1,63}([.]?[a-z0-9-]{1,63})([:][a-z0-9-]{1,63}){0,2})"
    r"|(([0-9a-zA-Z][_-]?)+)$)"
    r"|([0-9]{12}:(inference-profile|application-inference-profile)/[a-zA-Z0-9-:.]+$)))"
    r"|([a-z0-9-]{1,63}[.]{1}[a-z0-9-]{1,63}([.]?[a-z0-9-]{1,63})([:][a-z0-9-]{1,63}){0,2})"
    r"|(([0-9a-zA-Z][_-]?)+)"
)
S3_URI_PATTERN = r"s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](?:/[-!_*'().a-z0-9A-Z]+(?:/[-!_*'().a-z0-9A-Z]+)*)?/?"
CLIENT_TOKEN_PATTERN = r"[a-zA-Z0-9]{1,256}(-*[a-zA-Z0-9]){0,256}"  # noqa: S105 - a pattern, not a secret
KMS_KEY_PATTERN = (
    r"(arn:aws(-[^:]+)?:kms:[a-zA-Z0-9-]*:[0-9]{12}:((key/[a-zA-Z0-9-]{36})|(alias/[a-zA-Z0-9-_/]+)))"
    r"|([a-zA-Z0-9-]{36})|(alias/[a-zA-Z0-9-_/]+)"
)
VPC_ID_PATTERN = r"[-0-9a-zA-Z]+"
TAG_PATTERN = r"[a-zA-Z0-9\s._:/=+@-]*"

JOB_NAME_CHARS_MAX = 63
ROLE_ARN_CHARS_MAX = 2048
MODEL_ID_CHARS_MAX = 2048
S3_URI_CHARS_MAX = 1024
CLIENT_TOKEN_CHARS_MAX = 256
KMS_KEY_CHARS_MAX = 2048
VPC_ID_CHARS_MAX = 32
SUBNETS_MAX = 16
SECURITY_GROUPS_MAX = 5
# The request's own maximum is 200, but a resource is said to hold 50 (section 1.2): the smaller holds either way.
TAGS_MAX = 50
# On every job of ours, so that IAM can say whose jobs may be stopped (`aws:ResourceTag/quarry-env`) and a bill can tell
# runs apart. Tag names of a condition ignore case, hence so does what is reserved.
TAG_ENV = "quarry-env"
TAG_RUN = "quarry-run"
OWN_TAGS = (TAG_ENV, TAG_RUN)
RESERVED_TAG_PREFIX = "quarry-"
# Only AWS itself may write tags of these names, in upper or lower case: Create refuses them.
AWS_TAG_PREFIX = "aws:"
USER_TAGS_MAX = TAGS_MAX - len(OWN_TAGS)
TAG_KEY_CHARS_MAX = 128
TAG_VALUE_CHARS_MAX = 256
TIMEOUT_HOURS_MIN, TIMEOUT_HOURS_MAX = 24, 168
INVOCATION_TYPES = ("InvokeModel", "Converse")

# The model's own patterns for these two can be split in exponentially (quadratically) many ways, so a long wrong
# word would hang the process. Under the length limits these say the same, and a test compares them.
_LINEAR = {
    JOB_NAME_PATTERN: r"[a-zA-Z0-9][-+.a-zA-Z0-9]*",
    CLIENT_TOKEN_PATTERN: r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?",
}
# ASCII: `\s` is the model's, which knows nothing of Unicode spaces.
_COMPILED = {
    pattern: re.compile(_LINEAR.get(pattern, pattern), re.ASCII)
    for pattern in (
        JOB_NAME_PATTERN,
        ROLE_ARN_PATTERN,
        MODEL_ID_PATTERN,
        S3_URI_PATTERN,
        CLIENT_TOKEN_PATTERN,
        KMS_KEY_PATTERN,
        VPC_ID_PATTERN,
        TAG_PATTERN,
    )
}
_SHOWN_CHARS_MAX = 80


def check_request(request: JobRequest) -> None:
    """Check everything that Create would be sent. Raises ValueError for the first that is wrong."""
    check_job_name(request.name)
    check_client_token(request.client_token)
    check_role_arn(request.role_arn)
    check_model_id(request.model_id)
    check_s3_uri(request.input_uri, "s3_uri")
    check_s3_uri(request.output_uri, "output")
    check_timeout_hours(request.timeout_hours)
    check_tags(request.tags)
    if request.output_kms_key is not None:
        check_kms_key(request.output_kms_key)
    if request.subnet_ids or request.security_group_ids:
        check_vpc(request.subnet_ids, request.security_group_ids)
    if request.invocation_type is not None:
        check_invocation_type(request.invocation_type)


def check_job_name(name: str) -> None:
    """1 to 63 characters, the first a letter or digit, then also `+ - .`."""
    _check(
        name,
        "job_name_prefix",
        JOB_NAME_PATTERN,
        JOB_NAME_CHARS_MAX,
        "begin with a letter or digit and use only letters, digits, '-', '+' and '.'; at most 63 characters",
    )


def check_client_token(token: str) -> None:
    """1 to 256 letters, digits and inner hyphens. Ours are 32 hex digits of the job's name."""
    _check(
        token,
        "client token (made from the job name)",
        CLIENT_TOKEN_PATTERN,
        CLIENT_TOKEN_CHARS_MAX,
        "use letters, digits and inner hyphens only",
    )


def check_role_arn(arn: str) -> None:
    """The role that Bedrock takes on. It is a setting, not a manifest field."""
    _check(
        arn,
        "QUARRY_BEDROCK_ROLE_ARN",
        ROLE_ARN_PATTERN,
        ROLE_ARN_CHARS_MAX,
        "give the whole ARN, arn:aws:iam::<account>:role/<name>",
    )


def check_model_id(model_id: str) -> None:
    """The form only: the pattern lets almost any word through, so it is no proof that a model exists."""
    _check(
        model_id,
        "model_id",
        MODEL_ID_PATTERN,
        MODEL_ID_CHARS_MAX,
        "give a model id, an inference profile id, or the ARN of a foundation model, inference profile or custom "
        "model; provisioned and imported models cannot run in batch",
    )


def check_s3_uri(uri: str, field: str) -> None:
    """An S3 URI as Bedrock takes it: no `=`, space, `+`, `@`, `:`, `~`, `//` or non-ASCII character."""
    _check(
        uri,
        field,
        S3_URI_PATTERN,
        S3_URI_CHARS_MAX,
        "write s3://bucket/key with only letters, digits and - ! _ * ' ( ) . between single slashes",
    )


def check_timeout_hours(hours: int) -> None:
    """24 to 168 hours, the wait in Bedrock's queue included."""
    if isinstance(hours, bool) or not isinstance(hours, int) or not TIMEOUT_HOURS_MIN <= hours <= TIMEOUT_HOURS_MAX:
        raise ValueError(
            f"timeout_hours: {_shown(hours)} is not possible; give a whole number from {TIMEOUT_HOURS_MIN} to "
            f"{TIMEOUT_HOURS_MAX}"
        )


def job_tags(env: str, run_id: str, user: Mapping[str, str]) -> dict[str, str]:
    """All tags of a job: whose it is, which no tag of the user's can override, and the user's own."""
    kept = {key: value for key, value in user.items() if not key.lower().startswith(RESERVED_TAG_PREFIX)}
    return {TAG_ENV: env, TAG_RUN: run_id, **kept}


def check_user_tags(tags: Mapping[str, str]) -> None:
    """As `check_tags`, less the tags that every job has anyway, and without their names."""
    if len(tags) > USER_TAGS_MAX:
        raise ValueError(
            f"tags: there are {len(tags)}; give at most {USER_TAGS_MAX}, because a job has at most {TAGS_MAX} and"
            f" {len(OWN_TAGS)} are Quarry's own"
        )
    for key in tags:
        if key.lower().startswith(RESERVED_TAG_PREFIX):
            raise ValueError(
                f"tags: {_shown(key)} is reserved; choose a key that does not begin with {RESERVED_TAG_PREFIX!r}, in"
                " upper or lower case"
            )
    check_tags(tags)


def check_tags(tags: Mapping[str, str]) -> None:
    """At most 50 tags; keys of 1 to 128 and values of up to 256 characters of a small alphabet."""
    if len(tags) > TAGS_MAX:
        raise ValueError(f"tags: there are {len(tags)}; give at most {TAGS_MAX}")
    alphabet = "use only letters, digits, spaces and . _ : / = + @ -"
    for key, value in tags.items():
        if not key:
            raise ValueError("tags: a key is empty; give every tag a name")
        if key.lower().startswith(AWS_TAG_PREFIX):
            raise ValueError(
                f"tags: {_shown(key)} is reserved by AWS; choose a key that does not begin with {AWS_TAG_PREFIX}"
            )
        _check(key, "tags", TAG_PATTERN, TAG_KEY_CHARS_MAX, f"{alphabet}; a key has at most {TAG_KEY_CHARS_MAX}")
        _check(
            value,
            f"tags.{_shown(key)}",
            TAG_PATTERN,
            TAG_VALUE_CHARS_MAX,
            f"{alphabet}; a value has at most {TAG_VALUE_CHARS_MAX}",
        )


def check_kms_key(key: str) -> None:
    """A key ARN, an alias ARN, a key id of 36 characters, or `alias/...`."""
    _check(
        key,
        "output_kms_key",
        KMS_KEY_PATTERN,
        KMS_KEY_CHARS_MAX,
        "give the key's ARN, its id, its alias ARN, or alias/<name>",
    )


def check_vpc(subnet_ids: Sequence[str], security_group_ids: Sequence[str]) -> None:
    """Both lists or neither: 1 to 16 subnets, 1 to 5 security groups."""
    for field, ids, most in (
        ("vpc.subnet_ids", subnet_ids, SUBNETS_MAX),
        ("vpc.security_group_ids", security_group_ids, SECURITY_GROUPS_MAX),
    ):
        if not 1 <= len(ids) <= most:
            raise ValueError(f"{field}: there are {len(ids)}; give 1 to {most}, or leave vpc out")
        for one in ids:
            _check(one, field, VPC_ID_PATTERN, VPC_ID_CHARS_MAX, "use only letters, digits and '-'; at most 32")


def check_invocation_type(invocation_type: str) -> None:
    """`InvokeModel` or `Converse`: how Bedrock reads each record."""
    if invocation_type not in INVOCATION_TYPES:
        raise ValueError(
            f"model_id: its adapter requires invocation type {_shown(invocation_type)}; "
            f"Bedrock knows {' and '.join(INVOCATION_TYPES)}"
        )


def _check(text: str, field: str, pattern: str, chars_max: int, remedy: str) -> None:
    if not isinstance(text, str):
        raise ValueError(f"{field}: {_shown(text)} is not text; {remedy}")  # noqa: TRY004 - one class for all of it
    # Length first: it also bounds the work of the match.
    if len(text) > chars_max or _COMPILED[pattern].fullmatch(text) is None:
        raise ValueError(f"{field}: {_shown(text)} is not accepted by Bedrock; {remedy}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS_MAX else f"{text[:_SHOWN_CHARS_MAX]}..."
