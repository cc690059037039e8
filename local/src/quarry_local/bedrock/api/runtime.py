"""Runtime: the part of `bedrock-runtime` that batch work falls back to: InvokeModel, Converse, CountTokens.

A call goes through the model's identifier, access and rates, is answered by the same families as a batch record
(`families.answering`), takes `invocation_s` of simulated time, and then settles its tokens. Nothing is kept of it but
figures. CountTokens is free: it touches no rate.

Guardrails and performance settings are taken and do nothing, as is InvokeModel's service tier. Converse takes the members
that its batch form has (`converse`). Tools and streaming are refused: they are not simulated.
"""

import asyncio
import base64
import binascii
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from quarry_local.bedrock.api.http import under
from quarry_local.bedrock.api.rates import Rate, limits_of
from quarry_local.bedrock.clock import SimulatedClock
from quarry_local.bedrock.errors import ApiError, invalid, no_access
from quarry_local.bedrock.families.answers import Answer, Answering, Refused
from quarry_local.bedrock.families.registry import answering
from quarry_local.bedrock.faults.plan import RequestFate, draw
from quarry_local.bedrock.models.identity import behind
from quarry_local.bedrock.models.on_demand import Callee, callee, counted, tokens_to_reserve
from quarry_local.bedrock.settings import InvocationFault, LiveSettings

_BODY_BYTES_MAX = 25_000_000  # the model of InvokeModel

# Texts that others saw, except the last one's.
_FAULTS: dict[InvocationFault, tuple[int, str]] = {
    "ServiceUnavailableException": (503, "Bedrock is unable to process your request."),
    "ModelNotReadyException": (429, "The model is not ready for inference. Wait and try your request again."),
    "ModelTimeoutException": (408, "Model has timed out in processing the request. Try your request again."),
    "ModelErrorException": (424, "The model could not process the request (simulated)."),
}
# These come after the model has worked on the request.
_LATE: frozenset[InvocationFault] = frozenset({"ModelTimeoutException", "ModelErrorException"})

Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class _Done:
    answer: Answer
    latency_ms: int


