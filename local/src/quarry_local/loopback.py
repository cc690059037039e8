"""Loopback ports: a free port, and whether somebody answers on one.

Only ever 127.0.0.1, and never through a proxy: what answers here is ours.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable
from typing import Any

LOOPBACK = "127.0.0.1"
ASK_TIMEOUT_S = 10.0
READY_TIMEOUT_S = 1.0
POLL_S = 0.05
OK = range(200, 300)


def free_port() -> int:
    """A port that was free a moment ago; who binds it late may find it taken, and asks for another."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        return int(free.getsockname()[1])


def ask(
    port: int, path: str, method: str = "GET", body: bytes | None = None, timeout_s: float = ASK_TIMEOUT_S
) -> tuple[int, bytes] | None:
    """Ask for a path: (status, body), or None if nobody answers."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout_s)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def ready(port: int, path: str) -> bool:
    """Whether a GET is answered with success, and soon."""
    answer = ask(port, path, timeout_s=READY_TIMEOUT_S)
    return answer is not None and answer[0] in OK


def ask_json(port: int, path: str, put: Any = None) -> Any:
    """GET a path, or PUT a value there, and read the answer as JSON.

    Raises:
        ConnectionError: nobody answers, or not with success; with what was said.
    """
    answer = ask(port, path) if put is None else ask(port, path, "PUT", json.dumps(put).encode())
    if answer is None or answer[0] not in OK:
        said = "no answer" if answer is None else f"{answer[0]} {answer[1][:2000].decode('utf-8', 'replace')}"
        raise ConnectionError(f"http://{LOOPBACK}:{port}{path}: {said}")
    return json.loads(answer[1] or b"null")


def until(true: Callable[[], bool], within_s: float) -> bool:
    """Ask again and again until it is true (True) or the time is over (False)."""
    end = time.monotonic() + within_s
    while not true():
        if time.monotonic() >= end:
            return False
        time.sleep(POLL_S)
    return True
