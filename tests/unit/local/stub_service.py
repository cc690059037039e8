"""A stand-in for any process of the local stack: answers every path on its port; odd on demand.

Arguments: `--port N` as the simulator gets it (services have `QUARRY_METRICS_PORT`).
Environment: `STUB_FAILS` ends with that message, `STUB_STUBBORN` ignores SIGTERM, `STUB_SILENT` never becomes ready.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        ready = not os.environ.get("STUB_SILENT")
        body = json.dumps({"environment": dict(os.environ), "arguments": sys.argv[1:], "pid": os.getpid()})
        self.send_response(200 if ready or self.path == "/seen" else 503)
        self.end_headers()
        self.wfile.write(body.encode())

    def do_PUT(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(422 if "unknown" in asked else 200)
        self.end_headers()
        self.wfile.write(json.dumps(asked).encode())

    def log_message(self, *_):
        pass


def main():
    if message := os.environ.get("STUB_FAILS"):
        sys.exit(message)
    stubborn = os.environ.get("STUB_STUBBORN")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else lambda *_: os._exit(0))
    port = sys.argv[sys.argv.index("--port") + 1] if "--port" in sys.argv else os.environ["QUARRY_METRICS_PORT"]
    print("stub is up", flush=True)
    ThreadingHTTPServer(("127.0.0.1", int(port)), Answer).serve_forever()


if __name__ == "__main__":
    main()
