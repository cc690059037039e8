"""Files of ready requests: reported apart, counted, read by row range, and rendered, or refused by line."""

from __future__ import annotations

import base64
import io
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract.requests import NotRequests, could_be_requests, request_format_of
from quarry_core.models.openai_chat import converse_request
from quarry_core.planning.count_requests import OFFSET_EVERY_ROWS, count_requests
from quarry_core.rendering.requests import RequestEncoder
from quarry_core.rendering.row_encoder import estimate_record_bytes
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.rows import read_rows
from tests.examples import examples
from tests.world.objects import FakeObjects

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
HALF = '"\\ud83d"'


def chat(number: int, **more: object) -> dict:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"Question {number}?"}]}
    return {"custom_id": f"r {number}", "method": "POST", "url": "/v1/chat/completions", "body": body} | more


def record(number: int, **more: object) -> dict:
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": f"Question {number}?"}],
    }
    return {"recordId": f"r-{number}", "modelInput": body} | more


def lines(*records: object, end: str = "\n") -> bytes:
    return "".join((one if isinstance(one, str) else json.dumps(one)) + end for one in records).encode()


def counted(data: bytes, form: str = "openai", take=lambda _ids: None):
    return count_requests(io.BytesIO(data), "in/r.jsonl", form, CLAUDE, take)


def refusal(data: bytes, form: str = "openai") -> str:
    with pytest.raises(SourceError) as error:
        counted(data, form)
    return str(error.value)


def read(data: bytes, form: str = "openai", first: int = 0, rows: int | None = None) -> list[dict]:
    objects = FakeObjects()
    ref = objects.plant("in/r.jsonl", data)
    count = counted(data, form)
    batches = read_rows(objects, ref, count, first, count.rows if rows is None else rows)
    return [row for batch in batches for row in batch.to_pylist()]


# --------------------------------------------------------------------------- reported apart


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (lines(chat(1)), "openai"),
        (lines(record(1)), "bedrock"),
        (b'{"modelInput": {}}', "bedrock"),
        (b'\xef\xbb\xbf\n  \n{"custom_id":"1","body":{}}\n', "openai"),
        (b'{"body": {"url": 1, "messages": [{"a": "\\"}"}]}, "custom_id": "1"}', "openai"),
        (b'{"custom_id": "1", "body": {"messages": [{"content": "cut off he', "openai"),
        (b'{"recordId": "1", "modelInput" : {"a', "bedrock"),
    ],
)
def test_the_first_line_tells_the_form(head, form):
    assert request_format_of(head) == form


@pytest.mark.parametrize(
    ("head", "seen"),
    [
        (b'{"id": 1, "text": "modelInput"}\n', "has the keys id, text, and is neither Bedrock"),
        (b'{"body": {}, "id": 1}\n', "has the keys body, id, and"),
        (b'{"nested": {"modelInput": {}}}', "has the keys nested, and"),
        (b"id,text\n1,x\n", "begins with id,text, and"),
        (b"[1, 2]\n", r"begins with \[1, 2\], and"),
        (b"", "is empty; give a file"),
        (b" \n\n", "is empty"),
        (b"\xff\xfe{\x00", "is UTF-16; save the file as UTF-8"),
    ],
)
def test_what_is_neither_form_is_refused_with_what_was_seen(head, seen):
    with pytest.raises(NotRequests, match=seen):
        request_format_of(head)


def test_a_table_by_its_name_holds_no_requests():
    assert could_be_requests(["s3://b/in/", "s3://b/r.jsonl.zst", "s3://b/r"])
    assert not could_be_requests(["s3://b/r.jsonl", "s3://b/T.CSV.gz"])


# --------------------------------------------------------------------------- counted and read


def test_a_row_is_a_line_with_its_id_and_its_request_as_it_was_written():
    body = '{ "messages" : [{"role":"user","content":"caf\\u00e9 \\ud83d\\ude00"}],  "temperature":0.10 }'
    data = f'{{"custom_id": "a b", "method": "POST", "url": "/v1/chat/completions", "body": {body}}}\n'.encode()

    assert read(data) == [{"custom_id": "a b", "body": body}]


def test_blank_lines_line_ends_and_a_byte_order_mark_are_no_rows():
    data = b"\xef\xbb\xbf\n" + lines(chat(1), end="\r\n") + b" \r\n\n" + lines(chat(2), end="")

    assert [row["custom_id"] for row in read(data)] == ["r 1", "r 2"]
    assert counted(data).size_bytes == len(data)


