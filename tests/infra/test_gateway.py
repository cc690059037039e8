"""A call that comes again because its answer was lost is made once, as AWS's own idempotency would see to."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

import pytest

from tests.infra.gateway import INVOCATION, Gateway


class Upstream:
    """Makes something for each POST, one after the other, and can be told to fail or to wait."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self.statuses: list[int] = []
        self.open = threading.Event()
        self.open.set()
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                upstream.made[self.path] += 1
                number = sum(upstream.made.values())
                upstream.open.wait(30)
                self.answer(upstream.statuses.pop(0) if upstream.statuses else 200, f"made {number}".encode())

            def do_GET(self) -> None:
                upstream.made[self.path] += 1
                self.answer(200, b"seen")

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def upstream():
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def gateway(upstream):
    with Gateway(upstream.url) as gateway:
        yield gateway


def begin(gateway, path="/", call="", method="POST"):
    """Send a call; its answer is not waited for."""
    connection = http.client.HTTPConnection(urlsplit(gateway.url).netloc, timeout=30)
    connection.request(method, path, headers={INVOCATION: call} if call else {})
    return connection


def ask(gateway, path="/", call="", method="POST"):
    connection = begin(gateway, path, call, method)
    answer = connection.getresponse()
    reported = answer.status, answer.read().decode()
    connection.close()
    return reported


def test_a_call_that_comes_again_gets_the_first_answer(gateway, upstream):
    assert [ask(gateway, call="one") for _ in range(3)] == [(200, "made 1")] * 3
    assert upstream.made.total() == 1
    assert len(gateway.resent) == 2


def test_calls_of_other_names_and_of_none_are_made_each(gateway, upstream):
    assert ask(gateway, call="one") != ask(gateway, call="two")
    assert ask(gateway) != ask(gateway)
    assert upstream.made.total() == 4
    assert gateway.resent == []


def test_one_that_hangs_up_before_the_answer_finds_it_when_it_comes_again(gateway, upstream):
    upstream.open.clear()
    begin(gateway, call="one").close()
    while not upstream.made:
        pass
    again = begin(gateway, call="one")
    upstream.open.set()
    assert again.getresponse().read() == b"made 1"
    again.close()
    assert upstream.made.total() == 1


@pytest.mark.parametrize("status", [400, 500, 503])
def test_what_was_refused_or_failed_is_tried_again(gateway, upstream, status):
    upstream.statuses = [status]
    assert ask(gateway, call="one") == (status, "made 1")
    assert ask(gateway, call="one") == (200, "made 2")


def test_reads_are_asked_anew(gateway, upstream):
    assert [ask(gateway, call="one", method="GET") for _ in range(2)] == [(200, "seen")] * 2
    assert upstream.made.total() == 2
