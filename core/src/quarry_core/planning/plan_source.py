"""From a pinned source to its plan: counted, planned, and its records' tokens estimated. The preprocessor and `quarry plan`.

Reads the source, and writes only what `counting` writes. The same pins and slots give the same plan, whoever makes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from quarry_core.contract.prompts import MissingColumn
from quarry_core.contract.result_names import ColumnTaken
from quarry_core.contract.run import Pins, Source
from quarry_core.errors import Changed, Missing, Refused
from quarry_core.models import limits_of
from quarry_core.planning.counting import Counted, count_source
from quarry_core.planning.estimate import Ahead, Estimate, TokenEstimate, estimate_run
from quarry_core.planning.history import History
from quarry_core.planning.plan import Plan, PlanError, has_canary, plan_shards
from quarry_core.planning.sampling import estimate_tokens
from quarry_core.ports import Objects
from quarry_core.rendering.encoders import encoder_of
from quarry_core.rendering.text import NotEncodable
from quarry_core.tabular.counted import DatasetCount
from quarry_core.tabular.dataset import Dataset
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.reader import rows_before

# What refuses a run here: `refusal_of` has the sentence.
REFUSING = (SourceError, MissingColumn, NotEncodable, ColumnTaken, PlanError, Changed, Missing, Refused)

# The copy of a shard's rows is a Parquet file. A row group is written when it has so many bytes, decoded. Each column of
# one costs the footer a few hundred bytes until the file is closed, so a table of many columns has larger ones.
ROW_GROUP_BYTES = 8 << 20
CHUNK_BYTES = 2_048
# Of one file: about 80 MB, as pyarrow holds a footer in the making.
CHUNKS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Planned:
    """A source that was counted and planned; `tokens` are those of one record."""

    counted: Counted
    plan: Plan
    tokens: TokenEstimate

    def estimate(
        self, pins: Pins, *, slots: int, history: History, ahead: Ahead, notes: Sequence[str] = ()
    ) -> Estimate:
        """What the run will be, as far as is known now. Arguments: see `estimate_run`; the counting's notes come first."""
        count = self.counted.dataset.count
        return estimate_run(
            plan=self.plan,
            model_id=pins.model,
            source_uri=pins.source.uri,
            inference=inference_of(pins, count),
            tokens=self.tokens,
            unsent=self.counted.gaps,
            slots=slots,
            history=history,
            ahead=ahead,
            on_demand_below=pins.on_demand_below,
            canary=has_canary(self.plan, pins.canary, pins.canary_above_shards),
            notes=(*count.notes, *notes),
        )


def plan_source(objects: Objects, run_id: str, pins: Pins, slots: int) -> Planned:
    """Count a source and plan its shards. Blocking.

    Args:
        slots: jobs that may be active at once, as the environment is configured.

    Raises:
        REFUSING: the source cannot be processed as the manifest wants it.
    """
    counted = count_source(objects, run_id, pins)
    plan = plan_shards(
        rows_available=counted.dataset.count.rows,
        record_bytes=counted.record_bytes,
        limits=limits_of(pins.model),
        slots=slots,
        max_records_per_job=_records_per_job(pins, counted.dataset.count),
        max_num_jobs=pins.max_num_jobs,
        max_records_total=pins.max_records_total,
        gaps=counted.gaps,
        on_demand_below=pins.on_demand_below,
        canary=pins.canary,
        canary_above_shards=pins.canary_above_shards,
    )
    dataset, passing = counted.dataset, counted.sample
    dataset.count = dataset.count.model_copy(update={"copied": copies_rows(dataset, plan)})
    tokens = passing.estimate(plan.rows_planned) or estimate_tokens(dataset, pins, encoder_of(pins), plan.rows_planned)
    if counted.image_tokens:
        tokens = tokens.model_copy(update={"mean": tokens.mean + counted.image_tokens, "byte_tokens": 0.0})
    return Planned(counted, plan, tokens)


def inference_of(pins: Pins, count: DatasetCount) -> Mapping[str, Any]:
    """The parameters that bound an answer; of ready requests, which each have their own, the mean of them."""
    if pins.request_format is None:
        return pins.inference
    return {"max_tokens": round(count.answer_tokens_max / count.source_rows)}


def refusal_of(error: Exception, source: Source) -> str:
    """Why a source is refused, for one of `REFUSING`."""
    match error:
        case Changed() if source.field == "dataset_id":
            return (
                f"dataset_id: {source.uri} is not read as it was pinned ({error}): send the manifest again; if that does not"
                " help, HF_ENDPOINT names no Hub, or a cache that gives other files"
            )
        case Changed():
            return f"{source.field}: {source.uri} was changed after it was accepted ({error})"
        case Missing():
            which = f" ({error})" if source.listing else ""
            return f"{source.field}: {source.uri} was deleted after it was accepted{which}"
        case Refused() if source.field == "dataset_id":
            return f"dataset_id: {source.uri} cannot be read ({error}): check the token in HF_TOKEN, and its access"
        case Refused():
            # HEAD, by which it was accepted, needs no permission on the object's KMS key.
            return f"s3_uri: {source.uri} cannot be read ({error}): grant s3:GetObject, and kms:Decrypt on its key"
        case _:
            return str(error)


def _records_per_job(pins: Pins, count: DatasetCount) -> int | None:
    """What the user wants, or less where the copy of so wide a shard could not be held."""
    limits, copied = limits_of(pins.model), copied_rows_max(pins.source, count)
    if copied is None or copied >= limits.records_max:
        return pins.max_records_per_job
    return min(pins.max_records_per_job or limits.records_max, max(copied, limits.records_min))


def copies_rows(dataset: Dataset, plan: Plan) -> bool:
    """Whether the rows of each shard of a Parquet source in S3 are to be copied, for they could be read only with many others.

    The join reads shards one by one, as their jobs end, and of a row group all rows before its own. Where that is more
    than a second pass over everything, a copy costs less: it is written from what the preprocessor reads in any case.
    """
    count = dataset.count
    if dataset.source.copied or count.format != "parquet" or not all(map(_is_plain, count.schema.types)):
        return False
    longest = max((-(-stretch.rows // stretch.shards) for stretch in plan.stretches), default=0)
    if count.selection is not None or longest > _copied_rows_max(count):
        return False
    dropped = 0
    for number in range(plan.shard_count):
        dropped += rows_before(dataset, plan.shard_at(number).first_row)
        if dropped > plan.rows_planned:
            return True
    return False


def _is_plain(kind: pa.DataType) -> bool:
    """Whether a column comes back from Parquet as pyarrow wrote it, whatever it holds."""
    return any(is_of(kind) for is_of in _PLAIN) or (pa.types.is_timestamp(kind) and kind.unit != "s")


_PLAIN = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_float32,
    pa.types.is_float64,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_date32,
)


def copied_rows_max(source: Source, count: DatasetCount) -> int | None:
    """How many rows may go into one shard, so that the footer of their copy stays small; None if it has no copy."""
    return _copied_rows_max(count) if source.copied else None


def _copied_rows_max(count: DatasetCount) -> int:
    columns = len(count.columns)
    row_bytes = count.size_bytes / count.source_rows + 4 * columns  # Arrow's offsets
    return max(1, int(CHUNKS_MAX * max(ROW_GROUP_BYTES / columns, CHUNK_BYTES) / row_bytes))
