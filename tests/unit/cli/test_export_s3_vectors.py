"""`export --to s3-vectors`: within the service's limits, each vector read back, and a repeat changes nothing."""

from __future__ import annotations

import json

import botocore.session
import numpy as np
import pytest
from botocore.validate import ParamValidator

from quarry_core.errors import Missing, Refused
from tests.world.world import TITAN

if "s3vectors" not in botocore.session.get_session().get_available_services():
    pytest.skip("the lowest botocore does not know S3 Vectors", allow_module_level=True)

LIMITS = {"put": 500, "get": 100, "filterable": 2_048, "metadata": 40_960, "request": 20 * 2**20}


class FakeVectors:
    """One vector bucket, as strict as AWS's guide says the service is."""

    def __init__(self) -> None:
        self.indexes: dict[str, dict] = {}
        self.vectors: dict[str, dict[str, dict]] = {}
        self.calls: list[str] = []
        self.spoil = lambda vector: vector
        self._model = botocore.session.get_session().get_service_model("s3vectors")

    async def __call__(self, service, operation, parameters):
        assert service == "s3vectors"
        self.calls.append(operation)
        camel = "".join(word.title() for word in operation.split("_"))
        report = ParamValidator().validate(parameters, self._model.operation_model(camel).input_shape)
        assert not report.has_errors(), report.generate_report()
        assert len(json.dumps(parameters)) <= LIMITS["request"]
        if parameters["vectorBucketName"] != "vectors":
            raise Missing("there is no such vector bucket")
        return getattr(self, operation)(
            **{key: value for key, value in parameters.items() if key != "vectorBucketName"}
        )

    def _index(self, name):
        if name not in self.indexes:
            raise Missing("there is no such index")
        return self.indexes[name]

    def get_index(self, indexName):  # noqa: N803 AWS's spelling
        return {"index": self._index(indexName)}

    def create_index(self, indexName, **index):  # noqa: N803 AWS's spelling
        assert indexName not in self.indexes
        self.indexes[indexName], self.vectors[indexName] = index, {}
        return {}

    def delete_index(self, indexName):  # noqa: N803 AWS's spelling
        del self.indexes[indexName]
        return {}

    def put_vectors(self, indexName, vectors):  # noqa: N803 AWS's spelling
        index = self._index(indexName)
        fixed = index.get("metadataConfiguration", {}).get("nonFilterableMetadataKeys", [])
        assert len(vectors) <= LIMITS["put"]
        for each in vectors:
            numbers = np.array(each["data"]["float32"], np.float32)
            if len(numbers) != index["dimension"] or not np.isfinite(numbers).all():
                raise Refused("no such vector", "ValidationException")
            metadata = each["metadata"]
            assert all(isinstance(value, str | float | int | bool) for value in metadata.values())
            assert len(metadata) <= 50
            assert len(json.dumps(metadata)) <= LIMITS["metadata"]
            assert len(json.dumps({k: v for k, v in metadata.items() if k not in fixed})) <= LIMITS["filterable"]
            self.vectors[indexName][each["key"]] = self.spoil({**each, "data": {"float32": numbers.tolist()}})
        return {}

    def get_vectors(self, indexName, keys, returnData, returnMetadata):  # noqa: N803 AWS's spelling
        assert len(keys) <= LIMITS["get"]
        there = self.vectors[indexName]
        return {"vectors": [there[key] for key in reversed(keys) if key in there]}


@pytest.fixture
def vectors(quarry):
    quarry.connections["ask"] = FakeVectors()
    return quarry.connections["ask"]


def embedded(quarry, rows, **changes):
    uri = quarry.world.csv(rows, "inputs/texts.csv", columns=("input_text", "id"))
    return quarry.ended(rows, model_id=TITAN, prompt_id=None, s3_uri=uri, **changes)


def exported(quarry, run_id, *options, code=0, bucket="vectors", index="texts"):
    command = ("export", run_id, "--to", "s3-vectors", "--at", bucket, "--table", index, "--json")
    result = quarry(*command, *options)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if not code else json.loads(result.stdout)["error"]["message"]


