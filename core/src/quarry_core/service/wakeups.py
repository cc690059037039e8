"""Reading a wake-up before it is answered: the same for every service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from quarry_core.contract.messages import NotAMessage, UnknownVersion, Wakeup, read_wakeup
from quarry_core.ports import Message
from quarry_core.service.verdicts import Poison, Retry, Verdict

# A message of a later version is another consumer's, which may be up already: first soon, then ever more seldom. With
# SQS's 30 deliveries and the usual longest pause of five minutes, a roll may take an hour and three quarters.
LATER_VERSION_FIRST_S = 1.0
LATER_VERSION_DOUBLINGS_MAX = 12


async def handle_wakeup(message: Message, answer: Callable[[Wakeup], Awaitable[Verdict]]) -> Verdict:
    """Read the wake-up and let `answer` judge it; what cannot be read is poison, a later version is not ours to judge."""
    try:
        wakeup = read_wakeup(message.body)
    except UnknownVersion as error:
        doublings = min(message.receive_count - 1, LATER_VERSION_DOUBLINGS_MAX)
        return Retry(LATER_VERSION_FIRST_S * 2**doublings, str(error))
    except NotAMessage as error:
        return Poison(str(error))
    structlog.contextvars.bind_contextvars(**wakeup.about())  # until the loop has told what became of it
    return await answer(wakeup)
