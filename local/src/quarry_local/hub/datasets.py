"""Datasets as the Hub keeps them: files of a commit, commits of a branch. Made from folders; nothing is copied.

A commit is named by what it holds, so the same folder gives the same commit on every machine. A folder that changes
after it became a commit makes that commit's changed files unreadable, for a commit never changes: what moves is the
branch, by a further folder.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

MAIN = "main"
CONVERTED = "refs/convert/parquet"
README = "README.md"
# What `.gitattributes` of a new dataset gives to LFS by name; anything else goes there by its size.
LFS_ENDINGS = (".parquet", ".arrow", ".gz", ".zst", ".bz2", ".xz", ".zip", ".7z", ".tar", ".bin", ".npy", ".npz")
LFS_BYTES_MIN = 10 * 1024 * 1024
POINTER_BYTES = 134
_ID = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")
_PIECE_BYTES = 1 << 20


class BadFolder(ValueError):
    """A folder that cannot be served; the text says why."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a commit.

    Attributes:
        oid: of git's blob: of the file itself, or of the pointer that stands for it.
        sha256: of the content, for a file in LFS; empty for others.
    """

    path: str
    on_disk: Path
    size_bytes: int
    modified_ns: int
    oid: str
    sha256: str = ""

    @property
    def etag(self) -> str:
        return self.sha256 or self.oid

    @property
    def unchanged(self) -> bool:
        try:
            found = self.on_disk.stat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (self.size_bytes, self.modified_ns)


@dataclass(frozen=True, slots=True)
class Commit:
    sha: str
    files: dict[str, File]


@dataclass(slots=True)
class Dataset:
    """A dataset's branches, each at a commit, and every commit that ever was."""

    id: str
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    def at(self, revision: str) -> Commit | None:
        """The commit that a branch or a commit's whole name stands for."""
        return self.commits.get(self.branches.get(revision.removeprefix("refs/heads/"), revision))


class Datasets:
    """All datasets of a Hub."""

    def __init__(self, lfs_bytes_min: int = LFS_BYTES_MIN) -> None:
        self._lfs_bytes_min = lfs_bytes_min
        self._known: dict[str, Dataset] = {}

    def __iter__(self) -> Iterator[Dataset]:
        return iter(self._known.values())

    def get(self, dataset_id: str) -> Dataset | None:
        return self._known.get(dataset_id)

    def read(self, root: Path) -> None:
        """Take every dataset of a folder: `OWNER/NAME` is its branch main, `OWNER/NAME@REVISION` another.

        A slash in a revision is written `%2F`: `NAME@refs%2Fconvert%2Fparquet`.

        Raises:
            BadFolder: there is no such folder, or no dataset in it, or a name is none of a dataset.
        """
        folders = [path for path in sorted(root.glob("*/*")) if path.is_dir()]
        if not folders:
            raise BadFolder(f"{root} holds no dataset: put its files into {root}/OWNER/NAME")
        for folder in folders:
            name, _, revision = folder.name.partition("@")
            self.commit(f"{folder.parent.name}/{name}", folder, unquote(revision) or MAIN)

    def prepared(self, dataset_id: str, folder: Path) -> Commit:
        """A commit of what a folder holds, not on any branch yet.

        Raises:
            BadFolder: there is no such folder, or the name is none of a dataset.
        """
        if not _ID.fullmatch(dataset_id) or ".." in dataset_id:
            raise BadFolder(
                f"{dataset_id!r} is not a dataset's name: give OWNER/NAME of letters, digits, '_', '-', '.'"
            )
        if not folder.is_dir():
            raise BadFolder(f"{folder} is not a folder")
        files = {file.path: file for file in sorted(self._files(folder), key=lambda file: file.path.encode())}
        named = hashlib.sha1(dataset_id.encode(), usedforsecurity=False)
        for file in files.values():
            named.update(f"{file.path}\0{file.oid}\0{file.sha256}\n".encode())
        return Commit(named.hexdigest(), files)

    def land(self, dataset_id: str, commit: Commit, revision: str = MAIN) -> str:
        """Move a branch to a commit; the commit's name."""
        dataset = self._known.setdefault(dataset_id, Dataset(dataset_id))
        dataset.commits[commit.sha] = commit
        dataset.branches[revision] = commit.sha
        return commit.sha

    def commit(self, dataset_id: str, folder: Path, revision: str = MAIN) -> str:
        """`prepared` and `land`."""
        return self.land(dataset_id, self.prepared(dataset_id, folder), revision)

    def _files(self, folder: Path) -> Iterator[File]:
        for path in folder.rglob("*"):
            if path.is_file():
                yield self._file(path.relative_to(folder).as_posix(), path)

    def _file(self, path: str, on_disk: Path) -> File:
        found = on_disk.stat()
        size = found.st_size
        blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        content = hashlib.sha256()
        with on_disk.open("rb") as body:
            while piece := body.read(_PIECE_BYTES):
                blob.update(piece)
                content.update(piece)
        if path == README or (size < self._lfs_bytes_min and not path.endswith(LFS_ENDINGS)):
            return File(path, on_disk, size, found.st_mtime_ns, blob.hexdigest())
        sha256 = content.hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
        oid = hashlib.sha1(b"blob %d\0" % len(pointer) + pointer, usedforsecurity=False).hexdigest()
        return File(path, on_disk, size, found.st_mtime_ns, oid, sha256)


def tree(commit: Commit, folder: str, *, recursive: bool) -> list[dict[str, object]] | None:
    """The entries of a folder as the Hub lists them; None if there is no such folder."""
    prefix = f"{folder}/" if folder else ""
    inside = [file for file in commit.files.values() if file.path.startswith(prefix)]
    if folder and not inside:
        return None
    entries: dict[str, dict[str, object]] = {}
    for file in inside:
        steps = file.path.removeprefix(prefix).split("/")
        for depth in range(1, len(steps)):
            name = prefix + "/".join(steps[:depth])
            oid = hashlib.sha1(f"{commit.sha}/{name}".encode(), usedforsecurity=False).hexdigest()
            entries.setdefault(name, {"type": "directory", "oid": oid, "size": 0, "path": name})
            if not recursive:
                break
        if recursive or len(steps) == 1:
            entries[file.path] = entry(file)
    return [entries[name] for name in sorted(entries, key=str.encode)]


def entry(file: File) -> dict[str, object]:
    """A file as `tree` and `paths-info` tell of it."""
    shown: dict[str, object] = {"type": "file", "oid": file.oid, "size": file.size_bytes, "path": file.path}
    if file.sha256:
        shown["lfs"] = {"oid": file.sha256, "size": file.size_bytes, "pointerSize": POINTER_BYTES}
    return shown


def sibling(file: File, *, blobs: bool) -> dict[str, object]:
    """A file as a dataset's description tells of it; sizes and hashes only where they were asked for."""
    shown: dict[str, object] = {"rfilename": file.path}
    if blobs:
        shown |= {"size": file.size_bytes, "blobId": file.oid}
        if file.sha256:
            shown["lfs"] = {"sha256": file.sha256, "size": file.size_bytes, "pointerSize": POINTER_BYTES}
    return shown
