"""Records and answers of the simulated Bedrock: reading lines, answering bodies, writing them in another order."""

import contextlib
import io
import json
import random
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_local.bedrock.families import claude, titan
from quarry_local.bedrock.families.answers import Refused, prompt_digest
from quarry_local.bedrock.families.registry import answering
from quarry_local.bedrock.faults.plan import Faults, RecordFates
from quarry_local.bedrock.jobs.records import InputFile, Unfit, blocks, count_records, read_records
from quarry_local.bedrock.jobs.spool import Spool
from quarry_local.bedrock.models.identity import resolve

CLAUDE = answering(resolve("anthropic.claude-3-haiku-20240307-v1:0", region="r", account="1"))
TITAN = titan.answering()


class Chopped:
    """A stream that returns as little as it likes."""

    def __init__(self, data: bytes, seed: int) -> None:
        self._data = io.BytesIO(data)
        self._random = random.Random(seed)

    def read(self, amt: int) -> bytes:
        return self._data.read(self._random.randint(1, min(amt, 40)))

    def close(self) -> None:
        pass


class OneObject:
    """As much of S3 as a spool needs."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = data
        self.objects: dict[str, bytes] = {}
        self.parts: list[bytes] = []

    def get_object(self, **_: Any) -> dict[str, Any]:
        return {"Body": Chopped(self._data, 0)}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803 - the API's names
        self.objects[Key] = Body

    def create_multipart_upload(self, **_: Any) -> dict[str, str]:
        return {"UploadId": "u"}

    def upload_part(self, *, Body: bytes, **_: Any) -> dict[str, str]:  # noqa: N803
        self.parts.append(Body)
        return {"ETag": str(len(self.parts))}

    def complete_multipart_upload(self, *, Key: str, MultipartUpload: dict[str, Any], **_: Any) -> None:  # noqa: N803
        assert [part["PartNumber"] for part in MultipartUpload["Parts"]] == list(range(1, len(self.parts) + 1))
        self.objects[Key] = b"".join(self.parts)


def messages(content: Any = "Why?", **more: Any) -> dict[str, Any]:
    return {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": content}],
        **more,
    }


def ask(answer: Any, body: Any) -> Any:
    return json.loads(answer(json.dumps(body).encode()).body)


@given(st.lists(st.text(alphabet='ab"é\\ ', max_size=30), max_size=20), st.integers(0, 9), st.booleans())
def test_blocks_end_where_lines_end_and_lose_nothing(texts, seed, last_newline):
    lines = [json.dumps({"recordId": text, "modelInput": {"text": text}}).encode() for text in texts]
    data = b"\n".join(lines) + (b"\n" if last_newline and lines else b"")
    assert b"".join(blocks(Chopped(data, seed))) == data
    found = [record for block in read_records(Chopped(data, seed)) for record in block]
    assert [record.record_id for record in found] == texts
    assert count_records(Chopped(data, seed), "f", 100, lambda: False) == len(texts)


def test_the_first_bad_line_is_named():
    data = b'{"modelInput":{}}\n\n{"modelInput":{}}\n{"modelInput":\n'
    with pytest.raises(Unfit, match="record 3"):
        count_records(Chopped(data, 0), "f", 100, lambda: False)


def test_an_answer_depends_on_the_prompt_and_on_nothing_else():
    one = ask(CLAUDE, messages("Why is the sea salt?"))
    assert one == ask(CLAUDE, messages("Why is the sea salt?", temperature=0.3, max_tokens=4000))
    assert one == ask(CLAUDE, messages([{"type": "text", "text": "Why is the sea salt?"}]))
    assert one != ask(CLAUDE, messages("Why is the sea blue?"))
    assert sha256(b"Why is the sea salt?").hexdigest()[:16] in one["content"][0]["text"]
    assert one["usage"]["input_tokens"] == 6
    assert one["model"] == "claude-3-haiku-20240307-v1:0"


def test_system_and_all_messages_are_the_prompt():
    body = messages("a", system="s")
    body["messages"] += [{"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    assert prompt_digest("s\na\nb\nc") in ask(CLAUDE, body)["content"][0]["text"]


def test_max_tokens_cuts_the_answer_which_is_no_error():
    cut = ask(CLAUDE, messages(max_tokens=3))
    assert cut["stop_reason"] == "max_tokens"
    assert cut["usage"]["output_tokens"] == 3
    assert len(cut["content"][0]["text"]) == 12


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"inputText": "x"}, "anthropic_version: Field required"),
        ({"anthropic_version": "bedrock-2023-05-31"}, "max_tokens: Field required"),
        ({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1}, "messages: Field required"),
        (messages(anthropic_version="2023-06-01"), "anthropic_version: Input should be"),
        (messages(modelId="x"), "modelId: Extra inputs are not permitted"),
        (messages(max_tokens="many"), "max_tokens: Expected `int`"),
        (messages(max_tokens=0), "max_tokens: Input should be greater"),
        (messages(5), "messages.0.content: Expected"),
        (messages([{"text": "Converse"}]), "messages.0.content.0: "),
        ({**messages(), "messages": []}, "messages: at least one"),
    ],
)
def test_a_body_that_claude_does_not_take_is_refused_in_its_words(body, said):
    with pytest.raises(Refused) as refused:
        CLAUDE(json.dumps(body).encode())
    assert refused.value.code == 400
    assert refused.value.message.startswith(said)


@given(st.text(min_size=1, max_size=200), st.sampled_from([256, 512, 1024]))
def test_every_embedding_has_length_one_and_repeats(text, dimensions):
    answer = ask(TITAN, {"inputText": text, "dimensions": dimensions})
    vector = np.array(answer["embedding"])
    assert vector.shape == (dimensions,)
    assert abs(np.linalg.norm(vector) - 1) < 1e-6
    assert answer == ask(TITAN, {"inputText": text, "dimensions": dimensions, "normalize": True})
    assert answer != ask(TITAN, {"inputText": text + "x", "dimensions": dimensions})
    assert answer["inputTextTokenCount"] == len(text) // 4 + 1


def test_embeddings_come_by_the_types_that_were_asked_for():
    both = ask(TITAN, {"inputText": "x", "embeddingTypes": ["float", "binary"], "dimensions": 256})
    assert both["embedding"] == both["embeddingsByType"]["float"]
    assert both["embeddingsByType"]["binary"] == [int(value > 0) for value in both["embedding"]]
    assert "embedding" not in ask(TITAN, {"inputText": "x", "embeddingTypes": ["binary"]})
    assert np.linalg.norm(ask(TITAN, {"inputText": "x", "normalize": False})["embedding"]) > 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputText": ""},
        {"inputText": "x", "dimensions": 300},
        {"inputText": "x", "dimensions": "256"},
        {"inputText": "x", "embeddingTypes": ["int8"]},
        {"inputText": "x", "texts": []},
        {"inputText": "x" * 40_000},
        [],
    ],
)
def test_a_body_that_titan_does_not_take_is_refused(body):
    with pytest.raises(Refused) as refused:
        TITAN(json.dumps(body).encode())
    assert refused.value.code == 400


@given(st.binary(max_size=40))
def test_no_bytes_can_do_worse_than_be_refused(body):
    for answer in (CLAUDE, TITAN):
        with pytest.raises(Refused):
            answer(body)
    assert isinstance(claude.diagnose(body), Refused)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["anthropic_version", "max_tokens", "messages", "role", "content", "inputText", "x"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_json_can_do_worse_than_be_refused(body):
    for answer in (CLAUDE, TITAN):
        with contextlib.suppress(Refused):
            json.loads(answer(msgspec.json.encode(body)).body)


def spooled(count: int, done: int, padding: int = 0) -> tuple[Spool, OneObject]:
    lines = [
        {"recordId": f"r{n}", "modelInput": messages(f"{n}" + "x" * padding) if n % 10 else {"n": n}}
        for n in range(count)
    ]
    s3 = OneObject(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    spool = Spool(count, "s3://b/in/a.jsonl")
    files = [InputFile("b", "in/a.jsonl", 0, "a.jsonl", count)]
    spool.answer(s3, files, done, CLAUDE, RecordFates(0, "job", Faults()))
    return spool, s3


def test_a_part_of_a_job_is_its_first_records_in_another_order():
    spool, s3 = spooled(100, 60)
    assert len(spool) == 60
    for done in (60, 35):
        spool.publish(s3, {"s3Uri": "s3://b/out"}, "abc", done, 1, lambda: False)
        lines = [json.loads(line) for line in s3.objects["out/abc/a.jsonl.out"].splitlines()]
        ids = [line["recordId"] for line in lines]
        assert sorted(ids) == sorted(f"r{n}" for n in range(done))
        assert ids != [f"r{n}" for n in range(done)]
        failed = [line["recordId"] for line in lines if "error" in line]
        assert len(failed) == len(range(0, done, 10))
        summary = json.loads(s3.objects["out/abc/manifest.json.out"])
        assert summary["totalRecordCount"] == 100
        assert summary["processedRecordCount"] == done
        assert summary["errorRecordCount"] == len(failed) == spool.counts(done).error
    spool.close()


def test_a_large_output_goes_up_in_parts():
    spool, s3 = spooled(300, 300, padding=70_000)
    spool.publish(s3, {"s3Uri": "s3://b"}, "abc", 300, 1, lambda: False)
    spool.close()
    assert [len(part) >= 5 << 20 for part in s3.parts[:-1]] == [True] * (len(s3.parts) - 1)
    assert len(s3.parts) > 1
    assert len(s3.objects["abc/a.jsonl.out"].splitlines()) == 300


@given(st.floats(0, 1), st.integers(0, 5))
def test_the_share_of_failing_records_is_about_what_was_set(share, seed):
    fates = RecordFates(seed, "job", Faults(record_error_share=share))
    failed = sum(fates.of(f"r{n}") is not None for n in range(2000))
    assert abs(failed / 2000 - share) < 0.06
