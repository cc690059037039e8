"""What can go wrong at a port, in Quarry's words: the only file that spells AWS error codes.

Handlers see these classes and nothing of botocore. The one distinction that matters most is between an *answer*
(`Throttled`, `QuotaExceeded`, `Refused`, `Missing`, `Stale`: the service has spoken, nothing was done) and
`Unknown`: the reply was lost, and the work may have been done.
"""

from __future__ import annotations

from typing import NoReturn


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
    """

    def __init__(self, message: str, code: str = "Refused") -> None:
        super().__init__(message)
        self.code = code

    @property
    def denied(self) -> bool:
        """Whether the caller lacks the permission to ask, whatever the answer would have been."""
        return self.code in DENIED


class Missing(PortError):
    """The thing asked for does not exist."""


class Changed(PortError):
    """A pinned source is no longer what it was when the run was accepted."""


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
CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "TokenRefreshRequired",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
    }
)
QUOTA = frozenset({"ServiceQuotaExceededException"})
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
        raise Refused(f"{doing}: {error}", type(error).__name__) from error
    if type(error).__name__ in {"NoCredentialsError", "CredentialRetrievalError", "PartialCredentialsError"}:
        raise Throttled(f"{doing}: {error}") from error
    raise Unknown(f"{doing}: {type(error).__name__}: {error}") from error
