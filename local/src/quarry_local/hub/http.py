"""The Hub's own pages: what a dataset is, its tree, and where a file's bytes are.

Revisions and paths come percent-encoded as one piece (`refs%2Fconvert%2Fparquet`); the router matches the encoded path
and decodes afterwards.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import quote

import msgspec
from aiohttp import web
from pydantic import ValidationError

from quarry_local.bedrock.api.guard import OWN_PAGES, refusal_of
from quarry_local.hub.access import Access, Answer, entry_not_found, revision_not_found, token_of
from quarry_local.hub.datasets import (
    CONVERTED,
    MAIN,
    README,
    BadFolder,
    Commit,
    Dataset,
    Datasets,
    entry,
    sibling,
    tree,
)
from quarry_local.hub.faults import Faults, Kind
from quarry_local.hub.storage import Storage

log = logging.getLogger(__name__)
BODY_BYTES_MAX = 1 << 20
REPO = "/{owner:[^/]+}/{name:[^/]+}"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Control(Protocol):
    """What the pages need of the server."""

    def faults(self) -> Faults: ...
    def change_faults(self, changes: dict[str, Any]) -> dict[str, Any]: ...
    def reset_faults(self) -> dict[str, Any]: ...
    def stats(self) -> dict[str, object]: ...
    def suffer(self, kind: Kind, about: str) -> web.Response | None: ...
    async def land(self, planned: dict[str, Any]) -> dict[str, object]: ...


class Pages:
    def __init__(self, control: Control, datasets: Datasets, access: Access, storage: Storage) -> None:
        self._control = control
        self._datasets = datasets
        self._access = access
        self._storage = storage

    def application(self) -> web.Application:
        app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[_answer_errors, _guard])
        router = app.router
        api = f"/api/datasets{REPO}"
        router.add_get(api, self._info)
        router.add_get(api + "/revision/{revision}", self._info)
        router.add_get(api + "/refs", self._refs)
        router.add_get(api + "/tree/{revision}", self._tree)
        router.add_get(api + "/tree/{revision}/{path:.+}", self._tree)
        router.add_post(api + "/paths-info/{revision}", self._paths_info)
        router.add_get(f"/datasets{REPO}" + "/resolve/{revision}/{path:.+}", self._resolve)
        router.add_get(f"/api/resolve-cache/datasets{REPO}" + "/{revision}/{path:.+}", self._cached)
        router.add_get("/_quarry/stats", self._stats)
        router.add_get("/_quarry/faults", self._faults)
        router.add_put("/_quarry/faults", self._change_faults)
        router.add_delete("/_quarry/faults", self._reset_faults)
        router.add_post("/_quarry/commits", self._land)
        router.add_get("/healthz", self._health)
        return app

    # ----------------------------------------------------------------------- datasets

    def _dataset(self, request: web.Request, kind: Kind, path: str = "", *, content: bool = False) -> Dataset:
        """The dataset that a request is about, if the request may have it. Raises RefusedRequest."""
        dataset_id = f"{request.match_info['owner']}/{request.match_info['name']}"
        refused = self._control.suffer(kind, f"{dataset_id}/{path}" if path else dataset_id)
        if refused is not None:
            raise RefusedRequest(refused)
        dataset = self._datasets.get(dataset_id)
        token = token_of(request.headers.get("Authorization", ""))
        answer = self._access.refusal(dataset_id, token, exists=dataset is not None, content=content)
        if answer is not None or dataset is None:
            raise RefusedRequest(_error(answer or entry_not_found(dataset_id)))
        return dataset

    def _commit(self, request: web.Request, dataset: Dataset) -> Commit:
        revision = request.match_info.get("revision", MAIN)
        commit = dataset.at(revision)
        if commit is None:
            raise RefusedRequest(_error(revision_not_found(revision)))
        return commit

    async def _info(self, request: web.Request) -> web.Response:
        dataset = self._dataset(request, "info")
        commit = self._commit(request, dataset)
        blobs = request.query.get("blobs", "").lower() in {"1", "true"}
        return _json(
            {
                "_id": dataset.branches[MAIN][:24] if MAIN in dataset.branches else commit.sha[:24],
                "id": dataset.id,
                "author": dataset.id.partition("/")[0],
                "sha": commit.sha,
                "private": dataset.id in self._access.private,
                "gated": "auto" if dataset.id in self._access.gated else False,
                "disabled": False,
                "tags": [],
                "siblings": [sibling(file, blobs=blobs) for file in commit.files.values()],
            }
        )

    async def _refs(self, request: web.Request) -> web.Response:
        branches = self._dataset(request, "info").branches
        shown: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": []}
        for name, sha in sorted(branches.items()):
            converted = name == CONVERTED
            shown["converts" if converted else "branches"].append(
                {
                    "name": name.rpartition("/")[2],
                    "ref": name if converted else f"refs/heads/{name}",
                    "targetCommit": sha,
                }
            )
        return _json(shown)

    async def _tree(self, request: web.Request) -> web.Response:
        folder = request.match_info.get("path", "").strip("/")
        commit = self._commit(request, self._dataset(request, "tree"))
        recursive = request.query.get("recursive", "").lower() in {"1", "true"}
        entries = tree(commit, folder, recursive=recursive)
        if entries is None:
            return _error(entry_not_found(folder), {"X-Repo-Commit": commit.sha})
        begin = int(request.query.get("cursor", "0"))
        end = begin + min(int(request.query.get("limit", "1000")), self._control.faults().tree_page)
        headers = {}
        if end < len(entries):
            behind = request.url.update_query(cursor=str(end))
            headers["Link"] = f'<{behind}>; rel="next"'
        return _json(entries[begin:end], headers=headers)

    async def _paths_info(self, request: web.Request) -> web.Response:
        commit = self._commit(request, self._dataset(request, "tree"))
        form = await request.post()
        asked = [str(path) for path in form.getall("paths", [])]
        return _json([entry(commit.files[path]) for path in asked if path in commit.files])

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        dataset = self._dataset(request, "resolve", path, content=path != README)
        commit = self._commit(request, dataset)
        file = commit.files.get(path)
        faults = self._control.faults()
        # As a cache that has another commit's answer would say it.
        sha = commit.sha[::-1] if faults.other_commit else commit.sha
        if file is None:
            return _error(entry_not_found(path), {"X-Repo-Commit": sha})
        about = f"{dataset.id}/{path}"
        if file.sha256:
            headers = {
                "X-Repo-Commit": sha,
                "X-Linked-Etag": f'"{file.sha256}"',
                "X-Linked-Size": str(file.size_bytes),
                "ETag": f'"{file.oid}"',
                "Location": self._storage.address(about, file),
            }
            return web.Response(status=302, text="Found. Redirecting", headers=headers)
        headers = {"X-Repo-Commit": sha}
        if faults.resolve_cache:
            cached = f"/api/resolve-cache/datasets/{dataset.id}/{commit.sha}/{quote(path, safe='')}"
            return web.Response(
                status=307, headers={**headers, "ETag": f'"{file.etag}"', "Location": f"{cached}?etag={file.etag}"}
            )
        return await self._storage.send(request, about, file, headers)

    async def _cached(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        dataset = self._dataset(request, "other", path, content=path != README)
        commit = self._commit(request, dataset)
        file = commit.files.get(path)
        if file is None:
            return _error(entry_not_found(path), {"X-Repo-Commit": commit.sha})
        return await self._storage.send(request, f"{dataset.id}/{path}", file, {"X-Repo-Commit": commit.sha})

    # ----------------------------------------------------------------------- the simulator's own

    async def _stats(self, _request: web.Request) -> web.Response:
        return _json(self._control.stats())

    async def _faults(self, _request: web.Request) -> web.Response:
        return _json(self._control.faults().model_dump())

    async def _reset_faults(self, _request: web.Request) -> web.Response:
        return _json(self._control.reset_faults())

    async def _change_faults(self, request: web.Request) -> web.Response:
        try:
            return _json(self._control.change_faults(await _object(request)))
        except ValidationError as wrong:
            reported = wrong.errors(include_url=False, include_context=False, include_input=False)
            return _json({"message": "faults refused", "errors": reported}, status=400)

    async def _land(self, request: web.Request) -> web.Response:
        try:
            return _json(await self._control.land(await _object(request)))
        except ValidationError as wrong:
            reported = wrong.errors(include_url=False, include_context=False, include_input=False)
            return _json({"message": "commit refused", "errors": reported}, status=400)
        except BadFolder as wrong:
            return _json({"message": str(wrong)}, status=400)

    async def _health(self, _request: web.Request) -> web.Response:
        return _json({"status": "ok"})


class RefusedRequest(Exception):
    def __init__(self, response: web.Response) -> None:
        self.response = response


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith(OWN_PAGES):
        refusal = refusal_of(request.method, request.headers)
        if refusal is not None:
            return _json({"message": refusal.message}, status=refusal.status)
    return await handler(request)


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusedRequest as refused:
        return refused.response
    except (msgspec.MsgspecError, RecursionError, ValueError) as wrong:
        return _json({"error": str(wrong)}, status=400)
    except web.HTTPException as error:
        return _json({"error": error.reason}, status=error.status)
    except Exception:
        # A fault of the simulator's own answers as the Hub would, and is told in the log.
        log.exception("%s %s", request.method, request.rel_url)
        return _json({"error": "Internal Error - We're working hard to fix this as soon as possible!"}, status=500)


async def _object(request: web.Request) -> dict[str, Any]:
    return msgspec.json.decode(await request.read(), type=dict[str, Any])


def _error(answer: Answer, headers: dict[str, str] | None = None) -> web.Response:
    shown = {"X-Error-Message": answer.message, **({"X-Error-Code": answer.code} if answer.code else {})}
    return _json(
        {"error": answer.message}, status=answer.status, headers={**shown, **answer.headers, **(headers or {})}
    )


def _json(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json", headers=headers or {}
    )
