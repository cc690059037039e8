"""Tools and structured outputs in Converse's form, which is Nova's too: `toolConfig`, `outputConfig`. Pure."""

from typing import Annotated, Any, Literal

import msgspec

from quarry_local.bedrock.families.bodies import converted, malformed
from quarry_local.bedrock.families.chat_tools import checked_schema
from quarry_local.bedrock.families.schemas import Schema
from quarry_local.bedrock.families.tools import NAME, Choice, Tool, checked


class _InputSchema(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    json: dict[str, Any]


class _Spec(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str
    inputSchema: _InputSchema  # noqa: N815 - the API's name
    description: str | None = None
    strict: bool | None = None


class _SpecTool(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    toolSpec: _Spec | None = None  # noqa: N815 - the API's name
    systemTool: dict[str, Any] | None = None  # noqa: N815 - the API's name
    cachePoint: dict[str, Any] | None = None  # noqa: N815 - the API's name


class _ToolName(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str


class _SpecChoice(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    auto: dict[str, Any] | None = None
    any: dict[str, Any] | None = None
    tool: _ToolName | None = None


class _ToolConfig(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    tools: Annotated[list[_SpecTool], msgspec.Meta(min_length=1)]
    toolChoice: _SpecChoice | None = None  # noqa: N815 - the API's name


class _SchemaText(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    schema: str
    name: str | None = None
    description: str | None = None


class _Structure(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    jsonSchema: _SchemaText  # noqa: N815 - the API's name


class _TextFormat(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["json_schema"]
    structure: _Structure


class _OutputConfig(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    textFormat: _TextFormat | None = None  # noqa: N815 - the API's name


def tools_of(found: Any) -> tuple[list[Tool], Choice]:
    """`toolConfig` of a Nova body, or of Converse on demand.

    Raises:
        Refused: a tool is none, or the choice names one that is not offered.
    """
    config = converted(found, _ToolConfig, "#/toolConfig")
    tools: list[Tool] = []
    for number, one in enumerate(config.tools):
        if one.toolSpec is None:
            continue
        at = f"#/toolConfig/tools/{number}/toolSpec"
        if not NAME.fullmatch(one.toolSpec.name):
            raise malformed(f"{at}/name: the value does not match [a-zA-Z0-9_-]+")
        tools.append(Tool(one.toolSpec.name, checked_schema(one.toolSpec.inputSchema.json, f"{at}/inputSchema/json")))
    choice = config.toolChoice
    if choice is None or choice.tool is None:
        return checked(tools, "#/toolConfig"), "any" if choice is not None and choice.any is not None else "auto"
    if all(tool.name != choice.tool.name for tool in tools):
        raise malformed(f"#/toolConfig/toolChoice/tool/name: {choice.tool.name} is not one of the tools")
    return checked(tools, "#/toolConfig"), (choice.tool.name,)


def format_of(found: Any) -> Schema | None:
    """The schema of `outputConfig.textFormat`, which is JSON in a text.

    Raises:
        Refused: it is none.
    """
    wanted = converted(found, _OutputConfig, "#/outputConfig").textFormat
    if wanted is None:
        return None
    at = "#/outputConfig/textFormat/structure/jsonSchema/schema"
    return checked_schema(wanted.structure.jsonSchema.schema, at)
