"""What AWS answers, told to a person: what is wrong, which variable, what to do; and at once."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    UnauthorizedSSOTokenError,
)

from quarry_cli.aws.answers import for_people
from quarry_cli.errors import Exit
from quarry_cli.settings import ClientSettings
from quarry_core.errors import PortError, raise_for

SETTINGS = ClientSettings(
    QUARRY_REGION="eu-central-1",
    table="prod-quarry",
    bucket="prod-bucket",
    manifest_queue_url="https://sqs.eu-central-1.amazonaws.com/123456789012/prod-quarry-manifests",
)


def answer(code: str, operation: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


def as_port_error(error: Exception) -> PortError:
    with pytest.raises(PortError) as caught:
        raise_for(error, "reading")
    return caught.value


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NoCredentialsError(), ["no AWS credentials found", "aws sso login", "quarry local env"]),
        (PartialCredentialsError(provider="env", cred_var="aws_secret_access_key"), ["no AWS credentials"]),
        (ProfileNotFound(profile="nope"), ["AWS_PROFILE", "aws configure list-profiles", "quarry local env"]),
        (UnauthorizedSSOTokenError(), ["have expired", "aws sso login"]),
        (answer("ExpiredTokenException", "GetItem"), ["have expired", "aws sso login"]),
        (answer("ExpiredToken", "GetObject"), ["have expired"]),
        (answer("UnrecognizedClientException", "GetItem"), ["does not accept", "AWS_PROFILE"]),
        (answer("InvalidAccessKeyId", "GetObject"), ["does not accept", "AWS_ACCESS_KEY_ID"]),
        (answer("SignatureDoesNotMatch", "HeadObject"), ["does not accept", "AWS_SECRET_ACCESS_KEY"]),
        (
            EndpointConnectionError(endpoint_url="http://127.0.0.1:40123/"),
            ["nothing answers at http://127.0.0.1:40123/", "quarry local up", "quarry local env"],
        ),
        (
            ConnectTimeoutError(endpoint_url="https://dynamodb.eu-central-1.amazonaws.com/"),
            ["no connection to https://dynamodb", "'eu-central-1'", "QUARRY_REGION"],
        ),
        (
            answer("ResourceNotFoundException", "GetItem", "Requested resource not found"),
            ["QUARRY_TABLE is 'prod-quarry'", "no such table in eu-central-1", "quarry doctor"],
        ),
        (
            answer("AWS.SimpleQueueService.NonExistentQueue", "SendMessage"),
            ["QUARRY_MANIFEST_QUEUE_URL is 'https://", "no such queue in eu-central-1"],
        ),
        (answer("NoSuchBucket", "ListObjectsV2"), ["QUARRY_BUCKET is 'prod-bucket'", "no such bucket"]),
        (answer("AccessDeniedException", "GetItem"), ["does not allow it", "quarry doctor"]),
    ],
)
def test_each_answer_says_what_is_wrong_and_what_to_do(error, words):
    reported = for_people(as_port_error(error), SETTINGS)

    assert reported is not None
    assert reported.exit_code in {Exit.NO_ANSWER, Exit.USAGE}
    for word in words:
        assert word in str(reported)


@pytest.mark.parametrize(
    "error",
    [
        answer("ThrottlingException", "GetItem"),
        answer("ResourceNotFoundException", "GetModelInvocationJob"),  # a job, no table
        answer("ValidationException", "Query"),
        answer("InternalServerError", "GetItem"),
    ],
)
def test_what_has_no_better_words_keeps_its_own(error):
    assert for_people(as_port_error(error), SETTINGS) is None


def test_another_queue_is_named_by_its_own_variable():
    error = as_port_error(answer("QueueDoesNotExist", "ReceiveMessage"))

    reported = for_people(error, SETTINGS, queue="QUARRY_EVENTS_QUEUE_URL")

    assert "QUARRY_EVENTS_QUEUE_URL is set, but there is no such queue" in str(reported)


def test_a_chain_of_causes_that_bites_its_tail_ends():
    error = PortError("odd")
    error.__cause__ = error

    assert for_people(error, SETTINGS) is None


class Failing:
    """A table whose every read fails in one way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def get(self, key):
        raise_for(self._error, "reading the table")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NoCredentialsError(), "no AWS credentials"),
        (answer("ExpiredTokenException", "GetItem"), "have expired"),
        (EndpointConnectionError(endpoint_url="http://localhost:4566"), "nothing answers"),
        (answer("ResourceNotFoundException", "GetItem"), "QUARRY_TABLE"),
    ],
)
def test_watching_gives_up_at_once_where_patience_cannot_help(quarry, error, words):
    quarry.world.table = Failing(error)

    result = quarry("watch", "r")

    assert result.exit_code in {Exit.NO_ANSWER, Exit.USAGE}
    assert result.stderr.startswith("quarry: ")
    assert words in result.stderr
    assert quarry.waited == []
