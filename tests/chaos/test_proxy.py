"""The proxy that loses replies: what it passes on is as it came, and what it loses was done."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.chaos.proxy import Losses, LossyProxy

BODY = bytes(range(256)) * 1_000


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    done: list[tuple[str, bytes]]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.server.done.append(("HEAD", b""))
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()

    def do_GET(self) -> None:
        self.server.done.append(("GET", b""))
        self.send_response(200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in (BODY[:1000], BODY[1000:]):
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        elif self.path == "/until-closed":
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(BODY)
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.done.append(("PUT", body))
        self.send_response(204)
        self.end_headers()


@pytest.fixture
def server() -> Iterator[_Server]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.done = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def proxy(server) -> Iterator[LossyProxy]:
    with LossyProxy(server.server_address[1], Losses()) as proxy:
        yield proxy


@pytest.fixture
def client(proxy) -> Iterator[http.client.HTTPConnection]:
    client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    yield client
    client.close()


def asked(client, method: str, path: str = "/", body: bytes | None = None, **headers: str):
    client.request(method, path, body, headers)
    answer = client.getresponse()
    return answer, answer.read()


def test_an_answer_to_head_keeps_the_length_of_what_it_does_not_carry(client):
    answer, body = asked(client, "HEAD")
    assert (answer.headers["Content-Length"], body) == (str(len(BODY)), b"")
    assert asked(client, "GET")[1] == BODY, "the connection goes on behind it"


@pytest.mark.parametrize("path", ["/", "/chunked", "/until-closed"])
def test_a_body_ends_where_its_head_says(client, path):
    answer, body = asked(client, "GET", path)
    assert (answer.status, body) == (200, BODY)
    assert asked(client, "PUT", body=b"next")[0].status == 204


def test_who_waits_to_be_told_to_go_on_is_told(client, server):
    answer, _ = asked(client, "PUT", body=BODY, Expect="100-continue")
    assert (answer.status, server.done) == (204, [("PUT", BODY)])


def test_a_lost_reply_was_done_and_nobody_hears_of_it(client, proxy, server):
    proxy.losses = Losses(replies=1.0)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        asked(client, "PUT", body=b"once")
    assert server.done == [("PUT", b"once")]
    assert proxy.seen["reply lost"] == 1


def test_a_lost_request_was_not_done(client, proxy, server):
    proxy.losses = Losses(requests=1.0)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        asked(client, "PUT", body=b"never")
    assert server.done == []
    assert proxy.seen["request lost"] == 1
