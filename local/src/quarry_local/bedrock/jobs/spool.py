"""The output of a running job: answered once, in a temporary file, and published in another order when the job ends.

Lines go to a nameless temporary file in input order; memory holds their offsets, their verdicts and their tokens (17
bytes a record). So progress can be reported exactly, a job that ends early publishes the first `done` records and
leaves the others without a line (contract section 4.3), and shuffling costs one read per record at the end.
"""

import os
import tempfile
from array import array
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, pairwise
from typing import Any, assert_never

import msgspec
import numpy as np

from quarry_local.bedrock.families.answers import Answering, Refused, error_body
from quarry_local.bedrock.families.linked import check_linked
from quarry_local.bedrock.faults.plan import RecordFates, RecordFault, StopReason
from quarry_local.bedrock.faults.spoiled import broken_json, emptied, truncated, wrong_type
from quarry_local.bedrock.jobs.job import Counts
from quarry_local.bedrock.jobs.records import Halted, InputFile, Record, read_records, split_uri

# 10,000 such parts, the most that S3 takes, are far more than a job's limits allow.
_UPLOAD_PART_BYTES = 8 << 20

_encode = msgspec.json.encode


class Spool:
    """The output of one job of `total` records, whose input lies at `input_uri`."""

    def __init__(self, total: int, input_uri: str) -> None:
        self._total = total
        self._input_uri = input_uri
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed with the spool
        self._offsets = array("Q", [0])
        self._failed = bytearray()
        self._input_tokens = array("I")
        self._output_tokens = array("I")
        self._files: list[tuple[InputFile, int]] = []
        self._halted = False

    def __len__(self) -> int:
        """Records answered so far; safe to ask while another thread answers."""
        return len(self._output_tokens)

    def halt(self) -> None:
        """Answer no further block."""
        self._halted = True

    def close(self) -> None:
        self._file.close()

    def counts(self, done: int) -> Counts:
        errors = self._failed.count(1, 0, done)
        return Counts(self._total, done - errors, errors)

    def answer(self, s3: Any, files: list[InputFile], done: int, answering: Answering, fates: RecordFates) -> None:
        """Answer the first `done` records of the files; returns early when halted."""
        for file in files:
            self._files.append((file, len(self)))
            left = done - len(self)
            if left <= 0:
                return
            stream = s3.get_object(Bucket=file.bucket, Key=file.key)["Body"]
            try:
                for records in read_records(stream):
                    if self._halted:
                        return
                    self._answer_block(records[: done - len(self)], answering, fates)
                    if len(self) >= done:
                        break
            finally:
                stream.close()

    def _answer_block(self, records: list[Record], answering: Answering, fates: RecordFates) -> None:
        lines: list[bytes] = []
        sizes: list[int] = []
        failed = bytearray(len(records))
        input_tokens = array("I", bytes(4 * len(records)))
        output_tokens = array("I", bytes(4 * len(records)))
        first = len(self)
        calm = fates.calm
        for position, record in enumerate(records):
            record_id = record.record_id
            if record_id is None:
                # Bedrock adds one; its form is not documented (contract section 4.1).
                record_id = f"{first + position:011d}"
            fault = None if calm else fates.of(record_id)
            error = fates.error if fault == "error" else fates.refused if fault == "refused" else None
            if error is None:
                try:
                    said = answering(record.model_input)
                    check_linked(record.model_input, self._input_uri)
                    body, input_tokens[position], output_tokens[position] = said
                    member = b',"modelOutput":'
                except Refused as refused:
                    error = error_body(refused.code, refused.message)
            if error is not None:
                body, member = error, b',"error":'
                failed[position] = 1
            line = b"".join(
                (b'{"recordId":', _encode(record_id), b',"modelInput":', record.model_input, member, body, b"}\n")
            )
            if fault is not None and error is None:
                line = _spoilt(fault, line, record, record_id, body)
            lines.append(line)
            sizes.append(len(line))
        written = memoryview(b"".join(lines))
        while written:
            written = written[self._file.write(written) :]
        offset = self._offsets[-1]
        for size in sizes:
            offset += size
            self._offsets.append(offset)
        self._failed += failed
        self._input_tokens.extend(input_tokens)
        # Last, for its length is what others take as the number answered.
        self._output_tokens.extend(output_tokens)

    def publish(
        self,
        s3: Any,
        config: Mapping[str, str],
        job_id: str,
        done: int,
        seed: int,
        halted: Callable[[], bool],
        *,
        ended: bool = True,
    ) -> None:
        """Write the first `done` records' lines, one object per input file, then the job's summary if it has ended.

        `config` is the request's `s3OutputDataConfig`; with a key in it, that key encrypts what is written. Another
        thread may still be answering.
        """
        bucket, prefix = split_uri(config["s3Uri"])
        encryption = encryption_of(config)
        folder = f"{prefix}/" if prefix and not prefix.endswith("/") else prefix
        answered = len(self)
        files = [(file, first) for file, first in self._files if first <= answered]
        firsts = [*(first for _, first in files), answered]
        for (file, _), (first, following) in zip(files, pairwise(firsts), strict=True):
            last = min(following, done)
            if first >= last and file.records:
                continue
            order = first + np.random.default_rng([seed, first]).permutation(max(0, last - first))
            _upload(s3, bucket, f"{folder}{job_id}/{file.name}.out", self._bodies(order.tolist(), halted), encryption)
        if not ended:
            return
        counts = self.counts(done)
        summary = {
            "totalRecordCount": counts.total,
            "processedRecordCount": counts.processed,
            "successRecordCount": counts.success,
            "errorRecordCount": counts.error,
            "inputTokenCount": sum(self._input_tokens[:done]),
            "outputTokenCount": sum(self._output_tokens[:done]),
        }
        s3.put_object(Bucket=bucket, Key=f"{folder}{job_id}/manifest.json.out", Body=_encode(summary), **encryption)

    def _bodies(self, order: list[int], halted: Callable[[], bool]) -> Iterator[bytes]:
        """The lines in this order, in bodies of about an upload part; at least one, though it be empty."""
        descriptor, offsets = self._file.fileno(), self._offsets
        lines: list[bytes] = []
        held = 0
        for position in order:
            begin = offsets[position]
            line = os.pread(descriptor, offsets[position + 1] - begin, begin)
            lines.append(line)
            held += len(line)
            if held >= _UPLOAD_PART_BYTES:
                if halted():
                    raise Halted
                yield b"".join(lines)
                lines.clear()
                held = 0
        if lines or not order:
            yield b"".join(lines)


