"""What Converse and Nova share: the blocks of content (a text, or one medium with its source) and the answer. Pure.

`system` and the texts of all messages, in order, joined by newlines, are the prompt, as they are with Claude.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from quarry_local.bedrock.answers import Answer, Refused, say
from quarry_local.bedrock.bodies import AnyObject, Source, check_source, malformed, only_one, unsupported


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


def conversed(
    system: Sequence[System], messages: Sequence[Message], tokens_max: int | None, usage: bytes = b""
) -> Answer:
    """What is said to a conversation, in the form of both; `usage` is rendered behind the counts of tokens.

    Raises:
        Refused: as `_prompt_of`.
    """
    said = say(_prompt_of(system, messages), tokens_max)
    rendered = (
        b'{"output":{"message":{"role":"assistant","content":[{"text":"%b"}]}},"stopReason":"%b",'
        b'"usage":{"inputTokens":%d,"outputTokens":%d,"totalTokens":%d%b}}'
    ) % (
        said.text,
        b"max_tokens" if said.cut else b"end_turn",
        said.input_tokens,
        said.output_tokens,
        said.input_tokens + said.output_tokens,
        usage,
    )
    return Answer(rendered, said.input_tokens, said.output_tokens)


def _prompt_of(system: Sequence[System], messages: Sequence[Message]) -> str:
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
        for place, block in enumerate(message.content):
            text = _checked(block, f"#/messages/{number}/content/{place}")
            if text:
                texts.append(text)
    return "\n".join(texts)


def _checked(block: Block, at: str) -> str | None:
    kind = only_one(block, at)
    if kind == "text":
        if not block.text:
            raise malformed(f"{at}/text: expected minLength: 1, actual: 0")
        return block.text
    if kind in {"toolUse", "toolResult"}:
        raise unsupported("Tool use")
    found = getattr(block, kind)
    if isinstance(found, Medium):
        formats = _FORMATS.get(kind)
        if formats and found.format not in formats:
            raise malformed(f"{at}/{kind}/format: {found.format} is not a valid enum value")
        check_source(found.source, f"{at}/{kind}")
    return None
