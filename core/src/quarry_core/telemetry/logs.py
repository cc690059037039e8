"""Logs: JSON lines without prompts, rows, answers or secrets. Counters stand in `metrics`, health in `status`.

Theory of operation. What a person wrote, or a model, comes into log lines by error messages: a refusal quotes a
placeholder, an exception of a library quotes a row. So no line carries the whole of such a text, at any level. Of a
sentence in a free-text field a line has what comes before the first quotation, brace or line break; of an exception its
type and the places that it came through, never its message, unless it is one of our ports'. The whole sentence stands
where its reader may see it: in the ledger (`quarry status`), in the report, or with the dead-letter message.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any

import structlog

from quarry_core.errors import PortError

FREE_TEXT = ("why", "error", "reason")
SENTENCE_CHARS_MAX = 200
PLACES_MAX = 12
CAUSES_MAX = 5
CUT = "…"
UNKNOWN_KEY = "unknown key"

# Where somebody else's words may begin; an apostrophe inside a word begins none.
_QUOTATION = re.compile(r"(?<!\w)'|[\"`{\n\r\u2018\u201c\u00ab]")
# The right that is missing comes late in IAM's sentence, behind ARNs, and is what has to be known.
_DENIED = re.compile(r"not authorized to perform: [a-z0-9-]{1,40}:[A-Za-z]{1,64}")
_EXCEPTION = re.compile(r"([A-Za-z_.]*[A-Z]\w*): ")


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
            structlog.processors.ExceptionRenderer(places_of),
            withhold,
            structlog.processors.JSONRenderer(sort_keys=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )


def withhold(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Cut the free-text fields of a line to our own words."""
    for field in FREE_TEXT:
        # A count of errors is no text, and has to stay a number for whoever adds it up.
        if field in event and not isinstance(event[field], int):
            event[field] = our_words(str(event[field]))
    return event


def our_words(sentence: str) -> str:
    """The beginning of a sentence, up to where it may quote; of an exception that is none of our ports', its type."""
    reported = _EXCEPTION.match(sentence)
    if reported is not None and reported[1] not in _PORT_ERRORS:
        return reported[1] + CUT
    if UNKNOWN_KEY in sentence:  # such a sentence begins with the key, which is anybody's
        return UNKNOWN_KEY + CUT
    quoted = _QUOTATION.search(sentence)
    words = sentence if quoted is None else sentence[: quoted.start()].rstrip() + CUT
    words = words if len(words) <= SENTENCE_CHARS_MAX else words[: SENTENCE_CHARS_MAX - 1] + CUT
    denied = _DENIED.search(sentence)
    return f"{words} {denied[0]}" if denied is not None and denied[0] not in words else words


def places_of(exc_info: tuple[type[BaseException], BaseException, TracebackType | None]) -> str:
    """An exception and its causes: the type of each, and the places it came through, the innermost last."""
    lines: list[str] = []
    error: BaseException | None = exc_info[1]
    while error is not None and len(lines) < CAUSES_MAX:
        reported = f": {our_words(str(error))}" if isinstance(error, PortError) else ""
        frames = traceback.extract_tb(error.__traceback__)[-PLACES_MAX:]
        places = " > ".join(f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames)
        lines.append(f"{type(error).__name__}{reported} at {places or 'no place'}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\nbecause of ".join(lines)


def _short(filename: str) -> str:
    return "/".join(filename.split("/")[-2:])


def _names(error: type[PortError]) -> set[str]:
    return {error.__name__}.union(*(_names(each) for each in error.__subclasses__()))


_PORT_ERRORS = _names(PortError)
