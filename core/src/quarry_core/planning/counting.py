"""Counting a source: each of its files, then the one schema and the rows of all of them together.

Theory of operation. Whatever is wrong with a source's form, its columns or its size refuses the run here, before
anything is paid for. Files are counted group by group, and what was counted of a group is written once: a worker that
comes second, or a second life of the same one, goes on behind it. Memory is that of one file and one group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, pairwise

import pyarrow as pa

from quarry_core.contract.listing import Listing, SourceFile, ref_of
from quarry_core.contract.names import count_key, counts_key, spool_key
from quarry_core.contract.prompts import MissingColumn, require_columns
from quarry_core.contract.run import Pins
from quarry_core.contract.splits import SplitError, SplitSlice, taken_of
from quarry_core.errors import Missing
from quarry_core.models import image_content_of
from quarry_core.planning.count_file import SAMPLE_PLACES, SAMPLE_ROWS, count_text, inspect, sample, unsent_rows
from quarry_core.planning.count_requests import count_requests
from quarry_core.planning.csv_headers import FirstRecords
from quarry_core.planning.ids import check_ids
from quarry_core.planning.image_sample import ImageSample, look_at_images
from quarry_core.planning.request_ids import RequestIds
from quarry_core.planning.sampling import PassingSample
from quarry_core.planning.selecting import asked_columns, choose_rows
from quarry_core.planning.trial import name_unreadable, try_out
from quarry_core.ports import ObjectRef, Objects
from quarry_core.rendering.encoders import check_needed, encoder_of, loader_of, needed_columns
from quarry_core.rendering.image_values import holds_bytes
from quarry_core.rendering.row_encoder import RowEncoder, estimate_record_bytes
from quarry_core.tabular.counted import Count, DatasetCount, schema_text
from quarry_core.tabular.dataset import COUNTS, Dataset, Grouped, files_of
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.json_kinds import Kinds, merged
from quarry_core.tabular.partition_values import partition_type
from quarry_core.tabular.spool import SpoolPlace
from quarry_core.tabular.unify import NOTES_MAX, Unified, Unifier

# Rows of which the images are looked at, each at the cost of one request.
IMAGE_ROWS = 128
IMAGE_PLACES = 32
GROUP_FILES_MAX = 256
GROUP_BYTES = 1 << 30
# Of the names and types of all columns of a group: what is written of one is an object of at most 64 MiB, read whole.
GROUP_NAMES_BYTES_MAX = 32 << 20


@dataclass(frozen=True, slots=True)
class Counted:
    """A source that was counted.

    Attributes:
        dataset: its rows; `dataset.count` is what is to be written of it.
        record_bytes: about how long the line of a record is.
        gaps: how many rows cannot be sent.
        image_tokens: about how many LLM tokens the images of a record are.
        sample: of the records' tokens, as far as the count has read them.
    """

    dataset: Dataset
    record_bytes: float
    gaps: int
    sample: PassingSample
    image_tokens: float = 0.0


def count_source(objects: Objects, run_id: str, pins: Pins) -> Counted:
    """Read a source once: its rows, its columns, and about how many bytes a record will have. Blocking.

    Raises:
        SourceError, MissingColumn, NotEncodable, ColumnTaken: the source is refused; the text says what to change.
        Changed, Missing: the source is not what was accepted.
    """
    listing = files_of(objects, run_id, pins.source)
    groups = tuple(_groups(listing.files))
    with RequestIds(pins.request_format) as ids:
        count, fields = _together(objects, run_id, pins, listing, groups, ids)
        check_needed(pins, count)
        counts: Grouped[Count] = Grouped(objects, partial(counts_key, run_id), COUNTS, groups)
        dataset = Dataset(objects, pins.source, listing, count, counts)
        _check_values(dataset, fields)
        ids.check(dataset)
    dataset = choose_rows(dataset, run_id, pins, fields)
    check_ids(dataset, pins.id_column)
    dataset.count = dataset.count.model_copy(update={"annotations": try_out(dataset, pins)})
    encoder = encoder_of(pins)
    gaps, passing = 0, PassingSample(dataset, pins, encoder)
    for file, rows in enumerate(dataset.count.file_rows):
        if rows:
            gaps += _gaps(dataset, file, encoder, passing)
    # CSV and JSON are judged by their bytes. Of Parquet a text is taken to be UTF-8 only if each was looked at: one that is
    # not is a gap, and a column without gaps was read to its end.
    dataset.count = dataset.count.model_copy(update={"sound": dataset.count.format != "parquet" or not gaps})
    if not pins.images:
        return Counted(dataset, estimate_record_bytes(encoder, sample_of(dataset)), gaps, passing)
    seen = look_at_images(loader_of(pins, objects), pins.images, sample_of(dataset, IMAGE_ROWS, IMAGE_PLACES))
    dataset.count = dataset.count.model_copy(
        update={"notes": (*dataset.count.notes, *_image_notes(dataset, pins, seen))}
    )
    texts_bytes = estimate_record_bytes(encoder, sample_of(dataset, IMAGE_ROWS, IMAGE_PLACES))
    return Counted(dataset, texts_bytes + seen.record_bytes, gaps, passing, seen.record_tokens)


def _image_notes(dataset: Dataset, pins: Pins, seen: ImageSample) -> list[str]:
    kept_back = [name for name in dataset.count.sent_only if pins.columns is None]
    named = [
        f"column {name!r} holds the images themselves and does not come back: name it in columns if it is to"
        for name in kept_back
    ]
    return [*seen.notes(sure=image_content_of(pins.model).limits.tokens_sure), *named]


def write_count(dataset: Dataset, run_id: str) -> None:
    """Write what was counted, once."""
    body = dataset.count.model_dump_json().encode()
    dataset.objects.put_once(count_key(run_id), body, {"run": run_id})


# --------------------------------------------------------------------------- files


def _groups(files: Sequence[SourceFile]) -> Iterator[int]:
    """How many files each group has: a function of the listing alone."""
    size = size_bytes = 0
    for file in files:
        if size and (size == GROUP_FILES_MAX or size_bytes + file.size_bytes > GROUP_BYTES):
            yield size
            size = size_bytes = 0
        size, size_bytes = size + 1, size_bytes + file.size_bytes
    yield size


def _together(
    objects: Objects, run_id: str, pins: Pins, listing: Listing, groups: Sequence[int], ids: RequestIds
) -> tuple[DatasetCount, pa.Schema]:
    """The count of all files, of the columns that are wanted; and the schema of these and of what is only asked for."""
    file_rows: list[int] = []
    notes: dict[str, None] = {}
    size_bytes = answer_tokens_max = 0
    no_text: dict[str, str] = {}
    kinds: dict[str, Kinds] = {}
    unifier, first_records = Unifier(_read_columns(pins), _partitions(pins, listing)), FirstRecords(pins.csv)
    headers = False
    for group, (begin, end) in enumerate(pairwise([0, *accumulate(groups)])):
        for count in _counts(objects, run_id, pins, group, listing, (begin, end), ids):
            file_rows.append(count.rows)
            headers = headers or bool(count.columns)
            notes |= dict.fromkeys(count.notes[: NOTES_MAX - len(notes)])
            size_bytes += count.size_bytes
            answer_tokens_max += count.answer_tokens_max
            file = listing.files[len(file_rows) - 1].key
            unifier.add(_named(count), file, count.rows)
            first_records.add(count, file)
            merged(kinds, count.kinds_of_group)
            no_text = {**count.no_text, **no_text}
    first_records.check()
    rows = counted = sum(file_rows)
    if not rows:
        raise SourceError(_no_rows(pins, size_bytes, headers=headers))
    file_first: tuple[int, ...] = ()
    if not all(each.whole for each in listing.slices):
        taken = _taken(listing.slices, file_rows)
        file_first, file_rows = tuple(first for first, _ in taken), [own for _, own in taken]
        rows = sum(file_rows)
    unified = unifier.unified()
    if kinds:
        unified = _typed(unified, {name: one for name, one in kinds.items() if name not in listing.partitions})
    schema = _wanted(unified, pins)
    over_all = DatasetCount(
        format=pins.source.format,
        rows=rows,
        columns=tuple(schema.names),
        size_bytes=-(-size_bytes * rows // counted),
        schema_ipc=schema_text(schema),
        file_rows=tuple(file_rows),
        file_first=file_first,
        groups=tuple(groups),
        no_text=no_text,
        notes=(*unified.notes, *notes),
        answer_tokens_max=-(-answer_tokens_max * rows // counted),
        sent_only=_kept_back(pins, schema),
    )
    return over_all, unified.schema


def _read_columns(pins: Pins) -> tuple[str, ...] | None:
    """The columns that anything is done with; None: all."""
    return None if pins.columns is None else (*pins.columns, *_sent_only(pins), *asked_columns(pins))


def _sent_only(pins: Pins) -> tuple[str, ...]:
    """Columns that go into the records though the manifest does not ask for them: ready requests, images."""
    if pins.columns is None:
        return ()
    sent = needed_columns(pins) if pins.request_format is not None else tuple(one.column for one in pins.images)
    return tuple(name for name in sent if name not in pins.columns)


def _kept_back(pins: Pins, schema: pa.Schema) -> tuple[str, ...]:
    """Columns that do not come back: those that are only sent, and images' bytes, unless nothing else would be left."""
    if pins.columns is not None:
        return _sent_only(pins)
    images = tuple(
        one.column for one in pins.images if one.column in schema.names and holds_bytes(schema.field(one.column).type)
    )
    return images if len(images) < len(schema.names) else ()


