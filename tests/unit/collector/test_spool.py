import gc
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_collector.columns import record_ids
from quarry_collector.settle import ErrorCode, Example, NotConserved, Settle
from quarry_collector.spool import Spool, SpoolFull
from quarry_core.contract.names import record_id
from quarry_core.models import Answer, EmptyAnswer
from tests.unit.collector.builders import (
    CLAUDE,
    SHARD,
    TITAN,
    answer,
    failure,
    line,
    message,
    output_of,
    read,
    rid,
    rows_of,
    settled,
    vector,
)


def by_row(outcome):
    rows = rows_of(outcome)
    assert [row["record_id"] for row in rows] == [rid(n) for n in range(len(rows))]
    return rows


def test_answers_come_back_in_row_order_whatever_the_order_of_the_output():
    with settled([answer(row) for row in (3, 0, 2, 1)], 4) as outcome:
        rows = by_row(outcome)

    assert [row["response"] for row in rows] == ["answer 0", "answer 1", "answer 2", "answer 3"]
    assert rows[0] == {
        "response": "answer 0",
        "record_id": rid(0),
        "status": "ok",
        "error_code": None,
        "error_message": None,
        "stop_reason": "end_turn",
        "input_tokens": 7,
        "output_tokens": 3,
    }


def test_a_records_error_begins_with_bedrocks_own_code():
    with settled([failure(0, 429, "slow down"), failure(1, "Throttled"), line(rid(2), error={})], 3) as outcome:
        rows = by_row(outcome)

    assert [row["error_code"] for row in rows] == ["MODEL_ERROR"] * 3
    assert [row["error_message"] for row in rows] == ["429: slow down", "Throttled: bad request", "no code: "]
    assert {row["status"] for row in rows} == {"error"}
    assert {row["response"] for row in rows} == {None}


def test_an_empty_answer_is_an_error_that_was_paid_for():
    with settled([line(rid(0), message("", "refusal")), answer(1)], 2) as outcome:
        row = by_row(outcome)[0]

    assert (row["error_code"], row["response"]) == ("EMPTY_ANSWER", None)
    assert (row["stop_reason"], row["input_tokens"], row["output_tokens"]) == ("refusal", 7, 3)
    assert outcome.settlement.input_tokens == 14


def test_nothing_is_left_in_memory_of_empty_answers():
    lines = [line(rid(row), message("", "refusal")) for row in range(50)]
    with settled(lines, 50):
        pass
    gc.collect()

    left = [each for each in gc.get_objects() if isinstance(each, EmptyAnswer)]

    assert len(left) == 0


@pytest.mark.promise("S9", "S10")
def test_a_corrupt_line_with_a_known_id_is_that_records_error_and_one_without_is_missing():
    with settled([answer(0)[:-9], b"?", answer(2)], 3) as outcome:
        rows = by_row(outcome)

    assert [row["error_code"] for row in rows] == ["CORRUPT_ANSWER", "MISSING", None]
    assert outcome.settlement.seen.corrupt == 2
    assert outcome.settlement.seen.corrupt_heads == (answer(0)[:-9].decode()[:200], "?")


@pytest.mark.promise("S9")
def test_an_adapter_that_stumbles_costs_one_record():
    class Stumbling:
        def answer(self, output):
            text = output.content[0].text
            if text == "bad":
                raise KeyError("usage")
            return Answer(text=text)

    with Spool(SHARD, 2, "response") as spool:
        spool.place(read([answer(0, "bad"), answer(1, "good")]), Stumbling())
        bad, good = by_row(spool.settle(Settle(ErrorCode.MISSING, "")))

    assert (bad["error_code"], bad["error_message"]) == ("CORRUPT_ANSWER", "KeyError: 'usage'")
    assert (good["response"], good["input_tokens"]) == ("good", None)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([answer(0, "first"), answer(0, "second")], "first"),
        ([failure(0), answer(0, "late")], "late"),
        ([answer(0, "early"), failure(0)], "early"),
        ([answer(0)[:-9], answer(0, "whole")], "whole"),
        ([line(rid(0), message("")), answer(0, "full")], "full"),
    ],
)
def test_of_several_lines_for_one_record_the_first_answer_is_kept(lines, expected):
    with settled(lines, 1) as outcome:
        assert by_row(outcome)[0]["response"] == expected
        assert by_row(outcome)[0]["error_code"] is None
        assert outcome.settlement.seen.duplicated == 1
        assert outcome.settlement.ok == 1


def test_of_several_errors_for_one_record_the_first_is_kept():
    with settled([failure(0, 1, "one"), failure(0, 2, "two")], 1) as outcome:
        assert by_row(outcome)[0]["error_message"] == "1: one"


