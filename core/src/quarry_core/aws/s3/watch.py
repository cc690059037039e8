"""Telling of each call of an S3 client, by the SDK's own events: whoever calls need not know that he is watched.

A call is told once, retries included, when the head of its answer has come: the body of a large object is read after
that, and is not in the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

from quarry_core.errors import PortError, raise_for

Observe = Callable[[str, str, str, float], None]
_BEGUN = "quarry_begun"
_FIRST_ERROR_STATUS = 300


def watch(client: Any, observe: Observe) -> None:
    """Tell `observe` of every call of this client as (`s3`, operation, outcome, seconds).

    Outcome is `ok`, or the name of the port error in lower case. Calls may be made from many threads at once.
    """

    def begin(context: dict[str, Any], **_: Any) -> None:
        context[_BEGUN] = time.perf_counter()

    def tell(operation: str, outcome: str, context: Mapping[str, Any]) -> None:
        begun = context.get(_BEGUN)
        if begun is not None:
            observe("s3", xform_name(operation), outcome, time.perf_counter() - begun)

    def answered(model: Any, http_response: Any, parsed: Any, context: Mapping[str, Any], **_: Any) -> None:
        failed = http_response.status_code >= _FIRST_ERROR_STATUS
        outcome = _meaning(ClientError(parsed, model.name)) if failed else "ok"
        tell(model.name, outcome, context)

    def broke(exception: Exception, context: Mapping[str, Any], event_name: str, **_: Any) -> None:
        tell(event_name.rpartition(".")[2], _meaning(exception), context)

    events = client.meta.events
    events.register("before-call.s3", begin)
    events.register("after-call.s3", answered)
    events.register("after-call-error.s3", broke)


def _meaning(error: Exception) -> str:
    try:
        raise_for(error, "")
    except PortError as answer:
        return type(answer).__name__.lower()
