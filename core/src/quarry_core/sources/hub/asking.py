"""What the Hugging Face Hub says of a dataset: its commit, its files, their sizes and hashes. Blocking.

`huggingface_hub` asks, once for each revision: its description of a dataset at a revision holds all of it. The package
is an optional dependency, imported when the first dataset is looked up. Its calls get a timeout and are repeated by our
own rules: it would wait for as long as the Hub says, and for ever where nothing is said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from urllib3.exceptions import HTTPError

from quarry_core import __version__
from quarry_core.contract.hub_names import hub_bucket, is_commit
from quarry_core.contract.manifest import ManifestError
from quarry_core.errors import Missing, PortError, Refused, Unknown
from quarry_core.ports import ObjectRef
from quarry_core.sources.hub.http import Later, asked_pause_s, meaning_of
from quarry_core.sources.hub.objects import HubObjects
from quarry_core.sources.lookups import NotReadable
from quarry_core.text import shown_name

DESCRIPTION_TIMEOUT_S = 60.0
# The Hub's description of a larger dataset is not known to be whole.
REPO_FILES_MAX = 50_000
REFS_BYTES_MAX = 1 << 20
NAMES_SHOWN_MAX = 20
NOT_INSTALLED = (
    "dataset_id: datasets of the Hugging Face Hub take the package huggingface_hub, which is not installed here: pip install"
    " 'huggingface_hub>=2.4'"
)


class NotInstalled(NotReadable):
    """`huggingface_hub` is not installed where this was asked; elsewhere it may be."""


class NoRevision(ManifestError):
    """The dataset has no such revision."""


@dataclass(frozen=True, slots=True)
class RepoFile:
    """A file of a dataset. The ETag is the SHA-256 of one in LFS, else git's id of the blob."""

    size_bytes: int
    etag: str


@dataclass(frozen=True, slots=True)
class Described:
    """A dataset at a commit.

    Attributes:
        id: its name as the Hub writes it; it may have been asked for by an earlier one.
        commit: 40 hex digits.
        files: by path.
        gated: whether reading it takes a permission of its owner.
    """

    id: str
    commit: str
    files: Mapping[str, RepoFile]
    gated: bool

    def ref(self, path: str) -> ObjectRef:
        return ObjectRef(path, hub_bucket(self.id, self.commit), self.files[path].etag)


def describe(hub: HubObjects, dataset_id: str, revision: str | None = None) -> Described:
    """Ask for a dataset at a revision, by default at the newest commit of its main branch.

    Raises:
        NotInstalled: without `huggingface_hub`.
        NoRevision, ManifestError: the dataset or its revision does not exist; the text names the field.
        NotReadable: the environment's token may not see it.
        PortError: the Hub gave no answer.
    """
    try:
        from huggingface_hub import HfApi  # noqa: PLC0415 an optional dependency
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled  # noqa: PLC0415
    except ImportError as error:
        raise NotInstalled(NOT_INSTALLED) from error
    http = hub.http
    # Without a token of ours none is sent: not one that somebody stored on this machine.
    api = HfApi(endpoint=http.endpoint, token=http.token or False, library_name="quarry", library_version=__version__)
    doing = f"look up the dataset {dataset_id} at {http.endpoint}"

    def ask() -> Any:
        try:
            return api.dataset_info(dataset_id, revision=revision, files_metadata=True, timeout=DESCRIPTION_TIMEOUT_S)
        except HfHubHTTPError as error:
            headers = error.response.headers
            code, said = headers.get("X-Error-Code", ""), headers.get("X-Error-Message", "")
            meaning = meaning_of(error.response.status_code, code, said, doing)
            if isinstance(meaning, (Missing, Refused)):
                raise meaning from error
            raise Later(meaning, asked_pause_s(headers)) from error
        except OfflineModeIsEnabled as error:
            raise Refused(f"{doing}: HF_HUB_OFFLINE is set; unset it", "Offline") from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            # No answer, or one that is none of a Hub.
            raise Later(Unknown(f"{doing}: {type(error).__name__}")) from error
        except Exception as error:
            if type(error).__module__.partition(".")[0] in {"httpx", "httpx2", "requests"}:
                raise Later(Unknown(f"{doing}: {type(error).__name__}")) from error
            raise

    try:
        info = http.repeated(ask, doing)
    except (Missing, Refused) as error:
        raise _refusal(error, hub, dataset_id, revision) from error
    return _described(info, doing)


def _described(info: Any, doing: str) -> Described:
    siblings = info.siblings or []
    if len(siblings) >= REPO_FILES_MAX:
        raise ManifestError(
            f"dataset_id: {info.id} has {len(siblings)} files or more, and Quarry takes datasets of fewer than"
            f" {REPO_FILES_MAX}: copy the files of the split to S3, and name their folder with s3_uri"
        )
    files: dict[str, RepoFile] = {}
    for each in siblings:
        etag = each.lfs.sha256 if each.lfs is not None else each.blob_id
        size = each.lfs.size if each.lfs is not None else each.size
        if not isinstance(etag, str) or not isinstance(size, int):
            raise Unknown(f"{doing}: it does not give the size and the hash of {each.rfilename!r}")
        files[each.rfilename] = RepoFile(size, etag)
    if not isinstance(info.sha, str) or not is_commit(info.sha):
        raise Unknown(f"{doing}: it does not say of which commit its answer is")
    return Described(info.id, info.sha, files, bool(info.gated))


def _refusal(error: PortError, hub: HubObjects, dataset_id: str, revision: str | None) -> PortError | ManifestError:
    code = getattr(error, "code", "")
    said = str(error)
    token = "HF_TOKEN" if hub.http.token else "HF_TOKEN, which is not set"
    page = f"{hub.http.endpoint}/datasets/{dataset_id}"
    if "RevisionNotFound" in said:
        hint = _branches(hub, dataset_id)
        return NoRevision(f"revision: {dataset_id} has no branch, tag or commit {revision!r}{hint}")
    if "GatedRepo" in said:
        return NotReadable(f"dataset_id: {dataset_id} is gated: ask for access at {page} with the account of {token}")
    if code == "Offline":
        return NotReadable(f"dataset_id: {dataset_id} cannot be looked up: {said}")
    if "Invalid credentials" in said:
        return NotReadable("dataset_id: the Hugging Face Hub does not know the token in HF_TOKEN: set a valid one")
    if "RepoNotFound" in said or isinstance(error, Missing) or code in {"401", "403"}:
        return NotReadable(
            f"dataset_id: {hub.http.endpoint} has no dataset {dataset_id}, or none that this environment may read: check"
            f" the name, and for a private one the token in {token}"
        )
    return NotReadable(f"dataset_id: {dataset_id} cannot be looked up ({said})")


def _branches(hub: HubObjects, dataset_id: str) -> str:
    """For people: which branches and tags there are. Nothing if that cannot be known."""
    try:
        answer = hub.http.get(f"{hub.http.endpoint}/api/datasets/{dataset_id}/refs", "refs")
        body = answer.read(REFS_BYTES_MAX)
        answer.close()
        refs = json.loads(body)
        names = [str(each["name"]) for kind in ("branches", "tags") for each in refs[kind]]
    except (PortError, OSError, HTTPError, ValueError, KeyError, TypeError):
        return ""
    shown = ", ".join(map(shown_name, names[:NAMES_SHOWN_MAX]))
    return f": it has {shown}" if shown else ""
