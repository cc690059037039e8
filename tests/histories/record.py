"""Records a history of the code as it is: `python -m tests.histories.record` (`make history`), once for each release.

The story is told twice, and must be the same to the byte; its runs are judged as a replay's are. A history that stands
is not written again: what a release wrote stays as it was.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from pathlib import Path

import structlog

from quarry_core import __version__
from quarry_core.messages import VERSION
from tests.histories import form
from tests.histories.form import Cut, History
from tests.histories.judge import ends_of, faults_of
from tests.histories.snapshot import bedrock_of, snapshot
from tests.histories.story import BEDROCK, SETTINGS, fresh_house, tell

HISTORIES = Path(__file__).parent


async def recorded(release: str) -> History:
    """Tell the story. Raises AssertionError: it did not go as it should."""
    house = fresh_house()
    house.bedrock = bedrock_of(BEDROCK, house)
    cuts: list[Cut] = []
    bodies: dict[str, bytes] = {}
    run_ids = await tell(house, lambda name, about: cuts.append(snapshot(house, name, about, bodies)))
    about = {
        "release": release,
        "message_version": VERSION,
        "settings": SETTINGS,
        "bedrock": BEDROCK,
        "run_ids": run_ids,
        "ends": await ends_of(house, run_ids),
        "cuts": {cut.name: cut.about for cut in cuts},
    }
    about = json.loads(json.dumps(about))
    faults = await faults_of(house, about)
    assert not faults, faults
    return History(about, tuple(cuts), bodies)


async def main() -> str:
    parser = argparse.ArgumentParser(description="Record a history of this release.")
    parser.add_argument("--release", default=__version__, help="its version; the code's own by default")
    parser.add_argument("--into", type=Path, default=HISTORIES, help="the folder of histories")
    options = parser.parse_args()
    folder = options.into / options.release
    if folder.exists():
        return f"{folder} stands already; a history is recorded once, when its release is made"
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    history = await recorded(options.release)
    if await recorded(options.release) != history:
        return "the story was not the same when it was told again: something in it depends on chance or time"
    form.write(history, folder)
    size_kb = sum(file.stat().st_size for file in folder.iterdir()) / 1_000
    print(f"{folder}: {len(history.cuts)} cuts, {len(history.bodies)} bodies, {size_kb:.0f} KB")
    return ""


if __name__ == "__main__":
    sys.exit(asyncio.run(main()) or None)
