"""How datasets of the Hugging Face Hub, their revisions and their files are named. Pure.

A file of the Hub stands in an `ObjectRef` as an object does: its bucket is `hf://datasets/OWNER/NAME@COMMIT`, its key the
path in the dataset, its ETag the SHA-256 of a file in LFS, and of any other git's id of the blob.
"""

from __future__ import annotations

import re

HUB_SCHEME = "hf://"
_DATASETS = f"{HUB_SCHEME}datasets/"
NAME_CHARS_MAX = 96
REVISION_CHARS_MAX = 250
CONFIG_CHARS_MAX = 250
CONVERTED = "refs/convert/parquet"
DEFAULT_CONFIG = "default"
DEFAULT_SPLIT = "train"

# The Hub's own rule (huggingface_hub's `validate_repo_id`).
_PART = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CONTROL = re.compile("[\x00-\x1f\x7f]")


class HubNameError(ValueError):
    """A name that nothing on the Hub has; the text says what to write."""


def check_dataset_id(text: str) -> None:
    """Raises HubNameError."""
    for address in ("https://huggingface.co/datasets/", "huggingface.co/datasets/", _DATASETS, "datasets/"):
        if text.startswith(address):
            name = "/".join(text.removeprefix(address).split("/")[:2]).partition("@")[0]
            raise HubNameError(f"{text!r} is an address: give the dataset's name alone, {name!r}")
    parts = text.split("/")
    sound = len(parts) <= 2 and all(
        _PART.fullmatch(part) and len(part) <= NAME_CHARS_MAX and "--" not in part and ".." not in part
        for part in parts
    )
    if not sound or text.endswith(".git"):
        raise HubNameError(f"{text!r} is not the name of a dataset: give OWNER/NAME, as in w601sxs/simpleCoT")


def check_revision(text: str) -> None:
    """A branch, a tag, or a commit. Raises HubNameError."""
    if not text or len(text) > REVISION_CHARS_MAX or _CONTROL.search(text) or text != text.strip():
        raise HubNameError(f"{text!r} is no revision: give a branch, a tag, or the 40 hex digits of a commit")


def check_config(text: str) -> None:
    """Raises HubNameError."""
    if not text or len(text) > CONFIG_CHARS_MAX or _CONTROL.search(text):
        raise HubNameError(f"{text!r} is no config of a dataset: give its name, as the dataset's page shows it")


def is_commit(text: str) -> bool:
    return _COMMIT.fullmatch(text) is not None


def hub_bucket(dataset_id: str, commit: str) -> str:
    """What stands for a bucket in the reference of a file of the Hub."""
    assert is_commit(commit), "files are read at a commit only, for branches move"
    return f"{_DATASETS}{dataset_id}@{commit}"


def in_hub(bucket: str) -> bool:
    """Whether a reference is of a file of the Hub."""
    return bucket.startswith(HUB_SCHEME)


def parse_hub_bucket(bucket: str) -> tuple[str, str]:
    """The dataset's id and the commit. Raises ValueError."""
    dataset_id, at, commit = bucket.removeprefix(_DATASETS).rpartition("@")
    if not bucket.startswith(_DATASETS) or not at or not is_commit(commit):
        raise ValueError(f"{bucket!r} is not of the form hf://datasets/OWNER/NAME@COMMIT")
    return dataset_id, commit
