"""The TLS endpoint: who may trust it, under which names it answers, and who can read its key."""

import json
import socket
import ssl
import subprocess
import sys
import urllib.request

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import SSLError

from quarry_local.bedrock.api import tls
from quarry_local.bedrock.pytest_plugin import BedrockSim
from quarry_local.bedrock.settings import Settings

REGION = "us-east-1"
ONCE = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 1})


@pytest.fixture
def sim(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_REGION", REGION)
    settings = Settings(
        store=tmp_path / "s3", tls=True, tls_directory=tmp_path / "tls", clock="stepped", _env_prefix="NOT_SET_"
    )
    made = BedrockSim(settings)
    yield made
    made.close()


@pytest.fixture
def client_of(monkeypatch):
    made = []

    def client(**settings):
        made.append(
            boto3.client(
                "bedrock",
                region_name=REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=ONCE,
                **settings,
            )
        )
        return made[-1]

    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BEDROCK", "AWS_CA_BUNDLE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield client
    for one in made:
        one.close()


def test_who_trusts_its_authority_is_answered_and_nobody_else(sim, tmp_path, client_of):
    ca = str(tmp_path / "tls" / "ca.pem")

    for url in (sim.tls_url, sim.tls_url.replace("localhost", "127.0.0.1")):
        assert client_of(endpoint_url=url, verify=ca).list_model_invocation_jobs()["invocationJobSummaries"] == []
    with pytest.raises(SSLError):
        client_of(endpoint_url=sim.tls_url).list_model_invocation_jobs()
    assert sim.client().list_model_invocation_jobs()["invocationJobSummaries"] == []


def test_a_client_without_an_endpoint_setting_is_led_there_by_its_resolver(sim, tmp_path, client_of, monkeypatch):
    port = int(sim.tls_url.rsplit(":", 1)[-1])
    resolve = socket.getaddrinfo

    def led(host, *rest, **more):
        if host == f"bedrock.{REGION}.amazonaws.com":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        return resolve(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", led)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "tls" / "ca.pem"))

    assert client_of().list_foundation_models()["modelSummaries"]


def test_an_api_key_is_taken_over_tls(sim, tmp_path, client_of, monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "key")

    found = client_of(endpoint_url=sim.tls_url, verify=str(tmp_path / "tls" / "ca.pem")).list_model_invocation_jobs()

    assert found["invocationJobSummaries"] == []


def test_the_key_is_its_owners_and_the_certificates_stay_until_they_are_deleted(tmp_path):
    home = tmp_path / "tls"
    tls.context(home, REGION)
    first = {path.name: path.read_bytes() for path in home.iterdir()}

    assert {path.name: oct(path.stat().st_mode & 0o777) for path in home.iterdir()} == {
        "ca.pem": "0o644",
        f"server-{REGION}.pem": "0o600",
    }
    assert oct(home.stat().st_mode & 0o777) == "0o700"
    assert b"PRIVATE KEY" not in first["ca.pem"]

    tls.context(home, REGION)
    assert {path.name: path.read_bytes() for path in home.iterdir()} == first

    tls.context(home, "eu-west-1")
    assert {path.name for path in home.iterdir()} == {"ca.pem", "server-eu-west-1.pem"}
    assert (home / "ca.pem").read_bytes() != first["ca.pem"]


def test_a_broken_certificate_is_made_anew(tmp_path):
    home = tmp_path / "tls"
    tls.context(home, REGION)
    (home / f"server-{REGION}.pem").write_text("no certificate")

    assert isinstance(tls.context(home, REGION), ssl.SSLContext)


def test_without_its_extra_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trustme", None)

    with pytest.raises(tls.NoTls, match=r"pip install './local\[tls\]'"):
        tls.context(tmp_path / "tls", REGION)


def test_the_command_says_where_it_listens_and_whom_to_trust(tmp_path):
    store, home = tmp_path / "s3", tmp_path / "tls"
    command = [
        sys.executable,
        "-m",
        "quarry_local.commands",
        "bedrock",
        "--store",
        store,
        "--tls",
        "--tls-directory",
        home,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            trusting = ssl.create_default_context(cafile=ready["ca"])
            opener = urllib.request.build_opener(
                urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting)
            )
            with opener.open(f"{ready['tls_url']}/healthz", timeout=10) as answer:
                assert json.loads(answer.read()) == {"status": "ok"}
        finally:
            process.terminate()
