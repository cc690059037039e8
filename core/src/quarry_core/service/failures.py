"""What kind of failure an exception is, and by what it is known again. Pure.

Theory of operation. A failure is one of three kinds. An *outage* is what a port answered, or a connection that broke:
it may be retried for ever. *Exhausted* is the process itself, which has no disk, memory, file or thread left: no
message is to blame. Everything else is *deterministic*: the same work will most likely fail in the same way again, so
it is counted (`steps.py`), and at a limit it ends the run.

Two deterministic failures are the same when type, place and message are. The place is the innermost function of
Quarry's own, without a line number, so that an unrelated edit changes nothing. What varies from one failure to the
next (numbers, addresses, ids, times, names of temporary files) is taken out of the message first.
"""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType

from quarry_core.errors import Conflict, PortError, Refused
from quarry_core.text import one_line

OURS = "quarry_"
SENTENCE_CHARS_MAX = 400
FINGERPRINT_CHARS = 16
CHAIN_MAX = 10


class Step(StrEnum):
    """What a worker does for a run, where it can fail by itself."""

    ARRIVE = "arrive"
    COUNT = "count"
    SLICE = "slice"
    ADMIT = "admit"
    CREATE = "create"
    TRACK = "track"
    INVOKE = "invoke"
    SETTLE = "settle"
    PART = "part"
    CLOSE = "close"


class RunCode(StrEnum):
    """Why a run is FAILED: the whole vocabulary."""

    REFUSED = "REFUSED"  # the manifest or its source was refused before anything was paid for
    SOURCE_BROKEN = "SOURCE_BROKEN"  # the source could not be read to its end, or not be joined any more
    PART_UNWRITABLE = "PART_UNWRITABLE"  # a part cannot be written, or does not read back as what was put in
    NO_RESULTS = "NO_RESULTS"  # no row has a result; the commonest error of the rows says why
    CANARY_EXCEEDED = "CANARY_EXCEEDED"  # the canary exceeded a limit, and its manifest says on_fail: fail
    INTERNAL_ERROR = "INTERNAL_ERROR"  # a step failed in the same way again and again
    WORKER_KILLED = "WORKER_KILLED"  # the same piece of work took its process down again and again


class Kind(StrEnum):
    OUTAGE = "outage"
    EXHAUSTED = "exhausted"
    DETERMINISTIC = "deterministic"


class StepFailed(Exception):
    """A step failed by itself. It is counted and logged; whoever sees this tries again later."""


@dataclass(frozen=True, slots=True)
class Why:
    """Why a run ends: code, step and a sentence for people."""

    code: RunCode
    step: Step
    sentence: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A deterministic failure: by what it is known again, and what is said of it."""

    fingerprint: str
    sentence: str


# Closed on purpose: what is not in it counts against the work.
EXHAUSTED_ERRNOS = {
    errno.ENOSPC: "disk",
    errno.EDQUOT: "disk",
    errno.EROFS: "disk",
    errno.EIO: "disk",
    errno.EMFILE: "files",
    errno.ENFILE: "files",
    errno.ENOMEM: "memory",
}
_NO_TEMPORARY_FOLDER = "No usable temporary directory"  # what `tempfile` says where every candidate is full
_NO_THREAD = "can't start new thread"


def exhausted(error: BaseException) -> str | None:
    """What the process has run out of (disk, files, memory, threads, workers), if that is what failed."""
    for each in _chain(error):
        match each:
            case MemoryError():
                return "memory"
            case BrokenExecutor():
                return "workers"
            case FileNotFoundError() if _NO_TEMPORARY_FOLDER in str(each):
                return "disk"
            case OSError() if each.errno in EXHAUSTED_ERRNOS:
                return EXHAUSTED_ERRNOS[each.errno]
            case RuntimeError() if _NO_THREAD in str(each):
                return "threads"
    return None


def kind_of(error: BaseException) -> Kind:
    """Whether it may be retried for ever, says something of the process only, or will come again the same way."""
    if isinstance(error, Conflict) or (isinstance(error, Refused) and error.malformed):
        return Kind.DETERMINISTIC  # an answer, and one to what we ask: it will be asked and answered so again
    if isinstance(error, PortError):
        return Kind.OUTAGE
    if exhausted(error):
        return Kind.EXHAUSTED
    if isinstance(error, ConnectionError | TimeoutError):
        return Kind.OUTAGE
    return Kind.DETERMINISTIC


def failure_of(error: BaseException) -> Failure:
    """By what a deterministic failure is known again, and how it is told."""
    name, place, text = type(error).__name__, _place(error.__traceback__), _text(error)
    seed = f"{type(error).__module__}.{name}\n{place}\n{normalised(text)}"
    digest = hashlib.sha256(seed.encode("utf-8", "replace")).hexdigest()
    where = f" (in {place})" if place else ""
    sentence = f"{name}: {text}" if text else name
    return Failure(digest[:FINGERPRINT_CHARS], one_line(sentence, SENTENCE_CHARS_MAX - len(where), mark=" ") + where)


def poisoned(why: str) -> Failure:
    """By what a message that was judged to be poison is known as alike to another."""
    digest = hashlib.sha256(f"poison\n{normalised(why)}".encode("utf-8", "replace")).hexdigest()
    return Failure(digest[:FINGERPRINT_CHARS], one_line(why, SENTENCE_CHARS_MAX, mark=" "))


# In this order: what is recognised by its form before what is only digits.
_VARIES = (
    re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE),  # UUIDs
    re.compile(r"\b0x[0-9a-f]+", re.IGNORECASE),  # addresses
    re.compile(r"\btmp[0-9a-z_]{6,}", re.IGNORECASE),  # names that `tempfile` makes
    re.compile(r"\b(?=[0-9a-z]*[0-9])[0-9a-z]{8,}\b", re.IGNORECASE),  # ids and hashes
    re.compile(r"[0-9]+"),  # numbers and times
)


def normalised(text: str) -> str:
    """The text without what varies between two failures of the same cause."""
    for varies in _VARIES:
        text = varies.sub("#", text)
    return text


def _text(error: BaseException) -> str:
    try:
        return one_line(str(error), SENTENCE_CHARS_MAX, mark=" ")
    except Exception:  # an exception may have a bug of its own
        return ""


def _place(trace: TracebackType | None) -> str:
    """Module and function of the innermost frame that is ours; of the innermost one where none is."""
    innermost = ours = ""
    while trace is not None:
        frame = trace.tb_frame
        module = str(frame.f_globals.get("__name__", ""))
        innermost = f"{module}.{frame.f_code.co_name}"
        if module.startswith(OURS):
            ours = innermost
        trace = trace.tb_next
    return ours or innermost


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and what it was raised from, or while handling; at most `CHAIN_MAX`."""
    found: BaseException | None = error
    for _ in range(CHAIN_MAX):
        if found is None:
            return
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