def _wanted(unified: Unified, pins: Pins) -> pa.Schema:
    """The columns that come back, in the order in which they are asked for. Raises SourceError."""
    asked = {"columns": pins.columns or (), "where": asked_columns(pins), "id_column": (pins.id_column,)}
    for field, names in asked.items():
        try:
            require_columns([name for name in names if name], unified.names)
        except MissingColumn as error:
            raise SourceError(f"{field}: {error}") from error
    schema = unified.schema
    if pins.columns is None:
        return schema
    return pa.schema([schema.field(name) for name in (*pins.columns, *_sent_only(pins))], schema.metadata)


def _taken(slices: Sequence[SplitSlice], file_rows: Sequence[int]) -> tuple[tuple[int, int], ...]:
    try:
        taken = taken_of(slices, file_rows)
    except SplitError as error:
        raise SourceError(f"split: {error}") from error
    if not any(rows for _, rows in taken):
        named = "+".join(map(str, slices))
        raise SourceError(f"split: {named} takes none of {sum(file_rows)} rows: name a larger slice")
    return taken


def _named(count: Count) -> pa.Schema:
    """A file's schema; of a JSONL file the names, for the types are told by all files together."""
    if count.is_jsonl:
        return pa.schema([(name, pa.string()) for name in count.columns])
    return count.schema