def test_each_vector_is_put_under_its_record_and_read_back(quarry, vectors):
    quarry.world.bedrock.error_share = 0.2
    run_id = embedded(quarry, 1_300, max_records_per_job=700)
    view = quarry.status(run_id)["rows"]

    done = exported(quarry, run_id)

    assert (done["rows"], done["left_out"], done["compared"]) == (view["ok"], view["error"], view["ok"])
    there = vectors.vectors["texts"]
    wanted = [row for row in quarry.client.table(run_id).to_pylist() if row["embedding"] is not None]
    assert set(there) == {f"{run_id}/{row['record_id']}" for row in wanted}
    first = there[f"{run_id}/{wanted[0]['record_id']}"]
    assert first["data"]["float32"] == wanted[0]["embedding"]
    assert first["metadata"] == {
        **{key: wanted[0][key] for key in ("input_text", "id", "record_id")},
        "quarry_run_id": run_id,
    }
    assert vectors.indexes["texts"]["distanceMetric"] == "cosine"


def test_a_repeat_changes_nothing_and_other_runs_have_other_keys(quarry, vectors):
    one, two = embedded(quarry, 120), embedded(quarry, 130, job_name_prefix="two")
    exported(quarry, one)
    before = dict(vectors.vectors["texts"])

    exported(quarry, one, "--mode", "append")
    assert vectors.vectors["texts"] == before
    exported(quarry, two, "--mode", "append")
    assert len(vectors.vectors["texts"]) == 250
    exported(quarry, two, "--mode", "replace", "--distance", "euclidean")
    assert len(vectors.vectors["texts"]) == 130
    assert vectors.indexes["texts"]["distanceMetric"] == "euclidean"


def test_an_index_that_does_not_fit_is_refused_with_what_to_do(quarry, vectors):
    run_id = embedded(quarry, 100)

    assert "there is no index" in exported(quarry, run_id, "--mode", "append", code=2)
    assert "no vector bucket elsewhere" in exported(quarry, run_id, code=2, bucket="elsewhere")
    assert "is no name of an index" in exported(quarry, run_id, code=2, index="No")
    exported(quarry, run_id)
    assert "--mode append" in exported(quarry, run_id, code=2)
    assert "cannot be changed" in exported(quarry, run_id, "--mode", "append", "--not-filterable", "id", code=2)
    vectors.indexes["texts"]["dimension"] = 7
    assert "takes vectors of 7 numbers" in exported(quarry, run_id, "--mode", "append", code=2)
    assert "no column 'none'" in exported(quarry, run_id, "--metadata", "none", code=2)


def test_a_text_that_is_too_long_to_filter_by_is_named_and_can_be_kept_beside(quarry, vectors):
    long = "word " * 600
    quarry.world.objects.plant("inputs/long.csv", ("input_text,id\n" + f"{long},1\n" * 100).encode())
    uri = "s3://world/inputs/long.csv"
    run_id = quarry.ended(100, model_id=TITAN, prompt_id=None, s3_uri=uri)

    said = exported(quarry, run_id, code=2)

    assert "the longest is 'input_text': keep it beside (--not-filterable input_text)" in said
    assert exported(quarry, run_id, "--mode", "replace", "--not-filterable", "input_text")["rows"] == 100
    configuration = vectors.indexes["texts"]["metadataConfiguration"]
    assert configuration == {"nonFilterableMetadataKeys": ["input_text"]}
    assert exported(quarry, run_id, "--mode", "replace", "--metadata", "id")["rows"] == 100
    assert set(next(iter(vectors.vectors["texts"].values()))["metadata"]) == {"id", "record_id", "quarry_run_id"}


@pytest.mark.parametrize("member", ["data", "metadata"])
def test_what_the_service_keeps_otherwise_is_found(quarry, vectors, member):
    run_id = embedded(quarry, 100)
    spoiled = {"data": {"float32": [0.5]}, "metadata": {"id": "another"}}
    vectors.spoil = lambda vector: vector | ({member: spoiled[member]} if vector["key"].endswith("77") else {})

    assert "00000000077 has other" in exported(quarry, run_id, code=1)


def test_answers_are_no_vectors(quarry, vectors):
    assert "no run of embeddings" in exported(quarry, quarry.ended(100), code=2)
    assert vectors.calls == []
