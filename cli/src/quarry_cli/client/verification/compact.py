"""A compacted result held against the parts of the shards: the same rows, in the same order, value by value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import pyarrow as pa

from quarry_cli.client.results.parts import batches_of, open_part
from quarry_cli.client.results.result_parts import compact_parts_under
from quarry_cli.client.verification.verified import Findings
from quarry_cli.errors import Unreadable
from quarry_core.contract.names import compact_prefix
from quarry_core.errors import PortError
from quarry_core.ledger.rows import Totals
from quarry_core.ports import ObjectInfo, ObjectRef, Objects
from quarry_core.tabular.parquet.merging import check_same_rows
from quarry_core.tabular.parquet.part_errors import PartDiffers

ROWS_AT_ONCE = 1_024


def verify_compact(objects: Objects, totals: Totals, parts: Sequence[ObjectInfo], findings: Findings) -> int:
    """Compare, if the run was compacted; how many parts it was compacted into. Blocking.

    Args:
        parts: of the shards, in row order.
    """
    if not totals.compact_at:
        return 0
    where = compact_prefix(totals.run_id)
    found = compact_parts_under(objects, totals.run_id)
    if len(found) != totals.compact_parts:
        findings.differ(where, f"{len(found):,} parts stand, and the ledger says {totals.compact_parts:,}")
        return len(found)
    try:
        check_same_rows(_rows(objects, parts), _rows(objects, found))
    except PartDiffers as error:
        findings.differ(where, f"it is not what the parts of the shards are: {error}")
    except (PortError, Unreadable) as error:
        findings.differ(where, f"it cannot be compared with the parts of the shards: {error}")
    return len(found)


def _rows(objects: Objects, parts: Sequence[ObjectInfo]) -> Iterator[pa.RecordBatch]:
    for info in parts:
        ref = ObjectRef(info.key, etag=info.etag)
        with closing(objects.random_access(ref)) as body, open_part(body) as part:
            yield from batches_of(part, ROWS_AT_ONCE)
