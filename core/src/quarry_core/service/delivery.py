"""The delivery at hand: which message, for the how-many-th time. Set by the loop around each handler's call.

Only the marks of work that may kill its process ask for it (`pieces.py`): whether the message of an unfinished piece
has come back is the evidence that its worker died.
"""

from __future__ import annotations

from contextvars import ContextVar

from quarry_core.ports import Message

DELIVERY: ContextVar[Message | None] = ContextVar("quarry_delivery", default=None)
