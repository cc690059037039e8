"""What is done for many lines at once comes out as it does one by one: echoes, texts, and bytes in a spool."""

import os

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quarry_collector import spool_file
from quarry_collector.decode import read_blocks
from quarry_collector.settle import ErrorCode, Settle
from quarry_collector.shorten import without_echoes
from quarry_collector.spool import Spool
from quarry_collector.spool_file import SpoolFile
from quarry_core.models import CONVERSE, FAMILIES, family_of
from quarry_core.models.content import ReadsMany
from tests.unit.collector.builders import CLAUDE, SHARD, answer, failure, line, output_of, rid, rows_of

ROWS = 6
NOVA = family_of("amazon.nova-lite-v1:0")
GPT_OSS = family_of("openai.gpt-oss-120b-1:0")


class OneByOne:
    """A family that reads one answer at a time."""

    def __init__(self, family):
        self.answer_column = family.answer_column
        self.output_type = family.output_type
        self.answer = family.answer


def settled(family, lines, block_bytes=1 << 20):
    with Spool(SHARD, ROWS, family.answer_column) as spool:
        blocks = read_blocks(output_of(lines), family.output_type, block_bytes=block_bytes)
        seen = spool.place_blocks(blocks, family)
        outcome = spool.settle(Settle(ErrorCode.MISSING, "none"), seen)
        return outcome.settlement, rows_of(outcome)


# --------------------------------------------------------------------------- texts

SAID = (
    st.sampled_from(["", " ", "yes", "a\nb", "é😀", "\x00", "<reasoning>no</reasoning>so", "<think>", "\ud800"])
    | st.text()
)
COUNT = st.none() | st.integers(-2, 2**70) | st.sampled_from(["7", 1.5, True])
STOP = st.none() | st.sampled_from(["end_turn", "max_tokens", "tool_use", 7]) | st.text(max_size=70)
CLAUDE_BLOCK = st.one_of(
    SAID.map(lambda text: {"type": "text", "text": text}),
    SAID.map(lambda text: {"type": "thinking", "thinking": text}),
    SAID.map(lambda text: {"type": "text", "text": text, "citations": []}),
    st.sampled_from(
        [{"type": "tool_use", "name": "t", "input": {}}, {"type": "text"}, {"text": "untyped"}, None, "bare"]
    ),
)
SAID_BLOCK = st.one_of(
    SAID.map(lambda text: {"text": text}),
    SAID.map(lambda text: {"reasoningContent": {"reasoningText": {"text": text}}}),
    st.sampled_from([{"toolUse": {"name": "t"}}, {"text": None}, {}, None, "bare"]),
)


def contents(block):
    """Mostly one block of text, as models answer."""
    return st.one_of(st.lists(block, min_size=1, max_size=1), st.lists(block, max_size=3), st.none(), SAID)


TEXT_AND_CALL = {
    "content": [{"type": "text", "text": "I call"}, {"type": "tool_use", "name": "t", "input": {}}],
    "stop_reason": "tool_use",
}
CLAUDE_OUTPUT = st.just(TEXT_AND_CALL) | st.fixed_dictionaries(
    {"content": contents(CLAUDE_BLOCK)},
    optional={
        "stop_reason": STOP,
        "usage": st.none() | st.fixed_dictionaries({}, optional={"input_tokens": COUNT, "output_tokens": COUNT}),
        "blocks_json": st.just("forged"),
    },
)
SAID_AND_CALLED = {
    "output": {"message": {"content": [{"text": "I call"}, {"toolUse": {"name": "t"}}]}},
    "stopReason": "tool_use",
}
REASONED = {"output": {"message": {"content": [{"text": "<reasoning>if so</reasoning>then"}]}}}
CONVERSE_OUTPUT = st.sampled_from([SAID_AND_CALLED, REASONED]) | st.fixed_dictionaries(
    {
        "output": st.none()
        | st.fixed_dictionaries({"message": st.fixed_dictionaries({"content": contents(SAID_BLOCK)})})
    },
    optional={
        "stopReason": STOP,
        "usage": st.none() | st.fixed_dictionaries({}, optional={"inputTokens": COUNT, "outputTokens": COUNT}),
    },
)


def any_line(output):
    """Good lines for the most part; foreign and repeated ids, errors, empty and broken ones among them."""
    record = st.integers(0, ROWS - 1).map(rid) | st.sampled_from([rid(ROWS), rid(0, "00009"), "x", "", "0000200000é"])
    good = st.tuples(record, output).map(lambda pair: line(*pair))
    return st.one_of(
        good,
        good,
        st.tuples(record, output).map(lambda pair: line(*pair, error={"errorCode": 400, "errorMessage": "beside"})),
        st.integers(0, ROWS - 1).map(failure),
        record.map(line),
        st.tuples(good, st.integers(0, 200)).map(lambda cut: cut[0][: cut[1]]),
    )


@pytest.mark.promise("S3", "S9")
@pytest.mark.parametrize(
    ("family", "output"), [(CLAUDE, CLAUDE_OUTPUT), (NOVA, CONVERSE_OUTPUT), (GPT_OSS, CONVERSE_OUTPUT)]
)
@given(data=st.data(), block_bytes=st.sampled_from([1 << 20, 300]))
def test_texts_that_are_placed_together_are_those_that_are_placed_one_by_one(family, output, data, block_bytes):
    lines = data.draw(st.lists(any_line(output), max_size=12))
    assert isinstance(family, ReadsMany)

    assert settled(family, lines, block_bytes) == settled(OneByOne(family), lines, block_bytes)


