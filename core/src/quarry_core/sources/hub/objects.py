"""The reading half of the `Objects` port, for files of the Hugging Face Hub.

Theory of operation. The Hub says where a file's bytes are (`resolve`: a redirect to signed storage, or the bytes
themselves), and counts these questions; the storage gives ranges. So a file's place is asked for once and kept, until
the storage refuses it: signed addresses run out. Nothing is believed: an answer must be of the pinned commit and of the
pinned content, and a range must be the one that was asked for, of a file of the size that was said. `huggingface_hub`
takes a whole file for the range that it asked for, and a proxy's cache may answer with another commit's file.

Owns the pool of connections, the places and the ends of the files that were read last; threads may share it.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Generic, TypeVar
from urllib.parse import quote

from quarry_core.contract.hub_names import parse_hub_bucket
from quarry_core.errors import Changed, NoRanges, Refused
from quarry_core.ports import ObjectInfo, ObjectRef
from quarry_core.settings import HUB_ENDPOINT
from quarry_core.sources.hub.http import REDIRECT, HubHttp, Observe, origin_of
from quarry_core.sources.hub.reading import ENDING_BYTES, Body, Content, ForwardReader, RandomReader

T = TypeVar("T")
PLACES_MAX = 4_096
ENDINGS_MAX = 64
# A place that was refused is asked for anew; a new one that is refused too will not get better.
PLACE_TRIES_MAX = 3
REDIRECTS_MAX = 4
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the storage has a file: an address, and the size if the Hub gave it."""

    address: str
    size_bytes: int | None


