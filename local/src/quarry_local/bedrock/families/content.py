"""What Converse and Nova share: the blocks of content (a text, or one medium with its source) and the answer. Pure.

`system` and the texts of all messages and tools' results, in order, joined by newlines, are the prompt, as with Claude.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from quarry_local.bedrock.families.answers import Answer, Refused, Said, say
from quarry_local.bedrock.families.bodies import AnyObject, Source, check_source, malformed, only_one, unsupported
from quarry_local.bedrock.families.images import CROWD, Shown, check_images
from quarry_local.bedrock.families.schemas import Schema
from quarry_local.bedrock.families.tools import Call, Choice, Tool, call, json_said


class Medium(msgspec.Struct, gc=False):
    """An image, a video, a document: further members (a name, a context) differ and are not looked at."""

    format: str
    source: Source


class Block(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    text: str | None = None
    image: Medium | None = None
    video: Medium | None = None
    document: Medium | None = None
    audio: Medium | None = None
    cachePoint: AnyObject | None = None  # noqa: N815 - the API's name
    guardContent: AnyObject | None = None  # noqa: N815 - the API's name
    reasoningContent: AnyObject | None = None  # noqa: N815 - the API's name
    toolUse: AnyObject | None = None  # noqa: N815 - the API's name
    toolResult: AnyObject | None = None  # noqa: N815 - the API's name


class Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["user", "assistant"]
    content: list[Block]


class System(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    text: str | None = None
    cachePoint: AnyObject | None = None  # noqa: N815 - the API's name
    guardContent: AnyObject | None = None  # noqa: N815 - the API's name


_FORMATS = {
    "image": ("png", "jpeg", "gif", "webp"),
    "video": ("mkv", "mov", "mp4", "webm", "flv", "mpeg", "mpg", "wmv", "three_gp"),
    "document": ("pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"),
}


class Shape(NamedTuple):
    """What a record asks of its answer's form."""

    tools: Sequence[Tool] = ()
    choice: Choice = "auto"
    schema: Schema | None = None


PLAIN = Shape()


def conversed(
    system: Sequence[System],
    messages: Sequence[Message],
    tokens_max: int | None,
    usage: bytes = b"",
    *,
    shape: Shape = PLAIN,
    tool_blocks: bool = True,
) -> Answer:
    """What is said to a conversation, in the form of both; `usage` is rendered behind the counts of tokens.

    Raises:
        Refused: as `_prompt_of`; a block of a tool where `tool_blocks` says that there may be none.
    """
    prompt = _prompt_of(system, messages, tool_blocks=tool_blocks)
    answered = any(block.toolResult is not None for block in messages[-1].content)
    called = call(shape.tools, shape.choice, prompt, tokens_max, answered=answered)
    if called is not None:
        block = b'{"toolUse":{"toolUseId":"tooluse_%b","name":"%b","input":%b}}' % (
            called.digits[20:42],
            called.name.encode(),
            called.input,
        )
        return _rendered(called, block, b"max_tokens" if called.cut else b"tool_use", usage)
    said = json_said(shape.schema, prompt, tokens_max) or say(prompt, tokens_max)
    block = b'{"text":%b}' % msgspec.json.encode(said.text.decode("utf-8", "ignore"))
    return _rendered(said, block, b"max_tokens" if said.cut else b"end_turn", usage)


def _rendered(said: Said | Call, block: bytes, stop_reason: bytes, usage: bytes) -> Answer:
    rendered = (
        b'{"output":{"message":{"role":"assistant","content":[%b]}},"stopReason":"%b",'
        b'"usage":{"inputTokens":%d,"outputTokens":%d,"totalTokens":%d%b}}'
    ) % (
        block,
        stop_reason,
        said.input_tokens,
        said.output_tokens,
        said.input_tokens + said.output_tokens,
        usage,
    )
    return Answer(rendered, said.input_tokens, said.output_tokens)


def _prompt_of(system: Sequence[System], messages: Sequence[Message], *, tool_blocks: bool) -> str:
    """The prompt of a conversation whose every block was checked.

    Raises:
        Refused: a block is none that the API knows, or the conversation does not begin with the user.
    """
    if not messages:
        raise malformed("#/messages: expected minimum item count: 1, found: 0")
    if messages[0].role != "user":
        raise Refused(400, "A conversation must start with a user message. Try again with a conversation that does.")
    texts = [block.text for block in system if block.text]
    for number, message in enumerate(messages):
        if not message.content:
            raise malformed(f"#/messages/{number}/content: expected minimum item count: 1, found: 0")
        images: list[Shown] = []
        for place, block in enumerate(message.content):
            at = f"#/messages/{number}/content/{place}"
            texts.extend(_checked(block, at, tool_blocks=tool_blocks))
            if block.image is not None and block.image.source.bytes is not None:
                images.append(Shown(f"{at}/image", block.image.format, block.image.source.bytes))
        if images:
            check_images(images, most=CROWD)
    return "\n".join(texts)


def _checked(block: Block, at: str, *, tool_blocks: bool) -> list[str]:
    """The texts of a block."""
    kind = only_one(block, at)
    if kind == "text":
        if not block.text:
            raise malformed(f"{at}/text: expected minLength: 1, actual: 0")
        return [block.text]
    if kind in {"toolUse", "toolResult"}:
        if not tool_blocks:
            raise unsupported("Tool use")
        return _results(block.toolResult or {}, at)
    found = getattr(block, kind)
    if isinstance(found, Medium):
        formats = _FORMATS.get(kind)
        if formats and found.format not in formats:
            raise malformed(f"{at}/{kind}/format: {found.format} is not a valid enum value")
        check_source(found.source, f"{at}/{kind}")
    return []


def _results(result: AnyObject, at: str) -> list[str]:
    content = result.get("content", [])
    if not isinstance(content, list):
        raise malformed(f"{at}/toolResult/content: expected type: array")
    return [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
