"""The errors that the simulated API answers with, spelled once (contract sections 1.1 and 1.2)."""

from dataclasses import dataclass, field


@dataclass
class ApiError(Exception):
    """An error of the API: its code goes into `x-amzn-ErrorType`, its message into the body."""

    code: str
    status: int
    message: str
    members: dict[str, str] = field(default_factory=dict)
    """What the error carries beside its message."""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def invalid(message: str) -> ApiError:
    return ApiError("ValidationException", 400, message)


def missing(message: str) -> ApiError:
    return ApiError("ResourceNotFoundException", 404, message)


def conflict(message: str) -> ApiError:
    return ApiError("ConflictException", 400, message)


def quota_exceeded(message: str) -> ApiError:
    # 400, not 429: so it is declared, and so the SDK's retries leave it alone (contract section 1.1).
    return ApiError("ServiceQuotaExceededException", 400, message)


def too_many_tags(message: str, resource: str) -> ApiError:
    return ApiError("TooManyTagsException", 400, message, {"resourceName": resource})


def internal(message: str) -> ApiError:
    return ApiError("InternalServerException", 500, message)


def throttled(message: str) -> ApiError:
    return ApiError("ThrottlingException", 429, message)


def denied(message: str) -> ApiError:
    return ApiError("AccessDeniedException", 403, message)


def no_access() -> ApiError:
    """For a model that the account may not use: the words of on-demand calls. Batch declares the code, and its own
    words are not known (contract section 7).
    """
    return denied("You don't have access to the model with the specified model ID.")


def unknown_operation() -> ApiError:
    return ApiError("UnknownOperationException", 404, "Unknown operation")
