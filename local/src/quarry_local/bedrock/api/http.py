"""The wire: operations of the API by method and path, and the simulator's own pages under `/_quarry`.

Paths come from the service model. A job's ARN arrives percent-encoded; the router matches the encoded path and decodes
afterwards, so its `%2F` is no separator (contract section 1.1). Errors carry their code in `x-amzn-ErrorType`.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Protocol

import msgspec
from aiohttp import web
from pydantic import ValidationError

from quarry_local.bedrock.api.checks import Checks
from quarry_local.bedrock.api.guard import OWN_PAGES, check_region, refusal_of
from quarry_local.bedrock.errors import ApiError, internal, unknown_operation
from quarry_local.bedrock.faults.plan import RequestFate

log = logging.getLogger(__name__)

_BODY_BYTES_MAX = 1 << 20


class _Advance(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /_quarry/clock`: simulated seconds, at most a year of them."""

    advance_s: Annotated[float, msgspec.Meta(ge=0, le=366 * 24 * 3600)]


class Control(Protocol):
    """What the wire needs of the server."""

    async def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]: ...
    def stats(self) -> dict[str, Any]: ...
    def models(self) -> dict[str, Any]: ...
    def settings(self) -> dict[str, Any]: ...
    def change_settings(self, changes: dict[str, Any]) -> dict[str, Any]: ...
    def faults(self) -> dict[str, Any]: ...
    def change_faults(self, changes: dict[str, Any]) -> dict[str, Any]: ...
    def reset_faults(self) -> dict[str, Any]: ...
    def fate(self, operation: str, request: dict[str, Any]) -> RequestFate: ...
    async def advance(self, by_s: float) -> dict[str, Any]: ...


OPERATIONS = (
    "CreateModelInvocationJob",
    "GetModelInvocationJob",
    "ListModelInvocationJobs",
    "StopModelInvocationJob",
    "TagResource",
    "UntagResource",
    "ListTagsForResource",
    "ListFoundationModels",
    "GetFoundationModel",
    "GetFoundationModelAvailability",
    "ListInferenceProfiles",
    "GetInferenceProfile",
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(control: Control, checks: Checks, region: str) -> web.Application:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(OWN_PAGES):
            refusal = refusal_of(request.method, request.headers)
            if refusal is not None:
                return _json({"message": refusal.message}, status=refusal.status)
        else:
            check_region(request.headers.get("Authorization", ""), region)
        return await handler(request)

    app = web.Application(client_max_size=_BODY_BYTES_MAX, middlewares=[_answer_errors, guard])
    for operation in OPERATIONS:
        method, path = checks.route(operation)
        app.router.add_route(method, path, _operation(control, checks, operation))

    async def stats(_request: web.Request) -> web.Response:
        return _json(control.stats())

    async def settings(_request: web.Request) -> web.Response:
        return _json(control.settings())

    async def changed(request: web.Request, change: Callable[[dict[str, Any]], dict[str, Any]]) -> web.Response:
        try:
            return _json(change(msgspec.json.decode(await request.read(), type=dict[str, Any])))
        except (msgspec.MsgspecError, RecursionError) as wrong:
            return _json({"message": str(wrong)}, status=400)
        except ValidationError as wrong:
            reported = wrong.errors(include_url=False, include_context=False, include_input=False)
            return _json({"message": "settings refused", "errors": reported}, status=400)

    async def change_settings(request: web.Request) -> web.Response:
        return await changed(request, control.change_settings)

    async def faults(_request: web.Request) -> web.Response:
        return _json(control.faults())

    async def change_faults(request: web.Request) -> web.Response:
        return await changed(request, control.change_faults)

    async def reset_faults(_request: web.Request) -> web.Response:
        return _json(control.reset_faults())

    async def advance(request: web.Request) -> web.Response:
        try:
            asked = msgspec.json.decode(await request.read(), type=_Advance)
        except (msgspec.MsgspecError, RecursionError) as wrong:
            return _json({"message": str(wrong)}, status=400)
        return _json(await control.advance(asked.advance_s))

    async def models(_request: web.Request) -> web.Response:
        return _json(control.models())

    async def healthz(_request: web.Request) -> web.Response:
        return _json({"status": "ok"})

    app.router.add_get("/_quarry/stats", stats)
    app.router.add_get("/_quarry/models", models)
    app.router.add_get("/_quarry/settings", settings)
    app.router.add_put("/_quarry/settings", change_settings)
    app.router.add_get("/_quarry/faults", faults)
    app.router.add_put("/_quarry/faults", change_faults)
    app.router.add_delete("/_quarry/faults", reset_faults)
    app.router.add_post("/_quarry/clock", advance)
    app.router.add_get("/healthz", healthz)
    return app


def _operation(control: Control, checks: Checks, operation: str) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        members = checks.read(operation, path=request.match_info, query=request.query, body=await request.read())
        fate = control.fate(operation, members)

        async def work() -> web.Response:
            return _json(await control.call(operation, members))

        return await under(fate, request, work)

    return handle


async def under(fate: RequestFate, request: web.Request, work: Callable[[], Awaitable[web.Response]]) -> web.Response:
    """The reply to a request that suffers `fate`: refused before the work, late or lost after it."""
    if fate.refused:
        raise fate.refused
    try:
        reply = await work()
    except ApiError as error:
        reply = _error(error)
    if fate.slow_s:
        await asyncio.sleep(fate.slow_s)
    if fate.reply_lost and request.transport:
        # The work is done; the client sees its connection closed.
        request.transport.close()
    return reply


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return _error(error)
    except web.HTTPRequestEntityTooLarge:
        return _error(ApiError("RequestEntityTooLargeException", 413, "The request body is too large"))
    except web.RequestPayloadError:
        # Not in the encoding that its header names, or broken off.
        return _error(ApiError("SerializationException", 400, "The request body could not be read"))
    except web.HTTPException as error:
        return _error(unknown_operation()) if error.status in {404, 405} else _error(internal(str(error)))
    except Exception:
        # A fault of the simulator's own answers as the service would, and is told in the log.
        log.exception("%s %s", request.method, request.rel_url)
        return _error(internal("Internal server error"))


def _error(error: ApiError) -> web.Response:
    return _json(
        {"message": error.message, **error.members}, status=error.status, headers={"x-amzn-ErrorType": error.code}
    )


def _json(body: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        content_type="application/json",
        headers={"x-amzn-RequestId": str(uuid.uuid4()), **(headers or {})},
    )