def _spoilt(fault: RecordFault | StopReason, line: bytes, record: Record, record_id: str, body: bytes) -> bytes:
    """The line of an answered record that a fault befalls; counted like any other."""
    match fault:
        case "missing":
            return b""
        case "corrupt":
            return line[: len(line) * 3 // 5] + b"\n"
        case "empty":
            said = emptied(body)
        case "truncated":
            said = truncated(body)
        case "broken_json":
            said = broken_json(body)
        case "wrong_type":
            said = wrong_type(body)
        case "model_context_window_exceeded" | "malformed_model_output" | "malformed_tool_use":
            said = truncated(body, fault)
        case "error" | "refused":
            return line
        case _:
            assert_never(fault)
    return b"".join(
        (b'{"recordId":', _encode(record_id), b',"modelInput":', record.model_input, b',"modelOutput":', said, b"}\n")
    )


def encryption_of(config: Mapping[str, str]) -> dict[str, str]:
    """What S3 is told of a job's key; nothing when it has none, for the bucket's default holds then."""
    key = config.get("s3EncryptionKeyId")
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}


def _upload(s3: Any, bucket: str, key: str, bodies: Iterator[bytes], encryption: Mapping[str, str]) -> None:
    """One object from these bodies, in upload parts when there is more than one."""
    first = next(bodies)
    second = next(bodies, None)
    if second is None:
        s3.put_object(Bucket=bucket, Key=key, Body=first, **encryption)
        return
    upload = {"Bucket": bucket, "Key": key}
    upload["UploadId"] = s3.create_multipart_upload(**upload, **encryption)["UploadId"]
    try:
        parts = [
            {"PartNumber": number, "ETag": s3.upload_part(**upload, PartNumber=number, Body=body)["ETag"]}
            for number, body in enumerate(chain((first, second), bodies), start=1)
        ]
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    except BaseException:
        s3.abort_multipart_upload(**upload)
        raise