class Runtime:
    def __init__(
        self,
        clock: SimulatedClock,
        live: Callable[[], LiveSettings],
        fate: Callable[[str, dict[str, Any]], RequestFate],
        *,
        region: str,
        account: str,
        seed: int,
    ) -> None:
        self._clock = clock
        self._live = live
        self._fate = fate
        self._region = region
        self._account = account
        self._seed = seed
        self._rates: dict[str, Rate] = {}
        self._drawn: Counter[str] = Counter()
        self._waiting: set[asyncio.Event] = set()
        self._answering: dict[tuple[str, str], Answering] = {}

    def add_routes(self, router: web.UrlDispatcher) -> None:
        for path, operation, handle in (
            ("invoke", "InvokeModel", self._invoke),
            ("converse", "Converse", self._converse),
            ("count-tokens", "CountTokens", self._count_tokens),
        ):
            router.add_post(f"/model/{{modelId}}/{path}", self._suffering(operation, handle))
        router.add_post("/model/{modelId}/invoke-with-response-stream", self._stream)
        router.add_post("/model/{modelId}/converse-stream", self._stream)

    def wake(self) -> None:
        """The clock has changed its pace: everyone who waits reckons anew."""
        for woken in self._waiting:
            woken.set()

    def figures(self) -> dict[str, dict[str, int]]:
        """By scope (a model's id or a profile's): what was let through, refused, and how many tokens it took."""
        return {
            scope: {
                "requests": rate.requests,
                "requests_refused": rate.requests_refused,
                "tokens_refused": rate.tokens_refused,
                "input_tokens": rate.input_tokens,
                "output_tokens": rate.output_tokens,
            }
            for scope, rate in self._rates.items()
        }

    def _suffering(self, operation: str, handle: Handler) -> Handler:
        """The same faults of requests as the control plane's operations suffer."""

        async def answer(request: web.Request) -> web.Response:
            fate = self._fate(operation, {"modelId": request.match_info["modelId"]})
            return await under(fate, request, lambda: handle(request))

        return answer

    async def _invoke(self, request: web.Request) -> web.Response:
        model = self._callee(request)
        done = await self._call(model, "InvokeModel", await _body_of(request))
        headers = {
            "x-amzn-bedrock-invocation-latency": str(done.latency_ms),
            "x-amzn-bedrock-input-token-count": str(done.answer.input_tokens),
        }
        if not model.embeds:
            headers["x-amzn-bedrock-output-token-count"] = str(done.answer.output_tokens)
        return _answer(done.answer.body, headers)

    async def _converse(self, request: web.Request) -> web.Response:
        model = self._callee(request)
        if model.embeds:
            raise invalid(
                "This action doesn't support the model that you provided. Try again with a supported text or chat model."
            )
        done = await self._call(model, "Converse", await _body_of(request))
        # A batch record's answer has no metrics.
        return _answer(done.answer.body[:-1] + b',"metrics":{"latencyMs":%d}}' % done.latency_ms)

    async def _count_tokens(self, request: web.Request) -> web.Response:
        model = counted(request.match_info["modelId"], region=self._region, account=self._account)
        invocation_type, body = _to_count(await _body_of(request))
        answer = self._ask(model, invocation_type, body)
        return _answer(msgspec.json.encode({"inputTokens": answer.input_tokens}))

    async def _stream(self, _request: web.Request) -> web.Response:
        raise invalid("Streaming is not simulated")

    def _callee(self, request: web.Request) -> Callee:
        home = {"region": self._region, "account": self._account}
        found = callee(behind(request.match_info["modelId"], self._live().application_profiles, **home), **home)
        if found.model.id in self._live().models_without_access:
            raise no_access()
        return found

    async def _call(self, model: Callee, invocation_type: str, body: bytes) -> _Done:
        live = self._live()
        began_at = self._clock.now()
        rate = self._rates.setdefault(model.scope, Rate())
        limits = limits_of(model.scope, model.model.id, live)
        rate.begin(limits, began_at)
        fault = self._drawn_fault(model, live)
        if fault and fault not in _LATE:
            raise _failed(fault)
        answer = self._ask(model, invocation_type, body)
        most = tokens_to_reserve(body, model.output_tokens_max)
        entry = rate.reserve(limits, answer.input_tokens + most, began_at)
        output_tokens = 0 if fault else answer.output_tokens
        try:
            await self._take_time(began_at + live.invocation_s)
        finally:
            # Also when the client has gone away: the model has worked all the same.
            rate.settle(
                entry,
                input_tokens=answer.input_tokens,
                output_tokens=output_tokens,
                burndown=model.burndown,
                now=self._clock.now(),
            )
        if fault:
            raise _failed(fault)
        return _Done(answer, round((self._clock.now() - began_at) * 1000))

    def _ask(self, model: Callee, invocation_type: str, body: bytes) -> Answer:
        """What the model's family answers; a body that it refuses is the caller's error here, not a record's."""
        key = (model.model.id, invocation_type)
        ask = self._answering.get(key)
        if ask is None:
            ask = self._answering[key] = answering(model.model, invocation_type, batch=False)
        try:
            return ask(body)
        except Refused as refused:
            raise invalid(refused.message.replace("is not supported in batch inference", "is not simulated")) from None

    def _drawn_fault(self, model: Callee, live: LiveSettings) -> InvocationFault | None:
        """What goes wrong with this call: the same for the n-th call of a model whenever the seed is the same."""
        if not live.invocation_faults:
            return None
        self._drawn[model.scope] += 1
        drawn = draw(self._seed, "invocation", f"{model.scope}/{self._drawn[model.scope]}")
        reached = 0.0
        for fault, share in live.invocation_faults.items():
            reached += share
            if drawn < reached:
                return fault
        return None

    async def _take_time(self, until: float) -> None:
        woken = asyncio.Event()
        self._waiting.add(woken)
        try:
            while self._clock.now() < until:
                woken.clear()
                await self._clock.until(until, woken)
        finally:
            self._waiting.discard(woken)


def _failed(fault: InvocationFault) -> ApiError:
    status, message = _FAULTS[fault]
    return ApiError(fault, status, message)


async def _body_of(request: web.Request) -> bytes:
    """The request's body; larger ones than the control plane takes.

    Raises:
        ApiError: ValidationException, when it is larger than the API takes.
    """
    pieces: list[bytes] = []
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size > _BODY_BYTES_MAX:
            raise invalid(
                "1 validation error detected: Value at 'body' failed to satisfy constraint: "
                f"Member must have length less than or equal to {_BODY_BYTES_MAX}"
            )
        pieces.append(piece)
    return b"".join(pieces)


class _InvokeModel(msgspec.Struct, gc=False):
    body: str


class _ToCount(msgspec.Struct, gc=False):
    invokeModel: _InvokeModel | None = None  # noqa: N815 - the API's name
    converse: msgspec.Raw = msgspec.Raw()


class _CountTokens(msgspec.Struct, gc=False):
    input: _ToCount


def _to_count(body: bytes) -> tuple[str, bytes]:
    """What CountTokens is asked about: an invocation's type and its body.

    Raises:
        ApiError: ValidationException, when it is not exactly one of the two.
    """
    try:
        asked = msgspec.json.decode(body, type=_CountTokens).input
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        raise invalid(f"The request is not valid: {wrong}") from None
    converse = bytes(asked.converse)
    conversed = converse not in {b"", b"null"}
    if asked.invokeModel is not None and not conversed:
        try:
            return "InvokeModel", base64.b64decode(asked.invokeModel.body, validate=True)
        except (binascii.Error, ValueError):
            raise invalid("Value at 'input.invokeModel.body' must be base64") from None
    if conversed and asked.invokeModel is None:
        return "Converse", converse
    raise invalid("Exactly one member must be set at 'input'")


def _answer(body: bytes, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=body,
        content_type="application/json",
        headers={"x-amzn-RequestId": str(uuid.uuid4()), **(headers or {})},
    )