class _PastTheEndError(Exception):
    """The range begins behind the file's end; that is no error to a reader."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__()
        self.size_bytes = size_bytes


class HubObjects:
    """Args:
    endpoint: the Hub's URL.
    token: an access token; empty for none.
    pause: waits that many seconds between tries.
    observe: is called after each request as (`hub`, operation, outcome, seconds), from whichever thread makes it.
    """

    def __init__(
        self,
        endpoint: str = HUB_ENDPOINT,
        token: str = "",
        *,
        pause: Callable[[float], None] = time.sleep,
        observe: Observe | None = None,
    ) -> None:
        self.http = HubHttp(endpoint, token, pause=pause, observe=observe)
        self._pause = pause
        self._places: _Kept[Place] = _Kept(PLACES_MAX)
        self._endings: _Kept[tuple[int, bytes]] = _Kept(ENDINGS_MAX)

    def head(self, ref: ObjectRef) -> ObjectInfo:
        """Look at a file. Raises `Missing`, `Changed`, `Refused`."""
        return ObjectInfo(ref.key, self._size_of(ref), ref.etag or "")

    def read(self, ref: ObjectRef, start_byte: int = 0, length_bytes: int | None = None) -> bytes:
        """Read a range into memory. Raises `Missing`, `Changed`, `Refused`, `NoRanges`."""
        if length_bytes == 0:
            self.head(ref)
            return b""
        end = None if length_bytes is None else start_byte + length_bytes
        with self._forward(ref, start_byte, end, whole=not start_byte and end is None) as body:
            return body.read()

    def stream(self, ref: ObjectRef, start_byte: int = 0, end_byte: int | None = None) -> BinaryIO:
        """Read forward, resuming after a broken connection; from the beginning also where there are no ranges.

        What is read from the beginning to the end is held against the pinned hash. Raises as `read`.
        """
        return self._forward(ref, start_byte, end_byte, whole=not start_byte and end_byte is None)

    def random_access(self, ref: ObjectRef) -> BinaryIO:
        """A seekable reader by ranged requests. It, and what it reads, raise as `read`."""
        name, size = name_of(ref), self._size_of(ref)
        known = self._endings.get(name)
        return RandomReader(
            lambda start, end: self._open(ref, start, end, whole=False),
            name,
            self._pause,
            size,
            known[1] if known is not None else b"",
            lambda ending: self._endings.put(name, (size, ending)),
        )

    def close(self) -> None:
        self.http.close()

    # ----------------------------------------------------------------------- requests

    def _forward(self, ref: ObjectRef, start: int, end: int | None, *, whole: bool) -> ForwardReader:
        name = name_of(ref)
        content = Content(ref.etag, name) if whole and ref.etag is not None else None
        return ForwardReader(
            lambda begin, until: self._open(ref, begin, until, whole=whole), name, self._pause, start, end, content
        )

    def _size_of(self, ref: ObjectRef) -> int:
        """A file's size: as it was pinned, or with one request; what that brings of the file's end is kept."""
        if ref.etag is not None and ref.size_bytes is not None:
            return ref.size_bytes
        name = name_of(ref)
        place, ending = self._places.get(name), self._endings.get(name)
        if place is not None and place.size_bytes is not None:
            return place.size_bytes
        if ending is not None:
            return ending[0]
        asked = f"bytes=-{ENDING_BYTES}"
        try:
            found = self._resolved(ref, asked)
            if isinstance(found, Place) and found.size_bytes is not None:
                return found.size_bytes
            answer = self._answer(ref, self._fetched(ref, asked) if isinstance(found, Place) else found)
        except _PastTheEndError as past:
            return past.size_bytes  # an empty file has no range at all
        length = answer.end - answer.start
        if answer.end == answer.size_bytes and length <= ENDING_BYTES:
            with ForwardReader(lambda *_: answer, name, self._pause, answer.start, answer.end) as body:
                self._endings.put(name, (answer.size_bytes, body.read()))
        else:
            answer.response.close()
        return answer.size_bytes

    def _open(self, ref: ObjectRef, start: int, end: int | None, *, whole: bool) -> Body:
        """Bytes [start, end) of a file, or up to its end; with `whole`, all of it where there are no ranges.

        Raises:
            NoRanges: it was not the range.
            Missing, Changed, Refused, Throttled, Unknown: see the port.
        """
        asked = f"bytes={start}-{'' if end is None else end - 1}"
        try:
            answer = self._answer(ref, self._fetched(ref, asked))
        except _PastTheEndError as past:
            return Body(start, start, past.size_bytes)
        until = answer.size_bytes if end is None else min(end, answer.size_bytes)
        all_of_it = answer.start == 0 and answer.end == answer.size_bytes
        # What begins at the file's beginning is the same bytes, whoever ends it.
        if (answer.start, answer.end) != (start, until) and not (all_of_it and (whole or not start)):
            answer.response.close()
            raise NoRanges(
                f"read {name_of(ref)}: bytes {answer.start} to {answer.end - 1} were given for {start} to {until - 1}"
            )
        return answer

    def _fetched(self, ref: ObjectRef, asked: str) -> Any:
        """urllib3's answer for a file, or for a range of it: from its place where that is known, else by way of the Hub."""
        name = name_of(ref)
        for _ in range(PLACE_TRIES_MAX):
            found = self._places.get(name) or self._resolved(ref, asked)
            if not isinstance(found, Place):
                return found
            # Without the token: the storage is somebody else.
            answer = self.http.get(found.address, "storage", {"Range": asked})
            if answer.status not in {401, 403}:
                return answer
            answer.close()
            self._places.drop(name)
        raise Refused(f"read {name}: the storage refuses the addresses that the Hub gives for it", "403")

    def _resolved(self, ref: ObjectRef, asked: str) -> Place | Any:
        """What the Hub answers for a file: its place, which is kept, or the bytes themselves."""
        name = name_of(ref)
        dataset_id, commit = parse_hub_bucket(ref.bucket)
        url = f"{self.http.endpoint}/datasets/{dataset_id}/resolve/{commit}/{quote(ref.key)}"
        said: str | None = None
        for _ in range(REDIRECTS_MAX):
            answer = self.http.get(url, "resolve", {"Range": asked})
            said = answer.headers.get("X-Repo-Commit", said)
            if answer.status not in REDIRECT:
                self._check(ref, commit, said, answer, answer.headers.get("ETag", ""))
                return answer
            url = self.http.target(url, answer.headers.get("Location", ""))
            if origin_of(url) != self.http.origin:
                etag = answer.headers.get("X-Linked-Etag") or answer.headers.get("ETag", "")
                self._check(ref, commit, said, answer, etag)
                size = answer.headers.get("X-Linked-Size", "")
                place = Place(url, int(size) if size.isdecimal() else None)
                self._places.put(name, place)
                answer.close()
                return place
            answer.close()
        raise Refused(f"read {name}: more than {REDIRECTS_MAX} redirects", "Redirect")

    # ----------------------------------------------------------------------- nothing is believed

    def _check(self, ref: ObjectRef, commit: str, said: str | None, answer: Any, etag: str) -> None:
        """Hold what the Hub says of a file against the pin. Raises Changed, Refused."""
        name = name_of(ref)
        if answer.status == 416:
            return
        found = etag.removeprefix("W/").strip('"')
        if said is None:
            answer.close()
            raise Refused(
                f"read {name}: {self.http.endpoint} does not say of which commit its answer is (X-Repo-Commit): set"
                " HF_ENDPOINT to a Hugging Face Hub",
                "NoCommit",
            )
        if said != commit:
            answer.close()
            raise Changed(f"read {name}: the answer is of the commit {said}")
        if ref.etag is not None and found != ref.etag:
            answer.close()
            raise Changed(f"read {name}: its content is {found or 'not named'}, and {ref.etag} was pinned")

    def _answer(self, ref: ObjectRef, response: Any) -> Body:
        """An answer with bytes, by what it says of them. Raises NoRanges, Changed, Unknown."""
        name, headers = name_of(ref), response.headers
        if response.status == 416:
            response.close()
            size = headers.get("Content-Range", "").rpartition("/")[2]
            raise _PastTheEndError(int(size) if size.isdecimal() else 0)
        answer = _body(response)
        if answer is None or not answer.start <= answer.end <= answer.size_bytes:
            response.close()
            raise NoRanges(f"read {name}: the answer {response.status} does not say which bytes it has")
        place = self._places.get(name)
        for expected in (ref.size_bytes, place.size_bytes if place is not None else None):
            if expected is not None and expected != answer.size_bytes:
                response.close()
                raise Changed(f"read {name}: it has {answer.size_bytes} bytes, and {expected} were pinned")
        return answer


def _body(response: Any) -> Body | None:
    """Which bytes an answer has, as it says itself; None if it does not."""
    headers = response.headers
    if headers.get("Content-Encoding", "identity") != "identity":
        return None
    length, found = headers.get("Content-Length", ""), _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if response.status == 206 and found is not None:
        return Body(int(found[1]), int(found[2]) + 1, int(found[3]), response)
    if response.status == 200 and length.isdecimal():
        return Body(0, int(length), int(length), response)
    return None


def name_of(ref: ObjectRef) -> str:
    """A file for people."""
    return f"{ref.bucket}/{ref.key}"


class _Kept(Generic[T]):
    """The values that were put last, by name; for any number of threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[str, T] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> T | None:
        with self._lock:
            return self._kept.get(name)

    def put(self, name: str, value: T) -> None:
        with self._lock:
            self._kept.pop(name, None)
            while len(self._kept) >= self._most:
                del self._kept[next(iter(self._kept))]
            self._kept[name] = value

    def drop(self, name: str) -> None:
        with self._lock:
            self._kept.pop(name, None)
