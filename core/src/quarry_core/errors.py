"""What can go wrong at a port, in Quarry's words: the only file that spells AWS error codes.

Handlers see these classes and nothing of botocore. The one distinction that matters most is between an *answer*
(`Throttled`, `QuotaExceeded`, `Refused`, `Missing`, `Stale`: the service has spoken, nothing was done) and
`Unknown`: the reply was lost, and the work may have been done.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NoReturn


class PortError(Exception):
    """Anything that a port may raise."""


class Throttled(PortError):
    """Not now: the service asked for a pause, or took no credentials at this moment; nothing was done."""


class QuotaExceeded(PortError):
    """Bedrock has as many jobs as it allows; nothing was done (contract sections 1.1 and 5)."""


class Refused(PortError):
    """Bedrock, or another service, answered no, and will again: validation, access, not found.

    Attributes:
        code: the service's own exception code.
        malformed: what was asked for was no valid request, by our own fault: asked again, it will be answered so again.
    """

    def __init__(self, message: str, code: str = "Refused", *, malformed: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.malformed = malformed

    @property
    def denied(self) -> bool:
        """Whether the caller lacks the permission to ask, whatever the answer would have been."""
        return self.code in DENIED


class Unsupported(Refused):
    """The SDK that is installed cannot ask for it: nothing was sent."""


class Missing(PortError):
    """The thing asked for does not exist."""


class MissingBucket(Missing):
    """The bucket itself does not exist. S3 says so to a GET; to a HEAD it says no more than `Missing`."""


class Changed(PortError):
    """A pinned source is no longer what it was when the run was accepted."""


class NoRanges(PortError):
    """A file was asked for a range and gave something else: it can only be read from its beginning."""


class Stale(PortError):
    """A conditional write met another state than its premise: re-read and decide again."""


class Conflict(PortError):
    """Another thing stands under that name: a write-once object with other content, or a job (cause not documented)."""


class Unknown(PortError):
    """The reply was lost or the service broke: the work may or may not have been done."""


TOO_MANY_REQUESTS, REQUEST_TIMEOUT = 429, 408
THROTTLING = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "ProvisionedThroughputExceededException",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "TransactionInProgressException",
        "KMS.ThrottlingException",
        "KmsThrottled",
    }
)
# Credentials that are about to be renewed say nothing of what was asked with them.
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
UNKNOWN_CREDENTIALS = frozenset({"InvalidClientTokenId", "UnrecognizedClientException"})
CREDENTIALS = EXPIRED | UNKNOWN_CREDENTIALS
# Answers to a key or a signature that can never become right by waiting; S3 has names of its own.
INVALID_CREDENTIALS = UNKNOWN_CREDENTIALS | {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "AuthFailure",
}
# What the SDK raises before anything is sent.
NO_CREDENTIALS_ERRORS = frozenset({"NoCredentialsError", "CredentialRetrievalError", "PartialCredentialsError"})
SIGN_IN_ERRORS = frozenset({"SSOTokenLoadError", "UnauthorizedSSOTokenError", "TokenRetrievalError"})
UNREACHABLE_ERRORS = frozenset({"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"})
QUOTA = frozenset({"ServiceQuotaExceededException"})
MISSING_BUCKET = frozenset({"NoSuchBucket"})
MISSING = frozenset(
    {
        "NoSuchKey",
        "NoSuchBucket",
        "404",
        "NotFound",
        "ResourceNotFoundException",
        "NoSuchVersion",
        "QueueDoesNotExist",
        "AWS.SimpleQueueService.NonExistentQueue",
        # What only `quarry doctor` asks for: roles, keys, quotas and a bucket's own settings.
        "NoSuchEntity",
        "NotFoundException",
        "NoSuchResourceException",
        "NoSuchBucketPolicy",
        "NoSuchPublicAccessBlockConfiguration",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)
# Of the refusals, those that say: not you.
DENIED = frozenset({"AccessDeniedException", "AccessDenied", "AuthorizationErrorException", "403", "Forbidden"})
# Of the table's refusals, those that say: no such write. Elsewhere the same code may be Bedrock's, about the user's job.
MALFORMED_WRITE = frozenset({"ValidationException", "ValidationError"})
# What SQS answers to a receipt of a message that is gone or in other hands; which one depends on how it went.
RECEIPT_GONE = frozenset(
    {
        "ReceiptHandleIsInvalid",
        "MessageNotInflight",
        "AWS.SimpleQueueService.MessageNotInflight",
        "InvalidParameterValue",
    }
)
REFUSED = frozenset(
    {
        "ValidationException",
        "ValidationError",
        "AccessDeniedException",
        "AccessDenied",
        "403",
        "Forbidden",
        "ParamValidation",
        "InvalidSignatureException",
        "NotAuthorizedForSourceException",
        "NotAuthorizedForDetailTypeException",
    }
)
STALE = frozenset({"ConditionalCheckFailedException", "ConditionalCheckFailed"})
TRANSACTION_CANCELED = "TransactionCanceledException"
# Reasons inside a cancelled transaction that say "not now" rather than "no".
TRANSACTION_BUSY = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
# 412: the object stands already (or is not the one pinned). 409: two conditional writers met; the loser looks again.
# ConflictException: declared on Bedrock's Create without a stated cause (contract section 5).
PRECONDITION = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409", "ConflictException"})


def raise_for(error: BaseException, doing: str) -> NoReturn:
    """Raise the port error that an exception of botocore, aiohttp or urllib3 means.

    Args:
        error: the exception as caught.
        doing: what was being done, for the message.

    Raises:
        PortError: always; the original stands behind it as its cause.
    """
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        detail = response.get("Error", {})
        code, text = str(detail.get("Code", "")), str(detail.get("Message", error))
        message = f"{doing}: {code}: {text}"
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in THROTTLING or code in CREDENTIALS or status == TOO_MANY_REQUESTS:
            raise Throttled(message) from error
        if code in QUOTA:
            raise QuotaExceeded(message) from error
        if code in MISSING_BUCKET:
            raise MissingBucket(message) from error
        if code in MISSING:
            raise Missing(message) from error
        if code in STALE:
            raise Stale(message) from error
        if code in PRECONDITION:
            raise Conflict(message) from error
        if code in REFUSED or (400 <= status < 500 and status != REQUEST_TIMEOUT):
            raise Refused(message, code) from error
        raise Unknown(message) from error
    if type(error).__name__ == "ParamValidationError":
        raise Refused(f"{doing}: {error}", type(error).__name__, malformed=True) from error
    if type(error).__name__ in NO_CREDENTIALS_ERRORS | SIGN_IN_ERRORS:
        raise Throttled(f"{doing}: {error}") from error
    raise Unknown(f"{doing}: {type(error).__name__}: {error}") from error


# --------------------------------------------------------------------------- for people at a terminal


CredentialsFault = Literal["missing", "expired", "invalid", "profile"]


def credentials_fault(error: BaseException) -> CredentialsFault | None:
    """What is wrong with the caller's credentials, if that is why a call failed.

    The services wait such a fault out, for their credentials are renewed by themselves; a person can only act on it.
    """
    for cause in _causes(error):
        name, code = type(cause).__name__, code_of(cause)
        if name in NO_CREDENTIALS_ERRORS:
            return "missing"
        if name == "ProfileNotFound":
            return "profile"
        if name in SIGN_IN_ERRORS or code in EXPIRED:
            return "expired"
        if code in INVALID_CREDENTIALS:
            return "invalid"
    return None


def unreachable_endpoint(error: BaseException) -> str | None:
    """The URL at which nothing answered, if that is why a call failed."""
    for cause in _causes(error):
        if type(cause).__name__ in UNREACHABLE_ERRORS:
            return str(getattr(cause, "kwargs", {}).get("endpoint_url", ""))
    return None


def code_of(error: BaseException) -> str:
    """The service's own code in an exception of the SDK; empty where it has none."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


Resource = Literal["table", "queue", "bucket"]
_RESOURCES: dict[str, Resource] = {
    "NoSuchBucket": "bucket",
    "QueueDoesNotExist": "queue",
    "AWS.SimpleQueueService.NonExistentQueue": "queue",
    "ResourceNotFoundException": "table",
}
_TABLE_OPERATIONS = frozenset({"GetItem", "BatchGetItem", "Query", "TransactWriteItems", "DescribeTable"})


def missing_resource(error: BaseException) -> Resource | None:
    """Which of an environment's own resources a call did not find, if that is why it failed."""
    for cause in _causes(error):
        found = _RESOURCES.get(code_of(cause))
        if found == "table" and getattr(cause, "operation_name", "") not in _TABLE_OPERATIONS:
            continue
        if found is not None:
            return found
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []  # a chain may bite its own tail
    while error is not None and error not in seen:
        yield error
        seen.append(error)
        error = error.__cause__
