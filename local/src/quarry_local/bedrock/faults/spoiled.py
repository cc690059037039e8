"""Answers that say nothing, are cut off, or are JSON of another form than was asked, in whatever family's form. Pure.

The families' bodies are told apart by their members (contract section 4.2), so a new family needs a line here only when
it says its text in a place that no other does. Tokens stay as they were: such an answer is paid for.
"""

from collections.abc import Callable
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
# Members that hold a call of a tool.
_CALLS = ("toolUse",)
_VECTORS = ("embedding", "embeddingsByType", "embeddings")


def emptied(body: bytes) -> bytes:
    """The answer with its text or vectors empty, in its own form."""
    return msgspec.json.encode(_emptied(msgspec.json.decode(body)))


def truncated(body: bytes, reason: str | None = None) -> bytes:
    """The answer with half of its text and the stop reason of a limit; what has no text stays as it is.

    `reason` is another stop reason, for the families that have it: Claude and Converse.
    """
    return msgspec.json.encode(_truncated(msgspec.json.decode(body), reason))


def broken_json(body: bytes) -> bytes:
    """The answer with its JSON broken off, and nothing else changed; one that is no JSON stays as it is."""
    return msgspec.json.encode(_reformed(msgspec.json.decode(body), _broken, lambda _found: {}))


def wrong_type(body: bytes) -> bytes:
    """The answer with the first value of its JSON in a list; one that is no JSON stays as it is."""
    return msgspec.json.encode(_reformed(msgspec.json.decode(body), _listed_text, _listed))


def _broken(text: str) -> str:
    return text[: len(text) * 2 // 3]


def _listed_text(text: str) -> str:
    return msgspec.json.encode(_listed(msgspec.json.decode(text))).decode()


def _listed(found: dict[str, Any]) -> dict[str, Any]:
    return {name: [[value]] if place == 0 else value for place, (name, value) in enumerate(found.items())}


def _reformed(value: Any, text: Callable[[str], str], tool: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """The same with other JSON in its texts, and other inputs of the tools that it calls."""
    if isinstance(value, list):
        return [_reformed(item, text, tool) for item in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for name, member in value.items():
        if name in _TEXTS and isinstance(member, str):
            made[name] = _with_json(member, text)
        elif name == "input" and isinstance(member, dict):
            made[name] = tool(member)
        else:
            made[name] = _reformed(member, text, tool) if name in _WITHIN or name in _CALLS else member
    return made


def _with_json(said: str, text: Callable[[str], str]) -> str:
    """The same with other JSON in it, where there is some; what stands around it stays."""
    start, end = said.find("{"), said.rfind("}") + 1
    try:
        found = msgspec.json.decode(said[start:end]) if start >= 0 else None
    except (msgspec.MsgspecError, UnicodeError):
        return said
    return said[:start] + text(said[start:end]) + said[end:] if isinstance(found, dict) else said


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
