"""A write-once upload as the file that pyarrow's Parquet writer wants."""

from __future__ import annotations

from typing import Any, BinaryIO

from quarry_core.ports import Upload


class UploadSink:
    """Passes bytes on and counts them. Closing it publishes nothing: `Upload.commit` does.

    Args:
        upload: where they go.
        copy: a file that gets them too, so that what was written can be read before it is published.

    Attributes:
        copying: whether the copy gets what is written now; where it does not, it has a hole of the same length.
    """

    closed = False
    copying = True

    def __init__(self, upload: Upload, copy: BinaryIO | None = None) -> None:
        self._upload = upload
        self._copy = copy
        self._bytes = 0

    def write(self, data: Any) -> int:
        """Append a buffer of any kind; its length in bytes."""
        view = memoryview(data).cast("B")
        self._upload.write(view)
        if self._copy is not None and self.copying:
            self._copy.seek(self._bytes)
            self._copy.write(view)
        self._bytes += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._bytes

    def flush(self) -> None:
        """Bytes are on their way as soon as an upload part is full."""

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False
