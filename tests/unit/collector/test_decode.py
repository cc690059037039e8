import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_collector.decode import Corrupt, Line, read_lines
from tests.unit.collector.builders import CLAUDE, TITAN, answer, failure, line, message, output_of, read, rid, vector


def texts(lines):
    return [CLAUDE.answer(each.model_output).text for each in lines if isinstance(each, Line) and each.model_output]


def test_answers_and_errors_come_in_the_order_of_the_output():
    first, second, third = read([answer(1), failure(0, 429, "slow down"), answer(2)])

    assert texts([first, third]) == ["answer 1", "answer 2"]
    assert (second.record_id, second.error.error_code, second.error.error_message) == (rid(0), 429, "slow down")


@pytest.mark.parametrize("block_bytes", [1, 2, 7, 100, 1_000])
def test_where_the_blocks_are_cut_makes_no_difference(block_bytes):
    lines = [answer(row, "wort " * row) for row in range(1, 20)]

    assert read(lines, block_bytes=block_bytes) == read(lines)


def test_the_last_line_needs_no_newline_and_blank_lines_are_nothing():
    stream = io.BytesIO(b"\n\r\n  \n" + answer(0) + b"\r\n\n" + answer(1))

    assert texts(read_lines(stream, CLAUDE.output_type)) == ["answer 0", "answer 1"]


def test_an_empty_output_has_no_lines():
    assert read([]) == []


def test_a_byte_order_mark_is_passed_over():
    assert texts(read([b"\xef\xbb\xbf" + answer(0), answer(1)])) == ["answer 0", "answer 1"]


def test_an_error_code_may_be_a_number_or_a_string_or_absent():
    codes = [each.error.error_code for each in read([failure(0, 400), failure(1, "400"), line(rid(2), error={})])]

    assert codes == [400, "400", None]


def test_unknown_members_of_a_line_and_of_an_error_are_passed_over():
    odd = {"errorCode": 1, "errorMessage": "m", "expired": "who knows", "retryable": {"x": []}}

    (only,) = read([line(rid(0), error=odd)])

    assert only.error.error_message == "m"


@pytest.mark.promise("S9")
def test_half_a_surrogate_pair_in_an_answer_is_replaced_and_costs_nothing_else():
    cut_off = answer(1, "cut").replace(b'"cut"', b'"cut \\ud83d"')

    found = read([answer(0), cut_off, answer(2)])

    assert texts(found) == ["answer 0", "cut �", "answer 2"]


def test_whole_surrogate_pairs_beside_half_ones_stay_what_they_are():
    raw = answer(0, "x").replace(b'"x"', rb'"\ud83d\ude00 \ude00"')

    assert texts(read([raw])) == ["\U0001f600 �"]


def test_half_a_surrogate_pair_in_the_echoed_prompt_does_not_matter():
    raw = answer(0).replace(b"say it", rb"say \ud83d it")

    assert texts(read([raw])) == ["answer 0"]


def test_broken_utf_8_in_an_answer_is_replaced():
    assert texts(read([answer(0, "x").replace(b'"x"', b'"x\xff"')])) == ["x�"]


@pytest.mark.promise("S9")
@pytest.mark.parametrize(
    "spoilt",
    [
        b"no json at all",
        b"[]",
        b"null",
        b'"text"',
        b'{"recordId": 5, "modelOutput": {}}',
        answer(1)[:-20],
        line(rid(1), "a text where an object should be"),
        line(rid(1), {"content": "a text where a list should be"}),
        line(rid(1)),
        line(rid(1), error="a text where an object should be"),
        b'{"recordId":"%s","modelOutput":%s}' % (rid(1).encode(), b"[" * 100_000 + b"]" * 100_000),
        b'{"recordId":"%s","modelOutput":{"content":[NaN]}}' % rid(1).encode(),
        b'{"recordId":"%s","modelOutput":{"usage":{"input_tokens":%s}}}' % (rid(1).encode(), b"9" * 5_000),
    ],
    ids=lambda raw: raw[:60].decode(),
)
def test_a_line_that_cannot_be_read_is_corrupt_and_its_neighbours_are_not(spoilt):
    before, corrupt, after = read([answer(0), spoilt, answer(2)])

    assert texts([before, after]) == ["answer 0", "answer 2"]
    assert isinstance(corrupt, Corrupt)
    assert corrupt.reason
    assert corrupt.record_id == (rid(1) if rid(1).encode() in spoilt else None)
    assert len(corrupt.head) <= 200


def test_two_records_that_lost_the_newline_between_them_are_both_read():
    assert texts(read([answer(0) + answer(1), answer(2)])) == ["answer 0", "answer 1", "answer 2"]


def test_a_line_cut_short_that_runs_into_the_next_names_neither_record():
    (corrupt,) = read([b'{"recordId":"%s","modelOu' % rid(0).encode() + answer(1)])

    assert isinstance(corrupt, Corrupt)
    assert corrupt.record_id is None


def test_an_id_that_a_model_wrote_into_its_text_is_not_taken_for_the_lines_own():
    quoting = json.dumps(message('{"recordId": "00002000009"}'))

    (corrupt,) = read([b'{"modelOutput": %s, broken' % quoting.encode()])

    assert corrupt.record_id is None


@pytest.mark.parametrize("block_bytes", [10, 64, 4_096, 1 << 20])
def test_a_line_too_long_is_passed_over_and_its_record_is_known_by_either_end(block_bytes):
    giant_by_its_head = b'{"recordId":"%s","modelOutput":"%s"}' % (rid(1).encode(), b"x" * 20_000)
    giant_by_its_tail = b'{"modelOutput":"%s","recordId":"%s"}' % (b"x" * 20_000, rid(3).encode())
    lines = [answer(0), giant_by_its_head, answer(2), giant_by_its_tail, answer(4)]

    found = read(lines, block_bytes=block_bytes, line_bytes_max=2_000)

    if block_bytes < 20_000:  # what lies whole in one block is in memory already
        assert [type(each) for each in found] == [Line, Corrupt, Line, Corrupt, Line]
        assert "too long" in found[1].reason
    assert [each.record_id for each in found] == [rid(row) for row in range(5)]
    assert texts(found) == ["answer 0", "answer 2", "answer 4"]


def test_embeddings_come_as_numbers_and_one_beyond_measure_is_corrupt():
    good, corrupt = read([vector(0, [0.5, -1]), vector(1, []).replace(b"[]", b"[1e999]")], TITAN)

    assert TITAN.answer(good.model_output).embedding == [0.5, -1]
    assert isinstance(corrupt, Corrupt)
    assert corrupt.record_id == rid(1)


@pytest.mark.promise("S9")
@given(data=st.binary(max_size=300), block_bytes=st.integers(1, 50), where=st.integers(0, 3))
def test_no_bytes_make_the_reading_raise_or_cost_a_whole_line(data, block_bytes, where):
    lines = [answer(row) for row in range(3)]
    lines.insert(where, data)

    found = list(read_lines(output_of(lines), CLAUDE.output_type, block_bytes=block_bytes))

    assert texts(found) == ["answer 0", "answer 1", "answer 2"]
