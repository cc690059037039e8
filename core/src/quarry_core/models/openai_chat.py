"""A request of OpenAI's chat completions as the request of Converse that asks the same. Pure.

Theory of operation. What has a place in Converse goes there. What only concerns OpenAI's own platform (who pays, what
is stored, what is cached) changes no answer and is left out, by the list `LEFT_OUT`. Everything else would change the
answer and has no place: it is refused by its path, also a field that nobody knows, for what is dropped in silence is
found out when the answers are there and paid for. A field that is null is not set, as OpenAI has it.

Sources: the fields are those of openai-python 3.57.0 (`types/chat/completion_create_params.py` and the message types
beside it); Converse's, their ranges and names are those of the service model (botocore 1.44.5, bedrock-runtime). That
batch inference fails records with `toolConfig`: contract section 4.1.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from quarry_core.models.data_url import BadImage, image_of
from quarry_core.text import shown_name

# OpenAI's name, and Converse's.
MAX_TOKENS = ("max_tokens", "max_completion_tokens")
STOP_SEQUENCES_MAX = 2_500
# Changes no answer, or only how OpenAI's own models are served.
LEFT_OUT = frozenset(
    {
        "metadata",
        "model",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)
# The same of a part of a message: where a cache may begin (batch inference has none), and how finely OpenAI looks.
_PART_LEFT_OUT = frozenset({"cache_control", "prompt_cache_breakpoint"})
_IMAGE_LEFT_OUT = frozenset({"detail"})
_NO_TOOLS = (
    "batch inference refuses tools in requests of this form: send them in the model's own form, with"
    " request_format bedrock"
)
_NO_PLACE = "Converse has no place for it: leave it out"
# Fields that are known, have no place, and are let be where they ask for what happens anyway.
_ASKS_NOTHING: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "stream": (False,),
    "logprobs": (False,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "functions": ([],),
    "modalities": (["text"],),
}
_REFUSED: Mapping[str, str] = {
    "n": "each request has one answer: repeat the line, with a custom_id of its own",
    "stream": "batch inference does not stream: leave it out",
    "stream_options": "batch inference does not stream: leave it out",
    "logprobs": _NO_PLACE,
    "top_logprobs": _NO_PLACE,
    "frequency_penalty": _NO_PLACE,
    "presence_penalty": _NO_PLACE,
    "logit_bias": _NO_PLACE,
    "seed": _NO_PLACE,
    "tools": _NO_TOOLS,
    "tool_choice": _NO_TOOLS,
    "parallel_tool_calls": _NO_TOOLS,
    "functions": _NO_TOOLS,
    "function_call": _NO_TOOLS,
    "modalities": "the answers of batch inference are text: leave it out",
    "audio": "the answers of batch inference are text: leave it out",
    "moderation": _NO_PLACE,
    "prediction": _NO_PLACE,
    "reasoning_effort": _NO_PLACE,
    "verbosity": _NO_PLACE,
    "web_search_options": _NO_PLACE,
}
_OF_A_MESSAGE: Mapping[str, str] = {
    "name": "Converse has no names of speakers: write it into the content",
    "audio": "audio is not supported: write what was said",
    "tool_calls": _NO_TOOLS,
    "function_call": _NO_TOOLS,
    "tool_call_id": _NO_TOOLS,
}
_SYSTEM = ("system", "developer")

Block = dict[str, Any]


class Untranslatable(ValueError):
    """A request that Converse cannot be asked; the text names the field by its path, and what to do."""


def converse_request(body: object) -> dict[str, Any]:
    """The Converse request that asks what a chat request asks.

    Args:
        body: as `msgspec.json` decodes it.

    Raises:
        Untranslatable: for the first field that cannot be carried over.
    """
    if not isinstance(body, dict):
        raise Untranslatable("body is not an object: give the request, as in OpenAI's batch files")
    system, messages = _conversation(body.get("messages"))
    request: dict[str, Any] = {"messages": messages}
    if system:
        request["system"] = [{"text": text} for text in system]
    config = dict(_config(body))
    if config:
        request["inferenceConfig"] = config
    output = _output_config(body.get("response_format"))
    if output is not None:
        request["outputConfig"] = output
    for field, value in body.items():
        if field not in _TRANSLATED and field not in LEFT_OUT and value is not None:
            _refuse(field, value)
    return request


def _refuse(field: str, value: object) -> None:
    if any(_same(value, harmless) for harmless in _ASKS_NOTHING.get(field, ())):
        return
    if field in _REFUSED:
        raise Untranslatable(f"body.{field}: {_REFUSED[field]}")
    raise Untranslatable(f"body.{shown_name(field)}: {_unknown(field, (*_TRANSLATED, *LEFT_OUT, *_REFUSED))}")


def _same(value: object, harmless: object) -> bool:
    """Equality, but 0 is not false."""
    return value == harmless and isinstance(value, bool) == isinstance(harmless, bool)


def _unknown(field: str, known: tuple[str, ...]) -> str:
    nearest = difflib.get_close_matches(field, known, n=1, cutoff=0.7)
    return "is no field of a chat request" + (f"; did you mean {nearest[0]}?" if nearest else ": leave it out")


# --------------------------------------------------------------------------- inference parameters


def _config(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    most = [(field, body[field]) for field in MAX_TOKENS if body.get(field) is not None]
    for field, value in most:
        if not _is_whole(value) or value < 1:
            raise Untranslatable(f"body.{field} must be a whole number from 1 on, not {_value(value)}")
    if len(most) > 1 and most[0][1] != most[1][1]:
        raise Untranslatable(f"body.{most[1][0]} and body.{most[0][0]} differ: give one of them")
    if most:
        yield "maxTokens", int(most[0][1])
    for field, name in (("temperature", "temperature"), ("top_p", "topP")):
        value = body.get(field)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise Untranslatable(f"body.{field} must be a number from 0 to 1, as Converse has it, not {_value(value)}")
        yield name, value
    stop = body.get("stop")
    words = [stop] if isinstance(stop, str) else stop
    if words is None or words == []:
        return
    if not isinstance(words, list) or len(words) > STOP_SEQUENCES_MAX or not all(_is_text(word) for word in words):
        raise Untranslatable(
            f"body.stop must be a text, or a list of up to {STOP_SEQUENCES_MAX} texts, that are not empty"
        )
    yield "stopSequences", words


def _is_whole(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _value(value: object) -> str:
    return shown_name(msgspec.json.encode(value).decode())


def _output_config(wanted: object) -> dict[str, Any] | None:
    where = "body.response_format"
    if wanted is None:
        return None
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        raise Untranslatable(
            f'{where}: Converse has no JSON mode without a schema: give {{"type": "json_schema"}}, or ask for JSON in'
            " the messages"
        )
    if kind != "json_schema" or not isinstance(wanted, dict):
        raise Untranslatable(f"{where}.type must be text or json_schema, not {_value(kind)}")
    given = wanted.get("json_schema")
    if not isinstance(given, dict) or not isinstance(given.get("schema"), dict):
        raise Untranslatable(f"{where}.json_schema.schema is not an object: give the JSON Schema of the answers")
    for field, value in given.items():
        # Converse keeps to the schema in any case, which is what `strict` asks.
        if value is not None and field not in ("name", "description", "schema", "strict"):
            raise Untranslatable(f"{where}.json_schema.{shown_name(field)}: {_NO_PLACE}")
    schema = {"schema": msgspec.json.encode(given["schema"]).decode()}
    for field in ("name", "description"):
        if given.get(field) is not None:
            if not isinstance(given[field], str):
                raise Untranslatable(f"{where}.json_schema.{field} is not a text")
            schema[field] = given[field]
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}


# --------------------------------------------------------------------------- messages


def _conversation(messages: object) -> tuple[list[str], list[Block]]:
    """The system's texts, and the messages; neighbours of one role are one message, since Converse's must alternate."""
    if not isinstance(messages, list) or not messages:
        raise Untranslatable("body.messages is not a list of messages: give at least one")
    system: list[str] = []
    said: list[Block] = []
    for place, message in enumerate(messages):
        where = f"body.messages.{place}"
        if not isinstance(message, dict):
            raise Untranslatable(f"{where} is not an object: a message has a role and a content")
        role = message.get("role")
        read = _READERS.get(role) if isinstance(role, str) else None
        if read is None:
            reason = _NO_TOOLS if role in ("tool", "function") else "known are system, developer, user and assistant"
            raise Untranslatable(f"{where}.role is {_value(role)}: {reason}")
        _check_fields(message, where)
        blocks = read(message, where)
        if role in _SYSTEM:
            if said:
                raise Untranslatable(
                    f"{where}: Converse has its system prompt before all messages: move this one to the front"
                )
            system += [block["text"] for block in blocks]
        elif said and said[-1]["role"] == role:
            said[-1]["content"] += blocks
        else:
            said.append({"role": role, "content": blocks})
    if not said or said[0]["role"] != "user":
        raise Untranslatable("body.messages: a conversation begins with a message of the user: give one")
    return system, said


def _check_fields(message: Mapping[str, Any], where: str) -> None:
    for field, value in message.items():
        # Of a message that a model once answered, lists that hold nothing come along.
        if field in _MESSAGE_FIELDS or value is None or value == []:
            continue
        reason = _OF_A_MESSAGE.get(field) or "is no field of a message: leave it out"
        raise Untranslatable(f"{where}.{shown_name(field)}: {reason}")


def _system(message: Mapping[str, Any], where: str) -> list[Block]:
    return [block for block in _blocks(message, where, _text_part) if block["text"]]


def _user(message: Mapping[str, Any], where: str) -> list[Block]:
    return _full(_blocks(message, where, _user_part), where)


def _assistant(message: Mapping[str, Any], where: str) -> list[Block]:
    refusal = message.get("refusal")
    if message.get("content") is None and isinstance(refusal, str):
        return _full([{"text": refusal}], where)
    return _full(_blocks(message, where, _assistant_part), where)


def _full(blocks: list[Block], where: str) -> list[Block]:
    if not blocks or any(block.get("text") == "" for block in blocks):
        raise Untranslatable(f"{where}.content has an empty text, which Bedrock refuses: leave the message out")
    return blocks


def _blocks(message: Mapping[str, Any], where: str, part: Callable[[Any, str], Block]) -> list[Block]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"text": content}]
    if not isinstance(content, list):
        raise Untranslatable(f"{where}.content is neither a text nor a list of parts")
    return [part(one, f"{where}.content.{place}") for place, one in enumerate(content)]


def _text_part(part: Any, where: str) -> Block:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind != "text":
        raise Untranslatable(f"{where}.type is {_value(kind)}: only text has a place here")
    return _text(part, where, "text")


def _assistant_part(part: Any, where: str) -> Block:
    if isinstance(part, dict) and part.get("type") == "refusal":
        return _text(part, where, "refusal")
    return _text_part(part, where)


def _user_part(part: Any, where: str) -> Block:
    if not isinstance(part, dict) or part.get("type") != "image_url":
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("input_audio", "file", "video_url"):
            raise Untranslatable(f"{where}.type is {_value(kind)}: text and images are supported, nothing else yet")
        return _text_part(part, where)
    _check_part(part, where, ("image_url",))
    image = part.get("image_url")
    inner = image if isinstance(image, dict) else {"url": image}
    _check_part(inner, f"{where}.image_url", ("url", *_IMAGE_LEFT_OUT))
    try:
        found, data = image_of(inner.get("url"))
    except BadImage as error:
        raise Untranslatable(f"{where}.image_url.url {error}") from error
    return {"image": {"format": found, "source": {"bytes": data}}}


def _text(part: Mapping[str, Any], where: str, field: str) -> Block:
    _check_part(part, where, (field,))
    text = part.get(field)
    if not isinstance(text, str):
        raise Untranslatable(f"{where}.{field} is not a text")
    return {"text": text}


def _check_part(part: Mapping[str, Any], where: str, known: tuple[str, ...]) -> None:
    for field, value in part.items():
        if value is not None and field != "type" and field not in known and field not in _PART_LEFT_OUT:
            raise Untranslatable(f"{where}.{shown_name(field)}: {_NO_PLACE}")


_READERS: Mapping[str, Callable[[Mapping[str, Any], str], list[Block]]] = {
    "system": _system,
    "developer": _system,
    "user": _user,
    "assistant": _assistant,
}
_MESSAGE_FIELDS = frozenset({"role", "content", "refusal"})
_TRANSLATED = frozenset({"messages", *MAX_TOKENS, "temperature", "top_p", "stop", "response_format"})
