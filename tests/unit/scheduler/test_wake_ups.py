"""Which wake-ups are sent again: the bounds, one by one."""

from __future__ import annotations

import pytest

from quarry_scheduler.wake_ups import DOUBTS_MAX, HINT_FACTOR, IN_FLIGHT_FIRST, PAUSE_FACTOR_MAX, Stuck, WakeUps

PATIENCE_S = 300.0
NONE_HELD = {"collector": 0, "slices": 0}


def ended(shards, now_s=0.0, first=0, version=1):
    """So many shards that ended at 0 s, as a sweep sees them at `now_s`."""
    return [
        Stuck("settle", "r1", version, now_s, PATIENCE_S, shard=f"{number:05d}")
        for number in range(first, first + shards)
    ]


def sweep(wake_ups, waiting, now_s, held=None, most=500):
    wake_ups.see(waiting)
    chosen = wake_ups.choose(waiting, NONE_HELD if held is None else held, most, now_s)
    for stuck in chosen:
        wake_ups.sent(stuck, now_s)
    return len(chosen)


def test_nothing_is_woken_before_its_time():
    assert sweep(WakeUps("a"), ended(3, 299), 299) == 0
    assert sweep(WakeUps("a"), ended(3, 300), 300) == 3


def test_the_pause_after_a_wake_up_doubles_up_to_a_bound():
    wake_ups = WakeUps("a")
    woken_at = [at_s for at_s in range(0, 9_000, 60) if sweep(wake_ups, ended(1, at_s), at_s)]

    assert woken_at[:5] == [300, 900, 2_100, 3_300, 4_500]
    assert woken_at[-1] - woken_at[-2] == PAUSE_FACTOR_MAX * PATIENCE_S


def test_a_row_that_moves_and_waits_again_begins_anew():
    wake_ups = WakeUps("a")
    assert sweep(wake_ups, ended(1, 300), 300) == 1
    assert sweep(wake_ups, ended(1, 300, version=2), 600) == 1


def test_a_queue_that_holds_as_many_messages_as_there_are_rows_gets_none():
    wake_ups = WakeUps("a")
    assert sweep(wake_ups, ended(40, 600), 600, {"collector": 40}) == 0
    assert sweep(wake_ups, ended(40, 660), 660, {"collector": 37}) == 3
    assert sweep(wake_ups, ended(40, 720), 720, {"collector": 900}) == 0


def test_what_has_waited_for_very_long_is_woken_against_the_count_a_few_at_a_time():
    wake_ups, long_s = WakeUps("a"), HINT_FACTOR * PATIENCE_S
    assert sweep(wake_ups, ended(40, long_s - 1), long_s - 1, {"collector": 99}) == 0
    assert sweep(wake_ups, ended(40, long_s), long_s, {"collector": 99}) == DOUBTS_MAX
    assert sum(sweep(wake_ups, ended(40, at_s), at_s, {"collector": 99}) for at_s in range(3_660, 7_200, 60)) == 0
    assert sweep(wake_ups, ended(40, 7_200), 7_200, {"collector": 99}) == DOUBTS_MAX


def test_while_nobody_takes_them_no_more_than_the_first_few_are_out():
    wake_ups = WakeUps("a")
    out = [sweep(wake_ups, ended(200, at_s), at_s) for at_s in range(300, 600, 60)]
    assert out == [IN_FLIGHT_FIRST, 0, 0, 0, 0]


def test_as_many_more_are_out_as_were_done():
    wake_ups, gone, sent = WakeUps("a"), 0, []
    for at_s in range(300, 660, 60):
        sent.append(sweep(wake_ups, ended(200 - gone, at_s, first=gone), at_s))
        # Whatever was woken is done by the next sweep; which rows those are does not matter to the count.
        gone = _all_done(wake_ups, gone)
    assert sent == [10, 20, 40, 80, 50, 0]


def _all_done(wake_ups, gone):
    """Take the rows that were woken off the front: they are renamed, since each scheduler has an order of its own."""
    renamed = {}
    for number, sent in enumerate(wake_ups._sent.values(), gone):
        renamed["settle", "r1", f"{number:05d}", None] = sent
    wake_ups._sent = renamed
    return gone + len(renamed)


def test_one_that_comes_to_nothing_makes_them_few_again():
    wake_ups = WakeUps("a")
    assert sweep(wake_ups, ended(1, 300), 300) == 1
    assert sweep(wake_ups, ended(200, 300, first=1), 360) == IN_FLIGHT_FIRST + 1
    # None of these has moved when its pause is over.
    assert sweep(wake_ups, ended(200, 900, first=1), 960) == IN_FLIGHT_FIRST


def test_a_row_that_can_never_be_handled_holds_up_no_other():
    wake_ups = WakeUps("a")
    for at_s in range(300, 3_900, 60):
        sweep(wake_ups, ended(IN_FLIGHT_FIRST, at_s), at_s)
    waiting = [*ended(IN_FLIGHT_FIRST, 4_200), *ended(3, 4_200, first=100)]
    wake_ups.see(waiting)
    chosen = wake_ups.choose(waiting, NONE_HELD, 500, 4_200)
    assert {stuck.shard for stuck in chosen[:3]} == {"00100", "00101", "00102"}


def test_a_sweep_sends_no_more_than_it_may():
    assert sweep(WakeUps("a"), ended(9, 300), 300, most=4) == 4


def test_each_queue_is_counted_by_itself():
    waiting = [
        *ended(2, 900),
        Stuck("slice", "r1", 1, 900.0, 900.0, slice=0),
        Stuck("close", "r2", 1, 900.0, PATIENCE_S),
    ]
    wake_ups = WakeUps("a")
    wake_ups.see(waiting)
    chosen = wake_ups.choose(waiting, {"collector": 3, "slices": 0}, 500, 900.0)
    assert [stuck.step for stuck in chosen] == ["slice"]


def test_a_queue_that_does_not_say_how_full_it_is_gets_no_more_than_the_first_few():
    assert sweep(WakeUps("a"), ended(200, 300), 300, held={}) == IN_FLIGHT_FIRST


def test_two_schedulers_seldom_choose_the_same():
    waiting = ended(200, 300)
    chosen = [{stuck.thing for stuck in WakeUps(salt).choose(waiting, NONE_HELD, 500, 300)} for salt in "ab"]
    assert [len(each) for each in chosen] == [IN_FLIGHT_FIRST, IN_FLIGHT_FIRST]
    assert len(chosen[0] & chosen[1]) <= 3


@pytest.mark.parametrize("waiting", [[], ended(1, 0)])
def test_nothing_is_remembered_of_what_is_gone(waiting):
    wake_ups = WakeUps("a")
    sweep(wake_ups, ended(5, 300), 300)
    wake_ups.see([])
    assert (wake_ups._sent, wake_ups._handled) == ({}, {})
    assert sweep(wake_ups, waiting, 400) == 0
