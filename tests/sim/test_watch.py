"""The watch over canaries and budgets: it says so when more is asked of a run than may be."""

from __future__ import annotations

import pytest

from tests.sim.watch import MONEY_MORE_MICROS, Watch

RUN = ("run#r", "totals")
LANE = ("pool#p", "lane#r")


def totals(**more):
    return {"state": "RUNNING", "accepted": 300, "open": 300, "ok": 0, "error": 0, "again": 0, **more}


def shard(name, state, **more):
    return {"shard": name, "pool": "p", "state": state, "attempt": 1, **more}


def watched(gate, **about):
    """A run of which three shards wait, behind a gate."""
    watch = Watch(quota=3)
    watch.changed(RUN, None, totals(state="ACCEPTED"))
    watch.changed(RUN, totals(state="PLANNING"), totals(**about))
    watch.changed(LANE, None, {"waiting": 3, "gate": gate, "class": "normal", "weight": 1, "tag": 0})
    for name in ("00000", "00002", "00004"):
        watch.changed(("run#r", f"shard#{name}"), None, shard(name, "PENDING"))
    assert watch.broken == []
    return watch


def ask(watch, name, state="ADMITTED", **more):
    watch.changed(("run#r", f"shard#{name}"), shard(name, "PENDING"), shard(name, state, **more))


@pytest.mark.parametrize("state", ["ADMITTED", "INVOKING"])
def test_only_the_canary_is_asked_before_it_is_judged(state):
    watch = watched("canary", canary="waiting")
    ask(watch, "00000", state)
    assert watch.broken == []
    ask(watch, "00002", state)
    assert f"shard r/00002 is {state} before the canary of its run was judged" in watch.broken


@pytest.mark.parametrize("state", ["ADMITTED", "INVOKING"])
def test_nothing_is_asked_of_a_run_that_is_held(state):
    watch = watched("held", held_at="then", held_kind="budget")
    assert watch.held == {"r": "budget"}
    ask(watch, "00000", state)
    assert f"shard r/00000 is {state}, and its run is held for its budget" in watch.broken
    watch.changed(RUN, totals(held_at="then"), totals(held_at="then", held_kind="budget", cancelled_at="now"))
    assert watch.held == {}


@pytest.mark.parametrize("state", ["ADMITTED", "INVOKING"])
def test_what_is_asked_and_what_was_spent_are_within_the_budget(state):
    # 800,000 LLM tokens in and 160,000 out are 200,000 millionths of a dollar.
    watch = watched("open", budget_micros=400_000, input_tokens=800_000, output_tokens=160_000)
    ask(watch, "00000", state, booked_micros=200_000)
    assert watch.broken == []
    ask(watch, "00002", state, booked_micros=MONEY_MORE_MICROS + 1)
    assert watch.broken == [
        f"shard r/00002 is {state}, and its run has 200000 millionths of a dollar spent and 201001 booked of 400000"
    ]


def test_a_run_is_not_changed_after_its_end_but_for_what_a_retry_notes_there():
    watch = watched("open")
    ended = totals(state="SUCCEEDED")
    watch.changed(RUN, totals(state="CLOSING"), ended)
    watch.changed(RUN, ended, ended | {"newest": "r-v2", "last_version": 2})
    assert watch.broken == []
    watch.changed(RUN, ended, ended | {"ok": 300, "open": 0})
    assert watch.broken == ["run r was changed after its end"]


def test_a_run_ends_once():
    watch = watched("open")
    ended = totals(state="SUCCEEDED", version=7)
    watch.changed(RUN, totals(state="CLOSING", version=6), ended)
    watch.changed(RUN, ended, ended | {"version": 8})
    assert watch.broken == ["run r has ended twice"]


@pytest.mark.parametrize(
    "about", [{"cancelled_at": "then"}, {"fault": "it broke"}, {"state": "CLOSING", "closing_at": "then"}]
)
def test_only_what_goes_on_is_held(about):
    watch = watched("open")
    watch.changed(RUN, totals(**about), totals(**about, held_at="now", held_kind="budget"))
    assert len(watch.broken) == 1
    assert watch.broken[0].startswith("run r is held, and is ")


def test_what_a_canary_holds_goes_on_once_somebody_wants_it():
    watch = watched("held")
    held = totals(canary="exceeded", held_at="then", held_kind="canary")
    watch.changed(RUN, totals(canary="waiting"), held)
    watch.changed(RUN, held, totals(canary="approved"))
    watch.changed(RUN, held, totals(canary="exceeded", cancelled_at="now"))
    assert watch.broken == []
    watch.changed(RUN, held, totals(canary="exceeded"))
    assert watch.broken == ["run r goes on after its canary held it, and nobody wanted it"]


def test_a_canary_is_judged_once():
    watch = watched("open")
    watch.changed(RUN, totals(canary="exceeded"), totals(canary="approved"))
    assert watch.broken == []
    watch.changed(RUN, totals(canary="approved"), totals(canary="exceeded"))
    assert watch.broken == ["the canary of run r was approved, and is exceeded"]


def test_a_lane_that_was_refused_stays_so():
    watch = watched("refused")
    lane = {"waiting": 3, "gate": "refused", "class": "normal", "weight": 1, "tag": 0}
    watch.changed(LANE, lane, lane | {"gate": "held"})
    assert watch.broken == ["the gate of lane r is held after it was refused"]


def test_a_pool_goes_by_what_it_is_set_to():
    watch = Watch(quota=3)
    pool = {"configured": 1, "admit_limit": 1, "in_use": 0, "set_to": 1}
    watch.changed(("pool#p", "quota"), None, pool)
    assert watch.broken == []
    watch.changed(("pool#p", "quota"), pool, pool | {"configured": 3, "admit_limit": 3})
    assert watch.broken == ["p is set to 1, and goes by 3"]
