"""Answers that say nothing, and answers that are cut off, in the form of whatever family gave them. Pure.

The families' bodies are told apart by their members (contract section 4.2), so a new family needs a line here only when
it says its text in a place that no other does. Tokens stay as they were: such an answer is paid for.
"""

from typing import Any

import msgspec

# Where a family says why it stopped, and what each way to say "it was done" becomes at a limit of tokens.
_STOPS = ("stop_reason", "stopReason", "finish_reason")
_OWN_STOPS = ("stop_reason", "stopReason")
_CUT = {"end_turn": "max_tokens", "stop": "length", "COMPLETE": "MAX_TOKENS"}
# Members that hold a family's text itself.
_TEXTS = ("text", "generation", "content")
# Members that hold more of the answer: containers to look into.
_WITHIN = ("content", "output", "message", "outputs", "choices", "generations")
_VECTORS = ("embedding", "embeddingsByType", "embeddings")


def emptied(body: bytes) -> bytes:
    """The answer with its text or vectors empty, in its own form."""
    return msgspec.json.encode(_emptied(msgspec.json.decode(body)))


def truncated(body: bytes, reason: str | None = None) -> bytes:
    """The answer with half of its text and the stop reason of a limit; what has no text stays as it is.

    `reason` is another stop reason, for the families that have it: Claude and Converse.
    """
    return msgspec.json.encode(_truncated(msgspec.json.decode(body), reason))


def _emptied(value: Any) -> Any:
    if isinstance(value, list):
        return [_emptied(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _emptied_member(name, member) for name, member in value.items()}


def _emptied_member(name: str, member: Any) -> Any:
    if name in _VECTORS:
        return _no_numbers(member)
    if name in _TEXTS and isinstance(member, str):
        return ""
    return _emptied(member) if name in _WITHIN else member


def _no_numbers(member: Any) -> Any:
    """Vectors without a number in them, in as many lists as there were."""
    if isinstance(member, dict):
        return {name: _no_numbers(inner) for name, inner in member.items()}
    if not isinstance(member, list):
        return member
    return [_no_numbers(inner) for inner in member] if member and isinstance(member[0], list | dict) else []


def _truncated(value: Any, reason: str | None) -> Any:
    if isinstance(value, list):
        return [_truncated(item, reason) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _truncated_member(name, member, reason) for name, member in value.items()}


def _truncated_member(name: str, member: Any, reason: str | None) -> Any:
    if reason is not None and name in _OWN_STOPS and member in {"end_turn", "tool_use"}:
        return reason
    if name in _STOPS:
        return _CUT.get(member, member)
    if name in _TEXTS and isinstance(member, str):
        return member[: len(member) // 2]
    return _truncated(member, reason) if name in _WITHIN else member
