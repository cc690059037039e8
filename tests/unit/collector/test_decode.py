import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_collector.decode import Corrupt, Line, read_lines
from quarry_core.models import EmptyAnswer
from tests.unit.collector.builders import (
    CLAUDE,
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
        line(rid(1), {"content": 5}),
        line(rid(1)),
        b'{"recordId":"%s","modelOutput":%s}' % (rid(1).encode(), b"[" * 100_000 + b"]" * 100_000),
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


def spoil(what: bytes, by: bytes) -> bytes:
    """The line of record 1, whose paid answer is "yes", with one thing in it replaced."""
    whole = answer(1, "yes").replace(b"}}}", b'}, "score": 1}}') if b"score" in what else answer(1, "yes")
    spoilt = whole.replace(what, by)
    assert spoilt != whole
    return spoilt


USAGE = b'{"input_tokens": 7, "output_tokens": 3}'
DEEP = b"[" * 50_000 + b"]" * 50_000


@pytest.mark.promise("S9")
@pytest.mark.parametrize(
    ("what", "by", "input_tokens", "output_tokens", "stop_reason"),
    [
        (b'"input_tokens": 7', b'"input_tokens": 7.0', None, 3, "end_turn"),
        (b'"input_tokens": 7', b'"input_tokens": "7"', None, 3, "end_turn"),
        (b'"input_tokens": 7', b'"input_tokens": NaN', None, 3, "end_turn"),
        (b'"input_tokens": 7', b'"input_tokens": 1e999', None, 3, "end_turn"),
        (b'"input_tokens": 7', b'"input_tokens": ' + b"9" * 5_000, None, 3, "end_turn"),
        (b'"input_tokens": 7', b'"input_tokens": true', None, 3, "end_turn"),
        (b'"input_tokens": 7, ', b"", None, 3, "end_turn"),
        (USAGE, b'"7 and 3"', None, None, "end_turn"),
        (USAGE, b"[7, 3]", None, None, "end_turn"),
        (USAGE, b"null", None, None, "end_turn"),
        (b'"end_turn"', b"5", 7, 3, None),
        (b'"end_turn"', b'{"reason": "end_turn"}', 7, 3, None),
        (b'"score": 1', b'"score": NaN', 7, 3, "end_turn"),
        (b'"score": 1', b'"score": -Infinity', 7, 3, "end_turn"),
        (b'"score": 1', b'"score": ' + DEEP, 7, 3, "end_turn"),
        (
            b'"content": [',
            b'"content": [null, 5, [], {"type": null, "text": "x"}, {"type": ["text"]}, ',
            7,
            3,
            "end_turn",
        ),
        (b'"content": [', b'"content": [{"type": "thinking", "thinking": 3}, ', 7, 3, "end_turn"),
        (b'"content": [', b'"content": [{"type": "text", "text": 8}, ', 7, 3, "end_turn"),
        (b'"content": [', b'"content": [{"type": "tool_use", "id": 1, "input": %s}, ' % DEEP, 7, 3, "end_turn"),
        (b'[{"type": "text", "text": "yes"}]', b'"yes"', 7, 3, "end_turn"),
        (b'[{"type": "text", "text": "yes"}]', b'{"type": "text", "text": "yes"}', 7, 3, "end_turn"),
        (b'"say it"', b"Infinity", 7, 3, "end_turn"),
        (b'"say it"', DEEP, 7, 3, "end_turn"),
        (b'"say it"', b'"a raw \t tab"', 7, 3, "end_turn"),
    ],
    ids=lambda value: value[:70].decode() if isinstance(value, bytes) else "",
)
def test_what_is_odd_beside_an_answer_never_costs_it(what, by, input_tokens, output_tokens, stop_reason):
    before, odd, after = read([answer(0), spoil(what, by), answer(2)])

    assert texts([before, after]) == ["answer 0", "answer 2"]
    found = CLAUDE.answer(odd.model_output)
    assert (odd.record_id, found.text, found.stop_reason) == (rid(1), "yes", stop_reason)
    assert (found.input_tokens, found.output_tokens) == (input_tokens, output_tokens)


@pytest.mark.promise("S9")
@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (b'"boom"', None, "boom"),
        (b'{"errorCode": 400, "errorMessage": "boom"}', 400, "boom"),
        (b'{"errorCode": 400.5, "errorMessage": "boom"}', "400.5", "boom"),
        (b'{"errorCode": "throttled", "errorMessage": "boom", "retryable": NaN}', "throttled", "boom"),
        (b'{"errorCode": null, "errorMessage": "boom", "more": [1e999]}', None, "boom"),
        (b'{"errorCode": 400, "errorMessage": ["boom"]}', 400, '["boom"]'),
        (b'{"errorCode": 400, "errorMessage": null}', 400, ""),
        (b'{"errorCode": "x", "reason": "boom"}', "x", '{"reason": "boom"}'),
        (b'{"code": 400, "message": "boom"}', None, '{"code": 400, "message": "boom"}'),
        (b"[1, 2]", None, "[1, 2]"),
        (b"{}", None, ""),
        (b"0", None, "0"),
        (b'{"errorCode": [[[1]]], "errorMessage": "boom"}', "[[[1]]]", "boom"),
    ],
)
def test_the_reason_of_an_error_is_kept_in_whatever_form_it_comes(error, code, reason):
    (failed,) = read([b'{"recordId": "%s", "modelInput": {}, "error": %s}' % (rid(1).encode(), error)])

    assert (failed.record_id, failed.error.error_code, failed.error.error_message) == (rid(1), code, reason)


