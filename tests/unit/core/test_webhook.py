"""The request to a webhook, against a real HTTPS server on this machine."""

from __future__ import annotations

import ipaddress
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme
from pydantic import ValidationError

from quarry_core.errors import Refused, Throttled, Unknown
from quarry_core.service import webhook
from quarry_core.service.webhook import BODY_BYTES_MAX, HttpsWebhook, is_public
from quarry_core.settings import faults_of
from tests.world.world import settings

HOST = "hooks.example.com"


class Server:
    """Answers each POST with `status`, `headers` and `body`; `heard` is what came: host, path, headers, body."""

    def __init__(self, authority: trustme.CA, name: str = HOST) -> None:
        self.status, self.headers, self.body = 204, {}, b""
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        self.holding = threading.Event()
        self.holding.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.heard.append((self.path, dict(self.headers), body))
                outer.holding.wait(10)
                self.send_response(outer.status)
                for key, value in outer.headers.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # a client that hangs up is part of the test
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self.holding.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def server(authority, tmp_path, monkeypatch):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    made = Server(authority)
    yield made
    made.close()


def to(server: Server, *addresses: str, private: bool = True, path: str = "/in?a=b", observe=None) -> HttpsWebhook:
    return HttpsWebhook(
        f"https://{HOST}:{server.port}{path}",
        private=private,
        resolve=lambda host, port: list(addresses or ["127.0.0.1"]),
        observe=observe,
    )


def test_a_request_is_taken_whole_under_the_name_of_the_host(server):
    seen = []
    to(server, observe=lambda *what: seen.append(what[:3])).post(b'{"a":1}', {"webhook-id": "7"})

    ((path, headers, body),) = server.heard
    assert (path, body, headers["Host"], headers["webhook-id"]) == ("/in?a=b", b'{"a":1}', f"{HOST}:{server.port}", "7")
    assert headers["Content-Type"] == "application/json"
    assert seen == [("webhook", "post", "ok")]


def test_a_private_address_is_asked_nothing(server):
    with pytest.raises(Refused, match="private address"):
        to(server, private=False).post(b"{}", {})

    assert server.heard == []


def test_nor_is_a_public_one_that_stands_beside_a_private_one(server):
    with pytest.raises(Refused, match="private address"):
        to(server, "8.8.8.8", "127.0.0.1", private=False).post(b"{}", {})

    assert server.heard == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.31.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "169.254.170.2",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:169.254.169.254",
        "2002:a9fe:a9fe::1",
        "64:ff9b::a9fe:a9fe",
    ],
)
def test_addresses_that_are_not_the_internets(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_that_are(address):
    assert is_public(ipaddress.ip_address(address))


def test_the_address_that_was_judged_is_the_one_that_is_asked(server):
    """A name that is resolved twice may be another the second time."""
    asked = []

    def resolve(host, port):
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["192.0.2.1"]

    HttpsWebhook(f"https://{HOST}:{server.port}/", private=True, resolve=resolve).post(b"{}", {})

    assert asked == [(HOST, server.port)]
    assert len(server.heard) == 1


def test_who_has_a_certificate_of_another_name_is_told_nothing(authority, server):
    other = Server(authority, "elsewhere.example.com")
    try:
        with pytest.raises(Unknown, match="SSL"):
            to(other).post(b"{}", {})
        assert other.heard == []
    finally:
        other.close()


def test_who_has_a_certificate_of_nobody_known_is_told_nothing(server):
    stranger = Server(trustme.CA())
    try:
        with pytest.raises(Unknown, match="SSL"):
            to(stranger).post(b"{}", {})
        assert stranger.heard == []
    finally:
        stranger.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        *((200, None), (202, None), (302, Refused), (401, Refused), (410, Refused)),
        *((429, Throttled), (503, Throttled), (408, Unknown), (500, Unknown), (502, Unknown)),
    ],
)
def test_what_the_answers_mean(server, status, error):
    server.status, server.headers = status, {"Location": "https://169.254.169.254/latest"}
    if error is None:
        to(server).post(b"{}", {})
    else:
        with pytest.raises(error, match=str(status)):
            to(server).post(b"{}", {})

    assert len(server.heard) == 1, "a redirect is not followed, and one call is one try"


def test_an_answer_of_any_length_is_not_read_to_its_end(server):
    server.status, server.body = 200, b"x" * 50_000_000

    to(server).post(b"{}", {})


def test_a_host_that_says_nothing_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(webhook, "READ_TIMEOUT_S", 0.2)
    server.holding.clear()

    with pytest.raises(Unknown, match="ReadTimeoutError"):
        to(server).post(b"{}", {})


def test_a_secret_in_the_url_is_in_no_message(server):
    server.status = 401
    with pytest.raises(Refused) as refused:
        to(server, path="/in?key=s3cr3t").post(b"{}", {})
    with pytest.raises(Unknown) as unknown:
        HttpsWebhook("https://h:1/?key=s3cr3t", private=True, resolve=lambda *_: ["127.0.0.1"]).post(b"{}", {})

    assert "s3cr3t" not in f"{refused.value}{unknown.value}"


def test_a_name_without_an_address_may_be_tried_again():
    def resolve(host, port):
        raise OSError("no such name")

    with pytest.raises(Unknown, match="its name is not resolved"):
        HttpsWebhook(f"https://{HOST}/", resolve=resolve).post(b"{}", {})


def test_a_body_that_is_too_large_is_not_sent(server):
    with pytest.raises(Refused, match="at most"):
        to(server).post(b"x" * (BODY_BYTES_MAX + 1), {})

    assert server.heard == []


# ------------------------------------------------------------------ the settings


@pytest.mark.parametrize(
    ("url", "hosts", "why"),
    [
        ("http://hooks.example.com/", HOST, "must be https"),
        ("https:///in", HOST, "must be https"),
        ("https://user:word@hooks.example.com/", HOST, "without a user"),
        ("https://hooks.example.com:x/", HOST, "Port could not be cast"),
        ("https://hooks.example.com/a b", HOST, "without spaces"),
        ("https://hooks.example.com.evil.test/", HOST, "hooks.example.com.evil.test is not in QUARRY_WEBHOOK_HOSTS"),
        ("https://hooks.example.com/", "", "is not in QUARRY_WEBHOOK_HOSTS"),
    ],
)
def test_a_webhook_that_may_not_be_is_refused_when_a_service_starts(url, hosts, why):
    with pytest.raises(ValidationError) as refused:
        settings(webhook_url=url, webhook_hosts=hosts)

    (fault,) = faults_of(refused.value)
    assert why in fault
    assert "arn:aws" not in fault, "it shows other settings"


def test_hosts_are_listed_with_commas_and_compared_without_case():
    made = settings(webhook_url="https://Hooks.Example.com/in", webhook_hosts="a.test, HOOKS.example.com")

    assert made.webhook_hosts == ("a.test", "hooks.example.com")
