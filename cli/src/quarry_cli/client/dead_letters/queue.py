"""Dead-letter messages: looking at them, moving them back to where they came from, deleting them.

Theory of operation. A dead-letter message is only ever borrowed: what a pass over the queue receives is made visible again
at its end, except for messages that were moved or deleted. Moving back is send, then delete, message by message, and not
SQS's own move task, which knows neither a reason nor a count, and nothing of `quarry_origin_id`. Whoever dies in
between has moved a message and left it too: twice is harmless, for every handler may be called twice, and never is one
lost.

Who moves or deletes is written down in `acts`. What may be moved or deleted is agreed upon first: a look gives the ids, and the pass that acts leaves all others alone,
so that nothing is deleted that nobody has seen.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from quarry_cli.aws.answers import out_of_reach
from quarry_core.aws.dead_letters import CUT_BODY_BYTES
from quarry_core.contract.envelopes import is_wakeup
from quarry_core.contract.json_text import NotAnObject, parse_object
from quarry_core.contract.manifest_identity import ORIGIN_ATTRIBUTE, run_id_of
from quarry_core.contract.message_attributes import apart, with_origin
from quarry_core.contract.messages import group_of
from quarry_core.contract.names import QUEUES
from quarry_core.errors import Missing, PortError
from quarry_core.ports import Message, Queue

EVENT_TARGET = "event-target"
DEAD_LETTER_QUEUES = (*QUEUES, EVENT_TARGET)
RECEIVE_MAX = 10
# A short poll asks only some of SQS's servers; a long one asks them all.
WAIT_S = 1
# Messages that one pass reads, at most: SQS keeps 120,000 in flight, and the pass remembers each one's receipt.
PASS_MAX = 10_000
SHOWN_BODY_CHARS_MAX = 2_000
REASON = "quarry_reason"
STEP = "quarry_step"
_BODY_BYTES = re.compile("[0-9]{1,9}")
# What EventBridge says of an event that it could not deliver.
EVENT_ERROR = ("ERROR_CODE", "ERROR_MESSAGE")
NOT_FOUND = "not found again: another receiver has it, or it is gone"
NO_REASON = "(none: it was received too often and never finished)"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead-letter message as it is shown. `reason` is empty where SQS moved it by itself; times are UTC.

    Attributes:
        origin_id: the id that the message had when it was first sent; a manifest's run id is derived from it.
        run_id: the run that it speaks of, empty where it names none.
        sent_at: when it was dead-lettered, or, of one that SQS moved, when it was sent.
        body: at most 2,000 characters of it.
        body_bytes: the length of the whole.
        whole: whether all of the original body is there; one that was cut when it was dead-lettered cannot be moved back.
    """

    id: str
    reason: str
    step: str
    origin_id: str
    run_id: str
    sent_at: datetime
    receive_count: int
    body: str
    body_bytes: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Depth:
    """A dead-letter queue, counted. `oldest` is the oldest of the (at most ten) messages that were read.

    `error` says why there is no count.
    """

    queue: str
    visible: int = 0
    in_flight: int = 0
    oldest: DeadLetter | None = None
    error: str = ""


@dataclass(slots=True)
class Done:
    """What became of the messages that were to be moved or deleted; `left` gives the reason for each that was not."""

    done: int = 0
    left: dict[str, str] = field(default_factory=dict)


Choose = Callable[[DeadLetter], bool]


def every_one(_: DeadLetter) -> bool:
    return True


def with_reason(text: str) -> Choose:
    """Chooses messages by a part of their reason, ignoring case; an empty text chooses all."""
    wanted = text.casefold()
    return lambda dead_letter: wanted in dead_letter.reason.casefold()


async def depth_of(name: str, dead_letters: Queue) -> Depth:
    """Count one dead-letter queue and read its oldest message; an error of this queue alone is reported, not raised.

    Raises:
        PortError: AWS cannot be asked at all.
    """
    try:
        counts = await dead_letters.depth()
        seen = await look(dead_letters, most=RECEIVE_MAX) if counts["visible"] else []
    except PortError as error:
        if out_of_reach(error):
            raise
        return Depth(name, error=f"{type(error).__name__}: {error}")
    oldest = min(seen, key=lambda dead_letter: dead_letter.sent_at, default=None)
    return Depth(name, counts["visible"] + counts["delayed"], counts["in_flight"], oldest)


async def look(dead_letters: Queue, *, most: int, choose: Choose = every_one) -> list[DeadLetter]:
    """The first `most` messages that are chosen, oldest first; they stay where they are. Raises PortError."""
    found: list[DeadLetter] = []

    async def note(message: Message) -> bool:
        dead_letter = read_dead_letter(message)
        if len(found) < most and choose(dead_letter):
            found.append(dead_letter)
        return False

    await _each(dead_letters, note, enough=lambda: len(found) >= most)
    return sorted(found, key=lambda dead_letter: dead_letter.sent_at)


