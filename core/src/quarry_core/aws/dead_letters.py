"""What a poisoned message looks like in the dead-letter queue. Pure.

Body and string attributes are those of the original, and three more say why, where and which: `quarry_reason`,
`quarry_step`, `quarry_origin_id`. The origin id is the first one the message ever had, so that a message that was
moved back by hand and dead-lettered again is still known as the same. Attributes that find no room beside these travel in
one of their own (`message_attributes`). Nothing about a message may keep it from being
dead-lettered: characters that SQS refuses are replaced, reasons are cut, and body and attributes are too if they must be;
`quarry_body_bytes` then says how long the body was.
"""

from __future__ import annotations

import re

from quarry_core.contract.message_attributes import apart, together
from quarry_core.ports import Message

REASON_CHARS_MAX = 1_000
STEP_CHARS_MAX = 100
# Half of what the smallest usual queue takes (256 KiB): ten attributes fit beside it.
CUT_BODY_BYTES_MAX = 131_072
CUT_VALUE_CHARS_MAX = 1_000
EMPTY_BODY = "(empty)"
CUT_BODY_BYTES = "quarry_body_bytes"
# SQS takes XML 1.0's characters only.
REFUSED_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def dead_lettered(message: Message, reason: str, step: str, *, cut: bool = False) -> tuple[str, dict[str, str]]:
    """Body and attributes of the dead-letter message.

    Args:
        message: the delivery that is given up.
        reason: for people; cut to 1,000 characters.
        step: the name of what refused it; cut to 100 characters.
        cut: cut body and attributes so that they fit any queue.
    """
    body = _clean(message.body) or EMPTY_BODY
    ours = {
        "quarry_reason": _text(reason, REASON_CHARS_MAX),
        "quarry_step": _text(step, STEP_CHARS_MAX),
        "quarry_origin_id": message.attributes.get("quarry_origin_id") or message.id,
    }
    # Of a body that is not cut here, nobody else may say that it was: it could not be moved back.
    theirs = {name: value for name, value in apart(message.attributes).items() if value and name != CUT_BODY_BYTES}
    if cut:
        ours[CUT_BODY_BYTES] = str(len(body.encode()))
        body = body.encode()[:CUT_BODY_BYTES_MAX].decode(errors="ignore")
        theirs = {name: _text(value, CUT_VALUE_CHARS_MAX) for name, value in theirs.items()}
    return body, together(theirs, ours)


def _text(text: str, chars_max: int) -> str:
    return _clean(text)[:chars_max] or "unspecified"


def _clean(text: str) -> str:
    return REFUSED_CHARACTER.sub("\ufffd", text)
