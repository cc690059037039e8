"""A simulated Hub in a thread of this process, and folders for it to serve."""

import asyncio
import json
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quarry_local.hub.server import SimulatedHub
from quarry_local.hub.settings import Settings

JSON = {"Content-Type": "application/json"}


class Hub:
    """What a test sees of the server."""

    def __init__(self, url: str, root: Path) -> None:
        self.url = url
        self._root = root
        self._made = 0

    def faults(self, **changes: Any) -> Any:
        return self._ask("PUT", "faults", changes)

    def calm(self) -> None:
        self._ask("DELETE", "faults")

    def stats(self) -> Any:
        return self._ask("GET", "stats")

    def counts(self, about: str) -> dict[str, int]:
        """Requests about one file, or about one dataset, by kind."""
        found: dict[str, int] = self.stats()["files"].get(about, {})
        return found

    def commit(self, dataset: str, files: Mapping[str, bytes], revision: str = "main", **when: Any) -> str:
        """Make these files a commit of a branch; its name. `after` and `kind` say behind which requests it lands."""
        self._made += 1
        folder = folder_of(self._root / "later" / str(self._made), files)
        return str(
            self._ask("POST", "commits", {"dataset": dataset, "folder": str(folder), "revision": revision, **when})[
                "sha"
            ]
        )

    def _ask(self, method: str, page: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_quarry/{page}", data=data, headers=JSON, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


def folder_of(folder: Path, files: Mapping[str, bytes]) -> Path:
    """A folder that holds these files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return folder


@contextmanager
def simulated_hub(
    root: Path, datasets: Mapping[str, Mapping[str, bytes]] | None = None, **settings: Any
) -> Iterator[Hub]:
    """A Hub that serves these datasets, each by OWNER/NAME or OWNER/NAME@REVISION."""
    served = root / "datasets"
    for name, files in (datasets or {}).items():
        folder_of(served / name, files)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    server = SimulatedHub(Settings(folder=served if datasets else None, _env_prefix="NOT_SET_", **settings))
    try:
        hub = Hub(run(server.start()), root)
        try:
            yield hub
        finally:
            run(server.stop())
    finally:
        run(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
