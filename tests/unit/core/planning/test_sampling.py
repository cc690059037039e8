"""The sampled records stand for all, however the dataset is sorted and whatever holds it."""

from __future__ import annotations

import gzip
import io
import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_core.contract.manifest_reading import read_manifest
from quarry_core.planning import sampling
from quarry_core.planning.plan_source import plan_source
from quarry_core.planning.sampling import SAMPLE_ROWS
from quarry_core.planning.tokens import count_features, tokenizer_of
from quarry_core.sources.pinning import Environment, pin
from tests.world.objects import FakeObjects

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
PROMPT = "Judge this: {text}"


def sorted_texts(rows):
    """Kinds of very different length and tokens, one kind after the other."""
    chance, words = random.Random(5), ["some", "plain", "words", "of", "a", "language", "that", "has", "spaces"]
    makers = [
        lambda: " ".join(chance.choices(words, k=60)),
        lambda: "".join(chance.choices("日本語の文章には空白がない", k=120)),
        lambda: str(chance.random()),
        lambda: " ".join(chance.choices(words, k=8)),
        lambda: json.dumps({"id": chance.randrange(10**9), "name": "x" * 9}),
    ]
    return [makers[row * len(makers) // rows]() for row in range(rows)]


def csv(texts):
    return "".join(["text,n\n", *(f'"{text.replace(chr(34), chr(34) * 2)}",1\n' for text in texts)]).encode()


def parquet(texts, **options):
    sink = io.BytesIO()
    pq.write_table(pa.table({"n": range(len(texts)), "text": texts}), sink, **options)
    return sink.getvalue()


def jsonl(texts):
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


def split(texts, files):
    each = -(-len(texts) // files)
    return [texts[begin : begin + each] for begin in range(0, len(texts), each)]


SOURCES = {
    "one CSV file": lambda texts: {"a.csv": csv(texts)},
    "forty CSV files": lambda texts: {f"{n:03}.csv": csv(part) for n, part in enumerate(split(texts, 40))},
    "a Parquet file of one row group": lambda texts: {"a.parquet": parquet(texts)},
    "a Parquet file of small row groups": lambda texts: {"a.parquet": parquet(texts, row_group_size=500)},
    "200 Parquet files": lambda texts: {f"{n:03}.parquet": parquet(part) for n, part in enumerate(split(texts, 200))},
    "gzip's JSONL": lambda texts: {"a.jsonl.gz": gzip.compress(jsonl(texts), 1)},
}


@pytest.fixture(scope="module")
def mean_of_all():
    return tokens_of(sorted_texts(10_000))


def planned(objects, uri, **more):
    manifest = {"job_name_prefix": "p", "model_id": CLAUDE, "s3_uri": uri, "prompt": PROMPT, **more}
    if manifest["prompt"] is None:
        del manifest["prompt"]
    environment = Environment(region="us-east-1", bucket="world")
    pins = pin(objects, "run", read_manifest(manifest), environment)
    return plan_source(objects, "run", pins, 20)


def tokens_of(texts, prompt=PROMPT):
    tokenizer = tokenizer_of(CLAUDE)
    counts = np.concatenate(list(count_features(prompt.replace("{text}", text) for text in texts)))
    return tokenizer.tokens(counts).mean()


@pytest.mark.parametrize("name", SOURCES)
def test_a_dataset_that_is_sorted_by_kind_is_estimated_as_if_it_were_shuffled(name, mean_of_all):
    texts, objects = sorted_texts(10_000), FakeObjects("world")
    for key, body in SOURCES[name](texts).items():
        objects.plant(f"in/{key}", body)

    found = planned(objects, "s3://world/in/")

    assert SAMPLE_ROWS * 0.9 <= found.tokens.records <= SAMPLE_ROWS
    assert found.tokens.mean == pytest.approx(mean_of_all, rel=0.04)
    assert found.tokens.uncertainty < 0.03  # places far apart differ, and have their share


@pytest.mark.promise("S9")
@pytest.mark.parametrize(
    ("texts", "sound"),
    [
        ([b"a", "é".encode()], True),
        ([b"a", b"\xff"], False),
        ([b"a", None], False),
    ],
)
def test_texts_of_parquet_are_known_to_be_sound_when_each_was_seen(texts, sound):
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": pa.array(texts * 100, pa.binary()).view(pa.string())}), sink)
    objects = FakeObjects("world")
    objects.plant("a.parquet", sink.getvalue())
    found = planned(objects, "s3://world/a.parquet")
    assert found.counted.dataset.count.sound is sound


def test_only_the_rows_that_the_plan_takes_are_sampled():
    texts, objects = sorted_texts(10_000), FakeObjects("world")
    objects.plant("a.csv", csv(texts))

    found = planned(objects, "s3://world/a.csv", max_records_total=2_500)

    assert found.tokens.mean == pytest.approx(tokens_of(texts[:2_500]), rel=0.02)


def test_rows_that_are_not_sent_are_not_counted():
    texts, objects = sorted_texts(1_000), FakeObjects("world")
    objects.plant("a.parquet", parquet([None if row % 2 else text for row, text in enumerate(texts)]))

    found = planned(objects, "s3://world/a.parquet")

    assert found.tokens.records == 500
    assert found.tokens.mean == pytest.approx(tokens_of(texts[::2]), rel=0.001)


def test_very_long_texts_are_looked_at_less_often(monkeypatch):
    monkeypatch.setattr(sampling, "SAMPLE_CHARS_MAX", 64 * 300)
    objects = FakeObjects("world")
    objects.plant("a.csv", csv(["word " * 40] * 5_000))

    found = planned(objects, "s3://world/a.csv")

    assert 64 * 2 <= found.tokens.records < 64 * 4
    assert found.tokens.mean == pytest.approx(tokens_of(["word " * 40]), rel=0.001)


def request(number, **body):
    content = [{"type": "text", "text": f"a question, number {number}"}]
    return {"recordId": f"r{number}", "modelInput": {"messages": [{"role": "user", "content": content}], **body}}


def test_of_ready_requests_the_texts_are_counted_and_not_their_json():
    objects = FakeObjects("world")
    lines = [json.dumps(request(n, anthropic_version="bedrock-2023-05-31", max_tokens=9)) for n in range(200)]
    objects.plant("in/r.jsonl", "\n".join(lines).encode())

    found = planned(objects, "s3://world/in/r.jsonl", prompt=None)

    texts = [f"a question, number {n}" for n in range(200)]
    assert found.tokens.mean == pytest.approx(tokens_of(texts, "{text}"), rel=0.01)