def test_the_reason_is_kept_where_the_output_beside_it_cannot_be_read():
    (failed,) = read([line(rid(1), "no output", error="boom")])

    assert failed.error.error_message == "boom"


def test_an_error_beside_an_output_that_says_nothing_is_the_reason_and_the_tokens_are_kept():
    empty = {"content": [], "usage": {"input_tokens": 3}}
    with settled([line(rid(0), empty, error={"errorCode": 500, "errorMessage": "boom"})], 1) as outcome:
        (row,) = rows_of(outcome)

    assert (row["error_code"], row["error_message"], row["input_tokens"]) == ("MODEL_ERROR", "500: boom", 3)


def test_an_error_nested_beyond_measure_is_an_error():
    (failed,) = read([b'{"recordId": "%s", "error": %s}' % (rid(1).encode(), DEEP)])

    assert failed.error.error_message


def test_an_answer_that_calls_tools_is_those_calls_as_json():
    calls = [{"type": "tool_use", "id": "toolu_1", "name": "sum", "input": {"of": [1, 2.5, "ü"]}}]
    thinking = {"type": "thinking", "thinking": "a sum it is", "signature": "x"}
    raw = line(rid(0), {"content": [thinking, *calls], "stop_reason": "tool_use", "usage": {"output_tokens": 9}})

    (only,) = read([raw])
    found = CLAUDE.answer(only.model_output)

    assert (json.loads(found.text), found.stop_reason, found.output_tokens) == (calls, "tool_use", 9)


def test_a_row_that_is_answered_by_a_call_is_ok_and_says_why_the_model_stopped():
    call = {"type": "tool_use", "id": "toolu_1", "name": "sum", "input": {}}
    with settled([line(rid(0), {"content": [call], "stop_reason": "tool_use"})], 1) as outcome:
        (row,) = rows_of(outcome)

    assert (row["status"], row["error_code"], row["stop_reason"]) == ("ok", None, "tool_use")
    assert json.loads(row["response"]) == [call]


@pytest.mark.parametrize("text", ["", " \n", None])
def test_a_blank_text_beside_a_call_of_a_tool_does_not_cost_the_call(text):
    call = {"type": "tool_use", "id": "toolu_1", "name": "sum", "input": {}}
    content = [{"type": "text", "text": text}, call]
    (only,) = read([line(rid(0), {"content": content, "stop_reason": "tool_use", "usage": {"output_tokens": 9}})])

    found = CLAUDE.answer(only.model_output)

    assert (json.loads(found.text), found.stop_reason, found.output_tokens) == ([call], "tool_use", 9)


def test_a_text_beside_a_call_of_a_tool_is_the_answer():
    (only,) = read([spoil(b'"content": [', b'"content": [{"type": "tool_use", "input": {}}, ')])

    assert texts([only]) == ["yes"]


@pytest.mark.parametrize("kind", ["thinking", "redacted_thinking"])
def test_thinking_alone_is_an_empty_answer_however_odd_its_line_is(kind):
    (only,) = read([line(rid(0), {"content": [{"type": kind, "thinking": "hm"}], "usage": {"input_tokens": 1.5}})])

    with pytest.raises(EmptyAnswer):
        CLAUDE.answer(only.model_output)


def test_an_output_cannot_claim_to_be_what_only_reading_makes():
    (only,) = read([line(rid(0), {"content": [], "other_blocks": "x", "others": "y", "usage": None})])

    with pytest.raises(EmptyAnswer):
        CLAUDE.answer(only.model_output)


