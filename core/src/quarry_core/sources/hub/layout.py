"""Which files of a dataset hold which split of which config. Pure.

By the rules that `datasets` documents ("Structure your repository", "File names and splits"): where the README says
nothing, `data/SPLIT-00000-of-00001.*`, else folders, else files that are named for a split, else everything is `train`.
Files of a split are in the order of its patterns, and of their names within one.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from posixpath import basename, splitext

from quarry_core.contract.hub_names import DEFAULT_CONFIG, DEFAULT_SPLIT
from quarry_core.contract.source_format import SourceFormat
from quarry_core.contract.splits import SPLIT_NAME
from quarry_core.sources.hub.card import Config
from quarry_core.sources.hub.patterns import BadPattern, Pattern

KEYWORDS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_APART = "[-._ 0-9]"
_IN_FOLDERS = ("**/{0}/**", "**/{0}{1}*/**", "**/*{1}{0}/**", "**/*{1}{0}{1}*/**")
_IN_NAMES = ("**/{0}{1}*", "**/*{1}{0}{1}*")
_SHARDED = re.compile(r"data/(?P<split>[^/]+)-[0-9]{5}-of-[0-9]{5}[^/]*\.[^/]*")
STEPS_MAX = 5_000_000
_LAST = "\U0010ffff"
_NO_DATA = frozenset(
    {"README.md", "config.json", "dataset_info.json", "dataset_infos.json", "dummy_data.zip", "dataset_dict.json"}
)
COMPRESSED = (".gz", ".zst")
FORMS: Mapping[str, SourceFormat] = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
# Read as one of the formats only where that is asked for, or where a look has shown that they are.
MAYBE: Mapping[str, SourceFormat] = {".json": "jsonl", ".tsv": "csv", ".txt": "csv"}
# What `datasets` would load in other ways; more of them than of tables, and the tables are not the data.
_OTHERS = frozenset(
    [
        ".7z",
        ".arrow",
        ".avi",
        ".bmp",
        ".bz2",
        ".flac",
        ".gif",
        ".h5",
        ".hdf5",
        ".jpeg",
        ".jpg",
        ".lance",
        ".m4a",
        ".mkv",
        ".mov",
        ".mp3",
        ".mp4",
        ".npy",
        ".npz",
        ".ogg",
        ".opus",
        ".pdf",
        ".png",
        ".rar",
        ".svg",
        ".tar",
        ".tgz",
        ".tif",
        ".tiff",
        ".wav",
        ".webm",
        ".webp",
        ".xlsx",
        ".xml",
        ".xz",
        ".zip",
    ]
)


def splits_of(config: Config, paths: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The files of each split of a config. Raises BadPattern."""
    inside = sorted(path for path in _under(config.folder, paths) if basename(path) not in _NO_DATA)
    if config.patterns is None:
        found = _by_names(inside)
    else:
        found = {
            split: tuple(_taken([Pattern(pattern) for pattern in patterns], inside))
            for split, patterns in config.patterns.items()
        }
    prefix = f"{config.folder}/" if config.folder else ""
    return {split: tuple(prefix + path for path in files) for split, files in found.items()}


