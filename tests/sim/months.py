"""What holds of a month's money at every moment, watched in the table while a simulation runs.

Like `watch` it knows the ledger's items by their keys and words alone. The item of a month must say what a recount of all shards' rows
says, after each transaction; and whoever admits a shard leaves the month within the budget that this very process was started with.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any

Key = tuple[str, str]
BROKEN_MAX = 20
SUMS = ("spent_micros", "on_demand_micros", "booked_micros", "unbooked_micros")


class Months:
    """`broken`: what did not add up at some moment, in words. All sums are in millionths of a dollar.

    budget: of the process that acts just now, in US dollars; None: it has none.
    """

    def __init__(self, budget: Callable[[], float | None]) -> None:
        self.broken: list[str] = []
        self._budget = budget
        self._items: dict[str, Mapping[str, Any]] = {}
        self._sums: defaultdict[str, Counter[str]] = defaultdict(
            Counter
        )  # by month, over rows; "": of rows that name none
        self._admitted: list[tuple[str, str, float]] = []  # in this transaction: shard, month, budget
        self._touched = False
        self._lanes: dict[str, int] = {}  # booked, by run
        self._runs: Counter[str] = Counter()  # likewise, over rows

    @property
    def months(self) -> int:
        """In how many of them something was booked."""
        return sum(bool(item["booked_micros"]) for item in self._items.values())

    def changed(self, key: Key, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> None:
        pk, sk = key
        if pk == "months":
            self._touched = True
            if after is None:
                self._break(f"the month {sk} is gone")
                return
            if before is not None and after["spent_micros"] < before["spent_micros"]:
                self._break(f"{sk}: what is spent goes back from {before['spent_micros']} to {after['spent_micros']}")
            self._items[sk] = after
        elif pk.startswith("run#") and sk.startswith("shard#"):
            self._touched = True
            self._add(before, -1)
            self._add(after, 1)
            run_id = pk.removeprefix("run#")
            self._runs[run_id] += (after or {}).get("booked_micros", 0) - (before or {}).get("booked_micros", 0)
            if before is not None and after is not None:
                self._moved(f"{pk.removeprefix('run#')}/{after['shard']}", before, after)

        elif sk.startswith("lane#"):
            self._touched = True
            run_id = sk.removeprefix("lane#")
            if after is None:
                self._lanes.pop(run_id, None)
            else:
                self._lanes[run_id] = after.get("booked_micros", 0)

    def _add(self, shard: Mapping[str, Any] | None, sign: int) -> None:
        if shard is None:
            return
        sums, booked = self._sums[shard.get("month", "")], shard.get("booked_micros", 0)
        spent = shard.get("spent_micros", 0)
        settled, on_demand = shard["state"] == "SETTLED", shard.get("kind") == "on_demand"
        of_row = (spent, spent if on_demand else 0, booked, booked if settled else 0)
        for name, micros in zip(SUMS, of_row, strict=True):
            sums[name] += sign * micros

    def _moved(self, name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        if after["state"] == "PENDING" and after.get("booked_micros") and after.get("kind") != "on_demand":
            self._break(f"shard {name} waits for its admission, and {after['booked_micros']} are still booked for it")
        if before["state"] != "PENDING" or after["state"] not in ("ADMITTED", "INVOKING"):
            return
        month, budget = after.get("month", ""), self._budget()
        if budget is None:
            return
        if not month or not after.get("booked_micros"):
            self._break(f"shard {name} is {after['state']} and booked in no month, which has a budget of ${budget}")
        self._admitted.append((name, month, budget))

    def done(self) -> None:
        """A transaction is done."""
        if not self._touched:
            return
        self._touched = False
        for name, month, budget in self._admitted:
            item = self._items.get(month)
            if item is not None and item["projected_micros"] > round(budget * 1_000_000):
                self._break(f"shard {name} is admitted, and {month} comes to {item['projected_micros']} of ${budget}")
        self._admitted.clear()
        for month, item in self._items.items():
            wrong = wrong_sums(item, self._sums[month])
            if wrong:
                self._break(f"{month}: {wrong}")
        for run_id, booked in self._lanes.items():
            if booked != self._runs[run_id]:
                self._break(f"{booked} are booked in the lane of {run_id}, over its shards {self._runs[run_id]}")
        # What was booked in no month is spent in the one in which it was settled.
        spent = sum(item["spent_micros"] for item in self._items.values())
        if self._items and spent != (rows := sum(sums["spent_micros"] for sums in self._sums.values())):
            self._break(f"the months have spent {spent}, all shards {rows}")

    def _break(self, words: str) -> None:
        if len(self.broken) < BROKEN_MAX:
            self.broken.append(words)


def wrong_sums(item: Mapping[str, Any], rows: Mapping[str, int]) -> str:
    """In what the item of a month differs from the sums over its shards' rows; more may be spent, by shards that name no month."""
    for name in ("booked_micros", "unbooked_micros"):
        if item[name] != rows.get(name, 0):
            return f"{name} is {item[name]}, over its shards {rows.get(name, 0)}"
    for name in ("spent_micros", "on_demand_micros"):
        if item[name] < rows.get(name, 0):
            return f"{name} is {item[name]}, over its shards {rows.get(name, 0)}"
    projected = item["spent_micros"] + item["booked_micros"] - item["unbooked_micros"]
    return "" if item["projected_micros"] == projected else f"{item['projected_micros']} projected is not {projected}"
