"""Every move of a run, a shard and a pool, as one transaction each: pure functions from rows to writes.

Theory of operation. A slot moves with the row that says why it is held: the pool's counter, its holder set, the
shard's state, its marker, its lane and the run's totals change together or not at all. So a slot is never held
without a row, nothing is ever undone, and no code releases a slot by itself. Each write repeats what was read as its
premise: who decided on an old view is told `Stale` and looks again. Sending a transaction twice is harmless: the
second meets its own effect.

The states moved between are those of `states.SHARD_MOVES` and `states.RUN_MOVES`; the tests hold every function here
against those tables.
"""

from quarry_core.ledger.moves.audit import audited, remember_sender
from quarry_core.ledger.moves.compacting import publish_compact
from quarry_core.ledger.moves.control import By, cancel, pause, resume
from quarry_core.ledger.moves.erasing import begin_erasing, end_erasing, erase_items
from quarry_core.ledger.moves.failures import begin_piece, finish_piece, forget_failures, leave_piece, note_failure
from quarry_core.ledger.moves.holding import (
    approve,
    fail_canary,
    hold,
    judge_canary,
    release_held,
    say_held,
    set_budget,
)
from quarry_core.ledger.moves.invoking import begin_invoking, end_invoking, end_uninvoked, keep_invoking, leave_invoking
from quarry_core.ledger.moves.lanes import set_share, set_share_early
from quarry_core.ledger.moves.months import open_month, tell_budget
from quarry_core.ledger.moves.pools import (
    limit_pool,
    list_pool,
    open_history,
    open_pool,
    remove_pool,
    seen_in,
    set_limit,
)
from quarry_core.ledger.moves.refused_models import forget_refused_model, note_refused_model
from quarry_core.ledger.moves.rounds import RETRY_SHARDS_AT_ONCE, end_rounds, open_more, open_round
from quarry_core.ledger.moves.runs import (
    accept,
    begin_closing,
    begin_planning,
    begin_running,
    break_run,
    close_run,
    decide_end,
    finish_slice,
    open_slice,
    refuse_run,
)
from quarry_core.ledger.moves.shards import as_settled, enlist, repeat, settle
from quarry_core.ledger.moves.slots import (
    STRIDE,
    admit,
    end,
    end_plainly,
    end_unsent,
    observe,
    refuse,
    refuse_waiting,
    return_slot,
    submit,
    take_over,
)
from quarry_core.ledger.moves.versions import begin_version, carry, publish_version
from quarry_core.ledger.moves.writes import (
    ANSWERED,
    BELOW_MINIMUM,
    CANCELLED,
    CARRIED,
    INTERNAL_ERROR,
    NOT_PROCESSED,
    REFUSED,
)

__all__ = [
    "ANSWERED",
    "BELOW_MINIMUM",
    "CANCELLED",
    "CARRIED",
    "INTERNAL_ERROR",
    "NOT_PROCESSED",
    "REFUSED",
    "RETRY_SHARDS_AT_ONCE",
    "STRIDE",
    "By",
    "accept",
    "admit",
    "approve",
    "as_settled",
    "audited",
    "begin_closing",
    "begin_erasing",
    "begin_invoking",
    "begin_piece",
    "begin_planning",
    "begin_running",
    "begin_version",
    "break_run",
    "cancel",
    "carry",
    "close_run",
    "decide_end",
    "end",
    "end_erasing",
    "end_invoking",
    "end_plainly",
    "end_rounds",
    "end_uninvoked",
    "end_unsent",
    "enlist",
    "erase_items",
    "fail_canary",
    "finish_piece",
    "finish_slice",
    "forget_failures",
    "forget_refused_model",
    "hold",
    "judge_canary",
    "keep_invoking",
    "leave_invoking",
    "leave_piece",
    "limit_pool",
    "list_pool",
    "note_failure",
    "note_refused_model",
    "observe",
    "open_history",
    "open_month",
    "open_more",
    "open_pool",
    "open_round",
    "open_slice",
    "pause",
    "publish_compact",
    "publish_version",
    "refuse",
    "refuse_run",
    "refuse_waiting",
    "release_held",
    "remember_sender",
    "remove_pool",
    "repeat",
    "resume",
    "return_slot",
    "say_held",
    "seen_in",
    "set_budget",
    "set_limit",
    "set_share",
    "set_share_early",
    "settle",
    "submit",
    "take_over",
    "tell_budget",
]
