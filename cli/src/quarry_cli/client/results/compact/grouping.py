"""Which neighbouring parts become one: a pure function of their sizes, so that everybody who merges comes to the same."""

from __future__ import annotations

from collections.abc import Sequence

MIB = 1 << 20
# Readers gain nothing from fewer, and each is read at once by whoever has no more memory than that.
AIM_MIB = 128
AIM_MIB_MIN = 1
AIM_MIB_MAX = 1_024


def groups_of(sizes: Sequence[int], aim_bytes: int) -> list[range]:
    """Neighbours, in their order, each part in one group.

    A group has from half the aim to twice the aim, unless a part alone has more or there is less in all. The last one may be
    smaller where its neighbour is too large to take it.

    Args:
        sizes: of the parts, in bytes.
        aim_bytes: for a group.
    """
    groups: list[range] = []
    begin = total = 0
    for number, size in enumerate(sizes):
        if number > begin and total + size > 2 * aim_bytes:
            groups.append(range(begin, number))
            begin, total = number, 0
        total += size
        if total >= aim_bytes:
            groups.append(range(begin, number + 1))
            begin, total = number + 1, 0
    if begin < len(sizes):
        rest = range(begin, len(sizes))
        before = sum(sizes[each] for each in groups[-1]) if groups else 0
        if groups and total < aim_bytes // 2 and before + total <= 2 * aim_bytes:
            rest = range(groups.pop().start, len(sizes))
        groups.append(rest)
    return groups
