"""Rules for inference parameters, and the one check that applies a family's table of them.

A record whose parameters are wrong fails at Bedrock, and with it every record of the run, after hours of waiting and
one at a time (contract section 2, trap 1). So parameters are judged when the manifest arrives, by the same table.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Rule(Protocol):
    """What one parameter may be, for the check and in words."""

    def allows(self, value: object) -> bool: ...

    def words(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `low` to `high`, both included."""

    low: float
    high: float

    def allows(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return self.low <= value <= self.high  # NaN is not, and an integer may be too large for a float

    def words(self) -> str:
        return f"a number from {self.low} to {self.high}"


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `low` to `high`, both included."""

    low: int
    high: int

    def allows(self, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def words(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few whole numbers."""

    choices: tuple[int, ...]

    def allows(self, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value in self.choices

    def words(self) -> str:
        return "one of " + ", ".join(str(choice) for choice in self.choices)


@dataclass(frozen=True, slots=True)
class Word:
    """One of a few words."""

    choices: tuple[str, ...]

    def allows(self, value: object) -> bool:
        return isinstance(value, str) and value in self.choices

    def words(self) -> str:
        return "one of " + ", ".join(self.choices)


@dataclass(frozen=True, slots=True)
class YesNo:
    """True or false."""

    def allows(self, value: object) -> bool:
        return isinstance(value, bool)

    def words(self) -> str:
        return "true or false"


@dataclass(frozen=True, slots=True)
class Texts:
    """A list of up to `most` strings, none of them blank."""

    most: int

    def allows(self, value: object) -> bool:
        return (
            isinstance(value, (list, tuple))
            and 1 <= len(value) <= self.most
            and all(isinstance(text, str) and text.strip() != "" and _is_unicode(text) for text in value)
        )

    def words(self) -> str:
        return f"a list of 1 to {self.most} strings that are not blank"


@dataclass(frozen=True, slots=True)
class Stops:
    """A string that ends the answer, or a list of up to `most`; none of them blank."""

    most: int

    def allows(self, value: object) -> bool:
        return Texts(self.most).allows([value] if isinstance(value, str) else value)

    def words(self) -> str:
        return f"a string, or a list of 1 to {self.most} strings, that are not blank"


def as_list(stops: str | Sequence[str]) -> list[str]:
    """What `Stops` allows, as a list."""
    return [stops] if isinstance(stops, str) else list(stops)


@dataclass(frozen=True, slots=True)
class Fields:
    """An object of a model's own parameters, which is sent as it is."""

    bytes_max: int

    def allows(self, value: object) -> bool:
        if not isinstance(value, Mapping) or not value:
            return False
        try:
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            return False
        return len(text) <= self.bytes_max

    def words(self) -> str:
        return f"an object that is not empty, of at most {self.bytes_max} bytes as JSON"


@dataclass(frozen=True, slots=True)
class Thinking:
    """Claude's object for extended thinking: off, on with a budget of tokens, or as the model sees fit."""

    budget_min: int

    def allows(self, value: object) -> bool:
        if not isinstance(value, Mapping):
            return False
        if value.get("type") in {"disabled", "adaptive"}:
            return value.keys() == {"type"}
        budget = value.get("budget_tokens")
        whole = isinstance(budget, int) and not isinstance(budget, bool) and budget >= self.budget_min
        return value.get("type") == "enabled" and value.keys() == {"type", "budget_tokens"} and whole

    def words(self) -> str:
        return f'{{"type": "enabled", "budget_tokens": N}} with N at least {self.budget_min}, {{"type": "adaptive"}} or {{"type": "disabled"}}'


_SHOWN_CHARS_MAX = 60


def _is_unicode(text: str) -> bool:
    """False for half a surrogate pair, which JSON can spell and no request can carry."""
    return not any("\ud800" <= dead_letter <= "\udfff" for dead_letter in text)


_NO_ALIASES: Mapping[str, str] = {}


def check_against(
    rules: Mapping[str, Rule],
    never: Mapping[str, str],
    inference: Mapping[str, Any],
    family: str,
    aliases: Mapping[str, str] = _NO_ALIASES,
) -> None:
    """Judge `inference` by a family's table.

    Args:
        rules: what each known parameter may be.
        never: keys that users try, and why they are not parameters.
        inference: what the manifest or the prompt gives.
        family: the family's name, for the message.
        aliases: other words for parameters of `rules`.

    Raises:
        ValueError: names the first wrong key, and the nearest known one or the range.
    """
    for key, value in inference.items():
        rule = rules.get(aliases.get(key, key))
        if rule is None:
            raise ValueError(f"inference: {_why_unknown({**rules, **dict.fromkeys(aliases)}, never, key, family)}")
        if not rule.allows(value):
            raise ValueError(f"inference: {key} must be {rule.words()}, not {_as_written(value)}")
    plainly(inference, aliases)


def plainly(inference: Mapping[str, Any], aliases: Mapping[str, str]) -> dict[str, Any]:
    """The parameters, each by one word.

    Raises:
        ValueError: one is given twice, by two words.
    """
    said: dict[str, str] = {}
    for key in inference:
        name = aliases.get(key, key)
        if name in said:
            raise ValueError(f"inference: {said[name]} and {key} are one parameter: give one of them")
        said[name] = key
    return {name: inference[key] for name, key in said.items()}


def overridden(prompts: Mapping[str, Any], manifests: Mapping[str, Any], aliases: Mapping[str, str]) -> dict[str, Any]:
    """The prompt's parameters and the manifest's, which win, also where they use another word."""
    names = {aliases.get(key, key) for key in manifests}
    return {key: value for key, value in prompts.items() if aliases.get(key, key) not in names} | dict(manifests)


def _why_unknown(known: Collection[str], never: Mapping[str, str], key: object, family: str) -> str:
    name = str(key)
    if name in never:
        return f"{name} cannot be set here: {never[name]}"
    # maxTokens, max-tokens and MAX_TOKENS all mean max_tokens.
    plain = {_plain(each): each for each in known}
    nearest = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.5)
    guess = f"; did you mean {plain[nearest[0]]}?" if nearest else ""
    return f"{_shown(name)} is not a parameter of {family}{guess} (known: {', '.join(sorted(known))})"


def _plain(word: str) -> str:
    return "".join(each for each in word.casefold() if each.isalnum())


def _as_written(value: object) -> str:
    """As it stands in the manifest."""
    try:
        return _bounded(json.dumps(value, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError):
        return _shown(value)  # from Python, where it may be anything


def _shown(value: object) -> str:
    return _bounded(repr(value))


def _bounded(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS_MAX else text[: _SHOWN_CHARS_MAX - 1] + "…"
