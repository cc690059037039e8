"""What is told of S3's calls, against a server on loopback: the real client, with its own retries."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from quarry_core.aws.s3.objects import S3Objects, s3_client
from quarry_core.errors import Missing, PortError, Refused
from quarry_core.ports import ObjectRef
from tests.unit.core.scripted import set_credentials

BODY = b"0123456789"


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    set_credentials(monkeypatch)


@contextmanager
def s3_that_answers(*statuses):
    """A server that answers with these statuses, one a request, the last one for ever."""
    reported = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status = reported.pop(0) if len(reported) > 1 else reported[0]
            body = BODY if status == 200 else b""
            self.send_response(status)
            self.send_header("ETag", '"the-etag"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_DELETE = do_GET  # noqa: N815 the base class names them so

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def watched(url):
    calls = []
    client = s3_client("us-east-1", url, "path")
    objects = S3Objects("bucket", client=client, pause=lambda _: None, observe=lambda *call: calls.append(call))
    return objects, calls


def test_a_call_is_reported_with_its_operation_its_outcome_and_its_time():
    with s3_that_answers(200) as url:
        objects, calls = watched(url)
        assert objects.read(ObjectRef("key")) == BODY

    [(service, operation, outcome, seconds)] = calls
    assert (service, operation, outcome) == ("s3", "get_object", "ok")
    assert 0 < seconds < 60


@pytest.mark.parametrize(("status", "kind", "outcome"), [(404, Missing, "missing"), (403, Refused, "refused")])
def test_an_answer_that_says_no_is_reported_in_the_words_of_the_other_adapters(status, kind, outcome):
    with s3_that_answers(status) as url:
        objects, calls = watched(url)
        with pytest.raises(kind):
            objects.head(ObjectRef("key"))

    assert [(operation, reported) for _, operation, reported, _ in calls] == [("head_object", outcome)]


def test_what_the_sdk_sends_again_is_one_call():
    with s3_that_answers(503, 204) as url:
        objects, calls = watched(url)
        objects.delete("key")

    assert [call[:3] for call in calls] == [("s3", "delete_object", "ok")]


def test_a_server_that_is_not_there_is_reported_as_unknown(monkeypatch):
    monkeypatch.setattr("quarry_core.aws.s3.objects.ATTEMPTS_MAX", 1)
    with s3_that_answers(200) as url:
        pass  # gone again: nobody listens at this address
    objects, calls = watched(url)
    with pytest.raises(PortError):
        objects.delete("key")

    assert [call[:3] for call in calls] == [("s3", "delete_object", "unknown")]
