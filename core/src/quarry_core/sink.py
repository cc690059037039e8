"""A write-once upload as the file that pyarrow's Parquet writer wants."""

from __future__ import annotations

from typing import Any

from quarry_core.ports import Upload


class UploadSink:
    """Passes bytes on and counts them. Closing it publishes nothing: `Upload.commit` does."""

    closed = False

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._bytes = 0

    def write(self, data: Any) -> int:
        """Append a buffer of any kind; its length in bytes."""
        view = memoryview(data).cast("B")
        self._upload.write(view)
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