@pytest.mark.parametrize("family", [*FAMILIES.values(), CONVERSE], ids=lambda family: family.name)
def test_who_reads_answers_otherwise_than_its_base_reads_many_otherwise_too(family):
    if isinstance(family, ReadsMany):
        of_one, of_many = (
            next(kind for kind in type(family).__mro__ if name in vars(kind)) for name in ("answer", "texts")
        )
        assert of_one is of_many


def test_one_odd_line_does_not_keep_its_block_from_being_placed_together(monkeypatch):
    lines = [answer(0), failure(1), answer(2, ""), answer(3)]
    alone = []
    monkeypatch.setattr(
        Spool, "_place_one", lambda *given, before=Spool._place_one: (alone.append(given[1].record_id), before(*given))
    )

    account, _ = settled(CLAUDE, lines)

    assert alone == [rid(1), rid(2)]
    assert account.ok == 2


# --------------------------------------------------------------------------- echoes


def one_line_without_echo(raw):
    start = raw.find(b'"modelInput":', 0, 64)
    end = raw.find(b'"modelOutput":', start) if start >= 0 else -1
    if end < 0 or (start > 1 and raw.find(b'"recordId"', start, end) >= 0):
        return raw
    return raw[:start] + raw[end:]


HEADS = [b"{", b'{"recordId":"1",', b"x" * 52, b"x" * 70, b" ", b""]
NAMES = [
    b'"modelInput":',
    b'"modelOutput":',
    b'"recordId"',
    b'"model',
    b'Output":',
    b"{}",
    b"x" * 70,
    b"\r",
    b"\n",
    b"",
]
A_LINE = st.tuples(st.sampled_from(HEADS), st.lists(st.sampled_from(NAMES), max_size=5).map(b"".join)).map(b"".join)


@given(st.lists(A_LINE, max_size=12).map(b"\n".join))
@example(b'{"recordId":"1","modelInput":{"recordId":"2","modelOutput":{}}')
def test_lines_that_are_cut_out_of_a_block_are_those_that_are_cut_one_by_one(block):
    expected = [one_line_without_echo(raw) for raw in block.split(b"\n") if raw and not raw.isspace()]

    assert without_echoes(block) == expected


# --------------------------------------------------------------------------- a spool in memory and on disk


SPOOLED = 3_000


@given(
    puts=st.lists(
        st.lists(st.tuples(st.integers(0, SPOOLED - 1), st.binary(max_size=9)), min_size=1, max_size=30), max_size=20
    ),
    shared=st.sets(st.integers(0, SPOOLED - 1), max_size=5),
    run_bytes=st.sampled_from([0, 1, 50, 4 << 20]),
)
def test_a_spool_gives_each_row_what_it_got_last_from_memory_and_from_disk(puts, shared, run_bytes):
    expected = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_file, "RUN_BYTES", run_bytes)
        file = SpoolFile(None, SPOOLED)
        for some in puts:
            pieces = [piece for _, piece in some]
            file.put(np.array([row for row, _ in some]), pieces, np.array([len(piece) for piece in pieces]))
            expected |= dict(some)
        file.finish()
        if shared:
            file.put_for_all(np.array(sorted(shared)), b"of all")
            expected |= dict.fromkeys(shared, b"of all")
            file.finish()

        total = sum(len(piece) for some in puts for _, piece in some) + 6 * bool(shared)
        assert file.end == total
        assert (file._file is None) == (total <= run_bytes)
        rows = np.arange(SPOOLED)
        assert file.read(rows).to_pylist() == [expected.get(row, b"") for row in range(SPOOLED)]
        some = np.array(sorted(expected), np.int64)[::-1]
        assert file.read(some).to_pylist() == [expected[row] for row in some.tolist()]
        assert file.lengths(0, SPOOLED).tolist() == [len(expected.get(row, b"")) for row in range(SPOOLED)]
        file.close()
        file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(rows)


def test_rows_side_by_side_take_one_read_from_each_run(monkeypatch):
    """A run has the pieces of some blocks, and these have rows of the whole shard, in no order."""
    monkeypatch.setattr(spool_file, "RUN_BYTES", 10_000)
    file = SpoolFile(None, SPOOLED)
    order = np.random.default_rng(1).permutation(SPOOLED)
    for block in np.array_split(order, 60):
        file.put(block, [b"%012d" % row for row in block], np.full(len(block), 12))
    file.finish()
    reads = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *given: reads.append(given) or pread(*given))

    found = file.read(np.arange(1_000, 1_500)).to_pylist()

    assert found == [b"%012d" % row for row in range(1_000, 1_500)]
    assert len(reads) == 4
    file.close()


def test_what_the_disk_does_not_return_is_lost(monkeypatch):
    monkeypatch.setattr(spool_file, "RUN_BYTES", 0)
    file = SpoolFile(None, 2)
    file.put(np.array([1, 0]), [b"one", b"two"], np.array([3, 3]))
    file.finish()
    file._file.truncate(4)

    assert file.read(np.array([0])).to_pylist() == [b"two"]
    with pytest.raises(spool_file.Lost):
        file.read(np.array([0, 1]))
    file.close()