def _typed(unified: Unified, kinds: Mapping[str, Kinds]) -> Unified:
    """JSONL's columns with the types that hold what all files have in them."""
    fields = [kinds[each.name].field(each.name) if each.name in kinds else each for each in unified.schema]
    mixed = [name for name, one in kinds.items() if one.mixed][:NOTES_MAX]
    notes = [f"column {name!r} holds {kinds[name].in_words()}: each value is read as its JSON" for name in mixed]
    return replace(unified, schema=pa.schema(fields), notes=(*unified.notes, *notes))


def _partitions(pins: Pins, listing: Listing) -> dict[str, pa.DataType]:
    return {name: partition_type(pins.partition_types.get(name, "string")) for name in listing.partitions}


def _check_values(dataset: Dataset, fields: pa.Schema) -> None:
    """Read what the types alone do not prove to be the same in the dataset's schema. Raises SourceError."""
    for file, rows in enumerate(dataset.count.file_rows):
        uncertain = dataset.uncertain(file, fields) if rows else ()
        if uncertain:
            for _ in dataset.whole(file, 0, rows, uncertain):
                pass


def _gaps(dataset: Dataset, file: int, encoder: RowEncoder, passing: PassingSample) -> int:
    """How many of a file's rows cannot be sent, read as far as must be."""
    aligner = dataset.aligner(file, encoder.columns)
    if aligner.nulls:
        return dataset.count.file_rows[file]
    counted = dataset.count_of(file)

    def read(first: int, rows: int) -> Iterator[pa.RecordBatch]:
        batches = dataset.taken_between(file, first, rows, encoder.columns)
        return passing.watch(batches, dataset.begin(file) + first)

    cut = dataset.is_cut(file)
    if counted.requests is not None and (cut or dataset.count.selection is not None):
        counted = counted.model_copy(update={"gaps": None})  # those are of all rows
    if cut:
        # What was noted of the file speaks of other rows too.
        counted = counted.model_copy(update={"rows": dataset.source_rows(file), "offsets": ((0, 0),)})
    return unsent_rows(read, counted, encoder, whole=aligner.constants)


def _no_rows(pins: Pins, size_bytes: int, *, headers: bool) -> str:
    """What is said of a source without rows; `size_bytes` of it are left when it is unpacked."""
    csv = pins.source.format == "csv"
    if not headers or (pins.csv is not None and isinstance(pins.csv.header, tuple)):
        what = "is empty" if size_bytes else "is empty (it unpacks to 0 bytes)"
    else:
        what = "has a header and no rows" if csv else "has no rows"
    return f"{pins.source.key} {what}; give a source with at least one row"


