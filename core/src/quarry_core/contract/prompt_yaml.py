"""YAML as a person means it: the content of a prompt file, or a sentence that names the field. Pure.

YAML 1.1 bends what it is given: `1_000` and `017` are other numbers than they look, `1:30` is ninety, `yes` is true,
`1.10` is 1.1, and the second of two equal keys wins. Nothing of that reaches a prompt here. A value without quotation
marks is a text where the field wants one, else a number, `true`, `false` or null as JSON and people write them; any
other form that a YAML reader would take for a number, a truth or a date is refused with what to write instead. Tags,
aliases and several documents are refused, and so is nesting without end.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import yaml

from quarry_core.text import shown_name

NESTING_MAX = 10
TOO_DEEP = f"the file is nested more than {NESTING_MAX} deep"
_TEXT_TAG = "tag:yaml.org,2002:str"
_PLAIN_TAGS = {_TEXT_TAG, "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "!", None}
_NUMBER = re.compile(
    r"[-+]?(?:0|[1-9][0-9]{0,29})|[-+]?(?:(?:0|[1-9][0-9]{0,29})(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][-+]?[0-9]{1,3})?"
)
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = {"", "~", "null", "Null", "NULL"}
# A number to YAML 1.2, or to the people who write it so, and a text to YAML 1.1.
_NUMBER_ELSEWHERE = re.compile(
    r"[-+]?0[oO][0-7_]+|[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|nan)", re.IGNORECASE
)
_A_NUMBER = "a number, and not to all of the same value,"
_MEANT = {
    "tag:yaml.org,2002:bool": "true or false",
    "tag:yaml.org,2002:timestamp": "a date",
}
_resolve: Any = yaml.resolver.Resolver().resolve
# libyaml's parser is ten times as fast, where the package has it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class YamlError(ValueError):
    """What cannot be taken; the text names the field and the remedy."""


def read_yaml(text: str, text_fields: Collection[str]) -> Any:
    """One document as dicts, lists, texts, numbers, truths and nulls.

    Args:
        text: the file.
        text_fields: fields at the top whose numbers are texts: `version: 1.10` is "1.10".

    Raises:
        YamlError: see above.
        yaml.YAMLError: the text is no YAML.
    """
    try:
        return _read(yaml.parse(text, Loader=_LOADER), text_fields)
    except yaml.YAMLError as error:
        # The libyaml of PyYAML 6.0.4 has a bound of its own, which it may meet while it reads ahead of us.
        if "maximum nesting depth" in str(error):
            raise YamlError(TOO_DEEP) from error
        raise


def _read(events: Iterator[Any], text_fields: Collection[str]) -> Any:
    found: list[Any] = []
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            if found:
                raise YamlError("there are several YAML documents in the file: keep one, without ---")
            found.append(_Reader(events, text_fields).value(next(events), ()))
    return found[0] if found else None


class _Reader:
    def __init__(self, events: Iterator[Any], text_fields: Collection[str]) -> None:
        self._events = events
        self._text_fields = text_fields

    def value(self, event: Any, path: tuple[str, ...]) -> Any:
        if isinstance(event, yaml.AliasEvent):
            raise YamlError(f"{_field(path)}YAML aliases (*name) are not supported")
        if event.tag not in _PLAIN_TAGS:
            raise YamlError(
                f"{_field(path)}YAML tags ({shown_name(event.tag)}) are not supported: write the value without"
            )
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if len(path) >= NESTING_MAX:
            raise YamlError(TOO_DEEP)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path)
        return self._mapping(path)

    def _list(self, path: tuple[str, ...]) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self.value(event, (*path, str(len(items)))))
        return items

    def _mapping(self, path: tuple[str, ...]) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise YamlError(f"{_field(path)}a key must be a word; for braces in a text put it into quotation marks")
            key = event.value
            if key in items:
                raise YamlError(f"{_field((*path, key))}the key appears twice: keep one")
            items[key] = self.value(next(self._events), (*path, key))
        return items

    def _scalar(self, event: Any, path: tuple[str, ...]) -> Any:
        text: str = event.value
        if not event.implicit[0] or event.tag is not None:
            return text
        if text in _NULLS:
            return None
        if text in _TRUTHS:
            return _TRUTHS[text]
        if _NUMBER.fullmatch(text):
            return text if len(path) == 1 and path[0] in self._text_fields else _number(text, path)
        tag = _resolve(yaml.ScalarNode, text, (True, False))
        if tag != _TEXT_TAG or _NUMBER_ELSEWHERE.fullmatch(text):
            meant = _MEANT.get(tag, _A_NUMBER)
            raise YamlError(
                f"{_field(path)}{shown_name(text)} is {meant} to some readers of YAML: write a number as 1000 or 0.5, "
                "true or false as such, and put a text into quotation marks"
            )
        return text


def _number(text: str, path: tuple[str, ...]) -> int | float:
    if text.lstrip("+-").isdigit():
        return int(text)
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise YamlError(f"{_field(path)}{shown_name(text)} is not a number that can be stored: write a smaller one")
    return number


def _field(path: tuple[str, ...]) -> str:
    return ".".join(shown_name(step) for step in path) + ": " if path else ""
