"""The storage behind the Hub: bytes by content, at addresses of another origin that are signed and expire.

It knows no token, and says so in its figures when it is sent one: a client that follows a redirect with its token gives
it to a stranger.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from quarry_local.hub.datasets import File
from quarry_local.hub.faults import Faults, Kind
from quarry_local.hub.ranges import NotSatisfiable, asked_range

PIECE_BYTES = 256 * 1024
_DENIED = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>{}</Message></Error>'


@dataclass(slots=True)
class Figures:
    """What was asked of the Hub and its storage, for tests that count.

    Attributes:
        requests: by kind.
        files: by dataset and path, then by kind.
        refused: by status.
        tokens_leaked: requests to the storage that carried an Authorization header.
    """

    requests: Counter[str] = field(default_factory=Counter)
    files: dict[str, Counter[str]] = field(default_factory=dict)
    refused: Counter[int] = field(default_factory=Counter)
    sent_bytes: int = 0
    tokens_leaked: int = 0

    def count(self, kind: Kind, about: str) -> None:
        self.requests[kind] += 1
        self.files.setdefault(about, Counter())[kind] += 1

    def view(self) -> dict[str, object]:
        return {
            "requests": dict(self.requests),
            "files": {about: dict(kinds) for about, kinds in sorted(self.files.items())},
            "refused": {str(status): count for status, count in sorted(self.refused.items())},
            "sent_bytes": self.sent_bytes,
            "tokens_leaked": self.tokens_leaked,
        }


class Storage:
    """Args:
    faults: as they are set now.
    suffer: counts a request, and answers it with 429 or 503 if that is its fate.
    """

    def __init__(
        self,
        figures: Figures,
        faults: Callable[[], Faults],
        suffer: Callable[[Kind, str], web.Response | None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._figures = figures
        self._faults = faults
        self._suffer = suffer
        self._now = now
        self._key = secrets.token_bytes(32)
        self._files: dict[str, tuple[str, File]] = {}
        self._uses: Counter[str] = Counter()
        self._cut: Counter[str] = Counter()
        self.origin = ""

    def routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/{sha256}", self._get)  # and HEAD

    def forget(self) -> None:
        """Count the faults of bodies anew."""
        self._cut.clear()

    def address(self, about: str, file: File) -> str:
        """A signed address of a file's bytes."""
        self._files[file.sha256] = about, file
        expires = int(self._now()) + self._faults().location_s
        nonce = secrets.token_hex(8)
        return f"{self.origin}/{file.sha256}?Expires={expires}&Id={nonce}&Signature={self._sign(file.sha256, expires, nonce)}"

    def _sign(self, sha256: str, expires: int, nonce: str) -> str:
        return hmac.new(self._key, f"{sha256}\0{expires}\0{nonce}".encode(), hashlib.sha256).hexdigest()

    async def _get(self, request: web.Request) -> web.StreamResponse:
        sha256, query = request.match_info["sha256"], request.query
        about, file = self._files.get(sha256, ("", None))
        refused = self._suffer("storage", about)
        if "Authorization" in request.headers:
            self._figures.tokens_leaked += 1
        if refused is not None:
            return refused
        expires, nonce = int(query.get("Expires", "0")), query.get("Id", "")
        signed = hmac.compare_digest(self._sign(sha256, expires, nonce), query.get("Signature", ""))
        if file is None or not signed:
            return self._denied("The signature does not match")
        self._uses[nonce] += 1
        uses = self._faults().location_uses
        if self._now() >= expires or (uses and self._uses[nonce] > uses):
            return self._denied("Request has expired")
        return await self.send(request, about, file)

    def _denied(self, why: str) -> web.Response:
        self._figures.refused[403] += 1
        return web.Response(status=403, text=_DENIED.format(why), content_type="application/xml")

    async def send(
        self, request: web.Request, about: str, file: File, headers: dict[str, str] | None = None
    ) -> web.StreamResponse:
        """A file, or the range of it that is asked for."""
        faults, size = self._faults(), file.size_bytes
        if not file.unchanged:
            return web.Response(status=500, text=f"{file.on_disk} was changed after it became part of a commit")
        try:
            wanted = None if faults.whole_for_range else asked_range(request.headers.get("Range"), size)
        except NotSatisfiable:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
        start, end = wanted or (0, size)
        if wanted and faults.wrong_range:
            start, end = 0, end - start
        answer = web.StreamResponse(
            status=206 if wanted else 200,
            headers={
                "ETag": f'"{file.etag}"',
                "Content-Type": "application/octet-stream",
                "Accept-Ranges": "bytes",
                **({"Content-Range": f"bytes {start}-{end - 1}/{size}"} if wanted else {}),
                **(headers or {}),
            },
        )
        answer.content_length = end - start
        await answer.prepare(request)
        if request.method == "HEAD":
            return answer
        cut = self._cut[about] < faults.cut_first
        self._cut[about] += cut
        try:
            await self._write(answer, file, start, start + (end - start) // 2 if cut else end)
            if not cut:
                await answer.write_eof()
            elif request.transport is not None:
                request.transport.close()
        except ConnectionError:
            pass  # the client has what it wanted
        return answer

    async def _write(self, answer: web.StreamResponse, file: File, start: int, end: int) -> None:
        with file.on_disk.open("rb") as body:
            body.seek(start)
            while start < end:
                piece = await asyncio.to_thread(body.read, min(PIECE_BYTES, end - start))
                if not piece:
                    raise OSError(f"{file.on_disk} ends early")
                await answer.write(piece)
                start += len(piece)
                self._figures.sent_bytes += len(piece)