def _counts(
    objects: Objects,
    run_id: str,
    pins: Pins,
    group: int,
    listing: Listing,
    span: tuple[int, int],
    ids: RequestIds,
) -> tuple[Count, ...]:
    """What was counted of a group of files, by whoever came first; `span`: which files of the list they are."""
    key = counts_key(run_id, group)
    try:
        stands = COUNTS.validate_json(objects.read(ObjectRef(key)))
    except Missing:
        pass
    else:
        ids.miss()
        return stands
    counts: list[Count] = []
    size_bytes = 0
    for number in range(*span):
        file = listing.files[number]
        ref = ref_of(file, pins.source.bucket, pins.source.bucket_owner)
        counts.append(_count_file(objects, pins, ref, _place(run_id, number, pins.source.format, file.etag), ids))
        size_bytes += sum(len(name.encode()) for name in counts[-1].columns) + len(counts[-1].schema_ipc)
        if size_bytes > GROUP_NAMES_BYTES_MAX:
            raise SourceError(
                f"{file.key}: the columns of {len(counts)} files take {size_bytes} bytes, more than {GROUP_NAMES_BYTES_MAX}; "
                "merge the files into fewer, or give them fewer columns or shorter names"
            )
    grouped = tuple(_grouped(counts, listing.partitions))
    objects.put_once(key, COUNTS.dump_json(grouped, exclude_defaults=True), {"run": run_id})
    return grouped


def _grouped(counts: Sequence[Count], partitions: Collection[str]) -> Iterator[Count]:
    """As they are written: what JSONL columns hold once for all files, for there may be thousands of columns."""
    kinds: dict[str, Kinds] = {}
    for count in counts:
        merged(kinds, count.kinds if count.rows else {})
    for place, count in enumerate(counts):
        own = {name: one for name, one in count.kinds.items() if name in partitions}
        yield count.model_copy(update={"kinds": own, "kinds_of_group": {} if place else kinds})


def _place(run_id: str, file: int, suffix: str, etag: str) -> SpoolPlace:
    """Where a file goes that cannot be read in the middle."""
    identity = {"kind": "source", "run": run_id, "file": str(file), "etag": etag.strip('"')}
    return SpoolPlace(spool_key(run_id, file, suffix), identity)


def _count_file(objects: Objects, pins: Pins, ref: ObjectRef, place: SpoolPlace, ids: RequestIds) -> Count:
    form = pins.request_format
    if form is not None:
        return count_text(objects, ref, place, lambda body: count_requests(body, ref.key, form, pins.model, ids.take))
    try:
        return inspect(objects, ref, pins.source.format, pins.csv, needed_columns(pins), place, _read_columns(pins))
    except SourceError as error:
        if isinstance(error.__cause__, pa.ArrowNotImplementedError) and (why := name_unreadable(objects, ref)):
            raise SourceError(f"{ref.key}: {why}") from error
        raise


# --------------------------------------------------------------------------- sampling


def sample_of(dataset: Dataset, rows: int = SAMPLE_ROWS, places: int = SAMPLE_PLACES) -> Iterator[pa.RecordBatch]:
    """About `rows` rows from up to `places` places spread over the dataset, in order. Raises as `Dataset.read`."""
    counted = dataset.count
    if counted.rows <= rows:
        yield from dataset.read(0, counted.rows)
        return
    if counted.selection is not None or counted.file_first:
        for place in range(places):
            yield from dataset.read(place * counted.rows // places, -(-rows // places))
        return
    filled = [file for file, file_rows in enumerate(counted.file_rows) if file_rows]
    chosen: Mapping[int, int]
    if len(filled) == 1:
        chosen = {filled[0]: places}
    else:
        # By rows, not by files: many may be small.
        at = [place * counted.rows // places for place in range(places)]
        chosen = Counter(next(dataset.stretches(row, 1))[0] for row in at)
    each = -(-rows // sum(chosen.values()))
    for file, times in sorted(chosen.items()):
        aligner = dataset.aligner(file)
        if not aligner.columns:
            yield from dataset.read_file(file, 0, min(each, counted.file_rows[file]))
            continue
        counted_file, own = dataset.count_of(file), dataset.own_schema(file)
        for batch in sample(
            dataset.objects, dataset.ref(file), counted_file, each * times, times, own, aligner.columns
        ):
            yield aligner.align(batch, 0)  # no row is told: its values were looked at
