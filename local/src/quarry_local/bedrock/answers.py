"""What a model would say to one record: deterministic, cheap, in its family's own form. Pure.

An answer depends on the prompt's text only, so whoever knows the prompt can tell whether an answer is the right one:
texts carry `prompt_digest(prompt)`, embeddings are unit vectors made from the hash of their text. Tokens are a
quarter of the characters. A body that the family does not take fails *its record*, never the job (contract section 2).
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
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
