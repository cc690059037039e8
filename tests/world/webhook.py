"""The host that wants to hear of ended runs, as a list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quarry_core.errors import PortError


@dataclass
class FakeWebhook:
    """`failing`: what it answers in the place of taking a request, until it is None."""

    failing: PortError | None = None
    tries: int = 0
    taken: list[tuple[dict[str, Any], Mapping[str, str]]] = field(default_factory=list)

    def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        self.tries += 1
        if self.failing is not None:
            raise self.failing
        self.taken.append((json.loads(body), dict(headers)))
