"""From an ended job to outcomes, and from outcomes to a part: the blocking half of settling.

Theory of operation. What exists is kept, however the job ended: it was paid for. The job's own folder is read, never
another's, and each record gets exactly one outcome. The outcome is written once per attempt; who finds one standing
takes its account instead of reading the job again, so that a repeated step says the same. The part is a function of
the outcome and the source.

Call these in a thread; each may be called any number of times.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import pyarrow as pa
import structlog

from quarry_collector.decode import Corrupt, Line, read_lines
from quarry_collector.parts import Identity, counts_of, part_stands, read_outcome, write_outcome, write_part
from quarry_collector.settle import Ended, ErrorCode, Repeat, Settle, Settlement, decide
from quarry_collector.spool import Spool
from quarry_core.contract.names import on_demand_prefix, outcome_key, output_prefix, rows_key, unsent_key
from quarry_core.contract.on_demand import GIVEN_UP
from quarry_core.contract.run import Pins
from quarry_core.errors import Missing
from quarry_core.ledger.moves import BELOW_MINIMUM, REFUSED
from quarry_core.ledger.rows import Shard
from quarry_core.models import AnswerReader, reader_named
from quarry_core.ports import ObjectRef, Objects
from quarry_core.service.failures import Kind, kind_of
from quarry_core.structured.answers import Answers
from quarry_core.structured.blocks import structured_reader
from quarry_core.structured.schema import read_schema
from quarry_core.tabular.dataset import Dataset, open_dataset
from quarry_core.tabular.rows import read_parquet

log = structlog.get_logger()
T = TypeVar("T")


@dataclass(frozen=True)
class Salvage:
    """One run's shards: what they are read from and written to."""

    objects: Objects
    run_id: str
    plan: str
    pins: Pins

    @property
    def family(self) -> AnswerReader:
        reader = reader_named(self.pins.family)
        return structured_reader(reader) if self.pins.output else reader

    @cached_property
    def answers(self) -> Answers | None:
        """What makes columns of answers, in a run with an output schema."""
        return Answers(read_schema(self.pins.output.text)) if self.pins.output else None

    def identity(self, shard: Shard) -> Identity:
        return Identity(self.run_id, shard.shard, shard.attempt, self.plan)

    def outcome(self, shard: Shard, repeats_max: int) -> Settlement | Repeat:
        """Give every row of an ended shard its outcome, or say that the whole job is to be asked again.

        Raises:
            SpoolFull: the answers are longer than a shard may have.
            Conflict: another outcome stands under this one's name.
        """
        try:
            return read_outcome(self.objects, self.identity(shard)).settlement
        except Missing:
            pass  # nobody has settled this attempt yet
        family = self.family
        with Spool(shard.shard, shard.rows, family.answer_column, answers=self.answers) as spool:
            for row, code, message in self._unsent(shard):
                spool.leave_out(row, ErrorCode(code), message)
            seen = None
            if (lines := self._lines(shard)) is not None:
                with closing(lines):
                    seen = spool.place(lines, family, own_codes=_own_codes(shard))
            decision = decide(
                Ended(
                    attempt=shard.attempt,
                    rows=shard.rows,
                    unsent=spool.unsent,
                    reported=spool.reported,
                    status=shard.ended_status,
                    message=shard.message,
                    refused=shard.ended_status == REFUSED,
                    below_minimum=shard.ended_status == BELOW_MINIMUM,
                    error_code=shard.error_code,
                    on_demand=shard.on_demand,
                ),
                repeats_max,
            )
            if isinstance(decision, Repeat):
                return decision
            return write_outcome(self.objects, self.identity(shard), spool.settle(decision, seen)).settlement

    def outcome_in_part(self, shard: Shard, message: str, *, read: bool) -> Settlement:
        """An outcome for a shard that cannot be settled as it should be: what can be read, and INTERNAL_ERROR.

        Args:
            shard: the shard.
            message: why, for the rows that get the error.
            read: whether the job's output is read, up to where that fails; else no row has an answer.

        Raises:
            Exception: whatever keeps an outcome from being written at all.
        """
        family = self.family
        with Spool(shard.shard, shard.rows, family.answer_column, answers=self.answers) as spool:
            seen = None
            if read:
                with suppress_failures():
                    for row, code, text in self._unsent(shard):
                        spool.leave_out(row, ErrorCode(code), text)
                with suppress_failures():
                    if (lines := self._lines(shard)) is not None:
                        with closing(lines):
                            seen = spool.place(_until_it_fails(lines), family, own_codes=_own_codes(shard))
            rest = Settle(ErrorCode.INTERNAL_ERROR, message)
            return write_outcome(self.objects, self.identity(shard), spool.settle(rest, seen)).settlement

    def standing(self, shard: Shard) -> Settlement | None:
        """The counts of the outcome that stands, if one does: by HEAD alone."""
        key = outcome_key(self.run_id, shard.shard, shard.attempt)
        try:
            return counts_of(self.objects.head(ObjectRef(key)).metadata)
        except Missing:
            return None

    def account(self, shard: Shard) -> Settlement:
        """The account of a settled shard, as its outcome tells it; where none could be written, as the row does."""
        try:
            return read_outcome(self.objects, self.identity(shard)).settlement
        except Missing:
            if shard.ok:
                raise
            return Settlement(rows=shard.rows, ok=0, errors={str(ErrorCode.INTERNAL_ERROR): shard.rows})

    def part_stands(self, shard: Shard) -> bool:
        """Whether a settled shard's part is published already."""
        return part_stands(self.objects, self.identity(shard))

    def part(self, shard: Shard) -> Settlement:
        """Join a settled shard's outcome to its rows and publish the part.

        Raises:
            Missing, Changed, SourceError: the source is not what was accepted any more; the outcome stays.
            PartError: the part cannot be written, or does not hold what was put in; the outcome stays.
        """
        identity = self.identity(shard)
        outcome = read_outcome(self.objects, identity)
        dataset = open_dataset(self.objects, self.run_id, self.pins.source)
        return write_part(
            self.objects,
            identity,
            dataset.result_schema,
            self._rows(dataset, shard),
            outcome,
            prefix=self.pins.result_prefix,
            annotations=dataset.count.annotations,
            fields=self.answers.fields if self.answers else (),
        ).settlement

    def _rows(self, dataset: Dataset, shard: Shard) -> Iterator[pa.RecordBatch]:
        copy = ObjectRef(rows_key(self.run_id, shard.shard))
        if not dataset.copied or not (self.pins.source.copied or self._stands(copy)):
            names = dataset.result_schema.names if dataset.count.sent_only else None
            return dataset.read(shard.first_row, shard.rows, names)
        return read_parquet(self.objects, copy, 0, shard.rows)

    def _stands(self, ref: ObjectRef) -> bool:
        """Of Parquet in S3: a worker of release 0.1.0 has written shards without their rows."""
        try:
            self.objects.head(ref)
        except Missing:
            return False
        return True

    def _unsent(self, shard: Shard) -> Iterator[tuple[int, str, str]]:
        if shard.sendable == shard.rows:
            return
        for line in self.objects.read(ObjectRef(unsent_key(self.run_id, shard.shard))).splitlines():
            unsent = json.loads(line)
            yield unsent["row"], unsent["code"], unsent["message"]

    def _lines(self, shard: Shard) -> Generator[Line[Any] | Corrupt] | None:
        """What was answered, by the job or on demand; None if there is no output at all."""
        if shard.on_demand:
            return self._read(
                info.key for info in self.objects.list(on_demand_prefix(self.run_id, shard.shard, shard.attempt))
            )
        output = self._output(shard)
        return None if output is None else self._read([output.key])

    def _read(self, keys: Iterable[str]) -> Generator[Line[Any] | Corrupt]:
        for key in keys:
            with closing(self.objects.stream(ObjectRef(key))) as stream:
                yield from read_lines(stream, self.family.output_type)

    def _output(self, shard: Shard) -> ObjectRef | None:
        """The job's output file, if there is one (contract section 4.3): in the folder of the job's own id."""
        if not shard.arn:
            return None
        folder = output_prefix(self.run_id, shard.shard, shard.attempt) + shard.arn.rpartition("/")[2] + "/"
        for info in self.objects.list(folder):
            # Beside it stands Bedrock's job summary, and sometimes a key that only marks the folder.
            if info.key.endswith(f"{shard.shard}.jsonl.out"):
                return ObjectRef(info.key)
        return None


def _own_codes(shard: Shard) -> frozenset[str]:
    """Which codes of errors in the output are ours, and the rows' own."""
    return GIVEN_UP if shard.on_demand else frozenset()


@contextmanager
def suppress_failures() -> Iterator[None]:
    """Let be what fails by itself: it has been counted, and what was read before it is kept. Outages go on up."""
    try:
        yield
    except Exception as error:
        if kind_of(error) is not Kind.DETERMINISTIC:
            raise
        log.warning("read_in_part", error=f"{type(error).__name__}: {error}")


def _until_it_fails(lines: Iterator[T]) -> Iterator[T]:
    with suppress_failures():
        yield from lines
