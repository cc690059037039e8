"""Prompts: what a template may say, which columns it needs, and how a prompt file is read. Pure.

In a template `{column}` stands for the row's value, `{column|none}` for it or "none" where there is none, `{column:json}` for
it as JSON, and `{{` and `}}` are braces. `||` and `::` in a name are the `|` and `:` of a column that has them. That is
all: no conversions, no formats, no expressions. A template is judged when the manifest arrives; after that nothing about it can fail, and
nothing that stands in a row is ever read as a template. `system` is sent as it is written, braces and all.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from quarry_core.contract.field_faults import in_words
from quarry_core.contract.json_text import half_pairs, without_nulls
from quarry_core.contract.prompt_yaml import YamlError, read_yaml

PROMPT_ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
PROMPT_BYTES_MAX = 256 * 1024
TEMPLATE_CHARS_MAX = 200_000
SYSTEM_CHARS_MAX = 100_000
PLACEHOLDERS_MAX = 200
COLUMN_CHARS_MAX = 255
DEFAULT_CHARS_MAX = 1_000
MESSAGES_MAX = 100
NullPolicy = Literal["error", "empty", "skip"]
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
    """The place of a column's value.

    Attributes:
        column: its name.
        default: what stands there where the row has no value; None: the row is not sent.
        as_json: whether the value is written as JSON, a text with its quotation marks.
    """

    column: str
    default: str | None = None
    as_json: bool = False


@dataclass(frozen=True)
class Template:
    """A parsed template: literal strings and placeholders, in the order in which they stand."""

    parts: tuple[str | Placeholder, ...]

    @cached_property
    def placeholders(self) -> tuple[str, ...]:
        """The column of each placeholder, in order; a column stands as often as it is used."""
        return tuple(slot.column for slot in self.slots)

    @cached_property
    def slots(self) -> tuple[Placeholder, ...]:
        """The placeholders themselves, in order."""
        return tuple(part for part in self.parts if isinstance(part, Placeholder))

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

    def fill(self, values: Mapping[Placeholder, str]) -> str:
        """As `render`, with a text for each placeholder, for a column may stand in several forms."""
        return "".join(part if isinstance(part, str) else values[part] for part in self.parts)

    def render(self, values: Mapping[str, str]) -> str:
        """The prompt of one row. Raises KeyError if a column has no value."""
        return "".join(part if isinstance(part, str) else values[part.column] for part in self.parts)


_TOKEN = re.compile(r"\{\{|\}\}|[{}]")


def parse_template(text: str, *, constant: bool = False) -> Template:
    """Read a template.

    Args:
        text: the template.
        constant: whether it may be without a placeholder.

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
            placeholder, at = _placeholder(text, token.start())
            placeholders += 1
            if any(literal):
                parts.append("".join(literal))
            literal.clear()
            parts.append(placeholder)
    literal.append(text[at:])
    if any(literal):
        parts.append("".join(literal))
    if placeholders == 0 and not constant:
        raise TemplateError("the template has no placeholder, so every row would get the same prompt: write {column}")
    if placeholders > PLACEHOLDERS_MAX:
        raise TemplateError(f"the template has {placeholders} placeholders, more than {PLACEHOLDERS_MAX}")
    return Template(tuple(parts))


# A column's name, in which `||` and `::` stand for one of each, and what follows it.
_INSIDE = re.compile(r"(?P<name>(?:\|\||::|[^|:])*)(?P<json>:json)?(?:\|(?P<default>.*))?", re.DOTALL)


# JSON in a template has these where a name would stand.
_UNNAMEABLE = "\"'\n\r\t"


def is_nameable(column: str) -> bool:
    """Whether a template can name the column."""
    return column == column.strip() and not any(mark in column for mark in _UNNAMEABLE + "{}")


