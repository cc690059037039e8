"""Links by which anybody may download a run's results for a while, without credentials of their own."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from datetime import timedelta

import msgspec

from quarry_cli.client.connections import Connections
from quarry_cli.client.results.download import local_name
from quarry_cli.client.results.readable import readable
from quarry_cli.client.results.result_parts import fewest_parts_of
from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.client.session import Session
from quarry_cli.errors import NotWritten
from quarry_core.contract.names import report_key, report_page_key
from quarry_core.errors import Missing
from quarry_core.ports import ObjectRef, Objects

# AWS's bound for signatures of version 4.
SHARE_S_MAX = 7 * 86_400
_DURATION = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

# Makes a link of a key, for so many seconds.
Presign = Callable[[str, int], str]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    url: str
    size_bytes: int


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What `quarry results --share --json` prints. Whoever has a link may use it until `expires_at`."""

    run_id: str
    expires_at: str
    links: list[Link]


def seconds_of(text: str) -> int:
    """`24h`, `30m`, `7d`. Raises ValueError with what is wrong."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no time: write it as in 30m, 24h or 7d")
    seconds = int(match[1]) * _UNITS[match[2]]
    if seconds > SHARE_S_MAX:
        raise ValueError(f"{text} is too long: AWS lets links work for at most {SHARE_S_MAX // 86_400} days")
    return seconds


def share_run(session: Session, run_id: str, for_s: int, *, version: int | None = None) -> Shared:
    """Links to the results of an ended run that is found. Blocking. Raises NoSuchRun, NotEnded, NoResults, NotWritten."""
    view, objects = readable(session, run_id, version=version)

    async def look(connections: Connections) -> tuple[Presign, str]:
        until = connections.clock.now() + timedelta(seconds=for_s)
        return connections.presign(), until.isoformat(timespec="seconds")

    presign, until = session.do(look)
    return Shared(run_id=view.run_id, expires_at=until, links=links_of(objects, presign, view, for_s))


def links_of(objects: Objects, presign: Presign, view: RunView, for_s: int) -> list[Link]:
    """A link for each part, and for the report. Blocking. Raises NotWritten if there is nothing to share."""
    links = [
        Link(name=local_name(part.key, "parquet"), url=presign(part.key, for_s), size_bytes=part.size_bytes)
        for part in fewest_parts_of(objects, view)
    ]
    if not links:
        raise NotWritten(f"run {view.run_id} has no result parts that could be shared")
    for name, key in (("report.html", report_page_key(view.run_id)), ("report.json", report_key(view.run_id))):
        with contextlib.suppress(Missing):  # an earlier release wrote no page
            links.append(Link(name=name, url=presign(key, for_s), size_bytes=objects.head(ObjectRef(key)).size_bytes))
    return links
