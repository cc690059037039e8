"""By how much a counter of ours grew in a window: the one PromQL expression that recording rules and dashboards share.

`increase()` alone is not enough. Counters here come in bursts (a shard settles 50,000 rows at once) and from processes
that may live for minutes, so a series is often born with most of its value, and `increase()` starts from the first
sample. Taking a series whole when it was created inside the window is not enough either: a container that restarts in its
pod keeps its labels, so the new life would hide what the old one counted.

Theory of operation. A series has lifetimes; the client library records when each began, in `..._created`. The expression goes
through the window in steps and adds up what each step brought:

* the same life as before: its value less the value that was last seen;
* another life, or the first one, if it began within the memory: its whole value, since it began at 0;
* a value that fell though its life goes on, as of an exporter that does not tell its restarts: its whole value. Only in
  the first minutes of a life the fall is taken off: then the birth was told beside the last value of the life before, and
  that was counted once more;
* a series that was never seen and is older than the memory: nothing, since nobody knows when it grew.

A step depends on its own time alone, so windows that lie end to end add up to what was counted: nothing twice, nothing
left out. So the recording rules keep tiles of a minute, and each longer window is a sum of them (`summed`): an hour never
has more than the 30 days that it lies in. A gap between scrapes up to the memory's length is bridged. Lost is what a process counted after its last scrape,
and, if it restarts, in the step before its first scrape. A series without `..._created` gets `increase()`.

Prometheus counted the left end of a range as inside until 3.0, so a rule's window is a millisecond shorter than its name: it
has the same number of steps in every release.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

STEP = "15s"
TILE = "1m"
MEMORY, MEMORY_S = "1h", "(1 * 3600)"
FIRST_MINUTES_S = "(5 * 60)"
UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
SUFFIX = re.compile(r"_(total|count)$")
Where = Sequence[str]  # matchers, as `outcome="ok"`


def selector(metric: str, where: Where = ()) -> str:
    return metric + ("{" + ",".join(where) + "}" if where else "")


def created(counter: str) -> str:
    """The series that tells when a counter (`..._total`), or a histogram by its `..._count`, began."""
    return SUFFIX.sub("_created", counter)


def steps_of(window: str) -> str:
    """A window such as `5m`, a millisecond shorter: `4m59s999ms`."""
    left = int(window[:-1]) * UNITS_MS[window[-1]] - 1
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, UNITS_MS[unit])
        parts += [f"{count}{unit}"] if count else []
    return "".join([*parts, f"{left}ms"])


def grown(counter: str, by: Sequence[str], window: str, within: str, where: Where = ()) -> str:
    """PromQL over several lines.

    Args:
        counter: `..._total`, or the `..._count` of a histogram.
        by: the labels that stay.
        window: its length, for `increase()`.
        within: the same, for the steps: `steps_of(window)`, where it is known already.
        where: matchers.
    """
    value, began = selector(counter, where), selector(created(counter), where)
    now, before = f"last_over_time({value}[{STEP}])", f"last_over_time({value}[{MEMORY}] offset {STEP})"
    life, life_before = f"last_over_time({began}[{STEP}])", f"last_over_time({began}[{MEMORY}] offset {STEP})"
    return f"""\
sum by ({", ".join(by)}) (
  sum_over_time((
    {now}
      - (
        ({before} <= {now} or {before} and {life} > time() - {FIRST_MINUTES_S})
        and {life_before} == {life}
      )
    or 1 * {now}
      and ({life} > time() - {MEMORY_S} or {before} > {now} and {life})
  )[{within}:{STEP}])
  or increase({value}[{window}])
)"""


def summed(tile: str, by: Sequence[str], window: str) -> str:
    """PromQL: the sum over a window of a recording rule that has `grown` for each `TILE`.

    Each sample is read once: where the rule was not evaluated, its last sample does not stand in for the next.
    """
    return f"sum by ({', '.join(by)}) (sum_over_time(last_over_time({tile}[{TILE}])[{steps_of(window)}:{TILE}]))"