def test_what_else_stands_in_a_line_comes_back_as_json():
    data = lines(chat(1), chat(2, tags=["x", 1], who={"a": "é"}), chat(3, who=None))

    rows = read(data)

    assert [row["other"] for row in rows] == [None, '{"tags":["x", 1],"who":{"a": "\\u00e9"}}', '{"who":null}']


def test_bedrocks_record_id_may_be_absent():
    rows = read(lines(record(1), {"modelInput": record(2)["modelInput"]}, record(3, recordId=None)), "bedrock")

    assert [row["recordId"] for row in rows] == ["r-1", None, None]
    assert [json.loads(row["modelInput"])["max_tokens"] for row in rows] == [9, 9, 9]


@pytest.mark.parametrize("change", [{"method": None}, {"url": None}, {"url": "/chat/completions"}, {"method": "post"}])
def test_where_a_chat_request_would_go_is_not_asked_closely(change):
    assert counted(lines(chat(1, **change))).rows == 1


def test_any_range_of_rows_can_be_read():
    objects = FakeObjects()
    data = lines(*(chat(number, padding="x" * 300) for number in range(OFFSET_EVERY_ROWS + 1_000)))
    taken: list[str | None] = []
    ref, count = objects.plant("in/r.jsonl", data), counted(data, take=taken.extend)

    def ids(first: int, rows: int) -> list[str]:
        batches = read_rows(objects, ref, count, first, rows)
        return [one for batch in batches for one in batch.column("custom_id").to_pylist()]

    assert len(count.offsets) > 2
    whole = ids(0, count.rows)
    assert whole == taken == [f"r {number}" for number in range(count.rows)]
    for first, rows in ((0, 1), (OFFSET_EVERY_ROWS - 1, 3), (count.rows - 1, 1), (3_000, 2_000)):
        assert ids(first, rows) == whole[first : first + rows]


# What `str.isprintable` allows: drawn so rather than filtered, for a filter that drops most of what is drawn fails at times.
PRINTABLE = st.characters(exclude_categories=("C", "Z"), include_characters=" ")


@given(
    ids=st.lists(st.text(PRINTABLE, min_size=1, max_size=8).filter(str.strip), min_size=1),
    end=st.sampled_from(["\n", "\r\n", "\n\n"]),
    ascii_only=st.booleans(),
)
@examples(60)
def test_ids_come_back_as_they_are_and_are_handed_on(ids, end, ascii_only):
    records = [chat(number, custom_id=one) for number, one in enumerate(ids)]
    data = "".join(json.dumps(one, ensure_ascii=ascii_only) + end for one in records).encode()
    taken: list[str | None] = []

    counted(data, take=taken.extend)

    assert taken == ids == [row["custom_id"] for row in read(data)]


def test_a_file_that_was_replaced_since_the_count_is_noticed():
    objects = FakeObjects()
    count = counted(lines(chat(1), chat(2)))
    ref = objects.plant("in/r.jsonl", lines(chat(1)))

    with pytest.raises(SourceError, match="1 rows from data row 1"):
        list(read_rows(objects, ref, count, 0, 2))


# --------------------------------------------------------------------------- refused


BAD_LINES = [
    ("openai", "not json", "is not JSON (Expecting value: line 1 column 1 (char 0)); write one JSON object a line"),
    ("openai", str(chat(2)), "JSON has double quotes (in Python: json.dumps, not str)"),
    ("openai", json.dumps(chat(2))[:-1], "is not JSON ("),
    ("openai", json.dumps(chat(2)) * 2, "is not JSON (Extra data"),
    ("openai", json.dumps(chat(2, body={"temperature": float("nan")})), "is not JSON (NaN is no number in JSON)"),
    ("openai", "[1]", "is not a JSON object; write one JSON object a line"),
    ("openai", "3", "is not a JSON object"),
    ("openai", '{"a":' + "[" * 100_000 + "]" * 100_000 + "}", "is nested too deep"),
    ("openai", record(2), "has no body; give each line its request, as body"),
    ("bedrock", chat(2), "has no modelInput; give each line its request, as modelInput"),
    ("openai", chat(2, body="{}"), "has a body that is no JSON object; write the request itself, not a text of it"),
    ("openai", chat(2, body=None), "has a body that is no JSON object"),
    ("openai", {"body": {}}, "has no custom_id; give each request an id of its own"),
    ("openai", chat(2, custom_id=None), "has no custom_id"),
    ("openai", chat(2, custom_id=7), "has the custom_id 7, which is no text; put it into double quotes"),
    ("openai", chat(2, custom_id=" "), "has the custom_id ' ', which is empty; give each request an id of its own"),
    ("openai", chat(2, custom_id="a\tb"), "which holds the control character \\t; take it out"),
    ("openai", chat(2, custom_id="x" * 1_025), "which has 1025 bytes, more than 1024; shorten it"),
    ("openai", '{"custom_id": ' + HALF + ', "body": {}}', "has a custom_id with half of a surrogate pair"),
    ("bedrock", record(2, recordId=7), "has the recordId 7, which is no text"),
    ("openai", chat(2, method="GET"), 'has the method "GET"; requests are POST'),
    ("openai", chat(2, url="/v1/embeddings"), 'has the url "/v1/embeddings"; only /v1/chat/completions is supported'),
    ("openai", chat(2, url=3), "has the url 3; only /v1/chat/completions is supported"),
]


