"""The page is stopped as a supervisor stops it: what was asked is answered, and the exit code is 0."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

pytest.importorskip("starlette")  # the extra `ui`

from quarry_cli.page.serve import STOP_S_MAX
from quarry_cli.page.site import ACT_S_MAX

ENDS_S = 20
# A page whose answer is only given when a line is read: the test decides when.
SERVED = """
import asyncio, sys
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from quarry_cli.page.serve import Address, bind, serve

async def slow(request):
    print("asked", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    return PlainTextResponse("done")

address = Address("127.0.0.1", 0)
listening = bind(address)
listening.listen()
print(listening.getsockname()[1], flush=True)
serve(Starlette(routes=[Route("/slow", slow)]), [listening])
print("ended", flush=True)
"""


@contextmanager
def page() -> Iterator[tuple[subprocess.Popen[str], http.client.HTTPConnection]]:
    """A process that serves, and a connection to it."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        connection = http.client.HTTPConnection("127.0.0.1", int(process.stdout.readline()), timeout=ENDS_S)
        yield process, connection
        connection.close()
    finally:
        process.kill()
        process.communicate()


def test_what_is_being_done_is_done_before_it_stops():
    with page() as (process, connection):
        connection.request("GET", "/slow")
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGTERM)
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert connection.getresponse().read() == b"done"
        assert process.stdout.readline() == "ended\n"
        assert process.wait(ENDS_S) == 0


def test_a_connection_that_only_stands_open_holds_up_nothing():
    with page() as (process, connection):
        connection.request("GET", "/not-there")
        assert connection.getresponse().read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENDS_S) == 0


def test_an_action_has_the_time_that_it_may_take():
    assert ACT_S_MAX < STOP_S_MAX
