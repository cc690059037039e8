"""Logs, and the three addresses that tell how a service is; what is counted stands in `metrics`.

Logs are JSON lines; no prompt text, no secrets.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import make_wsgi_app


def set_up_logs(service: str, level: str) -> None:
    """JSON lines on standard output, one per decision that a person would ask about."""

    def name_service(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        return event

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            name_service,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(sort_keys=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )


class Health:
    """Alive while the event loop turns; ready from the first successful poll of every queue until the drain."""

    def __init__(self, stalled_after_s: float = 60.0) -> None:
        self._stalled_after_s = stalled_after_s
        self._last_turn = time.monotonic()
        self.ready = False

    def turn(self) -> None:
        self._last_turn = time.monotonic()

    @property
    def alive(self) -> bool:
        return time.monotonic() - self._last_turn < self._stalled_after_s


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the base class names it so
        """Probes and scrapes are not worth a line."""


class StatusServer:
    """/metrics, /healthz and /readyz on a thread of their own, so that a busy loop still answers."""

    def __init__(self, host: str, port: int, health: Health) -> None:
        self._health = health
        self._metrics = make_wsgi_app()
        self._server: WSGIServer = make_server(host, port, self._answer, handler_class=_Quiet)
        self.port = int(self._server.server_port)
        self._thread = threading.Thread(target=self._server.serve_forever, name="status", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                answer: Iterable[bytes] = self._metrics(environ, start_response)
                return answer
            case "/healthz":
                good, text = self._health.alive, "alive"
            case "/readyz":
                good, text = self._health.ready and self._health.alive, "ready"
            case _:
                start_response("404 Not Found", [("Content-Type", "text/plain")])
                return [b"ask /metrics, /healthz or /readyz\n"]
        start_response("200 OK" if good else "503 Service Unavailable", [("Content-Type", "text/plain")])
        return [f"{text if good else 'not ' + text}\n".encode()]
