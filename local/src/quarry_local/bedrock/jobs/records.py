"""Input files, read as a stream: blocks of whole lines, decoded at once (contract section 4.1).

`modelInput` is kept as the bytes that it was sent as, so that the output echoes it without encoding it again. Blank
lines are skipped and further members ignored (neither is documented). What makes a file unfit raises `Unfit`, whose
text becomes the failed job's message: the live texts are not known (contract section 7), so nobody should read them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from quarry_local.bedrock.settings import LiveSettings

_BLOCK_BYTES = 1 << 20


class Unfit(Exception):
    """The job's input or output cannot be used; the text is for people."""


class Halted(Exception):
    """The job was stopped, or the server is ending."""


# Records hold no cycles, so the collector need not walk them (gc=False).
class Record(msgspec.Struct, rename="camel", gc=False):
    model_input: msgspec.Raw
    record_id: str | None = None


class _AnyObject(msgspec.Struct, gc=False):
    """An object whose members are skipped."""


class _Outer(msgspec.Struct, rename="camel", gc=False):
    model_input: _AnyObject
    record_id: str | None = None


_RECORDS = msgspec.json.Decoder(Record)
_OUTERS = msgspec.json.Decoder(_Outer)


class Stream(Protocol):
    def read(self, amt: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class InputFile:
    bucket: str
    key: str
    size: int
    name: str
    """Where its output goes, relative to the job's folder and without `.out`."""
    records: int = 0


def blocks(stream: Stream) -> Iterator[bytes]:
    """The stream's bytes in blocks that end where a line ends."""
    rest: list[bytes] = []
    while chunk := stream.read(_BLOCK_BYTES):
        cut = chunk.rfind(b"\n") + 1
        if cut:
            rest.append(chunk[:cut])
            yield b"".join(rest)
            rest = [chunk[cut:]]
        else:
            rest.append(chunk)
    last = b"".join(rest)
    if last:
        yield last


def read_records(stream: Stream) -> Iterator[list[Record]]:
    """The file's records, a block at a time; the file has been validated before."""
    for block in blocks(stream):
        yield _RECORDS.decode_lines(block)


def count_records(stream: Stream, name: str, records_max: int, halted: Callable[[], bool]) -> int:
    """How many records the file has.

    Raises:
        Unfit: a line is not a record, or there are more than `records_max`.
    """
    count = 0
    for block in blocks(stream):
        if halted():
            raise Halted
        try:
            count += len(_OUTERS.decode_lines(block))
        except (msgspec.MsgspecError, RecursionError):
            raise _bad_line(block, name, count) from None
        if count > records_max:
            raise Unfit(f"File {name} contains more records than the maximum of: {records_max}")
    return count


def _bad_line(block: bytes, name: str, before: int) -> Unfit:
    count = before
    for line in block.split(b"\n"):
        if not line.strip():
            continue
        count += 1
        try:
            _OUTERS.decode(line)
        except (msgspec.MsgspecError, RecursionError) as wrong:
            return Unfit(f"File {name}: record {count} is not of the form recordId, modelInput: {wrong}")
    return Unfit(f"File {name} is not JSON lines")


def split_uri(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def validate(s3: Any, job_arn: str, uri: str, live: LiveSettings, halted: Callable[[], bool]) -> list[InputFile]:
    """The job's input files with their counts: everything that Validating checks of them (contract section 2).

    Raises:
        Unfit: with the failed job's message.
    """
    try:
        files = _list_files(s3, uri)
        if sum(file.size for file in files) > live.job_bytes_max:
            raise Unfit(f"The input files are larger than the maximum of {live.job_bytes_max} bytes per job")
        counted: list[InputFile] = []
        for file in files:
            if file.size > live.file_bytes_max:
                raise Unfit(f"File {file.name} is larger than the maximum of {live.file_bytes_max} bytes")
            stream = s3.get_object(Bucket=file.bucket, Key=file.key)["Body"]
            try:
                count = count_records(stream, file.name, live.records_max, halted)
            finally:
                stream.close()
            counted.append(InputFile(file.bucket, file.key, file.size, file.name, count))
    except (ClientError, BotoCoreError) as wrong:
        raise Unfit(f"The input at {uri} could not be read: {wrong}") from wrong
    total = sum(file.records for file in counted)
    if total < live.records_min:
        # Contract section 7, verbatim.
        raise Unfit(
            f"Batch job {job_arn} contains less records ({total}) than the required minimum of: {live.records_min}"
        )
    if total > live.records_max:
        raise Unfit(f"Batch job {job_arn} contains more records ({total}) than the maximum of: {live.records_max}")
    return counted


def _list_files(s3: Any, uri: str) -> list[InputFile]:
    """One file, or all JSONL files under a folder, nested ones too (contract section 4.1)."""
    bucket, key = split_uri(uri)
    if key.endswith(".jsonl"):
        try:
            size = s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
        except ClientError as wrong:
            if wrong.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                raise Unfit(f"The input {uri} does not exist") from None
            raise
        return [InputFile(bucket, key, size, key.rsplit("/", 1)[-1])]
    folder = key if not key or key.endswith("/") else key + "/"
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder)
    # Where the output of nested files lands is not documented: it keeps their path here.
    files = [
        InputFile(bucket, found["Key"], found["Size"], found["Key"].removeprefix(folder))
        for page in pages
        for found in page.get("Contents", ())
        if found["Key"].endswith(".jsonl")
    ]
    if not files:
        raise Unfit(f"The input {uri} has no file that ends in .jsonl")
    return files
