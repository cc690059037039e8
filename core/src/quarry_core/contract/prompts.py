"""Prompts: what a template may say, which columns it needs, and how a prompt file is read. Pure.

In a template `{column}` stands for the row's value, and `{{` and `}}` are braces. That is all: no conversions, no
formats, no expressions. A template is judged when the manifest arrives; after that nothing about it can fail, and
nothing that stands in a row is ever read as a template. `system` is sent as it is written, braces and all.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from quarry_core.contract.field_faults import in_words
from quarry_core.contract.json_text import half_pairs, without_nulls
from quarry_core.contract.prompt_yaml import YamlError, read_yaml

PROMPT_ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
PROMPT_BYTES_MAX = 256 * 1024
TEMPLATE_CHARS_MAX = 200_000
SYSTEM_CHARS_MAX = 100_000
PLACEHOLDERS_MAX = 200
COLUMN_CHARS_MAX = 255
TEXT_FIELDS = ("template", "system", "version", "description")
_SHOWN_CHARS_MAX = 40
_COLUMNS_SHOWN_MAX = 20


class TemplateError(ValueError):
    """A template that cannot be read; the text names the place and the remedy."""


class MissingColumn(ValueError):
    """A column that is needed is not in the dataset; the text names it and the nearest that is."""


class PromptError(ValueError):
    """A prompt file that cannot be used; the text names the prompt and what is wrong."""


# --------------------------------------------------------------------------- templates


@dataclass(frozen=True, slots=True)
class Placeholder:
    """The place of a column's value."""

    column: str


@dataclass(frozen=True)
class Template:
    """A parsed template: literal strings and placeholders, in the order in which they stand."""

    parts: tuple[str | Placeholder, ...]

    @cached_property
    def placeholders(self) -> tuple[str, ...]:
        """The column of each placeholder, in order; a column stands as often as it is used."""
        return tuple(part.column for part in self.parts if isinstance(part, Placeholder))

    @cached_property
    def literals(self) -> tuple[str, ...]:
        """The text before, between and behind the placeholders: one more than there are placeholders."""
        texts = [""]
        for part in self.parts:
            if isinstance(part, Placeholder):
                texts.append("")
            else:
                texts[-1] += part
        return tuple(texts)

    def render(self, values: Mapping[str, str]) -> str:
        """The prompt of one row. Raises KeyError if a column has no value."""
        return "".join(part if isinstance(part, str) else values[part.column] for part in self.parts)


_TOKEN = re.compile(r"\{\{|\}\}|[{}]")


def parse_template(text: str) -> Template:
    """Read a template.

    Raises:
        TemplateError: a brace without its partner, an empty or malformed name, a conversion or a format, no
            placeholder at all, or more text or placeholders than allowed.
    """
    if len(text) > TEMPLATE_CHARS_MAX:
        raise TemplateError(f"the template has {len(text)} characters, more than {TEMPLATE_CHARS_MAX}")
    parts: list[str | Placeholder] = []
    literal: list[str] = []
    at = placeholders = 0
    while (token := _TOKEN.search(text, at)) is not None:
        literal.append(text[at : token.start()])
        at = token.end()
        if token[0] in {"{{", "}}"}:
            literal.append(token[0][0])
        elif token[0] == "}":
            raise TemplateError(f"'}}' at {_place(text, token.start())} closes nothing: for a literal brace write }}}}")
        else:
            name, at = _name(text, token.start())
            placeholders += 1
            if any(literal):
                parts.append("".join(literal))
            literal.clear()
            parts.append(Placeholder(name))
    literal.append(text[at:])
    if any(literal):
        parts.append("".join(literal))
    if placeholders == 0:
        raise TemplateError("the template has no placeholder, so every row would get the same prompt: write {column}")
    if placeholders > PLACEHOLDERS_MAX:
        raise TemplateError(f"the template has {placeholders} placeholders, more than {PLACEHOLDERS_MAX}")
    return Template(tuple(parts))


def _name(text: str, start: int) -> tuple[str, int]:
    """The placeholder that opens at `start`, and where the text goes on."""
    where = f"'{{' at {_place(text, start)}"
    braces = "for braces, as in JSON, write {{ and }}"
    end = re.compile(r"[{}]").search(text, start + 1)
    if end is None or end[0] == "{":
        raise TemplateError(f"{where} is not closed: {braces}")
    name = text[start + 1 : end.start()]
    shown = name if len(name) <= _SHOWN_CHARS_MAX else name[: _SHOWN_CHARS_MAX - 1] + "…"
    if not name.strip():
        raise TemplateError(f"{where} holds no name: write the name of a column, as in {{topic}}; {braces}")
    if name != name.strip() or any(dead_letter in name for dead_letter in "\"'\n\r\t"):
        raise TemplateError(f"{where} holds {shown!r}, which is not a column name; {braces}")
    plain = re.match(r"[^!:]*", name)
    if plain is not None and plain[0] != name:
        raise TemplateError(
            f"{where} holds {shown!r}: conversions (!r) and formats (:fmt) are not supported,"
            f" write {{{plain[0].strip() or 'column'}}}; {braces}"
        )
    if len(name) > COLUMN_CHARS_MAX:
        raise TemplateError(f"{where} holds a name of more than {COLUMN_CHARS_MAX} characters; {braces}")
    return name, end.end()


