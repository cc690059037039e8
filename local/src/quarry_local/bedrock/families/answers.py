"""What a model would say to one record: deterministic, cheap, in its family's own form. Pure.

An answer depends on the prompt's text only, so whoever knows the prompt can tell whether an answer is the right one:
texts carry `prompt_digest(prompt)`, embeddings are unit vectors made from the hash of their text. Tokens are a
quarter of the characters. A body that the family does not take fails *its record*, never the job (contract section 2).
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from itertools import cycle, islice, product
from typing import NamedTuple

import msgspec


class Answer(NamedTuple):
    body: bytes
    """The model's output, JSON."""
    input_tokens: int
    output_tokens: int


@dataclass(slots=True)
class Refused(Exception):
    """The record's error (contract section 4.3): a number and a text."""

    code: int
    message: str


Answering = Callable[[bytes | msgspec.Raw], Answer]
"""One `modelInput` in, its answer out; raises Refused."""


def prompt_digest(prompt: str) -> str:
    """16 hexadecimal digits that every answer to this prompt carries."""
    return sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def error_body(code: int, message: str) -> bytes:
    return msgspec.json.encode({"errorCode": code, "errorMessage": message})


# Three of them make an answer: enough variety to look at, too little to mistake for a model's.
_OPENINGS = (
    "In short,",
    "On the whole,",
    "Put simply,",
    "As far as the text shows,",
    "At first sight,",
    "Read closely,",
)
_MIDDLES = (
    "the passage describes one main point and two details",
    "the question has a direct answer and one exception",
    "the input names its subject and says little of its cause",
    "the request is clear and can be met as it stands",
    "the example follows a common pattern with a small change",
)
_ENDINGS = (
    "and nothing in it contradicts that.",
    "although more context would help.",
    "which agrees with the rest of it.",
    "and the tone stays neutral.",
)
# One for each value of a byte, ASCII and without quotes: rendered as they are, one byte is one character.
SENTENCES = [
    f"{opening} {middle}, {ending} [".encode()
    for opening, middle, ending in islice(cycle(product(_OPENINGS, _MIDDLES, _ENDINGS)), 256)
]


class Said(NamedTuple):
    """A text answer, before its family's form is put around it."""

    text: bytes
    """ASCII without quotes, so that it needs no escaping in JSON."""
    digits: bytes
    """64 hexadecimal digits of the prompt's hash, for ids."""
    input_tokens: int
    output_tokens: int
    cut: bool
    """Whether the limit of tokens cut it off, which is a success (contract section 4.2)."""


def say(prompt: str, tokens_max: int | None = None) -> Said:
    """The text that answers this prompt, cut to `tokens_max` tokens."""
    digest = sha256(prompt.encode()).digest()
    digits = digest.hex().encode()
    text = SENTENCES[digest[8]] + digits[:16] + b"]"
    output_tokens = len(text) // 4 + 1
    cut = tokens_max is not None and output_tokens > tokens_max
    if cut and tokens_max is not None:
        output_tokens = tokens_max
        text = text[: output_tokens * 4]
    return Said(text, digits, input_tokens_of(prompt), output_tokens, cut)


def input_tokens_of(text: str) -> int:
    return len(text) // 4 + 1
