"""A look at a source's beginning: its columns, and its rows where that costs nothing. Blocking; for whoever submits.

A Parquet file tells both in its footer. Of a CSV or JSONL file the first mebibyte is read: its header or its first
rows, and how many there are if that is all of it. Of several files the first and the last are looked at: what columns
the others have is not known, so a column that is in neither may still be there. What is wrong further on, the count
finds that every source goes through.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from quarry_core.contract.csv_dialect import Csv
from quarry_core.contract.listing import ref_of
from quarry_core.contract.manifest import Manifest, ManifestError
from quarry_core.contract.manifest_checks import check_selection
from quarry_core.contract.prompts import MissingColumn, Prompt, check_columns, require_columns, template_of
from quarry_core.contract.requests import RequestFormat
from quarry_core.contract.result_names import ColumnTaken
from quarry_core.contract.results import check_columns as check_result_columns
from quarry_core.contract.splits import SplitError, SplitSlice, taken_of
from quarry_core.contract.where import columns_of_where, parse_where
from quarry_core.models import CONVERSE, AnswerReader, family_of, limits_of
from quarry_core.models.limits import too_few
from quarry_core.ports import ObjectRef, Objects
from quarry_core.sources.listing import Found
from quarry_core.sources.preview_requests import check_first_requests
from quarry_core.sources.ready import find_requests
from quarry_core.tabular.compressed import Compression, compression_of, unpacked, unpacked_beginning
from quarry_core.tabular.csv.header import names_at_start
from quarry_core.tabular.csv.records import RecordScanner
from quarry_core.tabular.csv.start import start_of
from quarry_core.tabular.json_kinds import kinds_of, schema_of
from quarry_core.tabular.jsonl.lines import UTF8_MARK, LineFault, parse_lines
from quarry_core.tabular.parquet.rows import open_parquet
from quarry_core.tabular.partition_values import partition_type
from quarry_core.tabular.requests.rows import request_columns, request_schema
from quarry_core.tabular.rows import SourceError, SourceFormat
from quarry_core.tabular.where import Filter

PREVIEW_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Preview:
    """`rows` is None where they are not counted without reading on; `whole`: there are no other columns."""

    schema: pa.Schema
    rows: int | None
    whole: bool = True
    requests: RequestFormat | None = None


@dataclass(frozen=True, slots=True)
class Faults:
    """`sure`: for which the run would be refused. `likely`: for which it would if other files are like those seen."""

    sure: list[str] = field(default_factory=list)
    likely: list[str] = field(default_factory=list)


def preview_source(objects: Objects, manifest: Manifest, found: Found) -> Preview | None:
    """Look at what a manifest was found to name; None if its header is not to be seen.

    Raises: as `preview`, and
        ManifestError: as `find_requests`.
    """
    csv = manifest.csv or Csv()
    requests = find_requests(objects, manifest, found.format, lambda: first_of(found, manifest))
    if requests is not None:
        return _requests(objects, manifest, found, requests)
    if found.one is not None:
        ref = ObjectRef(found.key, found.bucket, found.one.etag, owner=manifest.input_bucket_owner)
        return preview(objects, ref, found.format, found.one.size_bytes, csv, alone=True)
    assert found.listing is not None
    files = found.listing.files
    types = manifest.partition_types
    fields = [pa.field(name, partition_type(types.get(name, "string"))) for name in found.listing.partitions]
    rows, whole = None, len(files) <= 2
    for file in (files[0], files[-1])[: len(files)]:
        ref = ref_of(file, found.bucket, manifest.input_bucket_owner)
        seen = preview(objects, ref, found.format, file.size_bytes, csv)
        if seen is None:
            return None
        rows = seen.rows if len(files) == 1 else None
        if rows is not None and found.listing.slices:
            rows = _sliced(found.listing.slices, rows)
        names = {each.name for each in fields}
        fields += [each for each in seen.schema if each.name not in names]
        whole = whole and seen.whole
    return Preview(pa.schema(fields), rows, whole=whole)


def first_of(found: Found, manifest: Manifest) -> ObjectRef:
    """The file that holds the first row."""
    if found.one is not None:
        return ObjectRef(found.key, found.bucket, found.one.etag, owner=manifest.input_bucket_owner)
    assert found.listing is not None
    return ref_of(found.listing.files[0], found.bucket, manifest.input_bucket_owner)


def _requests(objects: Objects, manifest: Manifest, found: Found, form: RequestFormat) -> Preview:
    """Of several files the first is looked at; what is wrong further on, the count finds."""
    ref = first_of(found, manifest)
    several = found.listing is not None and len(found.listing.files) > 1
    size_bytes = found.one.size_bytes if found.one is not None else None
    lines, ended = _beginning(objects, ref, size_bytes)
    rows, others = check_first_requests(lines, ref.key, form, manifest.model)
    schema = request_schema(request_columns(form, others=others))
    return Preview(schema, rows if ended and not several else None, whole=ended and not several, requests=form)


def _beginning(objects: Objects, ref: ObjectRef, size_bytes: int | None) -> tuple[bytes, bool]:
    """The first whole lines of a file, unpacked, and whether they are all of it."""
    head = objects.read(ref, 0, PREVIEW_BYTES)
    compression = compression_of(head, ref.key)
    ended = size_bytes == len(head) and compression is None
    if compression is not None:
        head = unpacked_beginning(head, compression, PREVIEW_BYTES)
    return head if ended else head[: head.rfind(b"\n") + 1], ended


def _sliced(slices: Sequence[SplitSlice], rows: int) -> int:
    try:
        return sum(taken for _, taken in taken_of(slices, [rows]))
    except SplitError as error:
        raise SourceError(f"split: {error}") from error


def preview(
    objects: Objects, ref: ObjectRef, form: SourceFormat, size_bytes: int, csv: Csv, *, alone: bool = False
) -> Preview | None:
    """Look at a source; None if its header does not end in what is read.

    Args:
        alone: it is all of the source; of several files some may unpack to nothing, as Athena writes them.

    Raises:
        SourceError: it is not of its format, or its columns cannot be told apart.
        PortError: as `Objects.read` and `Objects.random_access` do.
    """
    if form == "parquet":
        with open_parquet(objects, ref) as file:
            return Preview(file.schema, file.rows)
    head = objects.read(ref, 0, PREVIEW_BYTES)
    compression = compression_of(head, ref.key)
    ended = size_bytes == len(head) and compression is None
    if compression is not None:
        if alone and size_bytes == len(head):
            _check_packed(head, compression, ref.key)
        head = unpacked_beginning(head, compression, PREVIEW_BYTES)
    if form == "jsonl":
        return _jsonl(head if ended else head[: head.rfind(b"\n") + 1], ref.key, ended=ended)
    names = names_at_start(head, ref.key, csv)
    if names is None and ended:
        if not head.strip():
            raise SourceError(f"{ref.key} is empty; give a source with a header and at least one row")
        raise SourceError(f"{ref.key} has a header and no rows; give a source with at least one row")
    if names is None:
        return None
    rows = _rows(head, ref.key, csv) if ended else None
    return Preview(pa.schema([(name, pa.string()) for name in names]), rows)


def _check_packed(body: bytes, compression: Compression, key: str) -> None:
    """Refuse a whole file that unpacks to nothing, or whose first bytes do not unpack."""
    with io.BytesIO(body) as packed:
        if not unpacked(packed, compression, key).read(1):
            raise SourceError(f"{key} is empty (it unpacks to 0 bytes); give a source with at least one row")


def _jsonl(lines: bytes, key: str, *, ended: bool) -> Preview | None:
    """What the first whole lines have; there may be other keys further on."""
    if not lines and not ended:
        return None
    rows = [line for line in lines.removeprefix(UTF8_MARK).split(b"\n") if line and not line.isspace()]
    parsed = parse_lines(rows)
    if isinstance(parsed, LineFault):
        raise SourceError(f"{key}: data row {parsed.line + 1} {parsed.why}")
    if ended and not rows:
        raise SourceError(f"{key} is empty; give a source with at least one row")
    return Preview(schema_of(kinds_of(parsed)), len(rows) if ended else None, whole=ended)


def faults_of(found: Preview, manifest: Manifest, prompt: Prompt | None) -> Faults:
    """What the preprocessor would refuse of it, in its own sentences."""
    faults, likely = [], []
    family: AnswerReader = CONVERSE if found.requests == "openai" else family_of(manifest.model)
    try:
        check_selection(manifest, prompt, requests=found.requests is not None)
    except ManifestError as error:
        faults.append(str(error))
    for fault in _missing(found, manifest, prompt):
        if found.whole:
            faults.append(fault)
        else:
            likely.append(f"all columns: among those of the first rows of the first and the last file, {fault}")
    try:
        chosen = [each for each in found.schema if manifest.columns is None or each.name in manifest.columns]
        properties = list(manifest.output_schema.properties) if manifest.output_schema else []
        check_result_columns(pa.schema(chosen), family.answer_column, manifest.result_prefix or "", properties)
    except ColumnTaken as error:
        faults.append(str(error))
    limits = limits_of(manifest.model)
    if found.rows is not None and not manifest.where:
        rows = min(found.rows, manifest.max_records_total or found.rows, _sampled(manifest, found.rows))
        if rows < 1 or (rows < limits.records_min and manifest.on_demand_below == 0):
            faults.append(too_few(rows, found.rows, limits))
    return Faults(faults, likely)


def _missing(found: Preview, manifest: Manifest, prompt: Prompt | None) -> Iterator[str]:
    """What asks for columns that are not among those that were seen, or for what they cannot be asked."""
    names = found.schema.names
    if found.requests is None and manifest.columns is None:
        try:
            check_columns(template_of(prompt), names)
        except MissingColumn as error:
            yield str(error)
    condition = parse_where(manifest.where) if manifest.where else None
    asked = {
        "columns": manifest.columns or (),
        "where": columns_of_where(condition) if condition is not None else (),
        "id_column": (manifest.id_column,) if manifest.id_column is not None else (),
    }
    for asking, columns in asked.items():
        try:
            require_columns(columns, names)
        except MissingColumn as error:
            yield f"{asking}: {error}"
        else:
            if asking == "where" and condition is not None:
                try:
                    Filter(condition, found.schema)
                except SourceError as error:
                    yield str(error)


def _sampled(manifest: Manifest, rows: int) -> int:
    """How many rows a sample takes; of a share only about."""
    sample = manifest.sample
    return rows if sample is None or sample.rows is None else min(sample.rows, rows)


def _rows(whole: bytes, key: str, csv: Csv) -> int | None:
    """Rows of a file that was read whole; None if it is no CSV after all, which the count says with its place."""
    start = start_of(whole, key, csv)
    scanner = RecordScanner(start.byte, start.dialect)
    records = len(scanner.feed(whole[start.byte :])) + len(scanner.finish())
    if scanner.fault is not None or scanner.in_quotes:
        return None
    return max(records - (not isinstance(csv.header, tuple)), 0)


__all__ = ["Faults", "Preview", "SourceError", "faults_of", "preview", "preview_source"]
