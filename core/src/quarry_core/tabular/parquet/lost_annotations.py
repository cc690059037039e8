"""Which annotations of a Parquet file are lost when pyarrow writes its columns again: leaf against leaf, by the two footers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quarry_core.tabular.parquet.footer import Annotation, Leaf
from quarry_core.tabular.parquet.part_errors import PartError


def lost_annotations(before: Sequence[tuple[int, Leaf]], after: Sequence[tuple[int, Leaf]]) -> Iterator[Annotation]:
    """The annotations of some leaves that the same leaves of another file have not.

    Args:
        before: the leaves as they should be, each with its number in its file.
        after: as pyarrow wrote them; the annotations are given by their numbers.

    Raises:
        PartError: a column is stored otherwise.
    """
    if len(before) != len(after):
        raise PartError(after[0][1].column, "its parts would not match those of the source")
    grouped: set[int] = set()
    for (_, wanted), (number, found) in zip(before, after, strict=True):
        if wanted.group != found.group and id(wanted.parent) not in grouped:
            grouped.add(id(wanted.parent))
            yield wanted.annotation(number, on_group=True)
        if _alike(wanted, found):
            continue
        if wanted.physical != found.physical:
            raise PartError(wanted.column, f"{wanted.kind} would become {found.kind}")
        yield wanted.annotation(number)


def _alike(wanted: Leaf, found: Leaf) -> bool:
    if wanted.physical == "INT96":
        return found.kind.startswith("TIMESTAMP")  # the one timestamp that the format knew, before it had any
    if wanted.kind.startswith("TIME") and wanted.converted != found.converted:
        return False  # there are readers who know the old kind of annotation alone
    return wanted.kind == found.kind
