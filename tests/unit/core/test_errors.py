"""AWS's codes in Quarry's words: above all, what was answered and what nobody knows."""

from __future__ import annotations

import botocore.exceptions
import pytest

from quarry_core.errors import (
    Conflict,
    Missing,
    PortError,
    QuotaExceeded,
    Refused,
    Stale,
    Throttled,
    Unknown,
    raise_for,
)


def answered(code: str, status: int) -> botocore.exceptions.ClientError:
    response = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return botocore.exceptions.ClientError(response, "Op")


@pytest.mark.parametrize(
    ("error", "means"),
    [
        (answered("ThrottlingException", 429), Throttled),
        (answered("SomethingNew", 429), Throttled),
        (answered("ExpiredTokenException", 400), Throttled),
        (botocore.exceptions.NoCredentialsError(), Throttled),
        (answered("ServiceQuotaExceededException", 400), QuotaExceeded),
        (answered("ValidationException", 400), Refused),
        (answered("AccessDeniedException", 403), Refused),
        (answered("SomethingNew", 400), Refused),
        (botocore.exceptions.ParamValidationError(report="r"), Refused),
        (answered("ResourceNotFoundException", 404), Missing),
        (answered("NoSuchKey", 404), Missing),
        (answered("ConditionalCheckFailedException", 400), Stale),
        (answered("PreconditionFailed", 412), Conflict),
        (answered("ConflictException", 400), Conflict),
        (answered("InternalServerException", 500), Unknown),
        (answered("RequestTimeout", 408), Unknown),
        (botocore.exceptions.ReadTimeoutError(endpoint_url="u"), Unknown),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="u"), Unknown),
        (KeyError("a reply that is no reply"), Unknown),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:60],
)
@pytest.mark.promise("S2")
def test_an_answer_is_told_from_a_lost_reply(error: Exception, means: type[PortError]):
    with pytest.raises(means) as raised:
        raise_for(error, "doing this")
    assert type(raised.value) is means
    assert raised.value.__cause__ is error
    assert "doing this" in str(raised.value)