def _place(text: str, position: int) -> str:
    """A position for people, counted from 1."""
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return f"line {line}, character {column}"


# What an embedding model is given of each row.
EMBEDDING_COLUMN = "input_text"


def template_of(prompt: Prompt | None) -> Template:
    """The template of a run's records: the prompt's, or the one column that is embedded."""
    return parse_template(prompt.template if prompt is not None else f"{{{EMBEDDING_COLUMN}}}")


def columns_of(template: Template) -> tuple[str, ...]:
    """The columns that a template needs, each once, in the order of their first use."""
    return tuple(dict.fromkeys(template.placeholders))


def check_columns(template: Template, available: Collection[str]) -> None:
    """Raise MissingColumn for the first placeholder that is not among the dataset's columns."""
    require_columns(columns_of(template), available)


def require_columns(needed: Sequence[str], available: Collection[str]) -> None:
    """Raise MissingColumn for the first of `needed` that is not in `available`."""
    for column in needed:
        if column in available:
            continue
        by_plain_name = {name.casefold(): name for name in available}
        nearest = difflib.get_close_matches(column.casefold(), by_plain_name, n=1, cutoff=0.5)
        guess = f"; did you mean {by_plain_name[nearest[0]]!r}?" if nearest else ""
        shown = [repr(name) for name in list(available)[:_COLUMNS_SHOWN_MAX]]
        if len(available) > _COLUMNS_SHOWN_MAX:
            shown.append(f"and {len(available) - _COLUMNS_SHOWN_MAX} more")
        raise MissingColumn(f"the dataset has no column {column!r}{guess} (it has {', '.join(shown) or 'none'})")


# --------------------------------------------------------------------------- prompts


class Prompt(BaseModel):
    """A template and what goes with it: the content of `prompts/<prompt_id>.yaml`, or of the manifest's `prompt`."""

    # In JSON too `"version": 2` means the word.
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    template: str = Field(description="The user message: {column} is a placeholder, {{ and }} are braces.")
    system: str | None = Field(
        None, min_length=1, max_length=SYSTEM_CHARS_MAX, description="The system prompt, sent as it is written."
    )
    version: str | None = Field(None, max_length=64, description="Your own label for this version of the prompt.")
    description: str | None = Field(None, max_length=2_000, description="What the prompt is for.")
    inference: Mapping[str, Any] = Field(
        default_factory=dict, description="Inference parameters for the model's family; the manifest's override them."
    )

    @field_validator("template")
    @classmethod
    def _readable(cls, value: str) -> str:
        parse_template(value)
        return value


def check_prompt_id(prompt_id: str) -> str:
    """Return a prompt id that is well formed. Raises ValueError."""
    if PROMPT_ID_PATTERN.fullmatch(prompt_id) is None:
        shown = repr(prompt_id if len(prompt_id) <= _SHOWN_CHARS_MAX else prompt_id[: _SHOWN_CHARS_MAX - 1] + "…")
        raise ValueError(f"prompt_id: {shown} must be 1 to 64 letters, digits, - and _")
    return prompt_id


def load_prompt(data: bytes, prompt_id: str) -> Prompt:
    """Read a prompt file (YAML, UTF-8).

    Raises:
        PromptError: names the prompt, the field and the remedy.
    """
    name = f"prompt {check_prompt_id(prompt_id)!r}"
    if len(data) > PROMPT_BYTES_MAX:
        raise PromptError(f"{name}: the file has more than {PROMPT_BYTES_MAX} bytes; shorten it")
    try:
        text = data.decode("utf-8-sig")
        content = read_yaml(text, TEXT_FIELDS)
    except UnicodeDecodeError as error:
        raise PromptError(f"{name}: the file is not UTF-8 text") from error
    except YamlError as error:
        raise PromptError(f"{name}: {error}") from error
    except yaml.YAMLError as error:
        raise PromptError(f"{name}: the file is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise PromptError(f"{name}: the file must be a YAML mapping with the key template")
    for field, sentence in half_pairs(content):
        raise PromptError(f"{name}: {field}: {sentence}")
    try:
        return Prompt.model_validate(without_nulls(content))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise PromptError(f"{name}: " + "; ".join(_sentence(fault) for fault in faults)) from error


def _sentence(fault: Mapping[str, Any]) -> str:
    field = ".".join(str(step) for step in fault["loc"])
    if fault["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(field, Prompt.model_fields, n=1, cutoff=0.5)
        guess = f"; did you mean {nearest[0]}?" if nearest else ""
        return f"{field} is not a field of a prompt{guess} (known: {', '.join(Prompt.model_fields)})"
    if fault["type"] == "missing":
        return f"{field} is missing"
    return f"{field}: {in_words(fault)}"
