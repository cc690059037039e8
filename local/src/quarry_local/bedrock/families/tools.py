"""Tools that a record offers and the answer in a form that it asks for, in the words of each family. Pure.

In a job of type InvokeModel tools are offered in the model's native body, and the model may call one; a Converse record
with `toolConfig` fails; structured outputs work with both types (contract section 4.1). Which tool is called follows from
the prompt's digest: always one where the record lets the model choose, for a call is what such a record is a test of.
Tools and schemas count as input tokens, as they are billed.

How each form writes its tools, its choice and its schema: `claude_tools`, `chat_tools`, `spec_tools`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from quarry_local.bedrock.families.answers import Refused, Said, input_tokens_of, prompt_digest
from quarry_local.bedrock.families.schemas import NoSchema, NoValue, Schema, schema_of

NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
SCHEMA_WORDS = (
    "JSON schema is invalid. It must match JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12)."
)


class Tool(NamedTuple):
    name: str
    schema: Schema


class Call(NamedTuple):
    """A tool that the model calls, before its family's form is put around it."""

    name: str
    input: bytes
    """JSON, an object; empty when the limit of tokens cut it off."""
    digits: bytes
    """For ids, as `Said.digits`."""
    input_tokens: int
    output_tokens: int
    cut: bool


Choice = Literal["none", "auto", "any"] | tuple[str]
"""Whether a tool is called; a tuple names the only one that may be."""


def call(tools: Sequence[Tool], choice: Choice, prompt: str, tokens_max: int | None, *, answered: bool) -> Call | None:
    """The call that answers this prompt; None when a text does.

    Args:
        tools: what the record offers.
        choice: what it says about calling them.
        prompt: its texts.
        tokens_max: where the answer is cut.
        answered: whether the record ends with a tool's result, after which a model that may choose says a text.

    Raises:
        Refused: no input that fits the tool's schema could be made.
    """
    if not tools or choice == "none" or (choice == "auto" and answered):
        return None
    digest = prompt_digest(prompt)
    if isinstance(choice, tuple):
        tool = next(tool for tool in tools if tool.name == choice[0])
    else:
        tool = tools[int(digest[:8], 16) % len(tools)]
    made = _value(tool.schema, digest, f"tools: {tool.name}")
    output_tokens = len(made) // 4 + 1
    cut = tokens_max is not None and output_tokens > tokens_max
    if cut and tokens_max is not None:
        made, output_tokens = b"{}", tokens_max
    offered = sum(len(each.name) + each.schema.size_bytes for each in tools) // 4
    return Call(tool.name, made, _digits(digest), input_tokens_of(prompt) + offered, output_tokens, cut)


def structured(schema: Schema, prompt: str, tokens_max: int | None) -> Said:
    """A text that is JSON and fits the schema; cut off by the limit of tokens it is neither.

    Raises:
        Refused: no value that fits could be made.
    """
    digest = prompt_digest(prompt)
    text = _value(schema, digest, "the output's schema")
    output_tokens = len(text) // 4 + 1
    cut = tokens_max is not None and output_tokens > tokens_max
    if cut and tokens_max is not None:
        output_tokens = tokens_max
        text = text.decode()[: output_tokens * 4].encode()
    return Said(text, _digits(digest), input_tokens_of(prompt), output_tokens, cut)


def json_said(schema: Schema | None, prompt: str, tokens_max: int | None) -> Said | None:
    """The text that is JSON, where the record asks for it by a schema or in words; None where any text will do.

    Who is asked in words chats around the JSON, and puts it into a code fence.

    Raises:
        Refused: as `structured`.
    """
    if schema is not None:
        said = structured(schema, prompt, tokens_max)
        # The model reads what it is to fit; in a prompt that asks in words it stands already.
        return said._replace(input_tokens=said.input_tokens + schema.size_bytes // 4)
    asked = _in_words(prompt)
    if asked is None:
        return None
    said = structured(asked, prompt, None)
    text = b"Here is the answer:\n```json\n" + said.text + b"\n```\nIt fits the schema."
    output_tokens = len(text) // 4 + 1
    cut = tokens_max is not None and output_tokens > tokens_max
    if cut and tokens_max is not None:
        output_tokens = tokens_max
        text = text[: output_tokens * 4]
    return said._replace(text=text, output_tokens=output_tokens, cut=cut)


def _in_words(prompt: str) -> Schema | None:
    """The JSON Schema with which a prompt ends, on a line of its own."""
    if not prompt.endswith("}") or "JSON Schema" not in prompt:
        return None
    try:
        return schema_of(prompt[prompt.rfind("\n{") + 1 :])
    except NoSchema:
        return None


def _value(schema: Schema, digest: str, at: str) -> bytes:
    try:
        return msgspec.json.encode(schema.value(digest))
    except (NoValue, msgspec.MsgspecError, RecursionError, OverflowError) as wrong:
        raise Refused(400, f"{at}: the simulator found no value that fits the schema: {wrong}") from None


def _digits(digest: str) -> bytes:
    return (digest * 4).encode()


def checked(tools: list[Tool], at: str) -> list[Tool]:
    """The same tools.

    Raises:
        Refused: two have one name.
    """
    if len({tool.name for tool in tools}) != len(tools):
        raise Refused(400, f"{at}: Tool names must be unique.")
    return tools
