"""The lines that stand under `on-demand/`: one for each record that was asked, in the form of a job's output. Pure.

So the collector reads both with one reader. An answer is as Bedrock gave it, on one line. An error is Bedrock's own code and
words; or, where the record was given up, one of the codes below, which then is the code of the row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec

# How a record ends that was asked as often as it may be: what its last try came to.
THROTTLED = "THROTTLED"
NO_ANSWER = "NO_ANSWER"
# It was answered with something that is no JSON.
CORRUPT_ANSWER = "CORRUPT_ANSWER"
GIVEN_UP = frozenset({THROTTLED, NO_ANSWER, CORRUPT_ANSWER})
MESSAGE_CHARS_MAX = 2_048
# A scheduler that dies has asked this many records, and as many as it asks at once, that no checkpoint tells of.
CHECKPOINT_RECORDS = 20


class Record(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One line of a shard's input."""

    record_id: str
    model_input: msgspec.Raw


class _Answered(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    record_id: str


_RECORDS = msgspec.json.Decoder(Record)
_ANSWERED = msgspec.json.Decoder(_Answered)


def read_record(line: bytes) -> Record:
    """Raises ValueError: it is none, which the encoder never writes."""
    return _RECORDS.decode(line)


def answer_line(record_id: str, output: bytes) -> bytes:
    """The line of an answer; or of an error, if it is no JSON."""
    try:
        # A newline inside would be the end of the line.
        plain = msgspec.json.format(output, indent=-1)
    except (ValueError, RecursionError) as error:
        return error_line(record_id, CORRUPT_ANSWER, f"the answer is no JSON: {error}")
    return b'{"recordId":"%s","modelOutput":%s}\n' % (record_id.encode(), plain)


def error_line(record_id: str, code: str, message: str) -> bytes:
    error = {"errorCode": code, "errorMessage": message[:MESSAGE_CHARS_MAX]}
    return json.dumps({"recordId": record_id, "error": error}, separators=(",", ":")).encode() + b"\n"


def answered_ids(checkpoint: bytes) -> Iterator[str]:
    """The records that a checkpoint tells of."""
    for line in checkpoint.splitlines():
        yield _ANSWERED.decode(line).record_id
