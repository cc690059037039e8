"""How records are asked on demand: how fast, how often, and what an answer that is none comes to. Pure.

Theory of operation. Bedrock counts requests and LLM tokens of a model in windows of 60 seconds, and sets aside the tokens of
a request when it begins: its input, and the most that it may answer (contract section 9). So do we, with two buckets that
fill at the configured rates and hold ten seconds' worth: whatever we send stays within the rates over any minute, but for
those ten seconds. What a request did not use is returned when it ends. A throttled request empties both buckets, so that
everybody slows down and not the one who met it alone.

A record is asked again only after what AWS says to ask again after: throttling, a timeout, a service that broke; never after
an answer that would be the same. Pauses are drawn from the whole of a range that doubles (full jitter), up to a minute,
which is the window.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from quarry_core.contract.on_demand import NO_ANSWER, THROTTLED
from quarry_core.errors import (
    Missing,
    PortError,
    QuotaExceeded,
    Refused,
    Throttled,
    credentials_fault,
    unreachable_endpoint,
)

BURST_S = 10.0
PAUSE_FIRST_S = 2.0
PAUSE_MAX_S = 60.0
MINUTE_S = 60.0
# English has about four bytes a token, other languages fewer; what is set aside too much is returned.
BYTES_PER_TOKEN = 3
# An image or a document is long in base64 and short in tokens.
ENCLOSED_TOKENS_MAX = 8_000
# For a request that somebody else wrote without a limit; without one Bedrock sets aside the most that the model can answer.
OUTPUT_TOKENS_DEFAULT = 4_096


# --------------------------------------------------------------------------- how fast


@dataclass(slots=True)
class Bucket:
    """What may be sent now, of something that fills at `per_minute`. Times in seconds, monotonic."""

    per_minute: float
    level: float = field(init=False)
    _at_s: float | None = None

    def __post_init__(self) -> None:
        self.level = self.most

    @property
    def most(self) -> float:
        return max(1.0, self.per_minute * BURST_S / MINUTE_S)

    def wait_s(self, amount: float, now_s: float) -> float:
        """How long until `amount` may be taken. More than the bucket holds may be taken when it is full."""
        self._fill(now_s)
        return max(0.0, (min(amount, self.most) - self.level) * MINUTE_S / self.per_minute)

    def take(self, amount: float, now_s: float) -> None:
        """Take it; with less than nothing the bucket owes. A negative amount is returned."""
        self._fill(now_s)
        self.level = min(self.most, self.level - amount)

    def empty(self, now_s: float) -> None:
        """Bedrock has less than we thought."""
        self._fill(now_s)
        self.level = min(self.level, 0.0)

    def _fill(self, now_s: float) -> None:
        if self._at_s is not None and now_s > self._at_s:
            self.level = min(self.most, self.level + (now_s - self._at_s) * self.per_minute / MINUTE_S)
        self._at_s = now_s


@dataclass(slots=True)
class Rate:
    """The two buckets of one model."""

    requests: Bucket
    tokens: Bucket

    @classmethod
    def of(cls, requests_per_minute: int, tokens_per_minute: int) -> Rate:
        return cls(Bucket(requests_per_minute), Bucket(tokens_per_minute))

    def wait_s(self, tokens: int, now_s: float) -> float:
        return max(self.requests.wait_s(1, now_s), self.tokens.wait_s(tokens, now_s))

    def take(self, tokens: int, now_s: float) -> None:
        self.requests.take(1, now_s)
        self.tokens.take(tokens, now_s)

    def settle(self, reserved: int, used: int, now_s: float) -> None:
        """A request has ended: what it took really."""
        self.tokens.take(used - reserved, now_s)

    def throttled(self, now_s: float) -> None:
        self.requests.empty(now_s)
        self.tokens.empty(now_s)


# --------------------------------------------------------------------------- how much


class _Inference(msgspec.Struct, gc=False):
    maxTokens: int | None = None  # noqa: N815 - the API's name
    max_new_tokens: int | None = None


class _Limited(msgspec.Struct, gc=False):
    """Where the families put the most that an answer may have."""

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_gen_len: int | None = None
    inferenceConfig: _Inference | None = None  # noqa: N815 - the API's name


_LIMITS = msgspec.json.Decoder(_Limited)


def output_limit(body: bytes) -> int | None:
    """The most LLM tokens that a request lets itself be answered with, if it says."""
    try:
        asked = _LIMITS.decode(body)
    except (ValueError, RecursionError):
        return None
    inference = asked.inferenceConfig or _Inference()
    limits = (
        asked.max_tokens,
        asked.max_completion_tokens,
        asked.max_gen_len,
        inference.maxTokens,
        inference.max_new_tokens,
    )
    return next((limit for limit in limits if limit is not None), None)


def tokens_to_reserve(body: bytes) -> int:
    """About what Bedrock sets aside for a request."""
    words = len(body) // BYTES_PER_TOKEN
    if b'"bytes"' in body or b'"base64"' in body:
        words = min(words, ENCLOSED_TOKENS_MAX)
    return words + max(0, output_limit(body) or 0)


def with_limit(body: bytes) -> bytes:
    """A Converse request that has a limit for its answer: its own, or the default."""
    if output_limit(body) is not None:
        return body
    try:
        asked = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        inference = msgspec.json.decode(asked.get("inferenceConfig", b"{}"), type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        return body  # Bedrock says what is wrong with it
    inference["maxTokens"] = msgspec.Raw(str(OUTPUT_TOKENS_DEFAULT).encode())
    asked["inferenceConfig"] = msgspec.Raw(msgspec.json.encode(inference))
    return msgspec.json.encode(asked)


# --------------------------------------------------------------------------- how often


@dataclass(frozen=True, slots=True)
class Again:
    """Ask the record again, after a pause of at most `pause_max_s`."""

    pause_max_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The record's outcome is an error: Bedrock's own code, or one of `on_demand.GIVEN_UP`."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Halt:
    """No record of the shard would be answered: the answer was about the caller or the model."""

    message: str


@dataclass(frozen=True, slots=True)
class Outage:
    """Nothing was asked, and that is no record's fault: credentials are missing, or nobody answers at the address."""

    message: str


Decision = Again | GiveUp | Halt | Outage


def after(error: PortError, attempt: int, attempts_max: int) -> Decision:
    """What follows a call without an answer; `attempt` counts from 1."""
    if isinstance(error, Missing) or (isinstance(error, Refused) and error.denied):
        return Halt(str(error))
    if isinstance(error, Refused):
        return GiveUp(error.code, str(error))
    if isinstance(error, QuotaExceeded):
        return GiveUp(THROTTLED, str(error))
    if attempt >= attempts_max and (credentials_fault(error) or unreachable_endpoint(error) is not None):
        return Outage(str(error))
    if attempt >= attempts_max:
        tries = f"after {attempt} {'try' if attempt == 1 else 'tries'}: {error}"
        return GiveUp(THROTTLED if isinstance(error, Throttled) else NO_ANSWER, tries)
    return Again(min(PAUSE_MAX_S, PAUSE_FIRST_S * 2 ** (attempt - 1)))
