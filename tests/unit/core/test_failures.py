"""What kind of failure an exception is, and by what it is known again."""

from __future__ import annotations

import errno
from concurrent.futures.process import BrokenProcessPool

import pyarrow as pa
import pytest

from quarry_core.contract.names import parse_s3_uri
from quarry_core.errors import Changed, Conflict, Missing, QuotaExceeded, Refused, Stale, Throttled, Unknown
from quarry_core.service.failures import SENTENCE_CHARS_MAX, Kind, exhausted, failure_of, kind_of


def raised(error: BaseException) -> BaseException:
    try:
        raise error  # noqa: TRY301 only what was raised has a place
    except BaseException as caught:
        return caught


def chained(outer: Exception, inner: Exception) -> BaseException:
    try:
        try:
            raise inner  # noqa: TRY301 as above
        except Exception as cause:
            raise outer from cause
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    "answer",
    [
        Throttled("t"),
        Unknown("u"),
        Stale("s"),
        Missing("m"),
        Changed("c"),
        QuotaExceeded("q"),
        Refused("r", "AccessDeniedException"),
        Refused("r", "ValidationException"),
        ConnectionResetError("gone"),
        TimeoutError(),
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_what_a_port_answers_and_what_a_connection_does_is_an_outage(answer):
    assert kind_of(raised(answer)) is Kind.OUTAGE


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk"),
        (OSError(errno.EMFILE, "Too many open files"), "files"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        # What `tempfile` says on a full disk, when it is asked for the first time.
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"), "disk"),
        (MemoryError(), "memory"),
        (pa.ArrowMemoryError("malloc of size 64 failed"), "memory"),
        (RuntimeError("can't start new thread"), "threads"),
        (BrokenProcessPool("a child process terminated abruptly"), "workers"),
    ],
)
def test_what_the_process_has_run_out_of_is_no_fault_of_the_message(error, what):
    assert kind_of(raised(error)) is Kind.EXHAUSTED
    assert exhausted(raised(error)) == what
    # Also where somebody took it for the source's fault.
    assert kind_of(chained(ValueError("not a readable file"), error)) is Kind.EXHAUSTED


@pytest.mark.parametrize(
    "error",
    [
        ValueError("v"),
        AssertionError(),
        KeyError("k"),
        RecursionError("deep"),
        OSError("Corrupt snappy compressed data."),  # as pyarrow says it, without a number
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        Conflict("another object already exists there"),
        Refused("the item is too large", "ValidationException", malformed=True),
    ],
    ids=lambda error: f"{type(error).__name__}",
)
def test_everything_else_will_come_again_the_same_way(error):
    assert kind_of(raised(error)) is Kind.DETERMINISTIC


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("row 5 of 100", "row 17 of 99"),
        ("<object at 0x7f001234>", "<object at 0x7f99abcd>"),
        ("/tmp/tmpab12cd3f is gone", "/tmp/tmpzz98xy7w is gone"),
        ("job 3f2b8c1e-9d4a-4b7e-8a1c-0123456789ab", "job 11111111-2222-3333-4444-555555555555"),
        ("at 2026-01-01T10:00:00+00:00", "at 2027-12-31T23:59:59+00:00"),
        ("run 1f0c9d3e2b4a failed", "run 77aa66bb55cc failed"),
    ],
)
def test_a_failure_is_known_again_whatever_varies_in_its_words(one, other):
    assert failure_of(raised(ValueError(one))).fingerprint == failure_of(raised(ValueError(other))).fingerprint


def test_type_message_and_place_tell_failures_apart():
    def elsewhere() -> BaseException:
        try:
            parse_s3_uri("nonsense")
        except ValueError as error:
            return error
        raise AssertionError

    reported = {
        failure_of(error).fingerprint
        for error in (
            raised(ValueError("'nonsense' is not of the form s3://bucket/key")),
            raised(TypeError("'nonsense' is not of the form s3://bucket/key")),
            raised(ValueError("another")),
            elsewhere(),
        )
    }
    assert len(reported) == 4
    assert failure_of(elsewhere()).sentence.endswith("(in quarry_core.contract.names.parse_s3_uri)")


def test_what_is_said_of_a_failure_fits_an_item_a_message_and_a_terminal():
    nasty = "\x1b[2J\ud800 a\nb\t\u202e" + "x" * 100_000
    sentence = failure_of(raised(ValueError(nasty))).sentence
    assert len(sentence) <= SENTENCE_CHARS_MAX
    assert sentence.isprintable()
    sentence.encode()


def test_an_exception_that_cannot_be_reported_is_reported_by_its_name():
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    assert failure_of(raised(Mute())).sentence.startswith("Mute")
