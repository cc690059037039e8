"""The simulator's own pages are for this machine alone."""

import http.client
import json

import pytest

from quarry_local.bedrock.api.guard import check_region, is_loopback, refusal_of
from tests.unit.local.simulated_bedrock import simulated_bedrock


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with simulated_bedrock(tmp_path_factory.mktemp("s3")) as bedrock:
        yield bedrock.url.removeprefix("http://")


def ask(address, method, path, body=None, **headers):
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        reported = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, None if body is None else json.dumps(body), reported)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:4567", "127.8.8.8", "localhost", "LocalHost:80", "[::1]:80"])
def test_a_loopback_host_is_let_in(host):
    assert is_loopback(host)
    assert refusal_of("GET", {"Host": host}) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.com",
        "evil.localhost",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "127.0.0.1@example.com",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "[fe80::1]",
        "127.0.0.1:80:80",
        "localhost:x",
    ],
)
@pytest.mark.parametrize("page", ["/_quarry/stats", "/_quarry/settings", "/_quarry/faults", "/_quarry/models"])
def test_a_host_that_is_not_this_machine_is_refused_on_every_page(address, host, page):
    assert not is_loopback(host)
    status, reported = ask(address, "GET", page, Host=host)
    assert status == 403
    assert "use 127.0.0.1" in reported["message"]


def test_a_rebound_name_changes_nothing(address):
    before = ask(address, "GET", "/_quarry/settings")[1]
    for method, page in (("PUT", "settings"), ("PUT", "faults"), ("DELETE", "faults"), ("POST", "clock")):
        status, _ = ask(address, method, f"/_quarry/{page}", {}, Host="example.com", Content_Type="application/json")
        assert status == 403
    assert ask(address, "GET", "/_quarry/settings")[1] == before


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json"]
)
def test_a_body_that_does_not_say_that_it_is_json_is_refused(address, kind):
    headers = {} if kind is None else {"Content_Type": kind}
    for method, page, body in (("PUT", "settings", {"quota": 3}), ("PUT", "faults", {}), ("POST", "clock", {})):
        status, reported = ask(address, method, f"/_quarry/{page}", body, **headers)
        assert status == 415
        assert "application/json" in reported["message"]
    assert ask(address, "GET", "/_quarry/settings")[1]["quota"] == 20


def test_json_with_a_charset_is_json_and_taking_faults_away_needs_no_body(address):
    status, reported = ask(
        address, "PUT", "/_quarry/faults", {"speed": 2}, Content_Type="Application/JSON; charset=utf-8"
    )
    assert (status, reported["speed"]) == (200, 2)
    assert ask(address, "DELETE", "/_quarry/faults")[0] == 200


def test_operations_ask_for_no_host_for_clients_may_come_by_any_name(address):
    status, reported = ask(address, "GET", "/model-invocation-jobs", Host="bedrock.us-east-1.amazonaws.com")
    assert (status, reported) == (200, {"invocationJobSummaries": []})


def test_what_is_not_signed_or_signed_otherwise_says_no_region():
    for authorization in ("", "Bearer key", "Basic dGVzdDp0ZXN0", "AWS4-HMAC-SHA256 Credential=broken"):
        check_region(authorization, "us-east-1")
