"""A directory on this machine into which results are written: for its owner alone unless told, and through no link.

Results hold prompts and answers. In a place where others may write too, a link planted under a name that is about to be
written would lead the bytes elsewhere. So directories are made 0700 and files 0600, a file is always a new one under a
hidden name and is then renamed (which replaces a link instead of following it), and a directory or a note that is a
link is refused.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from quarry_cli.errors import NotWritten

PRIVATE = 0o600
# Not there on Windows, where a link needs a privilege to be made.
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)


class Folder:
    """One directory.

    Args:
        path: of the directory.
        mode: of the files in it; the directory's own allows whoever may read them to look into it.
    """

    def __init__(self, path: Path, mode: int = PRIVATE) -> None:
        self.path = path
        self._mode = mode

    def make(self) -> None:
        """Make the directory if it is not there. Raises NotWritten if it is a link or no directory."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.path.mkdir(0o700)
            self.path.chmod(self._mode | (self._mode & 0o444) >> 2)
        except FileExistsError:
            found = self.path.lstat().st_mode
            if stat.S_ISLNK(found):
                raise NotWritten(f"{self.path} is a symbolic link: give the directory that it points to") from None
            if not stat.S_ISDIR(found):
                raise NotWritten(f"{self.path} is not a directory: give another path") from None

    def size_of(self, name: str) -> int | None:
        """Bytes of a file of one's own; None if there is none, or something else."""
        try:
            found = (self.path / name).lstat()
        except FileNotFoundError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def read(self, name: str) -> bytes | None:
        """A file's bytes; None if there is none. Raises NotWritten for a link."""
        try:
            with os.fdopen(os.open(self.path / name, os.O_RDONLY | _NO_LINK | _BINARY), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise NotWritten(f"{self.path / name} is a symbolic link: give another directory") from error

    @contextmanager
    def new(self, name: str) -> Iterator[BinaryIO]:
        """A new file under a hidden name, open for writing and reading; it is gone afterwards unless `place` took it."""
        hidden = self.path / name
        hidden.unlink(missing_ok=True)  # of a process that died
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINK | _BINARY
        try:
            with os.fdopen(os.open(hidden, flags, PRIVATE), "w+b") as file:
                if self._mode != PRIVATE:
                    hidden.chmod(self._mode)
                yield file
        finally:
            hidden.unlink(missing_ok=True)

    def place(self, hidden: str, name: str) -> None:
        """Give a finished file its name, whatever is there."""
        (self.path / hidden).replace(self.path / name)

    def replace(self, name: str, body: bytes) -> None:
        """Write a small file whole."""
        hidden = f".{name}.new"
        with self.new(hidden) as file:
            file.write(body)
            file.flush()
            self.place(hidden, name)
