"""Rows to lines: the same bytes as whole objects, and what is not sent."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quarry_core.contract.names import record_id
from quarry_core.contract.prompts import MissingColumn, parse_template
from quarry_core.models import family_of
from quarry_core.rendering.encode import BLOCK_BYTES, SLICE_BYTES, Encoder
from quarry_core.rendering.row_encoder import LINES_BYTES_MAX, Encoded, Unsent, estimate_record_bytes
from quarry_core.rendering.text import NotEncodable, check_encodable
from tests.examples import examples

CLAUDE = family_of("anthropic.claude-3-haiku-20240307-v1:0")
TITAN = family_of("amazon.titan-embed-text-v2:0")
JOKE = parse_template("Tell me a joke about {topic}.")

# What has broken encoders before: quotes, escapes, line ends of every kind, marks and placeholders in the data.
NASTY = st.sampled_from(
    [
        '"',
        "\\",
        "\\\\",
        '\\"',
        "\n",
        "\r\n",
        "\t",
        "\x00",
        "\x1f",
        "\x7f",
        "\u2028",
        "\u2029",
        "\ufeff",
        "é",
        "数",
        "😀",
        "\U0010ffff",
        "{topic}",
        "{{",
        "}}",
        "<0>",
        "<1>",
        "</script>",
        '"\n"',
        "null",
        "nan",
        "u0041",
        "\\u0041",
        "",
        " ",
        '"}}]}\n{"recordId":"',
    ]
)
TEXTS = st.lists(NASTY | st.text(max_size=8), max_size=6).map("".join)


def joke(topics: object, shard="00012", first_row=0, **options) -> Encoded:
    column = topics if isinstance(topics, pa.Array) else pa.array(topics, pa.string())
    return Encoder(CLAUDE, JOKE, **options).encode(pa.record_batch({"topic": column}), shard, first_row)


def lines(encoded: Encoded) -> list[dict[str, Any]]:
    assert encoded.data == b"" or encoded.data.endswith(b"\n")
    found = [json.loads(line) for line in encoded.data.split(b"\n")[:-1]]
    assert len(found) == encoded.records
    return found


def prompts(encoded: Encoded) -> list[str]:
    return [line["modelInput"]["messages"][0]["content"][0]["text"] for line in lines(encoded)]


# --------------------------------------------------------------------------- the bytes


def test_a_line_is_what_bedrock_reads():
    assert joke(["cars"], first_row=7).data == (
        b'{"recordId":"00012000007","modelInput":{"anthropic_version":"bedrock-2023-05-31","max_tokens":1024,'
        b'"messages":[{"role":"user","content":[{"type":"text","text":"Tell me a joke about cars."}]}]}}\n'
    )


def test_an_embedding_line_holds_the_column_input_text():
    batch = pa.record_batch({"id": [1], "input_text": ["sch\u00f6n"]})
    encoded = Encoder(TITAN, None, inference={"dimensions": 256}).encode(batch, "00000", 0)
    assert encoded.data == (
        '{"recordId":"00000000000","modelInput":{"inputText":"schön","dimensions":256,"normalize":true}}\n'.encode()
    )


@pytest.mark.promise("S3")
@given(
    rows=st.lists(st.tuples(TEXTS, TEXTS), max_size=12),
    literals=st.tuples(TEXTS, TEXTS, TEXTS, TEXTS),
    system=st.none() | TEXTS,
    stop=TEXTS,
    first_row=st.integers(0, 900_000),
)
@example(rows=[("<0>", "<1>")], literals=("<0>", "<0", "<<0>", ">"), system="<2><0>", stop="<1>", first_row=999)
@example(rows=[('"\n"', "\\")], literals=("", "", "", ""), system=None, stop="x", first_row=0)
def test_the_bytes_are_those_of_encoding_a_whole_object_for_each_row(rows, literals, system, stop, first_row):
    safe = [text.replace("{", "{{").replace("}", "}}") for text in literals]
    template = parse_template("{a}".join(safe[:2]) + "{b}".join(["", safe[2]]) + "{a}" + safe[3])
    inference = {"stop_sequences": [stop], "temperature": 0.1}
    batch = pa.record_batch(
        {"b": pa.array([b for _, b in rows], pa.string()), "a": pa.array([a for a, _ in rows], pa.string())}
    )
    encoded = Encoder(CLAUDE, template, system, inference).encode(batch, "99997", first_row)
    expected = [
        msgspec.json.encode(
            {
                "recordId": record_id("99997", first_row + index),
                "modelInput": CLAUDE.body(template.render({"a": a, "b": b}), system=system, inference=inference),
            }
        )
        for index, (a, b) in enumerate(rows)
    ]
    assert encoded == Encoded(b"".join(line + b"\n" for line in expected), len(rows))


@given(st.lists(TEXTS, max_size=12))
def test_every_text_comes_back_from_the_line_as_it_was(texts):
    batch = pa.record_batch({"input_text": pa.array(texts, pa.string())})
    assert [line["modelInput"]["inputText"] for line in lines(Encoder(TITAN, None).encode(batch, "00000", 0))] == texts


def test_rows_keep_their_order_and_ids_across_blocks_of_the_encoder():
    topics = [f"topic {row} " + "x" * (row % 2_900) for row in range(3_000)]
    assert sum(map(len, topics)) > 3 * BLOCK_BYTES
    encoded = joke(topics, first_row=5)
    assert [line["recordId"] for line in lines(encoded)] == [f"00012{row:06d}" for row in range(5, 3_005)]
    assert prompts(encoded) == [f"Tell me a joke about {topic}." for topic in topics]


def test_a_slice_of_a_batch_is_encoded_as_that_slice():
    batch = pa.record_batch({"topic": ["a", "b", None, "c"]}).slice(1, 2)
    encoded = Encoder(CLAUDE, JOKE).encode(batch, "00000", 10)
    assert prompts(encoded) == ["Tell me a joke about b."]
    assert [unsent.row for unsent in encoded.unsent] == [11]


def test_an_empty_batch_is_no_bytes():
    assert joke([]) == Encoded(b"", 0)


def test_the_same_rows_are_the_same_bytes_again():
    encoder = Encoder(CLAUDE, JOKE, "system", {"top_p": 1, "temperature": 0})
    again = Encoder(CLAUDE, JOKE, "system", {"temperature": 0, "top_p": 1})
    batch = pa.record_batch({"topic": ["a", "b"]})
    assert encoder.encode(batch, "00000", 0) == encoder.encode(batch, "00000", 0) == again.encode(batch, "00000", 0)


# --------------------------------------------------------------------------- rows that are not sent


@pytest.mark.promise("S3", "S9")
def test_a_row_with_a_null_is_not_sent_and_its_neighbours_keep_their_ids():
    encoded = joke(["cars", None, "cats"], first_row=100)
    assert [line["recordId"] for line in lines(encoded)] == ["00012000100", "00012000102"]
    assert encoded.unsent == (Unsent(101, "NULL_INPUT", "the column 'topic' is null in this row"),)


@pytest.mark.promise("S3", "S9")
@given(st.lists(st.tuples(st.none() | TEXTS, st.none() | TEXTS), max_size=30))
def test_every_row_is_either_a_line_or_reported_as_unsent(rows):
    batch = pa.record_batch(
        {"a": pa.array([a for a, _ in rows], pa.string()), "b": pa.array([b for _, b in rows], pa.string())}
    )
    encoded = Encoder(CLAUDE, parse_template("{a}-{b}"), record_bytes_max=200).encode(batch, "00000", 50)
    sent = {int(line["recordId"][5:]): line for line in lines(encoded)}
    unsent = {one.row: one for one in encoded.unsent}
    assert sorted([*sent, *unsent]) == list(range(50, 50 + len(rows)))
    assert list(unsent) == sorted(unsent)
    for row, (a, b) in enumerate(rows, 50):
        if row in unsent:
            code = "NULL_INPUT" if a is None or b is None else "TOO_LARGE"
            assert unsent[row].code == code
        else:
            assert sent[row]["modelInput"]["messages"][0]["content"][0]["text"] == f"{a}-{b}"


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1.5, float("nan"), None]),
        pa.array([1.5, float("nan"), None], pa.float32()),
        pa.array([1.5, float("nan"), None], pa.float16()),
        pa.array(["1.5", None, None]).dictionary_encode(),
        pa.array([Decimal("1.5"), None, None]),
    ],
    ids=lambda column: str(column.type),
)
def test_no_nan_and_no_none_is_ever_put_into_a_prompt(column):
    encoded = joke(column)
    assert prompts(encoded) == ["Tell me a joke about 1.5."]
    assert [(one.row, one.code) for one in encoded.unsent] == [(1, "NULL_INPUT"), (2, "NULL_INPUT")]


def test_a_column_of_nulls_alone_sends_nothing():
    encoded = joke(pa.nulls(3))
    assert (encoded.data, encoded.records, len(encoded.unsent)) == (b"", 0, 3)


@pytest.mark.promise("S9")
def test_bytes_that_are_not_utf8_cost_their_own_row_only():
    broken = pa.Array.from_buffers(
        pa.string(),
        3,
        [
            None,
            pa.py_buffer(b"\x00\x00\x00\x00\x01\x00\x00\x00\x03\x00\x00\x00\x05\x00\x00\x00"),
            pa.py_buffer(b"a\xff\xfe\xc3\xa9"),
        ],
    )
    encoded = joke(broken)
    assert prompts(encoded) == ["Tell me a joke about a.", "Tell me a joke about é."]
    assert encoded.unsent == (
        Unsent(1, "BAD_VALUE", "the column 'topic' holds bytes that are not UTF-8 text in this row"),
    )


@given(st.lists(st.none() | TEXTS, max_size=30), st.sampled_from(["{topic}", "{topic|}", "{topic}, {topic:json}."]))
def test_texts_that_are_known_to_be_sound_make_the_same_lines_and_prompts(topics, asked):
    batch = pa.record_batch({"topic": pa.array(topics, pa.string())})
    template = parse_template(asked)
    looking, trusting = (Encoder(CLAUDE, template, sound=sound) for sound in (False, True))
    assert trusting.encode(batch, "00012", 3) == looking.encode(batch, "00012", 3)
    assert trusting.count_unsent(batch) == looking.count_unsent(batch)
    encoded = looking.encode(batch, "00012", 0)
    assert list(trusting.texts(batch)) == list(looking.texts(batch)) == prompts(encoded)


@pytest.mark.promise("S9")
def test_a_record_over_the_limit_is_not_sent_and_one_at_the_limit_is():
    limit = len(joke(["x" * 100]).data)
    encoded = joke(["x" * 101, "y" * 100, "z"], record_bytes_max=limit)
    assert prompts(encoded) == [f"Tell me a joke about {'y' * 100}.", "Tell me a joke about z."]
    (unsent,) = encoded.unsent
    assert (unsent.row, unsent.code) == (0, "TOO_LARGE")
    assert str(limit + 1) in unsent.message
    assert str(limit) in unsent.message


def test_the_limit_counts_bytes_as_they_are_sent():
    limit = len(joke(["x" * 10]).data)
    assert joke(['"' * 5], record_bytes_max=limit).records == 1
    assert joke(['"' * 6], record_bytes_max=limit).records == 0
    assert joke(["é" * 6], record_bytes_max=limit).records == 0


def test_unsent_rows_are_reported_in_order_whatever_the_reason():
    encoded = joke(["x" * 500, None, "y", "x" * 500, None], record_bytes_max=300)
    assert [(one.row, one.code) for one in encoded.unsent] == [
        (0, "TOO_LARGE"),
        (1, "NULL_INPUT"),
        (3, "TOO_LARGE"),
        (4, "NULL_INPUT"),
    ]


# --------------------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (pa.array([-7]), "-7"),
        (pa.array([2**64 - 1], pa.uint64()), "18446744073709551615"),
        (pa.array([True]), "true"),
        (pa.array([0.1]), "0.1"),
        (pa.array([Decimal("1.10")]), "1.10"),
        (pa.array([Decimal("0.0000000000")]), "0.0000000000"),
        (pa.array([dt.date(2026, 1, 2)]), "2026-01-02"),
        (pa.array([dt.time(3, 4, 5)], pa.time32("s")), "03:04:05"),
        (pa.array([dt.datetime(2026, 1, 2, 3, 4, 5)], pa.timestamp("s")), "2026-01-02T03:04:05"),  # noqa: DTZ001 - a column without a zone
        (pa.array([0], pa.timestamp("ms", "UTC")), "1970-01-01T00:00:00.000Z"),
        (pa.array([0], pa.timestamp("s", "+02:00")), "1970-01-01T02:00:00+02:00"),
        (pa.array(["x"], pa.large_string()), "x"),
        (pa.array(["x"], pa.string_view()), "x"),
        (pa.array(["x"]).dictionary_encode(), "x"),
        (pa.array([3]).dictionary_encode(), "3"),
        (pa.array([["a", 'b"']]), '["a","b\\""]'),
        (pa.array([{"a": 1, "b": [1.5, float("nan")]}]), '{"a":1,"b":[1.5,null]}'),
        (pa.array([[]], pa.list_(pa.int64())), "[]"),
        (pa.array(['{"a":1}'], pa.json_(pa.string())), '{"a":1}'),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_columns_that_are_no_strings_are_written_as_text(column, text):
    check_encodable(pa.schema({"topic": column.type}), ["topic"])
    assert prompts(joke(column)) == [f"Tell me a joke about {text}."]


@pytest.mark.parametrize(
    "kind",
    [
        pa.binary(),
        pa.binary(4),
        pa.large_binary(),
        pa.list_(pa.binary()),
        pa.struct({"x": pa.binary()}),
        pa.dictionary(pa.int32(), pa.binary()),
        pa.duration("s"),
        pa.map_(pa.string(), pa.binary()),
        pa.timestamp("s", "Nowhere/Special"),
    ],
    ids=str,
)
def test_a_column_without_text_is_refused_by_name_before_anything_is_written(kind):
    with pytest.raises(NotEncodable, match="'topic' is of type"):
        check_encodable(pa.schema({"id": pa.int64(), "topic": kind}), ["topic"])
    check_encodable(pa.schema({"id": pa.int64(), "topic": kind}), ["id"])


def test_a_missing_or_a_doubled_column_is_refused_by_name():
    with pytest.raises(MissingColumn, match="did you mean 'Topic'"):
        check_encodable(pa.schema({"Topic": pa.string()}), ["topic"])
    with pytest.raises(NotEncodable, match="more than one column 'topic'"):
        check_encodable(pa.schema([("topic", pa.string()), ("topic", pa.string())]), ["topic"])


@pytest.mark.promise("S9")
def test_a_date_that_no_calendar_has_costs_its_own_row_only():
    beyond = 10**17
    assert prompts(joke(pa.array([0, beyond], pa.timestamp("s")))) == ["Tell me a joke about 1970-01-01T00:00:00."]
    assert prompts(joke(pa.array([[0], [beyond]], pa.list_(pa.timestamp("s"))))) == [
        'Tell me a joke about ["1970-01-01T00:00:00"].'
    ]


# --------------------------------------------------------------------------- shape of the encoder


def test_an_encoder_knows_the_columns_it_reads():
    assert Encoder(CLAUDE, parse_template("{b}{a}{b}")).columns == ("b", "a")
    assert Encoder(TITAN, None).columns == ("input_text",)


def test_a_text_family_needs_a_template_and_an_embedding_family_has_none():
    with pytest.raises(ValueError, match="needs a template"):
        Encoder(CLAUDE, None)
    with pytest.raises(ValueError, match="input_text"):
        Encoder(TITAN, JOKE)


@pytest.mark.parametrize(("shard", "first_row"), [("12", 0), ("0001x", 0), ("00000", -1), ("00000", 999_999)])
def test_rows_without_record_ids_are_not_encoded(shard, first_row):
    with pytest.raises(ValueError, match="have no record ids"):
        joke(["a", "b"], shard, first_row)


def test_the_last_record_id_of_a_shard_can_be_used():
    assert lines(joke(["a"], "99998", 999_999))[0]["recordId"] == "99998999999"


def test_the_estimate_is_the_mean_length_of_a_line():
    encoder = Encoder(CLAUDE, JOKE)
    batch = pa.record_batch({"topic": ["a", "aaa", None]})
    assert estimate_record_bytes(encoder, [batch]) == len(joke(["aa"]).data) == encoder.frame_bytes + 2


def test_the_estimate_of_nothing_is_an_empty_line():
    encoder = Encoder(CLAUDE, JOKE)
    empty = len(joke([""]).data)
    assert estimate_record_bytes(encoder, [pa.record_batch({"topic": pa.array([], pa.string())})]) == empty
    assert estimate_record_bytes(encoder, [pa.record_batch({"topic": pa.array([None], pa.string())})]) == empty


def test_lines_are_handed_on_a_few_megabytes_at_a_time_however_often_a_template_names_a_cell():
    template = parse_template("{topic}" * 200)
    batch = pa.record_batch({"topic": ["x" * 1_000, None, *["y" * 5_000] * 50, "z" * 100_000, "é" * 20_000_000]})
    encoder = Encoder(CLAUDE, template)
    parts = list(encoder.encode_bounded(batch, "00000", 7))

    assert max(len(part.data) for part in parts[:-2]) <= LINES_BYTES_MAX
    assert max(len(part.data) for part in parts) < 25_000_000
    assert sum(part.records for part in parts) == 52
    assert [(one.row, one.code) for part in parts for one in part.unsent] == [(8, "NULL_INPUT"), (60, "TOO_LARGE")]
    assert b"".join(part.data for part in parts) == encoder.encode(batch, "00000", 7).data


@given(st.integers(SLICE_BYTES - 4, SLICE_BYTES), st.text(alphabet='é€😀"\x01a', min_size=4, max_size=4))
@examples(20)
def test_a_long_value_is_the_same_json_as_a_short_one(before, sharp):
    topic = "x" * before + sharp
    assert prompts(joke([topic])) == [f"Tell me a joke about {topic}."]