async def redrive(dead_letters: Queue, source: Queue, ids: Sequence[str]) -> Done:
    """Move these messages back. Sent first, then deleted; what cannot be sent stays. Raises PortError of the reading."""

    async def move(message: Message) -> str:
        if _bytes_before_cut(message) is not None:
            return "its body was truncated when it was dead-lettered: send the original again"
        try:
            await source.send(message.body, restored(message), group=group_of(message.body))
        except PortError as error:
            return f"not sent: {error}"
        try:
            await dead_letters.ack(message)
        except PortError as error:
            return f"moved, but not deleted here: {error}"
        return ""

    return await _act(dead_letters, ids, move)


async def purge(dead_letters: Queue, ids: Sequence[str]) -> Done:
    """Delete these messages permanently. Raises PortError of the reading."""

    async def drop(message: Message) -> str:
        try:
            await dead_letters.ack(message)
        except PortError as error:
            return f"not deleted: {error}"
        return ""

    return await _act(dead_letters, ids, drop)


def restored(message: Message) -> dict[str, str]:
    """The attributes with which a message goes back: without those of its dead-lettering, and with its origin.

    A message that SQS moved by itself has no origin attribute yet, and kept its id; the message that goes back gets a
    new one, and a manifest's run id would change with it.
    """
    theirs = {name: value for name, value in apart(message.attributes).items() if value and name not in {REASON, STEP}}
    return with_origin(theirs, message.id)


def read_dead_letter(message: Message) -> DeadLetter:
    attributes = message.attributes
    bytes_before_cut = _bytes_before_cut(message)
    origin_id = attributes.get(ORIGIN_ATTRIBUTE) or message.id
    reported = ": ".join(attributes[name] for name in EVENT_ERROR if attributes.get(name))
    return DeadLetter(
        id=message.id,
        reason=attributes.get(REASON) or reported,
        step=attributes.get(STEP, ""),
        origin_id=origin_id,
        run_id=_run_id(message.body, origin_id),
        sent_at=datetime.fromtimestamp(message.sent_at_ms / 1000, UTC),
        receive_count=message.receive_count,
        body=message.body[:SHOWN_BODY_CHARS_MAX],
        body_bytes=len(message.body.encode(errors="replace")) if bytes_before_cut is None else bytes_before_cut,
        whole=bytes_before_cut is None,
    )


def _bytes_before_cut(message: Message) -> int | None:
    """How long the body was before its dead-lettering cut it; None if it is whole. Anybody's message may bear any attribute."""
    reported = message.attributes.get(CUT_BODY_BYTES, "")
    return int(reported) if _BODY_BYTES.fullmatch(reported) else None


def _run_id(body: str, origin_id: str) -> str:
    """Of a wake-up the run that it names; of a manifest that run's id, given or derived; else nothing."""
    try:
        data = parse_object(body)
    except NotAnObject:
        return ""
    if isinstance(data, Mapping):
        if "detail-type" in data:
            return ""
        if is_wakeup(data):
            return str(data.get("run_id") or "")
    return run_id_of(data, origin_id)


# --------------------------------------------------------------------------- one pass

Take = Callable[[Message], Awaitable[bool]]


async def _each(dead_letters: Queue, take: Take, *, enough: Callable[[], bool]) -> None:
    """Receive messages until there are enough, none is left or 10,000 came; `take` sees each once.

    Those of which `take` says that they are gone are forgotten, all others are made visible again at the end, however it comes.
    """
    borrowed: dict[str, Message] = {}
    seen: set[str] = set()
    received = 0
    try:
        while not enough() and received < PASS_MAX:
            messages = await dead_letters.receive(RECEIVE_MAX, WAIT_S)
            if not messages:
                break
            received += len(messages)
            # One whose time ran out during a long pass comes once more: only the last receipt makes it visible.
            borrowed |= {message.id: replace(message, body="", attributes={}) for message in messages}
            fresh = [message for message in messages if message.id not in seen]
            seen |= {message.id for message in fresh}
            gone = await asyncio.gather(*map(take, fresh))
            for message, is_gone in zip(fresh, gone, strict=True):
                if is_gone:
                    del borrowed[message.id]
    finally:
        await _make_visible(dead_letters, list(borrowed.values()))


async def _make_visible(dead_letters: Queue, borrowed: Sequence[Message]) -> None:
    """Raises the first error, when all were tried; a message that is no longer ours is visible already."""
    errors: list[PortError] = []

    async def give(message: Message) -> None:
        try:
            await dead_letters.extend(message, 0)
        except Missing:
            pass
        except PortError as error:
            errors.append(error)

    for first in range(0, len(borrowed), RECEIVE_MAX):
        await asyncio.gather(*map(give, borrowed[first : first + RECEIVE_MAX]))
    if errors:
        raise errors[0]


async def _act(dead_letters: Queue, ids: Sequence[str], do: Callable[[Message], Awaitable[str]]) -> Done:
    """Do it to each message of `ids` that comes; `do` says why it was not done."""
    outcome, missing = Done(), set(ids)

    async def take(message: Message) -> bool:
        if message.id not in missing:
            return False
        missing.discard(message.id)
        why = await do(message)
        if why:
            outcome.left[message.id] = why
            return False
        outcome.done += 1
        return True

    await _each(dead_letters, take, enough=lambda: not missing)
    outcome.left |= dict.fromkeys(sorted(missing), NOT_FOUND)
    return outcome
