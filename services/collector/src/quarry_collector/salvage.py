"""From an ended job to outcomes, and from outcomes to a part: the blocking half of settling.

Theory of operation. What exists is kept, however the job ended: it was paid for. The job's own folder is read, never
another's, and each record gets exactly one outcome. Where every row has its answer, the outcome is a function of the
job's output, whoever reads it and when, for the first answer of a record counts and there is none left to come: nothing
is written but the part, which is made from the spool while that is open, or from the output again after a crash. Where
a row has none, what is read now might be read otherwise later; so the outcome is written, once per attempt, and who
finds one standing takes that. The part is a function of the outcome and the source.

Call these in a thread; each may be called any number of times.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from bisect import bisect_left
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar, cast

import pyarrow as pa
import structlog

from quarry_collector.carried import Carried, copy_part
from quarry_collector.datasets import Datasets
from quarry_collector.decode import Block, read_blocks
from quarry_collector.overlay import Overlaid
from quarry_collector.parts import Identity, Outcome, counts_of, part_stands, read_outcome, write_outcome, write_part
from quarry_collector.retry_shards import copy_again, places_of, read_plan
from quarry_collector.rounds import codes_of, split
from quarry_collector.settle import Ended, ErrorCode, Repeat, Seen, Settle, Settlement, decide
from quarry_collector.spool import Spool
from quarry_core.contract.names import on_demand_prefix, outcome_key, output_prefix, rows_key, unsent_key
from quarry_core.contract.on_demand import GIVEN_UP
from quarry_core.contract.run import Pins
from quarry_core.contract.versions import RetryOf
from quarry_core.errors import Changed, Missing
from quarry_core.ledger.moves import BELOW_MINIMUM, CANCELLED, CARRIED, REFUSED
from quarry_core.ledger.rows import Shard
from quarry_core.models import AnswerReader, reader_named
from quarry_core.planning.rounds import RoundPlan, lineage
from quarry_core.ports import ObjectRef, Objects
from quarry_core.service.failures import Kind, kind_of
from quarry_core.structured.answers import Answers
from quarry_core.structured.blocks import structured_reader
from quarry_core.structured.schema import read_schema
from quarry_core.tabular.dataset import Dataset
from quarry_core.tabular.parquet.copied import CopiedRows
from quarry_core.tabular.parquet.part_errors import PartError
from quarry_core.tabular.rows import SourceError

log = structlog.get_logger()
T = TypeVar("T")
COPY_BYTES = 1 << 20
COPY_MEMORY_BYTES_MAX = 4 << 20  # of a rows copy; a longer one goes to a temporary file
_SOURCE_FAULTS = (Changed, Missing, SourceError, PartError)


@dataclass(frozen=True)
class Salvage:
    """One run's shards: what they are read from and written to."""

    objects: Objects
    run_id: str
    plan: str
    pins: Pins
    datasets: Datasets
    plans: dict[int, RoundPlan] = field(default_factory=dict)  # of rounds, as they were read

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

    def outcome(self, shard: Shard, repeats_max: int, held: Held, cancelled: str = "") -> Settlement | Repeat:
        """Give every row of an ended shard its outcome, or say that the whole job is to be asked again.

        Args:
            shard: the shard.
            repeats_max: how often a job of which nothing came out is asked again.
            held: gets what the part can be made from.
            cancelled: the run is cancelled, by whom and when.

        Raises:
            SpoolFull: the answers are longer than a shard may have.
            Conflict: another outcome stands under this one's name.
        """
        if shard.ended_status == CARRIED:
            return self._carry(shard, held)
        spool = held.keep(self._spool(shard))
        seen = self._read_into(spool, shard)
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
                cancelled=cancelled,
            ),
            repeats_max,
        )
        if isinstance(decision, Repeat):
            return decision
        outcome = spool.settle(decision, seen)
        # What a retry shard answers is read by the parts of others, when the rounds are over.
        if outcome.settlement.plain and not shard.retries:
            held.outcome, held.without_outcome = outcome, True
            return outcome.settlement
        rows: list[int] = []
        codes = codes_of(self.pins.record_retries, shard)
        if any(code in codes for code in outcome.settlement.errors):
            outcome.settlement, rows = split(outcome.settlement, outcome.errors(codes), codes, spool.record_id)
        written = write_outcome(self.objects, self.identity(shard), outcome)
        if written.created:
            held.outcome = outcome
        elif written.settlement.again:
            standing = read_outcome(self.objects, self.identity(shard))
            _, rows = split(standing.settlement, standing.errors(codes), codes, spool.record_id)
        if written.settlement.again:
            self._copy_again(shard, rows, spool)
        return written.settlement

    def _carry(self, shard: Shard, held: Held) -> Settlement:
        """The outcome of a retry's shard: what the version before says of its rows. Raises NotConserved, Missing."""
        carried = self._carried(shard)
        account = carried.settlement
        if account.plain and carried.unchanged:
            held.without_outcome = True
            return account
        return write_outcome(self.objects, self.identity(shard), carried).settlement

    def _carried(self, shard: Shard) -> Carried:
        return Carried(
            self.objects,
            self._of,
            shard,
            self.family.answer_column,
            self.pins.result_prefix,
            self.answers.fields if self.answers else (),
            {row: (code, message) for row, code, message in self._unsent_lines(shard)},
        )

    @property
    def _of(self) -> RetryOf:
        assert self.pins.retry is not None
        return self.pins.retry

    @property
    def _counted_as(self) -> str:
        """The run under whose id the count of the source and the copies of its rows stand."""
        return self.pins.retry.root if self.pins.retry is not None else self.run_id

    def _copy_again(self, shard: Shard, rows: list[int], spool: Spool) -> None:
        """Keep the input lines of the records that go again. Raises Missing: another has settled the shard."""
        unsent = sorted(row for row, _, _ in self._unsent(shard))
        copy_again(
            self.objects,
            self.identity(shard),
            [(row - bisect_left(unsent, row), spool.record_id(row)) for row in rows],
        )

    def _spool(self, shard: Shard) -> Spool:
        places = places_of(self.objects, self.run_id, shard.shard) if shard.retries else None
        return Spool(shard.shard, shard.rows, self.family.answer_column, places=places, answers=self.answers)

    def _read_into(self, spool: Spool, shard: Shard) -> Seen | None:
        """Place what was answered; None if there is no output at all."""
        for row, code, message in self._unsent(shard):
            spool.leave_out(row, ErrorCode(code), message)
        if (blocks := self._blocks(shard)) is None:
            return None
        with closing(blocks):
            return spool.place_blocks(blocks, self.family, own_codes=_own_codes(shard))

    def outcome_in_part(self, shard: Shard, message: str, *, read: bool) -> Settlement:
        """An outcome for a shard that cannot be settled as it should be: what can be read, and INTERNAL_ERROR.

        Args:
            shard: the shard.
            message: why, for the rows that get the error.
            read: whether the job's output is read, up to where that fails; else no row has an answer.

        Raises:
            Exception: whatever keeps an outcome from being written at all.
        """
        with self._spool(shard) as spool:
            seen = None
            if read:
                with suppress_failures():
                    for row, code, text in self._unsent(shard):
                        spool.leave_out(row, ErrorCode(code), text)
                with suppress_failures():
                    if (blocks := self._blocks(shard)) is not None:
                        with closing(blocks):
                            seen = spool.place_blocks(_until_it_fails(blocks), self.family, own_codes=_own_codes(shard))
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
        """The account of a settled shard, as its outcome tells it; where none was written, as the row does."""
        if shard.without_outcome:
            return Settlement(
                rows=shard.rows, ok=shard.ok, input_tokens=shard.input_tokens, output_tokens=shard.output_tokens
            )
        try:
            return read_outcome(self.objects, self.identity(shard)).settlement
        except Missing:
            if shard.ok:
                raise
            return Settlement(rows=shard.rows, ok=0, errors={str(ErrorCode.INTERNAL_ERROR): shard.rows})

    def part_stands(self, shard: Shard) -> bool:
        """Whether a settled shard's part is published already."""
        return part_stands(self.objects, self.identity(shard))

    def retried_in(self, shard: Shard, rounds: int) -> list[list[str]]:
        """The retry shards that may hold records of a shard of the source, for each of the rounds after the first."""
        if not shard.again:
            return []
        return lineage(shard.shard, self._plans(rounds))

    def _plans(self, rounds: int) -> list[RoundPlan]:
        found = []
        for number in range(2, rounds + 1):
            if number not in self.plans:
                plan = read_plan(self.objects, self.run_id, number)
                if plan is None:
                    raise Missing(f"the plan of round {number} of run {self.run_id} is gone")
                self.plans[number] = plan
            found.append(self.plans[number])
        return found

    def part(self, shard: Shard, held: Held | None = None, retried: Sequence[Sequence[Shard]] = ()) -> Settlement:
        """Join a settled shard's outcome to its rows and publish the part.

        Args:
            shard: the shard.
            retried: the retry shards of `retried_in`.
            held: what `outcome` left, of whoever moved the shard to SETTLED by it.

        Raises:
            Missing, Changed, SourceError: the source, or the output that is read again, is not what it was any more.
            PartError: the part cannot be written, or does not hold what was put in.
            Exception: whatever else; in any case an outcome stands, unless it is an outage that keeps it from being written.
        """
        if shard.ended_status == CARRIED and not shard.again:
            return self._part_carried(shard)
        if shard.again:
            own = read_outcome(self.objects, self.identity(shard))
            later = [[read_outcome(self.objects, self.identity(each)) for each in some] for some in retried]
            return self._part_of(shard, Overlaid(shard.shard, own, later))
        if held is not None and held.outcome is not None:
            return self._part_of(shard, held.outcome)
        if not shard.without_outcome:
            return self._part_of(shard, read_outcome(self.objects, self.identity(shard)))
        with self._again(shard) as outcome:
            return self._part_of(shard, outcome)

    def _part_carried(self, shard: Shard) -> Settlement:
        """Of a retry's shard nothing of which was asked again: the part of the version before, unless an error is a new one."""
        if shard.without_outcome or not any(True for _ in self._unsent_lines(shard)):
            copy_part(self.objects, self._of, shard, self.identity(shard))
            return self.account(shard)
        return self._part_of(shard, read_outcome(self.objects, self.identity(shard)))

    def keep(self, shard: Shard) -> None:
        """Write the outcome of a settled shard that needed none, whose part will not be written. Raises as `part`."""
        if shard.without_outcome and shard.ended_status != CARRIED:
            with self._again(shard) as outcome:
                write_outcome(self.objects, self.identity(shard), outcome)

    @contextmanager
    def _again(self, shard: Shard) -> Iterator[Outcome]:
        """The outcome of a settled shard that needed none, read from the job's output once more."""
        with self._spool(shard) as spool:
            seen = self._read_into(spool, shard)
            if not spool.all_ok:
                raise Changed(
                    f"{output_prefix(self.run_id, shard.shard, shard.attempt)} had an answer for every row of shard"
                    f" {shard.shard}, and has {spool.reported} of {shard.rows} now"
                )
            yield spool.settle(Settle(ErrorCode.MISSING, ""), seen)

    def _part_of(self, shard: Shard, outcome: Outcome) -> Settlement:
        try:
            with (
                self.datasets.open(self._counted_as, self.pins.source) as dataset,
                self.source_rows(dataset, shard) as rows,
            ):
                return write_part(
                    self.objects,
                    self.identity(shard),
                    dataset.result_schema,
                    rows,
                    outcome,
                    prefix=self.pins.result_prefix,
                    annotations=dataset.count.annotations,
                    fields=self.answers.fields if self.answers else (),
                ).settlement
        except Exception as error:
            if shard.without_outcome and (kind_of(error) is Kind.DETERMINISTIC or isinstance(error, _SOURCE_FAULTS)):
                # Whoever is told where the answers are finds them by row, and not as the job wrote them.
                write_outcome(self.objects, self.identity(shard), outcome)
            raise

    @contextmanager
    def source_rows(self, dataset: Dataset, shard: Shard) -> Iterator[Iterable[pa.RecordBatch]]:
        """A shard's rows of the source, good inside the block: the preprocessor's copy of them where there is one."""
        copy = ObjectRef(rows_key(self._counted_as, shard.shard))
        if not dataset.copied or not (self.pins.source.copied or self._stands(copy)):
            names = dataset.result_schema.names if dataset.count.sent_only else None
            yield dataset.read(shard.first_row, shard.rows, names)
            return
        with copied_rows(self.objects, copy) as rows:
            yield rows

    def _stands(self, ref: ObjectRef) -> bool:
        """Of Parquet in S3: a worker of release 0.1.0 has written shards without their rows."""
        try:
            self.objects.head(ref)
        except Missing:
            return False
        return True

    def _unsent(self, shard: Shard) -> Iterator[tuple[int, str, str]]:
        if shard.sendable == shard.rows or (shard.ended_status == CANCELLED and not shard.bytes):
            return  # of a cancelled run the last shards were never rendered
        yield from self._lines_unsent(shard)

    def _unsent_lines(self, shard: Shard) -> Iterator[tuple[int, str, str]]:
        """Of a retry's shard: the rows that were to go again and could not be rendered; most have none."""
        with suppress(Missing):
            yield from self._lines_unsent(shard)

    def _lines_unsent(self, shard: Shard) -> Iterator[tuple[int, str, str]]:
        for line in self.objects.read(ObjectRef(unsent_key(self.run_id, shard.shard))).splitlines():
            unsent = json.loads(line)
            yield unsent["row"], unsent["code"], unsent["message"]

    def _blocks(self, shard: Shard) -> Generator[Block[Any]] | None:
        """What was answered, by the job or on demand; None if there is no output at all."""
        if shard.on_demand:
            keys = (info.key for info in self.objects.list(on_demand_prefix(self.run_id, shard.shard, shard.attempt)))
            return self._read(map(self._stream, keys))
        output = self._output(shard)
        return None if output is None else self._read([output])

    def _stream(self, key: str) -> BinaryIO:
        return self.objects.stream(ObjectRef(key))

    def _read(self, streams: Iterable[BinaryIO]) -> Generator[Block[Any]]:
        vectors = self.family.answer_column == "embedding"
        for each in streams:
            with closing(each) as stream:
                yield from read_blocks(stream, self.family.output_type, vectors=vectors)

    def _output(self, shard: Shard) -> BinaryIO | None:
        """The job's output, if there is one (contract section 4.3): in the folder of the job's own id."""
        if not shard.arn:
            return None
        folder = output_prefix(self.run_id, shard.shard, shard.attempt) + shard.arn.rpartition("/")[2] + "/"
        # Where it has always been found; the list is for the day on which it is elsewhere.
        with suppress(Missing):
            return self._stream(f"{folder}{shard.shard}.jsonl.out")
        for info in self.objects.list(folder):
            # Beside it stands Bedrock's job summary, and sometimes a key that only marks the folder.
            if info.key.endswith(f"{shard.shard}.jsonl.out"):
                return self._stream(info.key)
        return None


@contextmanager
def copied_rows(objects: Objects, ref: ObjectRef) -> Iterator[CopiedRows]:
    """A copy of rows, of which everything is wanted: by one request, and not by one for each piece."""
    with tempfile.SpooledTemporaryFile(max_size=COPY_MEMORY_BYTES_MAX) as copy:
        with closing(objects.stream(ref)) as stream:
            shutil.copyfileobj(stream, copy, COPY_BYTES)
        yield CopiedRows(cast("BinaryIO", copy), ref.key)


class Held:
    """What settling a shard leaves for its part: the open spool. Use as a context manager, which closes it.

    Attributes:
        outcome: the outcomes by row, if they are those that count: no other worker's stand.
        without_outcome: they are a function of the output, and no outcome was written.
    """

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.without_outcome = False
        self._spool: Spool | None = None

    def keep(self, spool: Spool) -> Spool:
        """Hold it instead of any other."""
        self.close()
        self._spool = spool
        return spool

    def close(self) -> None:
        self.outcome, self.without_outcome = None, False
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
