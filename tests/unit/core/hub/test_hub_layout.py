"""Which files of a dataset are which split: by its README, else by their names, as `datasets` documents it."""

import pytest

from quarry_core.sources.hub.card import CardError, Config, configs_of, header_of
from quarry_core.sources.hub.layout import (
    by_form,
    converted_splits,
    default_config,
    ending_of,
    mostly_tables,
    splits_of,
)
from quarry_core.sources.hub.patterns import PATTERN_CHARS_MAX, BadPattern, Pattern

BY_NAMES = Config("default")


@pytest.mark.parametrize(
    ("pattern", "takes", "leaves"),
    [
        ("train.csv", ["train.csv"], ["data/train.csv", "train.csv.gz", "xtrain.csv"]),
        ("./train.csv", ["train.csv"], []),
        ("*.csv", ["a.csv", ".csv"], ["a/b.csv", "a.tsv"]),
        ("data/*", ["data/a.csv"], ["data/b/c.csv", "a.csv"]),
        ("data/**", ["data/a.csv", "data/b/c.csv"], ["data", "other/a.csv"]),
        ("**", ["a.csv", "a/b/c.csv"], []),
        ("**/a.csv", ["a.csv", "x/a.csv", "x/y/a.csv"], ["ba.csv", "x/b.csv"]),
        ("a/**/z.csv", ["a/z.csv", "a/b/z.csv", "a/b/c/z.csv"], ["z.csv", "b/a/z.csv"]),
        ("a/**/**/z.csv", ["a/z.csv", "a/b/z.csv"], ["z.csv"]),
        ("a?c.csv", ["abc.csv", "a.c.csv"], ["ac.csv", "a/c.csv", "abbc.csv"]),
        ("[ab]*.csv", ["a1.csv", "b.csv"], ["c.csv", "/a.csv"]),
        ("[!ab]*.csv", ["c.csv"], ["a.csv"]),
        ("x[0-9][0-9].csv", ["x07.csv"], ["x7.csv", "xab.csv"]),
        ("train[-._ 0-9]*", ["train-0.csv", "train.csv", "train 1", "train_x"], ["trainer.csv", "train"]),
        ("data/train-*-of-*.parquet", ["data/train-00000-of-00001.parquet"], ["data/train-0.parquet"]),
        ("odd[name.csv", ["odd[name.csv"], ["oddn.csv"]),
        ("a[1].csv", ["a1.csv", "a[1].csv"], ["a2.csv"]),
        ("a*b*c", ["abc", "axxbyyc", "abcbc"], ["ab", "acb"]),
    ],
)
def test_a_pattern_takes_what_fsspec_would(pattern, takes, leaves):
    matches = Pattern(pattern).matches
    assert [path for path in takes if not matches(path)] == []
    assert [path for path in leaves if matches(path)] == []
    assert all(path.startswith(Pattern(pattern).prefix) for path in takes if path != pattern)


@pytest.mark.parametrize("pattern", ["**.csv", "data/**x", "x" * (PATTERN_CHARS_MAX + 1)])
def test_a_pattern_that_says_nothing_is_refused(pattern):
    with pytest.raises(BadPattern):
        Pattern(pattern)


def test_no_pattern_takes_long_whatever_its_stars():
    assert not Pattern("a*" * 200 + "b").matches("a" * 400)
    assert not Pattern("**/a/" * 60 + "b").matches("a/" * 120 + "c")


@pytest.mark.parametrize(
    ("paths", "splits"),
    [
        # The layouts of the Hub's page "File names and splits", and of the docstring of `get_data_patterns`.
        (["dataset.csv"], {"train": ["dataset.csv"]}),
        (["a.csv", "b/c.csv"], {"train": ["a.csv", "b/c.csv"]}),
        (["train.csv", "test.csv"], {"train": ["train.csv"], "test": ["test.csv"]}),
        (["data/train.csv", "data/test.csv"], {"train": ["data/train.csv"], "test": ["data/test.csv"]}),
        (
            ["train_0.csv", "train_1.csv", "test_0.csv"],
            {"train": ["train_0.csv", "train_1.csv"], "test": ["test_0.csv"]},
        ),
        (
            ["data/train/shard_0.csv", "data/train/shard_1.csv", "data/test/shard_0.csv"],
            {"train": ["data/train/shard_0.csv", "data/train/shard_1.csv"], "test": ["data/test/shard_0.csv"]},
        ),
        (
            [f"data/{split}-0000{n}-of-00002.csv" for split in ("train", "test", "random") for n in (0, 1)],
            {s: [f"data/{s}-0000{n}-of-00002.csv" for n in (0, 1)] for s in ("train", "test", "random")},
        ),
        (
            ["my_train_file_1.csv", "my_dev_file.csv"],
            {"train": ["my_train_file_1.csv"], "validation": ["my_dev_file.csv"]},
        ),
        (["training/a.csv", "eval/b.csv"], {"train": ["training/a.csv"], "test": ["eval/b.csv"]}),
        (["trainer.csv", "latest.csv"], {"train": ["latest.csv", "trainer.csv"]}),
        (["train-00000-of-00001.parquet"], {"train": ["train-00000-of-00001.parquet"]}),
        (["data/val-00000-of-00001-abc.parquet"], {"val": ["data/val-00000-of-00001-abc.parquet"]}),
        (["README.md", ".gitattributes", "__pycache__/train.csv", ".hidden/train.csv"], {}),
        (["dataset_infos.json", "x.json"], {"train": ["x.json"]}),
        ([], {}),
    ],
)
def test_names_decide_where_the_readme_says_nothing(paths, splits):
    assert splits_of(BY_NAMES, paths) == {split: tuple(files) for split, files in splits.items()}
    assert list(splits_of(BY_NAMES, paths)) == list(splits)