def _placeholder(text: str, start: int) -> tuple[Placeholder, int]:
    """The placeholder that opens at `start`, and where the text goes on."""
    where = f"'{{' at {_place(text, start)}"
    braces = "for braces, as in JSON, write {{ and }}"
    end = re.compile(r"[{}]").search(text, start + 1)
    if end is None or end[0] == "{":
        raise TemplateError(f"{where} is not closed: {braces}")
    inside = text[start + 1 : end.start()]
    shown = inside if len(inside) <= _SHOWN_CHARS_MAX else inside[: _SHOWN_CHARS_MAX - 1] + "…"
    if not inside.strip():
        raise TemplateError(f"{where} holds no name: write the name of a column, as in {{topic}}; {braces}")
    found = _INSIDE.fullmatch(inside)
    name = found["name"] if found else inside.partition(":")[0]
    if found and name != name.strip() and is_nameable(name.strip()):
        raise TemplateError(
            f"{where} holds {shown!r}, with a space beside the name: write {{{name.strip()}}}, and if the column is called"
            f" that, rename it in the source; {braces}"
        )
    if not is_nameable(name) and (found or any(mark in name for mark in _UNNAMEABLE)):
        raise TemplateError(f"{where} holds {shown!r}, which is not a column name; {braces}")
    plain = name.partition("!")[0]
    if found is None or plain != name:
        raise TemplateError(
            f"{where} holds {shown!r}: conversions (!r) and formats (:fmt) other than :json are not supported,"
            f" write {{{plain.strip() or 'column'}}}, and :: for a : in a column's name; {braces}"
        )
    if not name:
        raise TemplateError(f"{where} holds no name before {inside[0]!r}: write the name of a column; {braces}")
    column = name.replace("||", "|").replace("::", ":")
    if len(column) > COLUMN_CHARS_MAX:
        raise TemplateError(f"{where} holds a name of more than {COLUMN_CHARS_MAX} characters; {braces}")
    default = found["default"]
    if default is not None and len(default) > DEFAULT_CHARS_MAX:
        raise TemplateError(f"{where} has a default of more than {DEFAULT_CHARS_MAX} characters: shorten it")
    return Placeholder(column, default, found["json"] is not None), end.end()


def _place(text: str, position: int) -> str:
    """A position for people, counted from 1."""
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return f"line {line}, character {column}"


# What an embedding model is given of each row.
EMBEDDING_COLUMN = "input_text"


def template_of(prompt: Prompt | None) -> Template:
    """All of a run's records in which values stand: the prompt's messages and template, or the column that is embedded."""
    if prompt is None:
        return parse_template(f"{{{EMBEDDING_COLUMN}}}")
    return Template(tuple(part for template in (*prompt.examples, prompt.last) for part in template.parts))


def columns_of(template: Template) -> tuple[str, ...]:
    """The columns that a template needs, each once, in the order of their first use."""
    return tuple(dict.fromkeys(template.placeholders))


def check_columns(template: Template, available: Collection[str]) -> None:
    """Raise MissingColumn for the first placeholder that is not among the dataset's columns, or may mean two of them."""
    for slot in template.slots:
        literal = f"{slot.column}|{slot.default}"
        if slot.default is not None and literal in available:
            raise MissingColumn(
                f"the dataset has a column {literal!r}, and {{{literal}}} means the column {slot.column!r} with a default:"
                f" write {{{slot.column}||{slot.default}}} for the column, or rename it"
            )
    require_columns(columns_of(template), available, nameable=is_nameable)


def require_columns(
    needed: Sequence[str], available: Collection[str], *, nameable: Callable[[str], bool] = lambda _name: True
) -> None:
    """Raise MissingColumn for the first of `needed` that is not in `available`; `nameable`: could it have been named there?"""
    for column in needed:
        if column in available:
            continue
        by_plain_name = {name.casefold(): name for name in available}
        nearest = difflib.get_close_matches(column.casefold(), by_plain_name, n=1, cutoff=0.5)
        guess = f"; did you mean {by_plain_name[nearest[0]]!r}?" if nearest else ""
        if nearest and not nameable(by_plain_name[nearest[0]]):
            guess = (
                f"; {by_plain_name[nearest[0]]!r} is a name that no prompt can write: rename the column in the source"
            )
        shown = [repr(name) for name in list(available)[:_COLUMNS_SHOWN_MAX]]
        if len(available) > _COLUMNS_SHOWN_MAX:
            shown.append(f"and {len(available) - _COLUMNS_SHOWN_MAX} more")
        raise MissingColumn(f"the dataset has no column {column!r}{guess} (it has {', '.join(shown) or 'none'})")


# --------------------------------------------------------------------------- prompts


