"""Records a history of the code as it is: `make history`, once for each release.

The scenario runs twice and must give the same bytes; its runs are judged as those of a replay. A history that exists is
never replaced: it is what that release wrote.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import structlog

from quarry_core import __version__
from quarry_core.contract.messages import VERSION
from tests.histories import form
from tests.histories.form import Cut, History
from tests.histories.judge import ends_of, faults_of
from tests.histories.scenario import BEDROCK, SETTINGS, play
from tests.histories.snapshot import bedrock_of, settings_of, snapshot, world_of
from tests.histories.views import views_of
from tests.world.world import SimulatedWorld

HISTORIES = Path(__file__).parent


async def recorded(release: str) -> History:
    """Run the scenario. Raises AssertionError: it did not go as it should."""
    world = SimulatedWorld(quota=BEDROCK["quota"], **settings_of(SETTINGS))
    world.bedrock = bedrock_of(BEDROCK, world)
    cuts: list[Cut] = []
    bodies: dict[str, bytes] = {}
    run_ids = await play(world, lambda name, about: cuts.append(snapshot(world, name, about, bodies)))
    about = {
        "release": release,
        "message_version": VERSION,
        "settings": SETTINGS,
        "bedrock": BEDROCK,
        "run_ids": run_ids,
        "ends": await ends_of(world, run_ids),
        "cuts": {cut.name: cut.about for cut in cuts},
    }
    about = json.loads(json.dumps(about))
    faults = await faults_of(world, about)
    assert not faults, faults
    history = History(about, tuple(cuts), bodies)
    seen = [replace(cut, views=views_of(world_of(history, cut), run_ids.values())) for cut in cuts]
    return replace(history, cuts=tuple(seen))


async def main() -> str:
    parser = argparse.ArgumentParser(description="Record a history of this release.")
    parser.add_argument("--release", default=__version__, help="its version; the code's own by default")
    parser.add_argument("--into", type=Path, default=HISTORIES, help="the folder of histories")
    options = parser.parse_args()
    folder = options.into / options.release
    if folder.exists():
        return f"{folder} exists: a history is recorded once, when its release is made"
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    history = await recorded(options.release)
    if await recorded(options.release) != history:
        return "two recordings differ: something depends on chance or time"
    form.write(history, folder)
    size_kb = sum(file.stat().st_size for file in folder.iterdir()) / 1_000
    print(f"{folder}: {len(history.cuts)} cuts, {len(history.bodies)} bodies, {size_kb:.0f} KB")
    return ""


if __name__ == "__main__":
    sys.exit(asyncio.run(main()) or None)
