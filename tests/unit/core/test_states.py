"""The machines, and that the ledger's writes move along them and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import botocore.session
import pytest

from quarry_core.contract.run import Run
from quarry_core.contract.states import (
    JOB_TERMINAL,
    RUN_MOVES,
    RUN_TERMINAL,
    SHARD_MOVES,
    Gate,
    JobStatus,
    RunState,
    ShardState,
    job_ended,
    job_rank,
)
from quarry_core.ledger import moves
from quarry_core.ledger.keys import shard_key, totals_key
from quarry_core.ledger.ledger import Ledger
from quarry_core.ledger.rows import ON_DEMAND, JobRow, Lane, Pool, Shard, Totals
from quarry_core.planning.history import History, Seen
from quarry_core.ports import Put, Update, Write
from tests.world.table import FakeTable

POOL = "us-east-1#m"
AT = "2026-01-01T00:00:00+00:00"


def shard(state: ShardState) -> Shard:
    return Shard("r", "00000", state, 1, 1, POOL, 0, 100, 100, 10, arn="a" if state is ShardState.SUBMITTED else "")


def totals(state: RunState, **changes) -> Totals:
    return Totals("r", state, 1, **changes)


def decided(end: RunState) -> Totals:
    return totals(RunState.CLOSING, end_state=end)


ASKED = replace(shard(ShardState.PENDING), kind=ON_DEMAND)
RETRY = replace(shard(ShardState.PENDING), round=2)
AGAIN = totals(RunState.CLOSING, again=100)
# Of a round that is open: the run does not move.
OPEN = totals(RunState.RUNNING, round=2, round_shards=2, round_opened=1)
WHY = {"code": "REFUSED", "step": "arrive"}
BY = moves.By(AT, "arn:aws:iam::123456789012:user/ana")
LANE = Lane(POOL, "r", "normal", 1, 0, Gate.OPEN, 1)
QUOTA = Pool(POOL, 3, 3, 0, frozenset(), {"high": 0, "normal": 0, "low": 0})
JOB = JobRow("r", "00000", 1, "n", "a", "Completed")
SEEN = Seen("2026-W01", History(jobs=1, rows=100, ms=5))
RUN = Run(run_id="r", manifest_hash="h", accepted_at=AT)

SHARD_WRITES: dict[str, tuple[list[Write], ShardState | None]] = {
    "enlist": (moves.enlist(shard(ShardState.PENDING), 0), None),
    "enlist on demand": (moves.enlist(ASKED, 0), None),
    "enlist below minimum": (moves.enlist(shard(ShardState.PENDING), 0, below_minimum="few"), None),
    "enlist cancelled": (moves.enlist(shard(ShardState.PENDING), 0, cancelled="why"), None),
    "carry over": (moves.carry(shard(ShardState.PENDING), 0), None),
    "open a retry shard": (moves.open_round(AGAIN, [RETRY], 1), None),
    "open one on demand": (moves.open_round(AGAIN, [replace(RETRY, kind=ON_DEMAND)], 1), None),
    "open another": (moves.open_more(OPEN, [RETRY]), None),
    "admit": (moves.admit(QUOTA, LANE, shard(ShardState.PENDING), "b"), ShardState.PENDING),
    "submit": (moves.submit(shard(ShardState.ADMITTED), JOB), ShardState.ADMITTED),
    "return the slot": (moves.return_slot(shard(ShardState.ADMITTED)), ShardState.ADMITTED),
    "refuse": (moves.refuse(shard(ShardState.ADMITTED), "no"), ShardState.ADMITTED),
    "refuse waiting": (moves.refuse_waiting(LANE, shard(ShardState.PENDING)), ShardState.PENDING),
    "end unsent": (moves.end_unsent(shard(ShardState.ADMITTED), "INTERNAL_ERROR", "no"), ShardState.ADMITTED),
    "end plainly, not yet known": (
        moves.end_plainly(shard(ShardState.ADMITTED), "a", "Completed", ""),
        ShardState.ADMITTED,
    ),
    "end plainly": (moves.end_plainly(shard(ShardState.SUBMITTED), "a", "Completed", ""), ShardState.SUBMITTED),
    "end": (moves.end(shard(ShardState.SUBMITTED), JOB), ShardState.SUBMITTED),
    "end, with its time": (moves.end(shard(ShardState.SUBMITTED), JOB, SEEN), ShardState.SUBMITTED),
    "repeat": (moves.repeat(shard(ShardState.ENDED), 60_000), ShardState.ENDED),
    "begin invoking": (moves.begin_invoking(shard(ShardState.PENDING), "b", 28, 3), ShardState.PENDING),
    "leave invoking": (moves.leave_invoking(shard(ShardState.INVOKING), lost=False), ShardState.INVOKING),
    "end invoking": (moves.end_invoking(shard(ShardState.INVOKING), "flex"), ShardState.INVOKING),
    "end uninvoked": (moves.end_uninvoked(ASKED, "NOT_PROCESSED", "no"), ShardState.PENDING),
    "settle": (moves.settle(shard(ShardState.ENDED), 99, 1, 0), ShardState.ENDED),
    "settle, some to go again": (moves.settle(shard(ShardState.ENDED), 90, 1, 0, again=9), ShardState.ENDED),
    "settle, with its tokens": (moves.settle(shard(ShardState.ENDED), 99, 1, 0, seen=SEEN), ShardState.ENDED),
}
RUN_WRITES: dict[str, tuple[list[Write], RunState | None]] = {
    "accept": (moves.accept(RUN), None),
    "plan": (moves.begin_planning(totals(RunState.ACCEPTED)), RunState.ACCEPTED),
    "refuse": (moves.refuse_run(totals(RunState.ACCEPTED), "no", AT, **WHY), RunState.ACCEPTED),
    "refuse source": (moves.refuse_run(totals(RunState.PLANNING), "no", AT, **WHY), RunState.PLANNING),
    "run": (moves.begin_running(totals(RunState.PLANNING), POOL, 0, 9, 9, "p"), RunState.PLANNING),
    "run, with a canary": (
        moves.begin_running(totals(RunState.PLANNING), POOL, 0, 9, 9, "p", canary=True),
        RunState.PLANNING,
    ),
    "go again": (moves.open_round(AGAIN, [RETRY], 1), RunState.CLOSING),
    "close": (moves.begin_closing(totals(RunState.RUNNING), AT), RunState.RUNNING),
    "succeed": (moves.close_run(decided(RunState.SUCCEEDED), POOL, AT), RunState.CLOSING),
    "partly": (moves.close_run(decided(RunState.SUCCEEDED_WITH_ERRORS), POOL, AT), RunState.CLOSING),
    "cancel": (moves.cancel(totals(RunState.ACCEPTED), "", BY), RunState.ACCEPTED),
    "cancel while it is planned": (moves.cancel(totals(RunState.PLANNING), POOL, BY), RunState.PLANNING),
    "end cancelled": (moves.close_run(decided(RunState.CANCELLED), POOL, AT), RunState.CLOSING),
    "fail": (moves.close_run(decided(RunState.FAILED), POOL, AT), RunState.CLOSING),
}


def state_written(writes: list[Write], key) -> tuple[object, object]:
    """The state a transaction moves an item from, by its premise, and to."""
    for write in writes:
        if write.key == key and isinstance(write, Put):
            return None, write.item["state"]
        if write.key == key and isinstance(write, Update) and "state" in write.set:
            return next(cond.value for cond in write.when if cond.attribute == "state"), write.set["state"]
    raise AssertionError(f"{key} is not moved")


@pytest.mark.promise("S5", "S8")
@pytest.mark.parametrize("name", SHARD_WRITES)
def test_every_shard_write_moves_along_the_table_and_repeats_where_it_comes_from(name):
    writes, source = SHARD_WRITES[name]
    before, after = state_written(writes, shard_key("r", "00000"))
    assert before == source
    assert (before, after) in SHARD_MOVES


@pytest.mark.promise("S5")
@pytest.mark.parametrize("name", RUN_WRITES)
def test_every_run_write_moves_along_the_table_and_repeats_where_it_comes_from(name):
    writes, source = RUN_WRITES[name]
    before, after = state_written(writes, totals_key("r"))
    assert before == source
    assert (before, after) in RUN_MOVES


@pytest.mark.promise("S5")
def test_every_row_of_both_tables_has_a_write():
    shards = {state_written(writes, shard_key("r", "00000")) for writes, _ in SHARD_WRITES.values()}
    runs = {state_written(writes, totals_key("r")) for writes, _ in RUN_WRITES.values()}
    assert shards == set(SHARD_MOVES)
    assert runs == set(RUN_MOVES)


@pytest.mark.promise("S5")
def test_terminal_is_for_ever():
    assert not [move for move in RUN_MOVES if move[0] in RUN_TERMINAL]
    assert not [move for move in SHARD_MOVES if move[0] is ShardState.SETTLED]


@pytest.mark.promise("S7")
@pytest.mark.parametrize("name", SHARD_WRITES)
def test_a_slot_moves_exactly_with_the_states_that_hold_one(name):
    writes, _ = SHARD_WRITES[name]
    before, after = state_written(writes, shard_key("r", "00000"))
    held = bool(before) and ShardState(before).holds_a_slot
    holds = ShardState(after).holds_a_slot
    pool = [write for write in writes if isinstance(write, Update) and write.key == (f"pool#{POOL}", "quota")]
    change = sum(write.add.get("in_use", 0) for write in pool)
    assert change == holds - held
    assert sum(bool(write.insert) - bool(write.discard) for write in pool) == change


@pytest.mark.parametrize("name", [*SHARD_WRITES, *RUN_WRITES])
def test_no_write_is_unconditional_and_none_touches_an_item_twice(name):
    writes = (SHARD_WRITES | RUN_WRITES)[name][0]
    assert len({write.key for write in writes}) == len(writes) <= 100
    assert all(write.when for write in writes if isinstance(write, Update))


@pytest.mark.promise("S10")
def test_the_statuses_are_those_of_the_service_model():
    model = botocore.session.get_session().get_service_model("bedrock")
    assert set(model.shape_for("ModelInvocationJobStatus").enum) == set(JobStatus)


def test_a_status_that_nobody_knows_is_not_an_end():
    assert not job_ended("Pondering")
    assert job_rank("Pondering") == 0
    assert all(job_rank(status) > job_rank("InProgress") for status in JOB_TERMINAL)


@pytest.mark.promise("S5")
@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.CLOSING])
def test_a_run_that_has_shards_is_cancelled_where_it_stands_and_never_twice(state):
    writes = moves.cancel(totals(state), POOL, BY)
    update = next(write for write in writes if write.key == totals_key("r"))
    assert isinstance(update, Update)
    assert "state" not in update.set
    premise = {cond.attribute: (cond.op, cond.value) for cond in update.when}
    assert premise["state"] == ("eq", state)
    assert premise["cancelled_at"] == ("absent", None)


@pytest.mark.parametrize("gate", [Gate.OPEN, Gate.PAUSED])
def test_pause_and_resume_move_the_gate_that_was_read_and_no_other(gate):
    lane = replace(LANE, gate=gate)
    running = totals(RunState.RUNNING, paused_at=AT if gate is Gate.PAUSED else "")
    writes = moves.pause(running, lane, BY) if gate is Gate.OPEN else moves.resume(running, lane)
    update = writes[-1]
    assert isinstance(update, Update)
    assert [(cond.attribute, cond.value) for cond in update.when] == [("gate", gate)]
    assert update.set == {"gate": Gate.PAUSED if gate is Gate.OPEN else Gate.OPEN}


@pytest.mark.parametrize("again", [0, 9])
@pytest.mark.parametrize("whole", [False, True])
async def test_the_settled_row_is_known_without_reading_it_again(again, whole):
    before = replace(shard(ShardState.ENDED), rows=100, arn="a", version=7)
    ok, error = (100, 0) if whole else (99 - again, 1)
    table = FakeTable()
    table.restore(
        [
            {"pk": "run#r", "sk": "shard#00000"} | {name: getattr(before, name) for name in Shard.__slots__},
            {"pk": "run#r", "sk": "todo#00000"},
            {"pk": "run#r", "sk": "totals", "state": RunState.RUNNING, "open": 100},
        ]
    )
    settled = moves.settle(
        before,
        ok,
        error,
        1_900_000_000,
        again=0 if whole else again,
        input_tokens=70,
        output_tokens=30,
        without_outcome=whole,
    )
    await Ledger(table).apply(settled)
    assert moves.as_settled(before, settled) == await Ledger(table).shard("r", "00000")
