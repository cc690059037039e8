"""An answer that was cut off is a lost one, never one that says: there is nothing."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from quarry_core.aws.client import Aws
from quarry_core.aws.s3.objects import S3Objects, s3_client
from quarry_core.aws.threaded import ThreadedAws
from quarry_core.errors import Unknown
from quarry_core.ports import ObjectRef
from tests.unit.core.scripted import MEASURES_ANSWERS, set_credentials
from tests.world.clock import FakeClock


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    set_credentials(monkeypatch)


@pytest.fixture
def cut_short() -> Iterator[str]:
    """A server that says how long its answer is, and cuts the connection before the first byte of it: its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    asked, _ = listening.accept()
                except OSError:
                    return
                with asked:
                    asked.recv(1 << 16)
                    asked.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 300\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("kind", [Aws, ThreadedAws])
def test_an_item_whose_answer_was_cut_off_is_not_said_to_be_missing(cut_short, kind):
    if kind is ThreadedAws and not MEASURES_ANSWERS:
        pytest.skip("this botocore has no place to measure an answer")

    async def ask():
        async with kind(FakeClock(), "us-east-1", {"dynamodb": cut_short}) as aws:
            key = {"TableName": "table", "Key": {"pk": {"S": "p"}}}
            await aws.call("dynamodb", "get_item", key, doing="reading", once=True)

    with pytest.raises(Unknown, match="reading"):
        asyncio.run(ask())


@pytest.mark.skipif(not MEASURES_ANSWERS, reason="this botocore has no place to measure an answer")
def test_a_prefix_whose_list_was_cut_off_is_not_said_to_be_empty(cut_short):
    with pytest.raises(Unknown, match="list s3://"):
        list(S3Objects("bucket", client=s3_client("us-east-1", cut_short, "path", hasty=True)).list("results/"))


def test_an_objects_head_has_a_length_and_no_body(cut_short):
    objects = S3Objects("bucket", client=s3_client("us-east-1", cut_short, "path", hasty=True))
    with pytest.raises(KeyError, match="ETag"):  # as far as the server's answer goes
        objects.head(ObjectRef("key"))
