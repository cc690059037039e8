"""Lines are decoded without their echo and with their vectors apart, and say the same as whole ones."""

import io
import json
import sys

import pytest

from quarry_collector.decode import ECHO_LINE_BYTES_MIN, Corrupt, Line, read_blocks, read_lines
from quarry_collector.settle import ErrorCode, Settle
from quarry_collector.shorten import takes_vectors, without_echoes
from quarry_collector.spool import Spool
from quarry_core.models import family_of
from tests.unit.collector.builders import CLAUDE, SHARD, TITAN, answer, failure, message, output_of, rid, rows_of

VECTOR = [0.1, -2.5e-7, 3, 1.17549435e-38]
AS_JSON = json.dumps(VECTOR)
FAMILIES = {
    "amazon.titan-embed-text-v2:0": [
        '{"embedding": %s, "inputTextTokenCount": 5}',
        '{"embedding":%s,"embeddingsByType":{"float":%s},"inputTextTokenCount":5}',
        '{"embeddingsByType":{"binary":[1,0],"float":%s},"inputTextTokenCount":5}',
        '{"embeddingsByType":{"float":%s},"embedding":%s,"inputTextTokenCount":5}',
    ],
    "cohere.embed-english-v3": [
        '{"embeddings":[%s],"id":"1","texts":["a [0.5] \\"embedding\\":[1]"]}',
        '{"embeddings":{"float":[%s]},"texts":["x"]}',
        '{"embeddings":{"int8":[[1]],"float":[%s]}}',
    ],
    "amazon.nova-2-multimodal-embeddings-v1:0": ['{"embeddings":[{"embeddingType":"TEXT","embedding":%s}]}'],
}


def in_line(output: str, row=0, prompt="say it") -> bytes:
    return (
        f'{{"modelInput":{{"inputText":{json.dumps(prompt)}}},"modelOutput":{output},"recordId":"{rid(row)}"}}'.encode()
    )


def settled(lines, family, *, vectors):
    with Spool(SHARD, len(lines), family.answer_column) as spool:
        seen = spool.place_blocks(read_blocks(output_of(lines), family.output_type, vectors=vectors), family)
        outcome = spool.settle(Settle(ErrorCode.MISSING, ""), seen)
        return outcome.settlement, rows_of(outcome)


@pytest.mark.parametrize(("model", "form"), [(model, form) for model, forms in FAMILIES.items() for form in forms])
def test_a_vector_that_is_taken_out_of_its_line_is_the_vector_that_stood_in_it(model, form):
    family = family_of(model)
    lines = [in_line(form.replace("%s", AS_JSON), row) for row in range(3)]

    apart, whole = (settled(lines, family, vectors=vectors) for vectors in (True, False))

    assert apart == whole
    assert apart[0].ok == 3


@pytest.mark.skipif(not takes_vectors(), reason="no simdjson for this Python")
def test_where_a_vector_was_taken_out_no_number_was_decoded():
    lines = [in_line('{"embedding": [0.25, 0.5]}'), failure(1)]

    (block,) = read_blocks(output_of(lines), TITAN.output_type, vectors=True)

    assert block.vectors == [b"\x00\x00\x80\x3e\x00\x00\x00\x3f", None]
    assert block.lines[0].model_output.embedding == [-1e100]


@pytest.mark.promise("S9")
@pytest.mark.parametrize(
    "odd",
    ["[0.5, null]", "[0.5, [1]]", "[[0.5]]", "[1e39]", "[1e400]", "[true]", "[NaN]", '["0.5"]', "[]", "[-1e100]"],
)
def test_what_is_no_vector_of_float32_is_judged_as_it_stands_and_costs_its_neighbours_nothing(odd):
    lines = [
        in_line('{"embedding": [0.5]}', 0),
        in_line(f'{{"embedding": {odd}}}', 1),
        in_line('{"embedding": [2]}', 2),
    ]

    apart, whole = (settled(lines, TITAN, vectors=vectors) for vectors in (True, False))

    assert apart == whole
    assert apart[0].ok == 2