@pytest.mark.promise("S3")
def test_ids_that_are_not_of_this_shard_are_counted_and_never_trusted():
    foreign = [rid(0, "00004"), rid(2), "x", "", rid(0) + "0", "\u0660" * 11, "CALL0000001"]

    with settled([answer(0), *(line(each, message("no")) for each in foreign)], 2) as outcome:
        rows = by_row(outcome)

    assert [row["response"] for row in rows] == ["answer 0", None]
    assert outcome.settlement.seen.unexpected == len(foreign)
    assert outcome.settlement.seen.unexpected_ids == (rid(0, "00004"), rid(2), "x")


@pytest.mark.promise("S3")
def test_a_row_that_was_never_sent_keeps_its_reason_whatever_the_output_says():
    unsent = [(1, ErrorCode.NULL_INPUT, "column 'body' is null"), (2, ErrorCode.TOO_LARGE, "30 MB")]

    with settled([answer(0), answer(1)], 3, unsent=unsent) as outcome:
        rows = by_row(outcome)

    assert [row["error_code"] for row in rows] == [None, "NULL_INPUT", "TOO_LARGE"]
    assert rows[1]["error_message"] == "column 'body' is null"
    assert outcome.settlement.seen.unexpected == 1


def test_a_row_cannot_be_left_out_twice_nor_one_that_is_not_there():
    with Spool(SHARD, 2, "response") as spool:
        spool.leave_out(0, ErrorCode.NULL_INPUT, "")
        for row in (0, 2, -1):
            with pytest.raises(NotConserved):
                spool.leave_out(row, ErrorCode.NULL_INPUT, "")


def test_the_account_has_examples_in_row_order_and_only_codes_that_occurred():
    with settled([failure(row, 400, f"e{row}") for row in (5, 4, 3, 1)] + [answer(0)], 6) as outcome:
        account = outcome.settlement

    assert (account.rows, account.ok, dict(account.errors)) == (6, 1, {"MODEL_ERROR": 4, "MISSING": 1})
    assert account.examples["MODEL_ERROR"] == (
        Example(rid(1), "400: e1"),
        Example(rid(3), "400: e3"),
        Example(rid(4), "400: e4"),
    )
    assert account.seen.lines == 5


def test_embeddings_come_back_as_float32_of_whatever_length():
    with settled([vector(2, [0.5, 0.25, -1]), vector(0, [1])], 3, family=TITAN) as outcome:
        rows = by_row(outcome)

    assert [row["embedding"] for row in rows] == [[1.0], None, [0.5, 0.25, -1.0]]
    assert [row["error_code"] for row in rows] == [None, "MISSING", None]


def test_a_number_beyond_float32_spoils_its_own_embedding_only():
    with settled([vector(0, [1e39]), vector(1, [1e38])], 2, family=TITAN) as outcome:
        assert [row["error_code"] for row in by_row(outcome)] == ["CORRUPT_ANSWER", None]


def test_token_counts_that_cannot_be_are_not_believed():
    odd = [message("x", input_tokens=count) for count in (-1, 10**30, None)]

    with settled([line(rid(row), each) for row, each in enumerate(odd)], 3) as outcome:
        assert [row["input_tokens"] for row in by_row(outcome)] == [None, None, None]
        assert outcome.settlement.input_tokens == 0


def test_long_error_messages_and_stop_reasons_are_cut():
    with settled([failure(0, 1, "ä" * 9_000), line(rid(1), message("x", "r" * 900))], 2) as outcome:
        rows = by_row(outcome)

    assert rows[0]["error_message"] == "1: " + "ä" * 2_045
    assert rows[1]["stop_reason"] == "r" * 64


def test_batches_are_small_in_rows_and_in_bytes():
    with settled([answer(row, "x" * 20_000) for row in range(1_500)], 1_500) as outcome:
        sizes = [(batch.num_rows, batch.nbytes) for batch in outcome.batches()]

    assert sum(rows for rows, _ in sizes) == 1_500
    assert max(rows for rows, _ in sizes) <= 1_024
    assert max(size for _, size in sizes) < 9 << 20


def test_the_spool_has_a_limit():
    with Spool(SHARD, 2, "response", spool_bytes_max=100) as spool, pytest.raises(SpoolFull, match="100 bytes"):
        spool.place(read([answer(0, "x" * 101)]), CLAUDE)


@pytest.mark.parametrize("rows", [0, 1_000_001])
def test_a_shard_has_at_least_one_row_and_no_more_than_ids_can_name(rows):
    with pytest.raises(ValueError, match="rows"):
        Spool(SHARD, rows, "response")


