"""The format of a recorded history: plain data in four files, which name no class of Quarry's.

    about.json          the release, its settings, the rules of Bedrock, the runs and how they ended
    history.jsonl.xz    what is new, changed or gone at each cut (read it with `xzcat`)
    bodies.tar.xz       the objects' bodies, each under its SHA-256
    SHA256SUMS          of the three: a history is never edited

Theory of operation. A cut is everything at one moment: every item of the ledger as DynamoDB holds it, every message as
it was sent, every object with its version, every job with the fields of Bedrock's API. Each line of the file is one of
these, known again by its key; a cut is the latest line of each key so far, without those that are gone. Times are
absolute; `hidden_s` is for how long a message is not delivered.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ABOUT, LINES, BODIES, SUMS = "about.json", "history.jsonl.xz", "bodies.tar.xz", "SHA256SUMS"
# By what a line replaces an earlier one.
IDENTITIES = {
    "item": ("pk", "sk"),
    "message": ("queue", "id"),
    "dead": ("queue", "id"),
    "object": ("bucket", "key"),
    "job": ("jobArn",),
    "event": ("number",),
}
Identity = tuple[str, ...]
Line = Mapping[str, Any]


class Edited(Exception):
    """A file of a history is not what was recorded."""


@dataclass(frozen=True)
class Cut:
    """Everything at one moment; `lines` by identity, oldest first. `views` is what the command said."""

    name: str
    about: str
    now: str
    lines: Mapping[Identity, Line]
    views: Mapping[str, Any] = field(default_factory=dict)

    def of(self, kind: str) -> list[Any]:
        return [line[kind] for identity, line in self.lines.items() if identity[0] == kind]


@dataclass(frozen=True)
class History:
    about: Mapping[str, Any]
    cuts: tuple[Cut, ...]
    bodies: Mapping[str, bytes] = field(repr=False)  # by SHA-256

    def cut(self, name: str) -> Cut:
        return next(cut for cut in self.cuts if cut.name == name)


def identity_of(line: Line) -> Identity:
    (kind,) = line
    thing = line[kind]
    # An item's attributes bear their types.
    parts = (thing[name]["S"] if kind == "item" else str(thing[name]) for name in IDENTITIES[kind])
    return (kind, *parts)


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


# --------------------------------------------------------------------------- DynamoDB's JSON


def typed(value: Any) -> dict[str, Any]:
    """A value in DynamoDB's JSON; sets are sorted."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": str(value)}
        case set() | frozenset():
            return {"SS": sorted(value)}
        case list() | tuple():
            return {"L": [typed(each) for each in value]}
        case dict():
            return {"M": {name: typed(each) for name, each in value.items()}}
        case _:
            raise TypeError(f"DynamoDB has no type for {type(value).__name__}")


def untyped(value: Mapping[str, Any]) -> Any:
    ((kind, held),) = value.items()
    match kind:
        case "NULL":
            return None
        case "BOOL" | "S":
            return held
        case "N":
            return int(held)
        case "SS":
            return set(held)
        case "L":
            return [untyped(each) for each in held]
        case "M":
            return {name: untyped(each) for name, each in held.items()}
        case _:
            raise TypeError(f"{kind} is no type of an item of the ledger")


# --------------------------------------------------------------------------- writing and reading


def write(history: History, folder: Path) -> None:
    """Write a history into a new folder. The same history gives the same bytes."""
    folder.mkdir(parents=True)
    about = json.dumps(history.about, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    (folder / ABOUT).write_text(about, encoding="utf-8")
    lines = "".join(f"{line}\n" for line in _lines(history.cuts))
    (folder / LINES).write_bytes(lzma.compress(lines.encode(), preset=9))
    (folder / BODIES).write_bytes(_packed(history.bodies))
    sums = "".join(f"{digest((folder / name).read_bytes())}  {name}\n" for name in (ABOUT, LINES, BODIES))
    (folder / SUMS).write_text(sums, encoding="utf-8")


def read(folder: Path) -> History:
    """Read a history. Raises Edited: a file is not the one that was recorded."""
    for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
        expected, name = line.split("  ")
        if digest((folder / name).read_bytes()) != expected:
            raise Edited(f"{folder / name} differs from its recording: restore the file")
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    cuts = _cuts(lzma.decompress((folder / LINES).read_bytes()).decode().splitlines())
    return History(about, tuple(cuts), _unpacked((folder / BODIES).read_bytes()))


def _lines(cuts: tuple[Cut, ...]) -> Iterator[str]:
    before: Mapping[Identity, Line] = {}
    for cut in cuts:
        yield _json({"cut": cut.name, "about": cut.about, "now": cut.now, "views": cut.views})
        for identity in before:
            if identity not in cut.lines:
                yield _json({"gone": list(identity)})
        for identity, line in cut.lines.items():
            if before.get(identity) != line:
                yield _json(line)
        before = cut.lines


def _cuts(texts: list[str]) -> Iterator[Cut]:
    lines: dict[Identity, Line] = {}
    head: Line | None = None
    for text in texts:
        line = json.loads(text)
        if "cut" in line:
            if head is not None:
                yield Cut(head["cut"], head["about"], head["now"], dict(lines), head["views"])
            head = line
        elif "gone" in line:
            del lines[tuple(line["gone"])]
        else:
            lines[identity_of(line)] = line
    if head is not None:
        yield Cut(head["cut"], head["about"], head["now"], dict(lines), head["views"])


def _json(line: Line) -> str:
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def _packed(bodies: Mapping[str, bytes]) -> bytes:
    """The bodies repeat each other, so they are compressed together."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(bodies):
            entry = tarfile.TarInfo(name)
            entry.size = len(bodies[name])
            archive.addfile(entry, io.BytesIO(bodies[name]))
    return lzma.compress(packed.getvalue(), preset=9)


def _unpacked(packed: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:xz") as archive:
        found = {}
        for entry in archive.getmembers():
            body = archive.extractfile(entry)
            assert body is not None
            found[entry.name] = body.read()
        return found