class Message(BaseModel):
    """One message of an example: what was asked, or what the answer to it is."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    role: Literal["user", "assistant"] = Field(description="Who said it.")
    content: str = Field(min_length=1, description="The text, with placeholders as in the template, or without.")

    @field_validator("content")
    @classmethod
    def _readable(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("is blank: a model refuses messages without a text")
        parse_template(value, constant=True)
        return value


class Prompt(BaseModel):
    """A template and what goes with it: the content of `prompts/<prompt_id>.yaml`, or of the manifest's `prompt`."""

    # In JSON too `"version": 2` means the word.
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    template: str = Field(description="The user message: {column} is a placeholder, {{ and }} are braces.")
    system: str | None = Field(
        None, min_length=1, max_length=SYSTEM_CHARS_MAX, description="The system prompt, sent as it is written."
    )
    messages: tuple[Message, ...] = Field(
        (),
        max_length=MESSAGES_MAX,
        description="Examples that stand before the template: user and assistant in turn, the user first.",
    )
    nulls: Mapping[str, NullPolicy] = Field(
        default_factory=dict,
        description="By column, what becomes of a row that has no value in it: error (the default), empty or skip.",
    )
    version: str | None = Field(None, max_length=64, description="Your own label for this version of the prompt.")
    description: str | None = Field(None, max_length=2_000, description="What the prompt is for.")
    inference: Mapping[str, Any] = Field(
        default_factory=dict, description="Inference parameters for the model's family; the manifest's override them."
    )

    @field_validator("template")
    @classmethod
    def _readable(cls, value: str) -> str:
        parse_template(value, constant=True)  # beside an image it may say the same of each row: `images`
        return value

    @field_validator("messages")
    @classmethod
    def _in_turn(cls, value: tuple[Message, ...]) -> tuple[Message, ...]:
        for number, message in enumerate(value):
            expected = "assistant" if number % 2 else "user"
            if message.role != expected:
                raise ValueError(
                    f"message {number + 1} has the role {message.role}, and user and assistant take turns, the user first:"
                    f" it must be {expected}"
                )
        if len(value) % 2:
            raise ValueError(
                "the last message has the role user, and the template is the next question: add the assistant's answer to it"
            )
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        slots = template_of(self).slots
        if len(slots) > PLACEHOLDERS_MAX:
            raise ValueError(
                f"messages: with the template they have {len(slots)} placeholders, more than {PLACEHOLDERS_MAX}"
            )
        size = len(self.template) + sum(len(message.content) for message in self.messages)
        if size > TEMPLATE_CHARS_MAX:
            raise ValueError(f"messages: with the template they have {size} characters, more than {TEMPLATE_CHARS_MAX}")
        columns = {slot.column for slot in slots}
        for column in self.nulls:
            if column not in columns:
                nearest = difflib.get_close_matches(column, columns, n=1, cutoff=0.5)
                guess = f"; did you mean {nearest[0]!r}?" if nearest else f": name one of {', '.join(sorted(columns))}"
                raise ValueError(f"nulls: no placeholder has the column {column!r}{guess}")
            defaults = [slot for slot in slots if slot.column == column and slot.default is not None]
            if defaults:
                raise ValueError(
                    f"nulls: {column!r} has a default too, {{{column}|{defaults[0].default}}}: leave one of them out"
                )
        return self

    @cached_property
    def examples(self) -> tuple[Template, ...]:
        """The messages, parsed."""
        return tuple(parse_template(message.content, constant=True) for message in self.messages)

    @cached_property
    def last(self) -> Template:
        """The template, parsed."""
        return parse_template(self.template, constant=True)


def check_asks_rows(prompt: Prompt, *, images: bool) -> None:
    """Refuse a prompt that says the same of each row: without a placeholder, where no image stands beside it.

    Raises:
        TemplateError: with the remedy.
    """
    if prompt.last.slots:
        return
    if not images:
        raise TemplateError(
            "the template has no placeholder, so every row would get the same prompt: write {column}, or name a column"
            " of images"
        )
    if not prompt.template.strip():
        raise TemplateError("the template is blank: say what the model is to do with the image")


def check_prompt_id(prompt_id: str) -> str:
    """Return a prompt id that is well formed. Raises ValueError."""
    if PROMPT_ID_PATTERN.fullmatch(prompt_id) is None:
        shown = repr(prompt_id if len(prompt_id) <= _SHOWN_CHARS_MAX else prompt_id[: _SHOWN_CHARS_MAX - 1] + "…")
        raise ValueError(f"prompt_id: {shown} must be 1 to 64 letters, digits, - and _")
    return prompt_id


def load_prompt(data: bytes, prompt_id: str, *, images: bool = False) -> Prompt:
    """Read a prompt file (YAML, UTF-8).

    Args:
        images: whether images stand beside its template, which may then say the same of each row.

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
        prompt = Prompt.model_validate(without_nulls(content))
        check_asks_rows(prompt, images=images)
    except TemplateError as error:
        raise PromptError(f"{name}: template: {error}") from error
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise PromptError(f"{name}: " + "; ".join(_sentence(fault) for fault in faults)) from error
    return prompt


def _sentence(fault: Mapping[str, Any]) -> str:
    field = ".".join(str(step) for step in fault["loc"])
    if fault["type"] == "extra_forbidden" and len(fault["loc"]) > 1:
        return f"{field} is not a field of a message (known: {', '.join(Message.model_fields)})"
    if fault["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(field, Prompt.model_fields, n=1, cutoff=0.5)
        guess = f"; did you mean {nearest[0]}?" if nearest else ""
        return f"{field} is not a field of a prompt{guess} (known: {', '.join(Prompt.model_fields)})"
    if fault["type"] == "missing":
        return f"{field} is missing"
    words = in_words(fault)
    return f"{field}: {words}" if field else words
