"""A session of tests that never ends by itself, for `test_orphans.py`; not collected by name."""

import asyncio
import os
import signal
import threading
from pathlib import Path

from quarry_local.settings import StackSettings
from quarry_local.stack import Stack

STUB = (str(Path(__file__).with_name("stub_service.py")),)


def test_handles_sigterm_in_a_loop_of_its_own():
    async def handled():
        loop, reported = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, reported.set)
        os.kill(os.getpid(), signal.SIGTERM)
        await reported.wait()

    asyncio.run(handled())


def test_holds_an_emulator_and_a_stack(aws, fresh_env, tmp_path):
    launch = dict.fromkeys(("bedrock", "preprocessor", "scheduler", "collector"), STUB)
    settings = StackSettings(
        env=fresh_env,
        aws_endpoint=aws.endpoint_url,
        launch=launch,
        # A stack that needs a while to go down: it takes longer than xdist waits.
        overrides={"STUB_STUBBORN": "1"},
        drain_s=float(os.environ["HELD_SESSION_DRAIN_S"]),
    )
    with Stack(tmp_path / "stack", settings):
        Path(os.environ["HELD_SESSION_STANDS"]).touch()
        threading.Event().wait()
