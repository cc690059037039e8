"""Reading a doorbell before it is answered: the same for every service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from quarry_core.messages import Doorbell, NotAMessage, UnknownVersion, read_doorbell
from quarry_core.ports import Message
from quarry_core.verdicts import Poison, Retry, Verdict

UNKNOWN_VERSION_RETRY_S = 60.0


async def heed(message: Message, answer: Callable[[Doorbell], Awaitable[Verdict]]) -> Verdict:
    """Read the bell and let `answer` judge it; what cannot be read is poison, a later version is not ours to judge."""
    try:
        bell = read_doorbell(message.body)
    except UnknownVersion as error:
        return Retry(UNKNOWN_VERSION_RETRY_S, str(error))
    except NotAMessage as error:
        return Poison(str(error))
    with structlog.contextvars.bound_contextvars(**bell.about()):
        return await answer(bell)
