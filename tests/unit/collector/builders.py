"""Lines of a job's output, as Bedrock writes them (contract section 4.3), and a shard settled from them."""

from __future__ import annotations

import io
import json
from contextlib import contextmanager

from quarry_collector.decode import read_lines
from quarry_collector.settle import Ended, Settle, decide
from quarry_collector.spool import Spool
from quarry_core.contract.names import record_id
from quarry_core.models import family_of

CLAUDE = family_of("anthropic.claude-3-haiku-20240307-v1:0")
TITAN = family_of("amazon.titan-embed-text-v2:0")
SHARD = "00002"


def rid(row, shard=SHARD):
    return record_id(shard, row)


def message(text, stop_reason="end_turn", input_tokens=7, output_tokens=3):
    return {
        "content": [{"type": "text", "text": text}] if text else [],
        "stop_reason": stop_reason,
        "usage": {"input_tokens": input_tokens, "output_tokens": output_tokens},
    }


def line(record, output=None, error=None, prompt="say it") -> bytes:
    body = {"modelInput": {"messages": [{"role": "user", "content": prompt}]}, "recordId": record}
    if output is not None:
        body["modelOutput"] = output
    if error is not None:
        body["error"] = error
    return json.dumps(body).encode()


def answer(row, text=None) -> bytes:
    return line(rid(row), message(f"answer {row}" if text is None else text))


def failure(row, code=400, text="bad request") -> bytes:
    return line(rid(row), error={"errorCode": code, "errorMessage": text})


def vector(row, numbers) -> bytes:
    return line(rid(row), {"embedding": numbers, "inputTextTokenCount": 5})


def output_of(lines) -> io.BytesIO:
    return io.BytesIO(b"".join(each + b"\n" for each in lines))


def read(lines, family=CLAUDE, **limits):
    return list(read_lines(output_of(lines), family.output_type, **limits))


@contextmanager
def settled(output, rows, *, family=CLAUDE, status="Completed", unsent=(), block_bytes=1 << 20):
    """The outcome of a shard whose job ended so with this output; `unsent` are (row, code, message)."""
    with Spool(SHARD, rows, family.answer_column) as spool:
        for row, code, text in unsent:
            spool.leave_out(row, code, text)
        stream = output if isinstance(output, io.BytesIO) else output_of(output)
        seen = spool.place(read_lines(stream, family.output_type, block_bytes=block_bytes), family)
        ended = Ended(attempt=9, rows=rows, unsent=spool.unsent, reported=spool.reported, status=status)
        decision = decide(ended)
        assert isinstance(decision, Settle)
        yield spool.settle(decision, seen)


def rows_of(outcome):
    return [row for batch in outcome.batches() for row in batch.to_pylist()]