def test_record_ids_are_made_in_bulk_as_one_by_one():
    assert record_ids("00042", 999_995, 1_000_000).to_pylist() == [
        record_id("00042", n) for n in range(999_995, 1_000_000)
    ]
    assert record_ids("99998", 0, 3).to_pylist() == ["99998000000", "99998000001", "99998000002"]


# --------------------------------------------------------------------------- any output at all


def lines_for(rows):
    row = st.integers(0, rows + 1)  # one beyond the shard as well
    return st.one_of(
        row.map(answer),
        st.tuples(row, st.text(max_size=20)).map(lambda pair: answer(*pair)),
        row.map(failure),
        st.tuples(row, st.integers(0, 150)).map(lambda pair: answer(pair[0])[: pair[1]]),
        st.tuples(row, st.integers(0, 150), st.binary(max_size=3)).map(
            lambda cut: answer(cut[0])[: cut[1]] + cut[2] + answer(cut[0])[cut[1] :]
        ),
        st.text(max_size=12).map(lambda text: line(text, message("foreign"))),
        st.binary(max_size=40),
    )


@pytest.mark.promise("S3", "S9", "S10")
@given(data=st.data(), status=st.sampled_from(["Completed", "PartiallyCompleted", "Expired", "Failed", "Stopped"]))
def test_whatever_the_output_every_record_has_exactly_one_outcome_in_row_order(data, status):
    rows = data.draw(st.integers(1, 8))
    unsent = data.draw(st.sets(st.integers(0, rows - 1)))
    lines = data.draw(st.lists(lines_for(rows), max_size=20))
    block_bytes = data.draw(st.integers(1, 400))

    with settled(
        output_of(lines),
        rows,
        status=status,
        unsent=[(row, ErrorCode.NULL_INPUT, "null") for row in unsent],
        block_bytes=block_bytes,
    ) as outcome:
        found = by_row(outcome)
        account = outcome.settlement

    assert len(found) == rows
    assert account.ok + account.error == rows
    for row in found:
        assert (row["status"] == "ok") == (row["response"] is not None) == (row["error_code"] is None)
        assert row["error_code"] is None or row["error_code"] in set(ErrorCode)
    assert account.ok == sum(row["status"] == "ok" for row in found)
    assert {int(row["record_id"][5:]) for row in found if row["error_code"] == "NULL_INPUT"} == unsent
    whole = {row for row in range(rows) if answer(row) in lines and row not in unsent}
    assert all(found[row]["status"] == "ok" for row in whole), "a whole answer was paid for and thrown away"


@pytest.mark.promise("S3")
@given(order=st.permutations(range(6)), kept=st.sets(st.integers(0, 5)), twice=st.sets(st.integers(0, 5)))
def test_any_subset_order_and_duplication_of_good_lines_gives_the_same_rows(order, kept, twice):
    lines = [answer(row) for row in order if row in kept] + [answer(row) for row in order if row in kept & twice]

    with settled(lines, 6, status="Stopped") as outcome:
        found = by_row(outcome)

    assert [row["response"] for row in found] == [f"answer {row}" if row in kept else None for row in range(6)]
    assert outcome.settlement.seen.duplicated == len(kept & twice)


# --------------------------------------------------------------------------- memory

MEMORY = """
import sys
from pathlib import Path
from quarry_collector.decode import Line
from quarry_collector.settle import ErrorCode, Settle
from quarry_collector.spool import Spool
from quarry_core.models import family_of
from quarry_core.models.anthropic import Block
from quarry_core.contract.names import record_id
family = family_of("anthropic.claude-3-haiku-20240307-v1:0")
rows, text = 4_000, "x" * int(sys.argv[1])
def lines():
    for row in range(rows):
        yield Line(record_id("00000", row), family.output_type(content=[Block("text", text + str(row))]))
with Spool("00000", rows, "response") as spool:
    spool.place(lines(), family)
    outcome = spool.settle(Settle(ErrorCode.MISSING, ""))
    assert sum(batch.num_rows for batch in outcome.batches()) == rows
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")
def test_memory_does_not_grow_with_the_length_of_the_answers():
    small, large = (
        int(subprocess.run([sys.executable, "-c", MEMORY, chars], check=True, capture_output=True, text=True).stdout)
        for chars in ("100", "30000")  # 0.4 MB and 120 MB of answers
    )

    assert (large - small) / 1_024 < 48


def test_leaving_the_spool_closes_its_file():
    with Spool(SHARD, 1, "response") as spool:
        spool.place(read([answer(0)]), CLAUDE)
        outcome = spool.settle(Settle(ErrorCode.MISSING, ""))
    with pytest.raises(ValueError, match="closed"):
        list(outcome.batches())
