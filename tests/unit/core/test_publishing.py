"""What a thread publishes for a caller who is cancelled meanwhile: nothing, or the caller tells of it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from quarry_core.clock import ThreadOffload
from quarry_core.errors import Throttled
from quarry_core.service.publishing import published

WAIT_S = 20


class Work:
    """Blocking work of two steps. It stands in the first until `goes_on`, and in the second until `published`."""

    def __init__(self, *, checks_late=False):
        self.begun = threading.Event()
        self.goes_on = threading.Event()
        self.published = False
        self._checks_late = checks_late

    def __call__(self, wanted):
        if self._checks_late:
            wanted.check()
        self.begun.set()
        assert self.goes_on.wait(WAIT_S)
        if not self._checks_late:
            wanted.check()
        self.published = True
        return "done"


class Late:
    """Who hears of what was published late."""

    def __init__(self, error=None):
        self.heard = 0
        self._error = error

    async def __call__(self):
        self.heard += 1
        if self._error:
            raise self._error


async def cancelled(work, late):
    """Cancel the caller while the work stands in its first step, and then let that go on."""
    with ThreadOffload(workers_max=1) as offload:
        caller = asyncio.create_task(published(offload, work, late))
        assert await asyncio.to_thread(work.begun.wait, WAIT_S)
        caller.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        still_waits = not caller.done()
        work.goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await caller
    return still_waits


@pytest.mark.promise("L1", "L7")
async def test_work_that_nobody_waits_for_any_more_publishes_nothing():
    work, late = Work(), Late()
    assert await cancelled(work, late)
    assert not work.published
    assert late.heard == 0


@pytest.mark.promise("L1", "L7")
async def test_what_was_past_its_last_look_when_its_caller_was_cancelled_is_told_of():
    work, late = Work(checks_late=True), Late()
    assert await cancelled(work, late)
    assert work.published
    assert late.heard == 1


async def test_a_caller_that_cannot_tell_is_cancelled_all_the_same():
    work, late = Work(checks_late=True), Late(Throttled("no queue answers"))
    assert await cancelled(work, late)
    assert late.heard == 1


async def test_work_whose_caller_waits_is_done_and_told_of_by_its_caller_alone():
    work, late = Work(), Late()
    work.goes_on.set()
    with ThreadOffload(workers_max=1) as offload:
        assert await published(offload, work, late) == "done"
    assert work.published
    assert late.heard == 0
