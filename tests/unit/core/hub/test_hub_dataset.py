"""A manifest's dataset, looked up with the real `huggingface_hub` at the simulated Hub."""

import builtins

import huggingface_hub
import pytest

from quarry_core.contract.hub_names import hub_bucket
from quarry_core.contract.manifest import ManifestError
from quarry_core.errors import PortError, Throttled
from quarry_core.sources.hub.asking import NotInstalled
from quarry_core.sources.hub.dataset import Wish, find_dataset
from quarry_core.sources.hub.objects import HubObjects
from quarry_core.sources.lookups import NotReadable
from tests.unit.local.simulated_hub import simulated_hub

TWO_CONFIGS = b"""---
configs:
- config_name: en
  default: true
  data_files:
  - {split: train, path: en/train-*.parquet}
  - {split: test, path: en/test.parquet}
- config_name: fr
  data_files: fr/*
---
"""
NO_DEFAULT = TWO_CONFIGS.replace(b"  default: true\n", b"")
P = b"PAR1 not looked at here PAR1"
OWN = {"data/train-00000-of-00002.parquet": P + b"0", "data/train-00001-of-00002.parquet": P + b"1"}
CONVERTED = {"default/train/0000.parquet": P, "default/train/0001.parquet": P + b"1", "default/test/0000.parquet": P}
DATASETS = {
    "o/own": {"README.md": b"# plain", **OWN, "data/test-00000-of-00001.parquet": P},
    "o/own@v1": {"train.csv": b"a\n1\n"},
    "o/two": {
        "README.md": TWO_CONFIGS,
        "en/train-0.parquet": P + b"0",
        "en/train-1.parquet": P + b"1",
        "en/test.parquet": P,
        "fr/a.parquet": P,
    },
    "o/nodefault": {"README.md": NO_DEFAULT, "en/train-0.parquet": P, "en/test.parquet": P, "fr/a.parquet": P},
    "o/csv": {"train.csv": b"a\n1\n", "test.csv.gz": b"x"},
    "o/csv@refs%2Fconvert%2Fparquet": CONVERTED,
    "o/images": {"a.jpg": b"1", "b.jpg": b"2", "metadata.csv": b"file_name\na.jpg\n"},
    "o/images@refs%2Fconvert%2Fparquet": CONVERTED,
    "o/tar": {"a.tar": b"1"},
    "o/partial": {"a.tar": b"1"},
    "o/partial@refs%2Fconvert%2Fparquet": {
        "default/partial-train/0000.parquet": P,
        "default/test/0000.parquet": P,
    },
    "o/lines": {"train.json": b'{"a": 1}\n{"a": 2}\n'},
    "o/array": {"train.json": b'[{"a": 1}]'},
    "o/pretty": {"train.json": b'{\n "a": 1\n}\n'},
    "o/mixed": {"train.csv": b"a\n1\n", "train.parquet": P, "train.jsonl": b"{}\n"},
    "o/tsv": {"train.tsv": b"a\tb\n1\t2\n"},
    "o/empty": {"train.csv": b"", "train2.csv": b"a\n"},
    "o/nothing": {"README.md": b"# soon"},
    "o/badcard": {"README.md": b"---\nconfigs: 3\n---\n", "train.csv": b"a\n1\n"},
    "o/badpattern": {"README.md": b"---\nconfigs: [{config_name: a, data_files: '**.csv'}]\n---\n", "a.csv": b"a\n"},
    "o/nomatch": {"README.md": b"---\nconfigs: [{config_name: a, data_files: 'b.csv'}]\n---\n", "a.csv": b"a\n"},
    "o/standalone": {
        ".huggingface.yaml": b"configs: [{config_name: z, data_files: 'deep/a.csv'}]",
        "deep/a.csv": b"a\n",
    },
    "o/private": OWN,
    "o/gated": {"README.md": b"# gated", **OWN},
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    tokens = {"hf_mine": ["*"], "hf_other": []}
    root = tmp_path_factory.mktemp("hub")
    with simulated_hub(root, DATASETS, private=["o/private"], gated=["o/gated"], tokens=tokens) as served:
        yield served


@pytest.fixture(autouse=True)
def calm(hub):
    hub.calm()
    yield
    huggingface_hub.close_session()


@pytest.fixture
def find(hub):
    made = []

    def ask(dataset_id, token="", **fields):
        made.append(HubObjects(hub.url, token, pause=lambda _: None))
        return find_dataset(made[-1], Wish(dataset_id, **fields))

    yield ask
    for objects in made:
        objects.close()


def names(found):
    return [file.key for file in found.files]


def test_a_dataset_with_parquet_of_its_own_takes_one_request_and_its_readme(hub, find):
    before = hub.stats()["requests"]
    found = find("o/own")
    after = hub.stats()["requests"]
    assert {kind: after[kind] - before.get(kind, 0) for kind in after if after[kind] != before.get(kind, 0)} == {
        "info": 1,
        "resolve": 1,
    }
    commit = hub.stats()["datasets"]["o/own"]["main"]
    assert found.bucket == hub_bucket("o/own", commit)
    assert (found.format, found.config, found.converted) == ("parquet", "default", False)
    assert names(found) == list(OWN)
    assert [(each.split, each.files) for each in found.slices] == [("train", 2)]
    assert [file.size_bytes for file in found.files] == [len(body) for body in OWN.values()]
    assert all(len(file.etag) == 64 for file in found.files)


@pytest.mark.parametrize(
    ("split", "slices", "files"),
    [
        ("test", ["test"], ["data/test-00000-of-00001.parquet"]),
        ("train[:10%]+test[5:]", ["train[:10%]", "test[5:]"], [*OWN, "data/test-00000-of-00001.parquet"]),
        ("train[:1]+train[-1:]", ["train[:1]", "train[-1:]"], [*OWN, *OWN]),
        ("all", ["train", "test"], [*OWN, "data/test-00000-of-00001.parquet"]),
    ],
)
def test_splits_and_their_sums_are_files_in_order(find, split, slices, files):
    found = find("o/own", split=split)
    assert [str(each) for each in found.slices] == slices
    assert names(found) == files
    assert sum(each.files for each in found.slices) == len(files)


def test_configs_come_from_the_readme(find):
    assert names(find("o/two")) == ["en/train-0.parquet", "en/train-1.parquet"]
    assert names(find("o/two", config="en", split="test")) == ["en/test.parquet"]
    assert names(find("o/two", config="fr")) == ["fr/a.parquet"]
    assert names(find("o/standalone")) == ["deep/a.csv"]


def test_a_revision_is_a_branch_or_a_commit_and_stays_a_commit(hub, find):
    assert names(find("o/own", revision="v1")) == ["train.csv"]
    before = find("o/own")
    hub.commit("o/own", {"train.csv": b"a\n9\n"})
    commit = before.bucket.rpartition("@")[2]
    assert find("o/own", revision=commit) == before
    assert find("o/own").bucket != before.bucket
    hub.commit("o/own", DATASETS["o/own"])


def test_tables_of_the_datasets_own_come_before_the_hubs_conversion(find):
    found = find("o/csv")
    assert (names(found), found.format, found.converted) == (["train.csv"], "csv", False)
    found = find("o/csv", split="test")
    assert names(found) == ["test.csv.gz"]
    found = find("o/csv", format="parquet", split="train+test")
    assert (found.format, found.converted) == ("parquet", True)
    assert names(found) == list(CONVERTED)


def test_what_is_no_table_is_read_from_the_hubs_conversion_at_a_commit_of_its_own(hub, find):
    found = find("o/images")
    assert found.converted
    assert names(found) == ["default/train/0000.parquet", "default/train/0001.parquet"]
    converted = hub.stats()["datasets"]["o/images"]["refs/convert/parquet"]
    assert found.bucket == hub_bucket("o/images", converted)
    assert find("o/images", revision="refs/convert/parquet") == found
    assert names(find("o/images", format="csv")) == ["metadata.csv"]


def test_json_is_read_where_each_line_is_an_object(find):
    found = find("o/lines")
    assert (names(found), found.format) == (["train.json"], "jsonl")
    for dataset in ("o/array", "o/pretty"):
        with pytest.raises(ManifestError, match="the Hub has not converted it to Parquet"):
            find(dataset)


def test_a_format_chooses_among_several(find):
    with pytest.raises(ManifestError, match=r"of several formats \(1 CSV, 1 JSON Lines, 1 Parquet\)"):
        find("o/mixed")
    assert names(find("o/mixed", format="csv")) == ["train.csv"]
    assert names(find("o/mixed", format="jsonl")) == ["train.jsonl"]
    assert names(find("o/mixed", format="parquet")) == ["train.parquet"]
    assert names(find("o/tsv", format="csv")) == ["train.tsv"]


REFUSALS = [
    ({"dataset_id": "o/unknown"}, "dataset_id: {hub} has no dataset o/unknown, or none that this environment may read"),
    ({"dataset_id": "o/private"}, "for a private one the token in HF_TOKEN, which is not set"),
    ({"dataset_id": "o/private", "token": "hf_other"}, "for a private one the token in HF_TOKEN"),
    ({"dataset_id": "o/own", "token": "hf_wrong"}, "the Hugging Face Hub does not know the token in HF_TOKEN"),
    (
        {"dataset_id": "o/gated"},
        "dataset_id: o/gated is gated: ask for access at {hub}/datasets/o/gated with the account of",
    ),
    ({"dataset_id": "o/gated", "token": "hf_other"}, "with the account of HF_TOKEN"),
    ({"dataset_id": "o/own", "revision": "v2"}, "revision: o/own has no branch, tag or commit 'v2': it has main, v1"),
    (
        {"dataset_id": "o/own", "split": "tests"},
        "split: o/own has no split tests; did you mean test? It has: train, test",
    ),
    ({"dataset_id": "o/own", "config": "en"}, "config: o/own has no config en; it has: default"),
    ({"dataset_id": "o/two", "config": "eng"}, "config: o/two has no config eng; did you mean en? It has: en, fr"),
    ({"dataset_id": "o/two", "config": "fr", "split": "test"}, "split: o/two has no split test in its config fr"),
    ({"dataset_id": "o/nodefault"}, "config: o/nodefault has several configs and no default: name one of en, fr"),
    ({"dataset_id": "o/tar"}, "o/tar has no Parquet, CSV or JSON Lines files for this split (it has 1 .tar)"),
    ({"dataset_id": "o/partial"}, "split: the Hub has converted only the beginning of train of o/partial to Parquet"),
    ({"dataset_id": "o/partial", "split": "all"}, "the Hub has converted only the beginning of train"),
    ({"dataset_id": "o/csv", "format": "jsonl"}, "format: the split has no JSON Lines files in o/csv (it has 1 .csv)"),
    ({"dataset_id": "o/empty"}, "dataset_id: o/empty: train.csv has no bytes: it was not uploaded whole"),
    ({"dataset_id": "o/nothing"}, "dataset_id: o/nothing has no files that could hold data"),
    ({"dataset_id": "o/badcard"}, "dataset_id: o/badcard: README.md: `configs` is not a list"),
    ({"dataset_id": "o/badpattern"}, "README.md: config a: the pattern '**.csv': ** can only stand alone"),
    ({"dataset_id": "o/nomatch"}, "dataset_id: o/nomatch has no files that could hold data in its config a"),
]


@pytest.mark.parametrize(("wish", "sentence"), REFUSALS)
def test_what_cannot_be_read_is_told_with_the_field_and_what_there_is(hub, find, wish, sentence):
    with pytest.raises(ManifestError) as refused:
        find(**wish)
    assert sentence.format(hub=hub.url) in str(refused.value)
    assert "hf_" not in str(refused.value)


def test_an_earlier_revision_is_not_read_from_a_conversion_of_the_newest(hub, find):
    before = hub.stats()["datasets"]["o/images"]["main"]
    hub.commit("o/images", {**DATASETS["o/images"], "c.jpg": b"3"})
    with pytest.raises(ManifestError, match="what the Hub has converted to Parquet is of its newest commit"):
        find("o/images", revision=before)
    assert find("o/images", revision="main").converted
    hub.commit("o/images", DATASETS["o/images"])


def test_a_private_and_a_gated_dataset_are_read_with_the_token(find):
    assert names(find("o/private", token="hf_mine")) == list(OWN)
    assert names(find("o/gated", token="hf_mine")) == list(OWN)
    with pytest.raises(NotReadable):
        find("o/gated", token="hf_other")


def test_limits_of_the_hub_are_waited_for_within_bounds(hub):
    pauses = []
    objects = HubObjects(hub.url, pause=pauses.append)
    hub.faults(throttled_first={"info": 2}, throttled_s=7)
    assert names(find_dataset(objects, Wish("o/own"))) == list(OWN)
    assert pauses == [7, 7]
    hub.faults(throttled_first={"info": 99}, throttled_s=299)
    with pytest.raises(Throttled, match="a pause of 299 s"):
        find_dataset(objects, Wish("o/own"))
    objects.close()


def test_no_answer_is_no_refusal(find):
    with pytest.raises(PortError):
        find_dataset(HubObjects("http://127.0.0.1:9", pause=lambda _: None), Wish("o/own"))


def test_without_the_package_one_sentence_says_what_to_install(find, monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.partition(".")[0] == "huggingface_hub":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(NotInstalled, match=r"pip install 'huggingface_hub>=2\.4'"):
        find("o/own")


def test_no_token_that_somebody_stored_on_this_machine_is_sent(hub, find, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert find("o/own").files
