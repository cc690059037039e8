"""Bedrock's models, asked one by one (contract section 9).

Every call is sent once: whether a record is asked again, and when, is the asker's to decide. An answer is handed on as the
JSON that stands in a job's output, so one reader reads both: InvokeModel's body is that already; Converse is answered with
members beside it, which fall away, and with bytes, which become base64 as they are on the wire.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

from quarry_core.aws.calls import Calls
from quarry_core.errors import Refused, Unknown, raise_for
from quarry_core.ports import RuntimeRequest

# Ten times what the longest answers have; what is longer is none.
ANSWER_BYTES_MAX = 32 << 20
BODY_READ_S = 60.0
_PIECE_BYTES = 1 << 16
JSON_TYPE = "application/json"
# Of Converse's answer; a job's output has neither.
_BESIDE = ("ResponseMetadata", "metrics")
_BYTES = "bytes"


class BedrockRuntime:
    """The models of one account in one region."""

    def __init__(self, aws: Calls) -> None:
        self._aws = aws

    async def ask(self, request: RuntimeRequest) -> bytes:
        if request.form == "Converse":
            return await self._converse(request)
        return await self._invoke(request)

    async def _invoke(self, asked: RuntimeRequest) -> bytes:
        request: dict[str, Any] = {
            "modelId": asked.model_id,
            "body": asked.body,
            "contentType": JSON_TYPE,
            "accept": JSON_TYPE,
        }
        if asked.tier is not None:
            request["serviceTier"] = asked.tier
        answer = await self._call("invoke_model", request)
        return await _read(answer["body"])

    async def _converse(self, asked: RuntimeRequest) -> bytes:
        try:
            body = _members(json.loads(asked.body, object_hook=_with_bytes))
        except (ValueError, TypeError, RecursionError) as error:
            raise Refused(f"asking {asked.model_id}: the record is no Converse request: {error}") from error
        request = {**body, "modelId": asked.model_id}
        if asked.tier is not None:
            request["serviceTier"] = {"type": asked.tier}
        answer = await self._call("converse", request)
        kept = {name: value for name, value in answer.items() if name not in _BESIDE}
        return json.dumps(kept, default=_as_text, ensure_ascii=False).encode("utf-8", "replace")

    async def _call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        return await self._aws.call(
            "bedrock-runtime", operation, request, doing=f"asking {request['modelId']}", once=True
        )


async def _read(body: Any) -> bytes:
    """A body that comes as a stream; the call's own deadline ends with its headers."""
    found = bytearray()
    try:
        async with asyncio.timeout(BODY_READ_S):
            while len(found) <= ANSWER_BYTES_MAX and (piece := await body.read(_PIECE_BYTES)):
                found += piece
    except Exception as error:
        raise_for(error, "reading an answer")
    finally:
        body.close()
    if len(found) > ANSWER_BYTES_MAX:
        raise Unknown(f"an answer has more than {ANSWER_BYTES_MAX} bytes")
    return bytes(found)


def _members(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise TypeError("it is no object")
    return body


def _with_bytes(found: dict[str, Any]) -> dict[str, Any]:
    """The SDK takes bytes where JSON has base64: of images, documents and videos."""
    if isinstance(found.get(_BYTES), str):
        return {**found, _BYTES: base64.b64decode(found[_BYTES], validate=True)}
    return found


def _as_text(value: object) -> object:
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes | bytearray) else str(value)
