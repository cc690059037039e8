"""A stand-in for any process of the local stack: answers every path on its port; odd on demand.

Arguments: `--port N` as the simulator gets it (services have `QUARRY_METRICS_PORT`).
Environment: `STUB_FAILS` ends with that message, `STUB_STUBBORN` ignores SIGTERM, `STUB_SILENT` never becomes ready,
`STUB_WAVERS` is ready, then is not when asked once more, then stays ready.

Hundreds of it are started: it does without `http.server`, whose imports take longer than all the rest.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

PATIENCE_S = 5
READY_PATH = "/readyz"
wavers = [True, False] if os.environ.get("STUB_WAVERS") else []


def answer(method: str, path: str, body: bytes) -> tuple[int, str]:
    """Status and body."""
    if method == "PUT":
        asked = json.loads(body)
        return 422 if "unknown" in asked else 200, json.dumps(asked)
    ready = not os.environ.get("STUB_SILENT")
    if wavers and path == READY_PATH:
        ready = wavers.pop(0)
    seen = {"environment": dict(os.environ), "arguments": sys.argv[1:], "pid": os.getpid()}
    return 200 if ready or path == "/seen" else 503, json.dumps(seen)


def serve(connection: socket.socket) -> None:
    """One request; whoever sends none in time gets no answer."""
    connection.settimeout(PATIENCE_S)
    with connection, connection.makefile("rb") as lines:
        method, path, _ = lines.readline().decode().split()
        length = 0
        while (header := lines.readline().strip()) != b"":
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        status, text = answer(method, path, lines.read(length))
        connection.sendall(f"HTTP/1.0 {status} Stub\r\n\r\n{text}".encode())


def main() -> None:
    if message := os.environ.get("STUB_FAILS"):
        sys.exit(message)
    stubborn = os.environ.get("STUB_STUBBORN")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else lambda *_: os._exit(0))
    port = sys.argv[sys.argv.index("--port") + 1] if "--port" in sys.argv else os.environ["QUARRY_METRICS_PORT"]
    with socket.create_server(("127.0.0.1", int(port))) as server:
        print("stub is up", flush=True)
        while True:
            connection, _ = server.accept()
            try:
                serve(connection)
            except (OSError, ValueError):
                continue  # it went away, or said nothing that is HTTP


if __name__ == "__main__":
    main()
