"""The real clock and the real threads, as far as they can be tested without waiting."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from datetime import UTC, timedelta

import pytest

from quarry_core.clock import SystemClock, ThreadOffload

BOUND = contextvars.ContextVar("BOUND", default="nothing")


async def test_the_clock_knows_its_zone_goes_forward_and_deals_fresh_tokens():
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.now() - clock.now() <= timedelta(0)
    before = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= before
    tokens = {clock.token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 16 and int(token, 16) >= 0 for token in tokens)
    assert all(2.0 <= clock.uniform(2.0, 3.0) <= 3.0 for _ in range(100))


async def test_work_runs_beside_the_loop_and_returns_its_value_or_its_error():
    with ThreadOffload(1) as offload:
        assert await offload.run(threading.get_ident) != threading.get_ident()

        def fail():
            raise LookupError("as the test says")

        with pytest.raises(LookupError, match="as the test says"):
            await offload.run(fail)


async def test_no_more_threads_work_than_are_allowed():
    working, most = 0, 0
    lock = threading.Lock()
    both = threading.Barrier(2)

    def work():
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
        both.wait(timeout=30)  # two must meet, so there are two threads; a third would be seen
        with lock:
            working -= 1

    with ThreadOffload(2) as offload:
        await asyncio.gather(*(offload.run(work) for _ in range(6)))
    assert most == 2


async def test_what_is_bound_to_the_callers_context_is_seen_in_the_thread():
    BOUND.set("run r1")
    with ThreadOffload(1) as offload:
        assert await offload.run(BOUND.get) == "run r1"
        assert await offload.run(lambda: BOUND.set("changed")) is not None
    assert BOUND.get() == "run r1"


def test_no_threads_do_no_work():
    with pytest.raises(ValueError, match="workers_max"):
        ThreadOffload(0)