def converted_splits(paths: Iterable[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Configs and splits of the Hub's converted Parquet: CONFIG/SPLIT/0000.parquet, `partial-SPLIT` where it was cut off."""
    found: dict[str, dict[str, list[str]]] = {}
    for path in sorted(paths):
        steps = path.split("/")
        if len(steps) > 2 and path.endswith(".parquet"):
            found.setdefault("/".join(steps[:-2]), {}).setdefault(steps[-2], []).append(path)
    return {config: {split: tuple(files) for split, files in splits.items()} for config, splits in found.items()}


def default_config(configs: Sequence[Config]) -> Config | None:
    """The one that is read if none is named; None if that is not clear."""
    if not configs:
        return Config(DEFAULT_CONFIG)
    marked = [config for config in configs if config.default or config.name == DEFAULT_CONFIG]
    chosen = configs if len(configs) == 1 else marked
    return chosen[0] if len(chosen) == 1 else None


def ending_of(path: str) -> str:
    """The suffix that tells a file's format, in lower case, without that of its compression."""
    stem, ending = splitext(path.lower())
    return splitext(stem)[1] if ending in COMPRESSED else ending


def by_form(files: Iterable[str]) -> dict[SourceFormat, list[str]]:
    """The files that are tables, by their format."""
    found: dict[SourceFormat, list[str]] = {}
    for path in files:
        if (form := FORMS.get(ending_of(path))) is not None:
            found.setdefault(form, []).append(path)
    return found


def maybe_of(files: Iterable[str], form: SourceFormat) -> list[str]:
    """The files that may be of a format, though their names do not say so for certain."""
    return [path for path in files if (MAYBE.get(ending_of(path)) or FORMS.get(ending_of(path))) == form]


def endings(files: Iterable[str]) -> Counter[str]:
    """How many files there are of each kind that holds data."""
    known = {*FORMS, *MAYBE, *_OTHERS}
    return Counter(ending for path in files if (ending := _kind(path)) in known)


def mostly_tables(files: Iterable[str]) -> bool:
    """Whether no other kind of data has more files than the tables have."""
    counted = endings(files)
    tables = sum(count for ending, count in counted.items() if ending in {**FORMS, **MAYBE})
    return all(count <= tables for ending, count in counted.items() if ending in _OTHERS)


def _kind(path: str) -> str:
    ending = ending_of(path)
    return ending or splitext(path.lower())[1]


def _under(folder: str, paths: Iterable[str]) -> Iterator[str]:
    prefix = f"{folder}/" if folder else ""
    return (path.removeprefix(prefix) for path in paths if path.startswith(prefix))


def _by_names(paths: Sequence[str]) -> dict[str, tuple[str, ...]]:
    shards = [(shard["split"], path) for path in paths if (shard := _SHARDED.fullmatch(path))]
    if shards and all(SPLIT_NAME.fullmatch(split) for split, _ in shards):
        names = {split for split, _ in shards}
        ordered = [*(split for split in KEYWORDS if split in names), *sorted(names - KEYWORDS.keys())]
        return {split: tuple(path for each, path in shards if each == split) for split in ordered}
    for forms in (_IN_FOLDERS, _IN_NAMES):
        found = {
            split: tuple(dict.fromkeys(chain.from_iterable(_with_word(word, forms, paths) for word in words)))
            for split, words in KEYWORDS.items()
        }
        if any(found.values()):
            return {split: files for split, files in found.items() if files}
    everything = tuple(_taken([Pattern("**")], paths))
    return {DEFAULT_SPLIT: everything} if everything else {}


def _with_word(word: str, forms: Sequence[str], paths: Sequence[str]) -> Iterator[str]:
    holding = [path for path in paths if word in path]
    return _taken([Pattern(form.format(word, _APART)) for form in forms], holding)


def _taken(patterns: Iterable[Pattern], paths: Sequence[str]) -> Iterator[str]:
    """The files of patterns, each once: the first pattern's first. The paths are sorted."""
    seen: set[str] = set()
    steps = 0
    for pattern in patterns:
        first = bisect_left(paths, pattern.prefix)
        last = bisect_right(paths, pattern.prefix + _LAST, lo=first)
        steps += last - first
        if steps > STEPS_MAX:
            raise BadPattern(f"its patterns match too many files too often: more than {STEPS_MAX} times")
        for path in paths[first:last]:
            if path not in seen and pattern.matches(path) and not _is_aside(path, pattern.text):
                seen.add(path)
                yield path


def _is_aside(path: str, pattern: str) -> bool:
    """Whether a file is hidden, or in a folder as `__pycache__`, and the pattern does not ask for such."""
    return _aside(path) != _aside(pattern)


def _aside(path: str) -> tuple[int, int]:
    *folders, _ = names = path.split("/")
    hidden = sum(name.startswith(".") and name.strip(".") != "" for name in names)
    return hidden, sum(name.startswith("__") for name in folders)
