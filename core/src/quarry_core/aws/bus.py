"""The event bus: what Quarry tells the world, under the source `quarry.<env>`.

Events are at least once: after `Unknown` the caller puts the same event again, and readers go by the run id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quarry_core.aws.calls import Calls
from quarry_core.errors import REFUSED, THROTTLING, Refused, Throttled, Unknown

DEFAULT_BUS = "default"


class EventBus:
    """Puts events on one bus of EventBridge, which takes at most 256 KiB for one."""

    def __init__(self, aws: Calls, env: str, bus_name: str = DEFAULT_BUS) -> None:
        self._aws = aws
        self._source = f"quarry.{env}"
        self._bus_name = bus_name

    async def put(self, detail_type: str, detail: Mapping[str, Any]) -> None:
        doing = f"putting an event {detail_type!r}"
        entry = {
            "EventBusName": self._bus_name,
            "Source": self._source,
            "DetailType": detail_type,
            "Detail": json.dumps(detail, ensure_ascii=False, separators=(",", ":")),
        }
        answer = await self._aws.call("events", "put_events", {"Entries": [entry]}, doing=doing)
        if not answer.get("FailedEntryCount"):
            return
        # The request succeeds even when its only entry does not.
        failed: dict[str, Any] = next(
            (reported for reported in answer.get("Entries", []) if reported.get("ErrorCode")), {}
        )
        code = str(failed.get("ErrorCode", ""))
        text = f"{doing}: {code}: {failed.get('ErrorMessage', '')}"
        if code in THROTTLING:
            raise Throttled(text)
        if code in REFUSED:
            raise Refused(text, code)
        raise Unknown(text)
