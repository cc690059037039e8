"""Where AWS is, said by the caller: nothing of the process's own variables decides, and nothing of them changes."""

from __future__ import annotations

import os

import pytest

from quarry_core.aws.access import Access
from quarry_core.aws.s3.objects import s3_client
from quarry_core.aws.threaded import ThreadedAws

LOCAL = Access(
    {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
)


@pytest.fixture(autouse=True)
def shell(monkeypatch):
    """A shell that leads elsewhere."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://elsewhere.example")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "real")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")


def test_a_service_of_its_own_endpoint_has_that_and_others_the_common_one():
    assert LOCAL.endpoint_url("bedrock-runtime") == "http://127.0.0.1:9"
    assert LOCAL.endpoint_url("dynamodb") == "http://127.0.0.1:4566"
    assert Access().endpoint_url("s3") is None


def test_clients_of_s3_go_where_it_says_with_its_credentials_and_through_no_proxy():
    before = dict(os.environ)

    client = s3_client("us-east-1", access=LOCAL)

    assert client.meta.endpoint_url == "http://127.0.0.1:4566"
    assert client._request_signer._credentials.access_key == "local"
    assert client.meta.config.proxies == {}
    assert dict(os.environ) == before


async def test_clients_of_the_command_likewise():
    from quarry_core.aws.calls import Limits

    async with ThreadedAws(region="us-east-1", access=LOCAL) as aws:
        client = aws._client(Limits("sqs", 1))

    assert client.meta.endpoint_url == "http://127.0.0.1:4566"
    assert client._request_signer._credentials.access_key == "local"


def test_a_profile_is_that_of_aws_and_keys_win_over_it():
    assert Access({"AWS_PROFILE": "work"}).session().profile == "work"
    assert Access({"AWS_PROFILE": "work", **LOCAL.variables}).session().get_credentials().access_key == "local"
