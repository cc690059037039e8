"""Rates: how many requests and tokens of a model are let through on demand in 60 seconds (contract section 9). Pure.

A request counts when it is let through. Its tokens are *reserved* when it starts, as input + the most it may answer,
and *settled* to what it really used when it ends; the settled figure may lie above the reserved one, for output counts
five times with newer models. Whether live windows slide is not documented: here they do, so a refused client may go on
60 seconds after the requests that filled the window. What is refused costs nothing, except that a request which is
refused for its tokens stays counted as a request.

Time comes from outside, and every method is one step: called from one event loop, no limit is ever passed.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from quarry_local.bedrock.errors import throttled
from quarry_local.bedrock.settings import LiveSettings

WINDOW_S = 60.0

# Contract section 9, which cuts the first two short: the end of the first is as others saw it, the second's is not known.
TOO_MANY_REQUESTS = (
    "Too many requests, please wait before trying again. You have sent too many requests. Wait before trying again."
)
RATE_TOO_HIGH = "Your request rate is too high. Reduce the frequency of requests."
TOO_MANY_TOKENS = "Too many tokens, please wait before trying again."


class Limits(NamedTuple):
    requests_per_minute: int
    tokens_per_minute: int


def limits_of(named: str, base_id: str, live: LiveSettings) -> Limits:
    """The limits of one scope: a profile's id or, failing that, the base model's id names an exception."""
    return Limits(
        _exception(live.requests_per_minute_by_model, named, base_id, live.requests_per_minute),
        _exception(live.tokens_per_minute_by_model, named, base_id, live.tokens_per_minute),
    )


def _exception(by_model: dict[str, int], named: str, base_id: str, otherwise: int) -> int:
    return by_model.get(named, by_model.get(base_id, otherwise))


@dataclass(slots=True)
class Entry:
    """What one request weighs in a window."""

    at: float
    amount: int


@dataclass(slots=True)
class _Window:
    """The last 60 seconds. As nothing enters above a limit, it never holds more entries than requests are allowed."""

    total: int = 0
    _entries: deque[Entry] = field(default_factory=deque)

    def add(self, now: float, amount: int) -> Entry:
        entry = Entry(now, amount)
        self._entries.append(entry)
        self.total += amount
        return entry

    def forget(self, now: float) -> None:
        while self._entries and self._entries[0].at <= now - WINDOW_S:
            self.total -= self._entries.popleft().amount

    def change(self, entry: Entry, amount: int, now: float) -> None:
        """Give an entry another weight; one that has left the window weighs nothing any more."""
        self.forget(now)
        if entry.at > now - WINDOW_S:
            self.total += amount - entry.amount
        entry.amount = amount


@dataclass(slots=True)
class Rate:
    """One model's windows, and its figures since the start."""

    requests: int = 0
    requests_refused: int = 0
    tokens_refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    _request_window: _Window = field(default_factory=_Window)
    _token_window: _Window = field(default_factory=_Window)
    _refused_at: float = float("-inf")
    _refused_in_a_row: int = 0

    def begin(self, limits: Limits, now: float) -> None:
        """Count one request.

        Raises:
            ApiError: ThrottlingException, when the window is full.
        """
        window = self._request_window
        window.forget(now)
        if window.total >= limits.requests_per_minute:
            self.requests_refused += 1
            raise throttled(self._words_for_requests(limits, now))
        window.add(now, 1)
        self.requests += 1
        self._refused_in_a_row = 0

    def reserve(self, limits: Limits, tokens: int, now: float) -> Entry:
        """Set tokens aside for a request that starts; give the entry to `settle` when it ends.

        Raises:
            ApiError: ThrottlingException, when they do not fit into the window.
        """
        window = self._token_window
        window.forget(now)
        if window.total + tokens > limits.tokens_per_minute:
            self.tokens_refused += 1
            raise throttled(TOO_MANY_TOKENS)
        return window.add(now, tokens)

    def settle(self, entry: Entry, *, input_tokens: int, output_tokens: int, burndown: int, now: float) -> None:
        """Replace what was reserved by what was used, where one output token weighs `burndown`."""
        self._token_window.change(entry, input_tokens + output_tokens * burndown, now)
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens

    def _words_for_requests(self, limits: Limits, now: float) -> str:
        """Which of two texts live AWS uses when is not documented.

        Here the second one tells a client that it has been refused, without a pause, as often as its limit allows.
        """
        if now - self._refused_at >= WINDOW_S:
            self._refused_in_a_row = 0
        self._refused_at = now
        self._refused_in_a_row += 1
        return RATE_TOO_HIGH if self._refused_in_a_row > max(1, limits.requests_per_minute) else TOO_MANY_REQUESTS