def test_two_odd_records_that_lost_the_newline_between_them_are_both_read():
    odd = answer(0).replace(b'"input_tokens": 7', b'"input_tokens": NaN')

    assert texts(read([odd + odd.replace(rid(0).encode(), rid(1).encode()), answer(2)])) == [
        "answer 0",
        "answer 0",
        "answer 2",
    ]


def test_an_answer_is_kept_when_another_record_breaks_off_behind_it_on_its_line():
    first, rest = read([answer(0) + answer(1)[:-20]])

    assert texts([first]) == ["answer 0"]
    assert (type(rest), rest.record_id) == (Corrupt, rid(1))


def test_a_vector_stays_whole_beside_odd_values():
    odd = vector(0, [0.5, -1]).replace(b'"inputTextTokenCount": 5', b'"inputTextTokenCount": "5", "x": NaN')
    elsewhere = line(rid(1), {"embedding": [0.5, None], "embeddingsByType": {"float": [1, 2], "binary": [0.5]}})

    found = [TITAN.answer(each.model_output) for each in read([odd, elsewhere], TITAN)]

    assert [(each.embedding, each.input_tokens) for each in found] == [([0.5, -1], None), ([1, 2], None)]


@pytest.mark.parametrize("vector_found", [b'[0.5, "1"]', b"[0.5, null]", b"[true]", b'"0.5"', b"[NaN]", b"[1e999]"])
def test_a_vector_that_is_not_whole_is_corrupt_and_says_so(vector_found):
    (corrupt,) = read([vector(1, []).replace(b"[]", vector_found)], TITAN)

    assert isinstance(corrupt, Corrupt)
    assert (corrupt.record_id, corrupt.reason) == (rid(1), "the embedding is not a list of finite numbers")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MISSING = object()


@pytest.mark.promise("S9")
@given(
    beside=st.dictionaries(st.text(min_size=1).map("x".__add__), ANYTHING, max_size=3),
    usage=ANYTHING | st.dictionaries(st.sampled_from(["input_tokens", "output_tokens"]), ANYTHING) | st.just(MISSING),
    stop_reason=ANYTHING | st.just(MISSING),
    blocks=st.lists(ANYTHING.filter(lambda block: not isinstance(block, str)), max_size=3),
    where=st.integers(0, 3),
    error=st.none() | st.just(MISSING) | ANYTHING,
    prompt=ANYTHING,
    ascii_only=st.booleans(),
)
def test_no_json_at_all_beside_an_answer_costs_its_text_its_id_or_a_neighbour(
    beside, usage, stop_reason, blocks, where, error, prompt, ascii_only
):
    content = [*blocks[:where], {"type": "text", "text": "yes"}, *blocks[where:]]
    output = {**beside, "content": content, "usage": usage, "stop_reason": stop_reason}
    body = {
        **beside,
        "recordId": rid(1),
        "modelInput": prompt,
        "modelOutput": {name: value for name, value in output.items() if value is not MISSING},
        "error": error,
    }
    whole = {name: value for name, value in body.items() if value is not MISSING}
    raw = json.dumps(whole, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")

    with settled([answer(0), raw, answer(2)], 3) as outcome:
        rows = rows_of(outcome)

    assert [row["response"] for row in rows] == ["answer 0", "yes", "answer 2"]


@pytest.mark.promise("S9")
@given(
    error=ANYTHING.filter(lambda error: json.dumps(error) not in {"null", "NaN", "Infinity", "-Infinity"}),
    reason=st.text(min_size=1, max_size=50),
)
def test_no_form_of_an_error_costs_its_record_or_its_reason(error, reason):
    forms = [error, reason, {"errorCode": error, "errorMessage": reason}, {"more": error, "errorMessage": reason}]

    with settled([line(rid(row), error=form) for row, form in enumerate(forms)], 4) as outcome:
        rows = rows_of(outcome)

    assert [row["error_code"] for row in rows] == ["MODEL_ERROR"] * 4
    reported = reason.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert [reported in row["error_message"] for row in rows[1:]] == [True] * 3


@pytest.mark.promise("S9")
@given(data=st.binary(max_size=300), block_bytes=st.integers(1, 50), where=st.integers(0, 3))
def test_no_bytes_make_the_reading_raise_or_cost_a_whole_line(data, block_bytes, where):
    lines = [answer(row) for row in range(3)]
    lines.insert(where, data)

    found = list(read_lines(output_of(lines), CLAUDE.output_type, block_bytes=block_bytes))

    assert texts(found) == ["answer 0", "answer 1", "answer 2"]