@pytest.mark.parametrize(("form", "bad", "sentence"), BAD_LINES, ids=[one[2][:40] for one in BAD_LINES])
def test_a_line_that_is_no_request_refuses_the_file_by_its_place(form, bad, sentence):
    first = chat(1) if form == "openai" else record(1)
    data = lines(first, bad, first)

    reported = refusal(data, form)

    assert reported.startswith(f"in/r.jsonl: data row 2 (byte {len(lines(first))}) ")
    assert sentence in reported


def test_a_line_that_is_not_utf_8_is_refused():
    data = lines(chat(1)) + b'{"custom_id": "2", "body": {"x": "\xe9"}}\n'

    assert "data row 2" in refusal(data)
    assert "is not UTF-8 (" in refusal(data)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "in/r.jsonl is empty; give a file with at least one request"),
        (b"\n \r\n", "in/r.jsonl is empty"),
        (b"\xef\xbb\xbf", "in/r.jsonl is empty"),
        ("{}".encode("utf-16"), "in/r.jsonl is UTF-16; save it as UTF-8"),
    ],
)
def test_a_file_without_requests_is_refused(data, sentence):
    assert refusal(data).startswith(sentence)


def test_a_line_without_end_is_refused_before_it_is_held():
    data = b'{"custom_id": "' + b"x" * (33 << 20)

    assert "data row 1 (byte 0) is over 33554432 bytes" in refusal(data)


def test_a_file_none_of_whose_first_requests_can_be_sent_is_refused_with_the_first_reason():
    data = lines(*(chat(number, body={**chat(number)["body"], "seed": number}) for number in range(30)))

    assert refusal(data) == (
        "in/r.jsonl: data row 1: body.seed: Converse has no place for it: leave it out (and none of the first 20 can be"
        " sent)"
    )


def test_requests_that_the_model_takes_from_nobody_are_refused_before_they_are_sent():
    data = lines(*(record(number, modelInput={"messages": [], "max_tokens": 9}) for number in range(3)))

    reported = refusal(data, "bedrock")

    assert reported.startswith("in/r.jsonl: data row 1: modelInput.anthropic_version is not there or another: add ")


def test_one_request_that_can_be_sent_is_enough_to_take_the_file():
    data = lines(*(chat(number, body={"messages": []}) for number in range(30)), chat(30))
    with pytest.raises(SourceError):
        counted(data)

    assert counted(lines(chat(30)) + data).gaps == 30


def test_other_models_named_in_requests_are_noted_once():
    named = ["gpt-4o-mini", CLAUDE, f"bedrock/us.{CLAUDE}", "gpt-4o-mini", None]
    data = lines(*(chat(number, body={**chat(number)["body"], "model": name}) for number, name in enumerate(named)))

    assert counted(data).notes == (
        f"requests name another model in their body (gpt-4o-mini): all were sent to {CLAUDE}",
    )
    assert counted(lines(*(chat(number) for number in range(9)))).gaps == 0


# --------------------------------------------------------------------------- rendered


