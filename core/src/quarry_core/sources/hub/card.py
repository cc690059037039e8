"""The configs that a dataset's README declares: the field `configs` of its YAML header. Pure.

What is in the header is the dataset's own, so nothing of it is trusted: its size, the number of configs and of patterns
are bounded, and what has not the documented form is refused with the README's name. The documented form is that of the
Hub's page "Manual Configuration": each config has a `config_name`, and `data_files` (a pattern, a list of patterns, or
a list of `split` and `path`), perhaps a `data_dir`, and `default: true`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from quarry_core.contract.hub_names import DEFAULT_SPLIT
from quarry_core.text import shown_name

README = "README.md"
STANDALONE = ".huggingface.yaml"
README_BYTES_MAX = 2 << 20
CONFIGS_MAX = 10_000
PATTERNS_MAX = 10_000
_FENCE = "---"


class CardError(ValueError):
    """A README that cannot be understood; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Config:
    """Attributes:
    patterns: of each split's files; None where the names of the files decide.
    folder: under which patterns and names are looked for; empty for the dataset's root.
    """

    name: str
    patterns: Mapping[str, tuple[str, ...]] | None = None
    folder: str = ""
    default: bool = False


def header_of(readme: bytes) -> str:
    """The YAML header of a README; empty if it has none."""
    lines = readme.decode("utf-8-sig", "replace").splitlines()
    if not lines or lines[0].rstrip() != _FENCE:
        return ""
    for number, line in enumerate(lines[1:], 1):
        if line.rstrip() == _FENCE:
            return "\n".join(lines[1:number])
    return ""


def configs_of(header: str, where: str = README) -> tuple[Config, ...]:
    """The configs that a header declares; none if it does not speak of them. Raises CardError."""
    try:
        # Aliases share what they name, so a header that grows when it is written out does not grow here.
        found = yaml.safe_load(header) if header.strip() else None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(getattr(error, "problem", None) or error).split())[:200]
        raise CardError(f"{where}: its header is not YAML ({problem})") from error
    declared = found.get("configs") if isinstance(found, dict) else None
    if declared is None:
        return ()
    if not isinstance(declared, list) or len(declared) > CONFIGS_MAX:
        raise CardError(f"{where}: `configs` is not a list of at most {CONFIGS_MAX} configs")
    configs = tuple(_config(each, where) for each in declared)
    names = [config.name for config in configs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise CardError(f"{where}: the config {shown_name(twice)} is declared twice")
    return configs


def _config(declared: object, where: str) -> Config:
    if not isinstance(declared, dict) or "config_name" not in declared:
        raise CardError(f"{where}: a config in `configs` has no `config_name`")
    name = _scalar(declared["config_name"], f"{where}: a config_name")
    place = f"{where}: config {shown_name(name)}"
    folder = declared.get("data_dir")
    return Config(
        name,
        None if declared.get("data_files") is None else _patterns(declared["data_files"], place),
        "" if folder is None else _scalar(folder, f"{place}: data_dir").strip("/").removeprefix("./"),
        declared.get("default") is True,
    )


def _patterns(declared: object, place: str) -> dict[str, tuple[str, ...]]:
    """Of each split, in the order of the README."""
    if isinstance(declared, dict):
        splits = {_scalar(split, place): _paths(path, place) for split, path in declared.items()}
    elif isinstance(declared, list) and any(isinstance(each, dict) for each in declared):
        splits = {}
        for each in declared:
            if not isinstance(each, dict) or not {"split", "path"} <= each.keys():
                raise CardError(f"{place}: each of its data_files is either a pattern, or has `split` and `path`")
            split = _scalar(each["split"], f"{place}: a split")
            if split in splits:
                raise CardError(f"{place}: the split {shown_name(split)} is declared twice")
            splits[split] = _paths(each["path"], place)
    else:
        splits = {DEFAULT_SPLIT: _paths(declared, place)}
    if sum(map(len, splits.values())) > PATTERNS_MAX:
        raise CardError(f"{place}: it has more than {PATTERNS_MAX} patterns")
    return splits


def _paths(declared: Any, place: str) -> tuple[str, ...]:
    listed: Sequence[Any] = declared if isinstance(declared, list) else [declared]
    if not all(isinstance(path, str) for path in listed):
        raise CardError(f"{place}: a path in its data_files is not text")
    return tuple(listed)


def _scalar(value: object, what: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise CardError(f"{what} is not text")
    return str(value)