def test_without_simdjson_vectors_come_with_their_lines(monkeypatch):
    monkeypatch.setattr(sys.modules["quarry_collector.shorten"], "simdjson", None)

    (block,) = read_blocks(output_of([in_line(f'{{"embedding": {AS_JSON}}}')]), TITAN.output_type, vectors=True)

    assert block.vectors is None
    assert block.lines[0].model_output.embedding == VECTOR


@pytest.mark.parametrize(
    "line",
    [
        answer(1),
        in_line(json.dumps(message("answer 1")), 1),
        in_line(json.dumps(message("answer 1")), 1, prompt='"modelOutput": {"content": []}, "recordId": "00002000009"'),
        b'{"modelInput":{"a":{"modelOutput":{"content":[]}},"b":[{"modelOutput":1}]},"modelOutput":%s,"recordId":"%s"}'
        % (json.dumps(message("answer 1")).encode(), rid(1).encode()),
        b'{"modelOutput":%s,"modelInput":{"modelOutput":2},"recordId":"%s"}'
        % (json.dumps(message("answer 1")).encode(), rid(1).encode()),
    ],
)
def test_however_the_echo_stands_in_a_line_the_answer_is_its_own(line):
    (found,) = read_lines(io.BytesIO(line), CLAUDE.output_type)

    assert (found.record_id, CLAUDE.answer(found.model_output).text) == (rid(1), "answer 1")


@pytest.mark.promise("S9")
@pytest.mark.parametrize("echo_bytes", [1, 2 * ECHO_LINE_BYTES_MIN])
def test_an_echo_that_cannot_be_read_costs_no_answer_however_long_it_is(echo_bytes):
    output = json.dumps(message("answer 1")).encode()
    broken = b'{"modelInput":{"a":"%s"},"modelOutput":%s,"recordId":"%s"}' % (
        b"\xff" * echo_bytes,
        output,
        rid(1).encode(),
    )

    found = list(read_lines(output_of([answer(0), broken, answer(2)]), CLAUDE.output_type))

    assert [CLAUDE.answer(each.model_output).text for each in found] == ["answer 0", "answer 1", "answer 2"]


@pytest.mark.parametrize("prompt_chars", [1, 2 * ECHO_LINE_BYTES_MIN])
def test_an_answer_is_the_same_whether_its_echo_is_passed_over_or_cut_out(prompt_chars):
    prompt = '"modelOutput":{"content":[]},"recordId":"00002000009"\n\u20ac' * prompt_chars
    lines = [in_line(json.dumps(message(f"answer {row}")), row, prompt) for row in range(3)]

    found = list(read_lines(output_of(lines), CLAUDE.output_type))

    assert [(each.record_id, CLAUDE.answer(each.model_output).text) for each in found] == [
        (rid(row), f"answer {row}") for row in range(3)
    ]


def test_the_echo_is_cut_out_where_it_can_be():
    assert without_echoes(b'{"modelInput":{"a":"b"},"modelOutput":{},"recordId":"1"}') == [
        b'{"modelOutput":{},"recordId":"1"}'
    ]


def test_of_two_lines_run_into_one_in_the_echo_the_first_does_not_get_the_second_ones_answer():
    cut = b'{"recordId":"%s","modelInput":{"a":"he' % rid(0).encode()
    whole = b'{"recordId":"%s","modelInput":{"a":"b"},"modelOutput":%s}'
    line = cut + whole % (rid(1).encode(), json.dumps(message("the second")).encode())

    found = list(read_lines(io.BytesIO(line), CLAUDE.output_type))

    assert not [each for each in found if isinstance(each, Line) and each.record_id == rid(0)]
    assert all(isinstance(each, Corrupt) or each.record_id == rid(1) for each in found)