def rendered(data: bytes, form: str = "openai", **options):
    objects = FakeObjects()
    ref = objects.plant("in/r.jsonl", data)
    count = counted(data, form)
    encoder = RequestEncoder(form, **options)
    sent, unsent, row = [], [], 0
    for batch in read_rows(objects, ref, count, 0, count.rows):
        for encoded in encoder.encode_bounded(batch, "00007", row):
            sent += encoded.data.splitlines()
            unsent += encoded.unsent
        row += batch.num_rows
    batches = list(read_rows(objects, ref, count, 0, count.rows))
    assert sum(map(encoder.count_unsent, batches)) == len(unsent)
    return sent, unsent, count


def test_bedrocks_requests_are_sent_byte_for_byte_under_ids_of_ours():
    body = '{"anthropic_version" : "bedrock-2023-05-31","max_tokens":1e1, "messages":[{"role":"user","content":"\\u00e9"}]}'
    data = f'{{"modelInput":  {body} , "recordId": "not ! an id"}}\n'.encode()

    sent, unsent, _ = rendered(data, "bedrock")

    assert sent == [f'{{"recordId":"00007000000","modelInput":{body}}}'.encode()]
    assert unsent == []


def test_openais_requests_are_sent_as_converse_has_them():
    sent, unsent, count = rendered(lines(*(chat(number) for number in range(3))))

    assert [json.loads(line) for line in sent] == [
        {"recordId": f"00007{number:06d}", "modelInput": converse_request(chat(number)["body"])} for number in range(3)
    ]
    assert (unsent, count.gaps) == ([], 0)


def test_a_request_that_cannot_be_sent_keeps_its_place_and_costs_no_other():
    bad = chat(1, body={**chat(1)["body"], "seed": 3})
    half = json.dumps(chat(2)).replace("Question 2?", "cut \\ud83d")
    sent, unsent, count = rendered(lines(chat(0), bad, half, chat(3)))

    assert [json.loads(line)["recordId"] for line in sent] == ["00007000000", "00007000003"]
    assert [(one.row, one.code) for one in unsent] == [(1, "BAD_VALUE"), (2, "BAD_VALUE")]
    assert unsent[0].message == "body.seed: Converse has no place for it: leave it out"
    assert unsent[1].message.startswith("body holds half of a surrogate pair, which is no character")
    assert count.gaps == 2


def test_half_a_character_in_bedrocks_form_costs_its_row():
    half = json.dumps(record(1)).replace("Question 1?", "cut \\ud83d")
    whole = json.dumps(record(2)).replace("Question 2?", "whole \\ud83d\\ude00")
    sent, unsent, count = rendered(lines(record(0), half, whole), "bedrock")

    assert len(sent) == 2
    assert [(one.row, one.code, one.message[:10]) for one in unsent] == [(1, "BAD_VALUE", "modelInput")]
    assert count.gaps == 1


def test_a_request_that_is_too_large_is_left_out_with_its_size():
    sent, unsent, _ = rendered(
        lines(record(0), record(1, modelInput={"x": "y" * 500})), "bedrock", record_bytes_max=400
    )

    assert len(sent) == 1
    assert [(one.row, one.code) for one in unsent] == [(1, "TOO_LARGE")]
    assert unsent[0].message == "the record has 550 bytes, and Bedrock takes 400 at most"


def test_records_are_handed_on_in_stretches_of_a_few_megabytes():
    batch = pa.record_batch({"recordId": ["x"] * 9, "modelInput": [json.dumps({"x": "y" * 1_000_000})] * 9})

    parts = list(RequestEncoder("bedrock").encode_bounded(batch, "00007", 0))

    assert [part.records for part in parts] == [4, 4, 1]
    ids = [json.loads(line)["recordId"] for part in parts for line in part.data.splitlines()]
    assert ids == [f"00007{row:06d}" for row in range(9)]


def test_the_length_of_a_record_is_estimated_from_what_is_sent():
    objects = FakeObjects()
    data = lines(*(chat(number) for number in range(5)))
    ref = objects.plant("in/r.jsonl", data)
    encoder = RequestEncoder("openai")
    sent, _, count = rendered(data)

    mean = estimate_record_bytes(encoder, read_rows(objects, ref, count, 0, count.rows))

    assert mean == len(sent[0]) + 1


def test_an_image_goes_through_whole():
    url = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(3_000_000)).decode()
    parts = [{"type": "image_url", "image_url": {"url": url}}]
    sent, unsent, _ = rendered(
        lines(*(chat(n, body={"messages": [{"role": "user", "content": parts}]}) for n in (0, 1)))
    )

    assert [json.loads(line)["recordId"] for line in sent] == ["00007000000", "00007000001"]
    assert unsent == []