def test_a_readme_decides_with_its_patterns_in_their_order():
    readme = b"""---
license: mit
configs:
- config_name: main
  default: true
  data_files:
  - split: train
    path: [b/*.csv, a/*.csv]
  - split: heldout
    path: z.csv
- config_name: folder
  data_dir: ./inner/
- config_name: 2024
  data_files: y/*
- config_name: listed
  data_files: ["z.csv", "a/**"]
---
# A dataset
"""
    paths = ["a/1.csv", "a/.hidden.csv", "b/2.csv", "b/1.csv", "z.csv", "inner/test/t.csv", "inner/train/u.csv", "y/q"]
    configs = configs_of(header_of(readme))
    assert [config.name for config in configs] == ["main", "folder", "2024", "listed"]
    assert default_config(configs).name == "main"
    assert splits_of(configs[0], paths) == {"train": ("b/1.csv", "b/2.csv", "a/1.csv"), "heldout": ("z.csv",)}
    assert splits_of(configs[1], paths) == {"train": ("inner/train/u.csv",), "test": ("inner/test/t.csv",)}
    assert splits_of(configs[2], paths) == {"train": ("y/q",)}
    assert splits_of(configs[3], paths) == {"train": ("z.csv", "a/1.csv")}


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ([], "default"),
        (["only"], "only"),
        (["a", "default"], "default"),
        (["a", "b"], None),
    ],
)
def test_one_config_is_the_default_or_none_is(names, chosen):
    config = default_config([Config(name) for name in names])
    assert (config.name if config else None) == chosen


def test_two_defaults_are_none():
    assert default_config([Config("a", default=True), Config("b", default=True)]) is None


@pytest.mark.parametrize(
    ("readme", "header"),
    [
        (b"", ""),
        (b"# no header\n---\nx: 1\n---\n", ""),
        (b"---\nx: 1\n", ""),
        (b"---\r\nx: 1\r\n---\r\nbody", "x: 1"),
        (b"\xef\xbb\xbf---\nx: 1\n---\n", "x: 1"),
        (b"---\n---\n", ""),
    ],
)
def test_a_header_stands_between_two_lines_at_the_beginning(readme, header):
    assert header_of(readme) == header


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("x: [", "README.md: its header is not YAML"),
        ("configs: 3", "`configs` is not a list"),
        ("configs: [3]", "a config in `configs` has no `config_name`"),
        ("configs: [{config_name: [1]}]", "a config_name is not text"),
        ("configs: [{config_name: a}, {config_name: a}]", "the config a is declared twice"),
        ("configs: [{config_name: a, data_files: [{split: train}]}]", "either a pattern, or has `split` and `path`"),
        ("configs: [{config_name: a, data_files: 3}]", "a path in its data_files is not text"),
        ("configs: [{config_name: a, data_files: [3]}]", "a path in its data_files is not text"),
        (
            "configs: [{config_name: a, data_files: [{split: t, path: x}, {split: t, path: y}]}]",
            "the split t is declared twice",
        ),
        ("&a [" + "*a," * 3 + "]", None),
    ],
)
def test_a_readme_that_is_not_as_documented_is_told_where(header, sentence):
    if sentence is None:
        assert configs_of(header) == ()
        return
    with pytest.raises(CardError) as refused:
        configs_of(header)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("header", ["", "license: mit", "- 1", "text", "configs:"])
def test_a_readme_that_does_not_speak_of_configs_declares_none(header):
    assert configs_of(header) == ()


def test_the_hubs_conversion_tells_configs_and_splits_by_its_folders():
    found = converted_splits(
        ["default/train/0001.parquet", "default/train/0000.parquet", "en/partial-test/0000.parquet", "README.md"]
    )
    assert found == {
        "default": {"train": ("default/train/0000.parquet", "default/train/0001.parquet")},
        "en": {"partial-test": ("en/partial-test/0000.parquet",)},
    }


@pytest.mark.parametrize(
    ("path", "ending"),
    [
        ("a.csv", ".csv"),
        ("a/B.CSV.GZ", ".csv"),
        ("a.jsonl.zst", ".jsonl"),
        ("a.tar.gz", ".tar"),
        ("a", ""),
        ("a.gz", ""),
    ],
)
def test_a_files_ending_is_that_under_its_compression(path, ending):
    assert ending_of(path) == ending


def test_tables_are_the_data_unless_something_else_is_more():
    assert by_form(["a.parquet", "b.csv.gz", "c.ndjson", "d.json", "e.md"]) == {
        "parquet": ["a.parquet"],
        "csv": ["b.csv.gz"],
        "jsonl": ["c.ndjson"],
    }
    assert mostly_tables(["a.csv", "README.md", "LICENSE", "x.py", "y.py"])
    assert mostly_tables(["metadata.csv", "a.jpg"])
    assert not mostly_tables(["metadata.csv", "a.jpg", "b.jpg"])
    assert not mostly_tables(["a.csv", "b.tar.gz", "c.tar.gz"])


def test_a_readme_whose_patterns_match_without_end_is_refused():
    paths = [f"{number:06d}.csv" for number in range(3_000)]
    config = Config("default", {"train": tuple(f"*{number}*" for number in range(2_000))})
    with pytest.raises(BadPattern, match="match too many files too often"):
        splits_of(config, paths)
    literal = Config("default", {"train": tuple(paths)})
    assert splits_of(literal, paths)["train"] == tuple(paths)
