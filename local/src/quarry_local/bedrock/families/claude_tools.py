"""Tools and structured outputs in Claude's Messages body: `tools`, `tool_choice`, `output_config`. Pure.

The texts of errors imitate the validator of the Messages API.
"""

import re
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from quarry_local.bedrock.families.answers import Refused
from quarry_local.bedrock.families.schemas import NoSchema, Schema, schema_of
from quarry_local.bedrock.families.tools import NAME, SCHEMA_WORDS, Choice, Tool, checked

# What Claude knows without a schema; tools that act on Anthropic's own servers are not on Bedrock.
_BUILT_IN = re.compile(r"(?:bash|text_editor|computer|memory)_\d{8}")
_ANYTHING = schema_of({"type": "object"})


class _ClaudeTool(msgspec.Struct, gc=False):
    name: str
    type: str | None = None
    input_schema: Any = None


class _ClaudeChoice(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _ClaudeFormat(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["json_schema"]
    schema: dict[str, Any]
    name: str | None = None


class _ClaudeOutput(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    format: _ClaudeFormat | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None


def tools_of(found: Any) -> list[Tool]:
    """`tools` of a Messages body.

    Raises:
        Refused: one of them is none that the model takes.
    """
    tools: list[Tool] = []
    for number, one in enumerate(_convert(found, list[_ClaudeTool], "tools")):
        at = f"tools.{number}.custom"
        if one.type is not None and one.type != "custom":
            if not _BUILT_IN.fullmatch(one.type):
                raise Refused(400, f"tools.{number}: Input tag '{one.type}' found using 'type' is not supported")
            tools.append(Tool(one.name, _ANYTHING))
            continue
        if not NAME.fullmatch(one.name):
            raise Refused(400, f"{at}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        tools.append(Tool(one.name, _input_schema(one.input_schema, f"{at}.input_schema")))
    return checked(tools, "tools")


def _input_schema(found: Any, at: str) -> Schema:
    if found is None:
        raise Refused(400, f"{at}: Field required")
    if not isinstance(found, dict):
        raise Refused(400, f"{at}: Input should be a valid dictionary")
    if "type" not in found:
        raise Refused(400, f"{at}.type: Field required")
    if found["type"] != "object":
        raise Refused(400, f"{at}.type: Input should be 'object'")
    try:
        return schema_of(found)
    except NoSchema:
        raise Refused(400, f"{at}: {SCHEMA_WORDS}") from None


def choice_of(found: Any, tools: Sequence[Tool]) -> Choice:
    """`tool_choice` of a Messages body.

    Raises:
        Refused: it is none, or names a tool that is not offered.
    """
    if found is None:
        return "auto"
    if not tools:
        raise Refused(400, "tool_choice: may only be specified while providing tools")
    choice: _ClaudeChoice = _convert(found, _ClaudeChoice, "tool_choice")
    if choice.type != "tool":
        return choice.type
    if choice.name is None:
        raise Refused(400, "tool_choice.tool.name: Field required")
    if all(tool.name != choice.name for tool in tools):
        raise Refused(400, f"Tool '{choice.name}' not found in provided tools")
    return (choice.name,)


def format_of(output_config: Any, output_format: Any) -> Schema | None:
    """The schema of `output_config.format`, or of the deprecated `output_format`.

    Raises:
        Refused: it is none.
    """
    wanted = _convert(output_config, _ClaudeOutput, "output_config").format if output_config is not None else None
    at = "output_config.format.schema"
    if wanted is None and output_format is not None:
        wanted, at = _convert(output_format, _ClaudeFormat, "output_format"), "output_format.schema"
    if wanted is None:
        return None
    try:
        return schema_of(wanted.schema)
    except NoSchema as wrong:
        raise Refused(400, f"{at}: {SCHEMA_WORDS} {wrong}") from None


def _convert(found: Any, form: Any, at: str) -> Any:
    try:
        return msgspec.convert(found, form)
    except msgspec.ValidationError as wrong:
        why, _, where = str(wrong).partition(" - at `$")
        inner = where.strip("`").replace("[", ".").replace("]", "")
        raise Refused(400, f"{at}{inner}: {why}") from None
