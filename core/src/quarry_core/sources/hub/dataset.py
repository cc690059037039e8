"""A manifest's `dataset_id`, `config`, `split` and `revision`, looked up: which files at which commit. Blocking.

Theory of operation. One request gives the commit and all files; the README at that commit is read for the configs it
declares; the rest is decided by names. From here on the commit is named, never the branch. The dataset's own tables are
taken, and the Hub's conversion to Parquet only where there are none (docs/decisions/0046).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from quarry_core.contract.hub_names import CONVERTED, DEFAULT_CONFIG, DEFAULT_SPLIT, hub_bucket
from quarry_core.contract.listing import FILES_MAX, SourceFile
from quarry_core.contract.manifest import ManifestError
from quarry_core.contract.source_format import SourceFormat
from quarry_core.contract.splits import SplitSlice, read_split
from quarry_core.errors import Missing, Refused
from quarry_core.sources.hub.asking import NAMES_SHOWN_MAX, Described, NoRevision, describe
from quarry_core.sources.hub.card import README, README_BYTES_MAX, STANDALONE, CardError, Config, configs_of, header_of
from quarry_core.sources.hub.layout import (
    by_form,
    converted_splits,
    default_config,
    endings,
    maybe_of,
    mostly_tables,
    splits_of,
)
from quarry_core.sources.hub.objects import HubObjects
from quarry_core.sources.hub.patterns import BadPattern
from quarry_core.sources.lookups import NotReadable
from quarry_core.text import shown_name

ALL_SPLITS = "all"
PARTIAL = "partial-"
LOOK_BYTES = 1_024
_FORMAT_WORDS: Mapping[str, str] = {"parquet": "Parquet", "csv": "CSV", "jsonl": "JSON Lines"}


@dataclass(frozen=True, slots=True)
class DatasetFiles:
    """What a manifest names on the Hub.

    Attributes:
        bucket: of all files; it names the dataset and the commit.
        config: which was taken.
        slices: what is taken of which split, each with the number of its files.
        files: those of the first slice, then those of the second, and so on.
        converted: whether they are the Hub's conversion to Parquet.
    """

    bucket: str
    config: str
    format: SourceFormat
    slices: tuple[SplitSlice, ...]
    files: tuple[SourceFile, ...]
    converted: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """The fields of the manifest, by their names."""

    dataset_id: str
    split: str | None = None
    config: str | None = None
    revision: str | None = None
    format: SourceFormat | None = None


def find_dataset(hub: HubObjects, wish: Wish) -> DatasetFiles:
    """Look up what a manifest names.

    Raises:
        ManifestError: it does not exist, or cannot be read; the text names the field and what there is.
        NotReadable: whoever asks may not read it, or has not what it takes.
        PortError: the Hub gave no answer.
    """
    found = describe(hub, wish.dataset_id, wish.revision)
    if wish.revision is not None and wish.revision.startswith("refs/convert/"):
        chosen = _of_conversion(found, wish)
    else:
        config = _config(found, wish.config, _declared(hub, found))
        try:
            splits = splits_of(config, found.files)
        except BadPattern as error:
            raise ManifestError(
                f"dataset_id: {found.id}: {README}: config {shown_name(config.name)}: {error}"
            ) from error
        slices = _slices(found.id, config.name, splits, wish.split)
        files = list(dict.fromkeys(path for each in slices for path in splits[each.split]))
        form = _own_format(hub, found, files, wish.format)
        if form is None:
            chosen = _converted(hub, found, config.name, files, wish)
        else:
            taken = set(_of_format(files, form, wish.format))
            kept = {split: [path for path in paths if path in taken] for split, paths in splits.items()}
            chosen = _Chosen(found, config.name, form, slices, kept)
    return _pinned(hub, chosen)


@dataclass(frozen=True, slots=True)
class _Chosen:
    described: Described
    config: str
    format: SourceFormat
    slices: Sequence[SplitSlice]
    splits: Mapping[str, Sequence[str]]
    converted: bool = False


def _pinned(hub: HubObjects, chosen: _Chosen) -> DatasetFiles:
    found = chosen.described
    paths = [path for each in chosen.slices for path in chosen.splits[each.split]]
    if len(paths) > FILES_MAX:
        raise ManifestError(f"split: it has {len(paths)} files, and at most {FILES_MAX} are taken: name fewer splits")
    empty = [path for path in paths if not found.files[path].size_bytes]
    if empty:
        raise ManifestError(
            f"dataset_id: {found.id}: {shown_name(empty[0])} has no bytes: it was not uploaded whole; upload it again, or"
            " name another revision"
        )
    if found.gated:
        _check_access(hub, found, paths[0])
    return DatasetFiles(
        bucket=hub_bucket(found.id, found.commit),
        config=chosen.config,
        format=chosen.format,
        slices=tuple(each.model_copy(update={"files": len(chosen.splits[each.split])}) for each in chosen.slices),
        files=tuple(
            # Each names its commit, so that the list alone says what is read.
            SourceFile(
                key=path,
                size_bytes=found.files[path].size_bytes,
                etag=found.files[path].etag,
                bucket=hub_bucket(found.id, found.commit),
            )
            for path in paths
        ),
        converted=chosen.converted,
    )


def _check_access(hub: HubObjects, found: Described, path: str) -> None:
    """The description of a gated dataset is for everybody, its files are not: known now, or hours later."""
    try:
        hub.head(found.ref(path))
    except (Refused, Missing) as error:
        token = "HF_TOKEN" if hub.http.token else "HF_TOKEN, which is not set"
        raise NotReadable(
            f"dataset_id: {found.id} is gated: ask for access at {hub.http.endpoint}/datasets/{found.id} with the account"
            f" of {token}"
        ) from error


# --------------------------------------------------------------------------- configs and splits


def _declared(hub: HubObjects, found: Described) -> tuple[Config, ...]:
    """The configs that the dataset declares, at its commit."""
    declared: tuple[Config, ...] = ()
    for name in (README, STANDALONE):
        if name not in found.files:
            continue
        if found.files[name].size_bytes > README_BYTES_MAX:
            raise ManifestError(
                f"dataset_id: {found.id}: {name} has {found.files[name].size_bytes} bytes, and at most"
                f" {README_BYTES_MAX} are read"
            )
        body = hub.read(found.ref(name))
        try:
            text = header_of(body) if name == README else body.decode("utf-8", "replace")
            declared = configs_of(text, name) or declared
        except CardError as error:
            raise ManifestError(f"dataset_id: {found.id}: {error}") from error
    return declared


def _config(found: Described, wanted: str | None, declared: Sequence[Config]) -> Config:
    if wanted is None:
        config = default_config(declared)
        if config is None:
            raise ManifestError(
                f"config: {found.id} has several configs and no default: name one of {_names(c.name for c in declared)}"
            )
        return config
    for config in declared or (Config(DEFAULT_CONFIG),):
        if config.name == wanted:
            return config
    names = [config.name for config in declared] or [DEFAULT_CONFIG]
    raise ManifestError(f"config: {found.id} has no config {shown_name(wanted)}{_near(wanted, names)}")


def _slices(dataset_id: str, config: str, splits: Mapping[str, Sequence[str]], wanted: str | None) -> list[SplitSlice]:
    """What is taken, with splits that exist. Raises ManifestError."""
    text = DEFAULT_SPLIT if wanted is None else wanted
    there = [split for split, paths in splits.items() if paths]
    if not there:
        raise ManifestError(
            f"dataset_id: {dataset_id} has no files that could hold data in its config {shown_name(config)}"
        )
    if text.strip() == ALL_SPLITS and ALL_SPLITS not in there:
        return [SplitSlice(split=split) for split in there]
    slices = read_split(text)
    for each in slices:
        if each.split not in there:
            of = "" if config == DEFAULT_CONFIG else f" in its config {shown_name(config)}"
            raise ManifestError(f"split: {dataset_id} has no split {each.split}{of}{_near(each.split, there)}")
    return list(slices)


def _near(wanted: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(wanted, names, n=1)
    return (f"; did you mean {shown_name(near[0])}? It" if near else "; it") + f" has: {_names(names)}"


def _names(names: Iterable[str]) -> str:
    every = list(names)
    shown = ", ".join(map(shown_name, islice(every, NAMES_SHOWN_MAX)))
    return shown + (f", and {len(every) - NAMES_SHOWN_MAX} more" if len(every) > NAMES_SHOWN_MAX else "")


# --------------------------------------------------------------------------- formats


def _own_format(
    hub: HubObjects, found: Described, files: Sequence[str], wanted: SourceFormat | None
) -> SourceFormat | None:
    """The format of the dataset's own tables; None if it has none that can be read.

    Raises:
        ManifestError: there are several.
    """
    forms = by_form(files)
    if wanted is not None:
        return wanted if _of_format(files, wanted, wanted) else None
    if len(forms) > 1:
        counted = ", ".join(f"{len(paths)} {_FORMAT_WORDS[form]}" for form, paths in sorted(forms.items()))
        raise ManifestError(
            f"split: its files in {found.id} are of several formats ({counted}): say which of them are the data with format"
        )
    if not mostly_tables(files):
        return None
    if forms:
        return next(iter(forms))
    # A name that ends in .json promises one value as well as one in each line.
    json = [path for path in maybe_of(files, "jsonl") if found.files[path].size_bytes]
    return "jsonl" if json and _has_lines(hub, found, json[0]) else None


def _has_lines(hub: HubObjects, found: Described, path: str) -> bool:
    """Whether a file begins with an object that ends where its line does, or does not end so soon."""
    begin = hub.read(found.ref(path), 0, LOOK_BYTES).lstrip()
    line, _, behind = begin.partition(b"\n")
    closed = line.rstrip().endswith(b"}")
    return begin.startswith(b"{") and line.strip() != b"{" and (closed or not behind)


def _of_format(files: Sequence[str], form: SourceFormat, wanted: SourceFormat | None) -> list[str]:
    certain = by_form(files).get(form, [])
    return maybe_of(files, form) if wanted is not None or not certain else certain


def _converted(hub: HubObjects, found: Described, config: str, files: Sequence[str], wish: Wish) -> _Chosen:
    """The Hub's own conversion to Parquet. Raises ManifestError where there is none that is this dataset's."""
    has = ", ".join(f"{count} {ending}" for ending, count in endings(files).most_common(5)) or "no tables"
    if wish.format in {"csv", "jsonl"}:
        raise ManifestError(f"format: the split has no {_FORMAT_WORDS[wish.format]} files in {found.id} (it has {has})")
    why = f"{found.id} has no Parquet, CSV or JSON Lines files for this split (it has {has})"
    if wish.format == "parquet":
        why = f"{found.id} has no Parquet files of its own for this split"
    if wish.revision is not None and describe(hub, found.id).commit != found.commit:
        raise ManifestError(
            f"revision: {why}, and what the Hub has converted to Parquet is of its newest commit: leave revision out, or"
            " copy the data to S3 as Parquet, CSV or JSON Lines"
        )
    try:
        converted = describe(hub, found.id, CONVERTED)
    except NoRevision as error:
        raise ManifestError(
            f"dataset_id: {why}, and the Hub has not converted it to Parquet: copy the data to S3 as Parquet, CSV or JSON"
            " Lines"
        ) from error
    return _of_conversion(replace(converted, gated=found.gated), replace(wish, config=wish.config or config))


def _of_conversion(found: Described, wish: Wish) -> _Chosen:
    """Files of the branch with conversions, by its own folders."""
    configs = converted_splits(found.files)
    names = list(configs)
    config = wish.config
    if config is None:
        config = next((name for name in names if len(names) == 1 or name == DEFAULT_CONFIG), None)
        if config is None:
            raise ManifestError(f"config: {found.id} has several configs and no default: name one of {_names(names)}")
    if config not in configs:
        raise ManifestError(
            f"config: what the Hub has converted of {found.id} has no config {shown_name(config)}{_near(config, names)}"
        )
    splits = configs[config]
    wanted = DEFAULT_SPLIT if wish.split is None else wish.split
    cut_off = [split.removeprefix(PARTIAL) for split in splits if split.startswith(PARTIAL)]
    for each in cut_off:
        if wanted.strip() == ALL_SPLITS or each in {one.split for one in read_split(wanted)}:
            raise ManifestError(
                f"split: the Hub has converted only the beginning of {each} of {found.id} to Parquet: copy the data to S3 as"
                " Parquet, CSV or JSON Lines"
            )
    whole = {split: paths for split, paths in splits.items() if not split.startswith(PARTIAL)}
    slices = _slices(found.id, config, whole, wish.split)
    return _Chosen(found, config, "parquet", slices, whole, converted=True)
