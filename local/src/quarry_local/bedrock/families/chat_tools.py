"""Tools and structured outputs in the chat form: `tools`, `tool_choice`, `response_format`. Pure."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from quarry_local.bedrock.families.bodies import converted, malformed
from quarry_local.bedrock.families.schemas import NoSchema, Schema, schema_of
from quarry_local.bedrock.families.tools import NAME, SCHEMA_WORDS, Choice, Tool, checked

_JSON_OBJECT = schema_of(
    {
        "type": "object",
        "properties": {"answer": {"type": "string"}},
        "required": ["answer"],
        "additionalProperties": False,
    }
)


class _Function(msgspec.Struct, gc=False):
    name: str
    parameters: dict[str, Any] | None = None


class _ChatTool(msgspec.Struct, gc=False):
    type: Literal["function"]
    function: _Function


class _FunctionName(msgspec.Struct, gc=False):
    name: str


class _ChatChoice(msgspec.Struct, gc=False):
    type: Literal["function"]
    function: _FunctionName


class _NamedSchema(msgspec.Struct, gc=False):
    name: str
    schema: dict[str, Any] | None = None


class _ChatFormat(msgspec.Struct, gc=False):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _NamedSchema | None = None


def tools_of(found: Any) -> list[Tool]:
    """`tools` of a chat body.

    Raises:
        Refused: one of them is no function with a schema.
    """
    tools: list[Tool] = []
    for number, one in enumerate(converted(found, list[_ChatTool], "#/tools")):
        at = f"#/tools/{number}/function"
        if not NAME.fullmatch(one.function.name):
            raise malformed(f"{at}/name: the value does not match ^[a-zA-Z0-9_-]+$")
        tools.append(Tool(one.function.name, checked_schema(one.function.parameters or {"type": "object"}, at)))
    return checked(tools, "#/tools")


def choice_of(found: Any, tools: Sequence[Tool]) -> Choice:
    """`tool_choice` of a chat body; `any` is Mistral's word for `required`.

    Raises:
        Refused: it is none, or names a tool that is not offered.
    """
    if found is None or found == "auto":
        return "auto"
    if found == "none":
        return "none"
    if not tools:
        raise malformed("#/tool_choice: only permitted together with tools")
    if found in ("required", "any"):
        return "any"
    name = converted(found, _ChatChoice, "#/tool_choice").function.name
    if all(tool.name != name for tool in tools):
        raise malformed(f"#/tool_choice: {name} is not one of the tools")
    return (name,)


def format_of(found: Any) -> Schema | None:
    """The schema that `response_format` asks for; any object where it asks for JSON only.

    Raises:
        Refused: it is none.
    """
    if found is None:
        return None
    wanted = converted(found, _ChatFormat, "#/response_format")
    if wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return _JSON_OBJECT
    if wanted.json_schema is None or wanted.json_schema.schema is None:
        raise malformed("#/response_format: required key [json_schema/schema] not found")
    return checked_schema(wanted.json_schema.schema, "#/response_format/json_schema/schema")


def checked_schema(found: dict[str, Any] | str, at: str) -> Schema:
    """The schema at this place of a body.

    Raises:
        Refused: it is none.
    """
    try:
        return schema_of(found)
    except NoSchema as wrong:
        raise malformed(f"{at}: {SCHEMA_WORDS} {wrong}") from None
