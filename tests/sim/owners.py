"""Who changes an item, watched while a simulation runs: nobody who was overtaken takes away what another has now (S8).

A process owns what it wrote last: the mark of a message on begun work, the heartbeat of a shard that is asked on
demand, and the count of failures. Like `watch` it knows items by their keys and words alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Key = tuple[str, str]
BROKEN_MAX = 20
MARK = "begun_"
# Of so many marks on one piece the oldest may be left over: whoever begins it takes them off.
MARKS_MAX = 16


class Owners:
    """`broken`: what was done by somebody it did not belong to, in words.

    who: the process that acts just now.
    now: virtual seconds.
    patience_s: a heartbeat is stale when it has been the same for so many seconds.
    """

    def __init__(self, who: Callable[[], object], now: Callable[[], float], patience_s: float) -> None:
        self.broken: list[str] = []
        self._who = who
        self._now = now
        self._patience_s = patience_s
        self._marks: dict[Key, dict[str, object]] = {}  # who wrote each mark that stands
        self._heartbeats: dict[Key, tuple[object, float]] = {}  # who wrote a shard's heartbeat, and when
        self._counted: dict[Key, object] = {}  # who counted the last failure

    def changed(self, key: Key, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> None:
        kind, _, _ = key[1].partition("#")
        if key[0].startswith("run#") and kind == "begun":
            self._begun(key, before or {}, after)
        elif key[0].startswith("run#") and kind == "shard" and after is not None:
            self._asked(key, before or {}, after)
        elif key[0].startswith("run#") and kind == "failure":
            self._failed(key, after)

    def _begun(self, key: Key, before: Mapping[str, Any], after: Mapping[str, Any] | None) -> None:
        """All marks of a piece go when it is done. One of them is then of who has done it, or another has begun since."""
        owners = self._marks.setdefault(key, {})
        if after is None:
            if self._who() not in owners.values():
                self._break(f"the marks of {_named(key)} were taken off by a process that has none there any more")
            del self._marks[key]
            return
        for name in [name for name in owners if name not in after]:
            if owners.pop(name) is not self._who() and len(owners) < MARKS_MAX - 1:
                self._break(f"another's mark on {_named(key)} was taken off")
        for name in after:
            if name.startswith(MARK) and after[name] != before.get(name):
                owners[name] = self._who()

    def _failed(self, key: Key, after: Mapping[str, Any] | None) -> None:
        """A failure is forgotten by who counted the last one, and has done the work since."""
        if after is not None:
            self._counted[key] = self._who()
        elif self._counted.pop(key) is not self._who():
            self._break(f"{_named(key)} was forgotten, and another has counted since")

    def _asked(self, key: Key, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Only who asks a shard says more of it, until nothing was heard of it for as long as a heartbeat may take."""
        asked, asks = before.get("state") == "INVOKING", after["state"] == "INVOKING"
        if asked:
            owner, at_s = self._heartbeats[key]
            stale_s = self._now() - at_s
            given_up = after["state"] == "PENDING" and stale_s >= self._patience_s
            if owner is not self._who() and not given_up:
                self._break(f"{_named(key)} was moved from who asks it, and was heard of {stale_s:.0f} s ago")
        if not asks:
            self._heartbeats.pop(key, None)
        elif not asked or after["heartbeat"] != before["heartbeat"]:
            self._heartbeats[key] = self._who(), self._now()

    def _break(self, words: str) -> None:
        if len(self.broken) < BROKEN_MAX:
            self.broken.append(words)


def _named(key: Key) -> str:
    return f"{key[1]} of {key[0].removeprefix('run#')}"
