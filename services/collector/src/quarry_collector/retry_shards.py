"""The objects of a round: the lines that go again, and the retry shards made of them. Blocking.

Theory of operation. Nothing is encoded anew: the lines of a settled shard's input whose records go again are copied as they
stand, before the input is deleted, and a retry shard's input is those copies one after the other. Each object is written
once, by a name that says what it is of, so any worker may repeat any of these steps after a crash.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing

from quarry_collector.parts import Identity
from quarry_collector.places import Listed, Places
from quarry_collector.rounds import Lines
from quarry_collector.settle import NotConserved
from quarry_core.contract.names import again_key, input_key, retried_key, round_key
from quarry_core.errors import Conflict, Missing
from quarry_core.planning.rounds import Piece, RetryShard, RoundPlan
from quarry_core.ports import ObjectRef, Objects
from quarry_core.service.publishing import Wanted
from quarry_core.tabular.upload_sink import UploadSink

BLOCK_BYTES = 1 << 20
HEAD_BYTES = 64
_HEAD = re.compile(rb'\s*\{\s*"recordId"\s*:\s*"([0-9]{11})"')


def copy_again(objects: Objects, identity: Identity, wanted: Sequence[tuple[int, str]]) -> None:
    """Write `again/<run>/<shard>-<attempt>.jsonl` once.

    Args:
        objects: the bucket.
        identity: of the shard.
        wanted: lines of its input by number, in order, each with the record id that it must have.

    Raises:
        Missing: the input is gone, as when another has settled the shard.
        NotConserved: the input has not these records in these lines.
    """
    key = again_key(identity.run_id, identity.shard, identity.attempt)
    metadata = {**identity.metadata("again"), "records": str(len(wanted))}
    if _stands(objects, key, metadata):
        return
    upload = objects.create(key, metadata)
    try:
        sink = UploadSink(upload)
        left = iter(wanted)
        line_number, record = next(left)
        ref = ObjectRef(input_key(identity.run_id, identity.shard))
        copied = 0
        for number, line in enumerate(_lines(objects, ref)):
            if number != line_number:
                continue
            if _id_of(line) != record:
                raise NotConserved(f"line {number} of {ref.key} is not of record {record}")
            sink.write(line)
            copied += 1
            line_number, record = next(left, (-1, ""))
            if line_number < 0:
                break
        if copied != len(wanted):
            raise NotConserved(f"{ref.key} has {copied} of the {len(wanted)} records that go again")
        upload.commit()
    finally:
        upload.abort()


def measure(objects: Objects, run_id: str, shard: str, attempt: int, records: int) -> Lines:
    """The lengths of a copy's lines. Raises Missing, NotConserved."""
    lengths = array("q", (len(line) for line in _lines(objects, ObjectRef(again_key(run_id, shard, attempt)))))
    if len(lengths) != records:
        raise NotConserved(f"{again_key(run_id, shard, attempt)} has {len(lengths)} lines, and {records} go again")
    return Lines(shard, attempt, lengths)


def write_plan(objects: Objects, run_id: str, plan_hash: str, plan: RoundPlan) -> RoundPlan:
    """Write a round's plan once; the plan that stands, whoever wrote it."""
    identity = {"kind": "round", "run": run_id, "round": str(plan.round), "plan": plan_hash}
    objects.put_once(round_key(run_id, plan.round), plan.model_dump_json().encode(), identity)
    standing = read_plan(objects, run_id, plan.round)
    assert standing is not None
    return standing


def read_plan(objects: Objects, run_id: str, number: int) -> RoundPlan | None:
    try:
        return RoundPlan.model_validate_json(objects.read(ObjectRef(round_key(run_id, number))))
    except Missing:
        return None


def write_retry_shard(
    objects: Objects, run_id: str, plan_hash: str, round_number: int, shard: RetryShard, wanted: Wanted
) -> None:
    """Write a retry shard's input and the list of its record ids, once. Raises NotConserved, GivenUp."""
    identity = {"run": run_id, "shard": shard.shard, "round": str(round_number), "plan": plan_hash}
    key = input_key(run_id, shard.shard)
    metadata = {"kind": "input", "attempt": "1", **identity}
    if _stands(objects, key, metadata) and _stands(objects, retried_key(run_id, shard.shard), identity):
        return
    ids = bytearray()
    upload = objects.create(key, metadata)
    try:
        sink = UploadSink(upload)
        for piece in shard.pieces:
            wanted.check()
            for line in _piece(objects, run_id, piece):
                ids += f"{_id_of(line)}\n".encode()
                sink.write(line)
        if len(Listed(bytes(ids))) != shard.records:
            raise NotConserved(f"retry shard {shard.shard} of run {run_id} has not the {shard.records} records planned")
        objects.put_once(retried_key(run_id, shard.shard), bytes(ids), {"kind": "retried", **identity})
        wanted.check()
        upload.commit()
    finally:
        upload.abort()


def places_of(objects: Objects, run_id: str, shard: str) -> Places:
    """Where the records of a retry shard belong."""
    return Listed(objects.read(ObjectRef(retried_key(run_id, shard))))


def _stands(objects: Objects, key: str, identity: dict[str, str]) -> bool:
    try:
        standing = dict(objects.head(ObjectRef(key)).metadata)
    except Missing:
        return False
    if not identity.items() <= standing.items():
        raise Conflict(f"{key} is not what {identity} says: its metadata is {standing}")
    return True


def _id_of(line: bytes) -> str:
    found = _HEAD.match(line, 0, HEAD_BYTES)
    return found[1].decode() if found else ""


def _piece(objects: Objects, run_id: str, piece: Piece) -> Iterator[bytes]:
    ref = ObjectRef(again_key(run_id, piece.shard, piece.attempt))
    return _lines(objects, ref, piece.start_byte, piece.start_byte + piece.bytes)


def _lines(objects: Objects, ref: ObjectRef, start_byte: int = 0, end_byte: int | None = None) -> Iterator[bytes]:
    """Lines with their newlines."""
    begun = b""
    with closing(objects.stream(ref, start_byte, end_byte)) as stream:
        while block := stream.read(BLOCK_BYTES):
            *whole, begun = (begun + block).split(b"\n")
            yield from (line + b"\n" for line in whole if line)
    if begun:
        yield begun + b"\n"
