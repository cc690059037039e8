"""The page, served on loopback to a headless Chromium. `make test` collects nothing here."""

from __future__ import annotations

import os

import pytest

collect_ignore_glob = [] if os.environ.get("QUARRY_TEST_UI") == "1" else ["test_*.py"]


@pytest.fixture(scope="session")
def browser():
    from tests.ui.browser import Browser

    with Browser() as found:
        yield found


@pytest.fixture(scope="session")
def served():
    """One environment for all who only look."""
    from tests.ui.browser import Served
    from tests.ui.scene import SCRIPT, UNRULY, Scene

    scene = Scene()
    scene.hostile = scene.hostile_run()
    scene.unruly = scene.unruly_run()
    scene.held = scene.held_run()
    for number in range(5):
        scene.ended_run = scene.ended(200, f"nightly-{number}")
    scene.moving = scene.picture_run()
    scene.big = scene.moving_run(1_000, "catalogue-descriptions", ended=1)
    scene.many_shards(scene.big, 20_000)
    scene.dead_letter("manifests", '{"prompt": "<b>bold</b>"}', f"s3_uri: {SCRIPT}")
    scene.dead_letter("slices", UNRULY, UNRULY)
    with Served(scene, write=True) as found:
        yield found
