"""One line of a file of ready requests, taken apart; what stands in the request itself is not looked at. Pure.

The members of a line are taken as the bytes that they are: a request is sent, and comes back, as it was written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import msgspec

from quarry_core.contract.requests import BODY_COLUMNS, ID_COLUMNS, RequestFormat, id_fault
from quarry_core.text import SURROGATE, shown_name

# What a line says of where a request would go, were it sent to OpenAI.
_ADDRESS = ("method", "url")
_CHAT = "/chat/completions"
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},]', re.DOTALL)
# A character that JSON spells and UTF-8 cannot carry: half of a surrogate pair.
HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode


class Line(NamedTuple):
    """A request: its id, the request itself, and the line's other members, the two of them as JSON."""

    id: str | None
    body: bytes
    other: bytes | None


class NotARequest(ValueError):
    """A line that is no request; the text goes on after the line's place: "has no custom_id; ..."."""


def read_line(line: bytes, form: RequestFormat) -> Line:
    """Take a line apart.

    Raises:
        NotARequest: it is no JSON object of the form, or its id cannot be a row's.
    """
    members = _parsed(line)
    id_name, body_name = ID_COLUMNS[form], BODY_COLUMNS[form]
    body = members.pop(body_name, None)
    if body is None:
        raise NotARequest(f"has no {body_name}; give each line its request, as {body_name}")
    if body[:1] != b"{":
        raise NotARequest(f"has a {body_name} that is no JSON object; write the request itself, not a text of it")
    found = _id(members.pop(id_name, None), id_name, required=form == "openai")
    if form == "openai":
        _check_address({name: members.pop(name, None) for name in _ADDRESS})
    return Line(found, body, _joined(members) if members else None)


def _id(found: bytes | None, name: str, *, required: bool) -> str | None:
    if found is None or found == b"null":
        if required:
            raise NotARequest(f"has no {name}; give each request an id of its own")
        return None
    if found[:1] != b'"':
        raise NotARequest(f"has the {name} {shown_name(found.decode())}, which is no text; put it into double quotes")
    try:
        text = _text(found)
    except msgspec.DecodeError:
        raise NotARequest(f"has a {name} with half of a surrogate pair, which is no character; take it out") from None
    fault = id_fault(text)
    if fault:
        raise NotARequest(f"has the {name} '{shown_name(text)}', which {fault}")
    return text


def _check_address(address: Mapping[str, bytes | None]) -> None:
    method, url = address["method"], address["url"]
    if method not in (None, b"null", b'"POST"', b'"post"'):
        raise NotARequest(f"has the method {_shown(method)}; requests are POST")
    if url in (None, b"null", b'"/v1/chat/completions"'):
        return
    name = _shown(url)
    if not name.strip('"').endswith(_CHAT):
        raise NotARequest(
            f"has the url {name}; only /v1/chat/completions is supported: send the others as another file"
        )


def _shown(value: bytes | None) -> str:
    return shown_name((value or b"").decode())


def _joined(members: Mapping[str, bytes]) -> bytes:
    """The members as an object, in their order."""
    return b"{%b}" % b",".join(b"%b:%b" % (msgspec.json.encode(name), value) for name, value in members.items())


def _parsed(line: bytes) -> dict[str, bytes]:
    try:
        line.decode()
        return {name: bytes(value) for name, value in _members(line).items()}
    except UnicodeDecodeError as error:
        raise NotARequest(f"is not UTF-8 ({error.reason} at its byte {error.start}); save the file as UTF-8") from None
    except RecursionError:
        raise NotARequest("is nested too deep; leave the inner levels out") from None
    except msgspec.MsgspecError:
        return _by_hand(line)


def _by_hand(line: bytes) -> dict[str, bytes]:
    """As `_parsed`, for what msgspec refuses: by the grammar of JSON half of a surrogate pair is a character."""
    try:
        found = json.loads(line, parse_constant=_refuse_constant)
    except RecursionError:
        raise NotARequest("is nested too deep; leave the inner levels out") from None
    except ValueError as error:
        hint = "; JSON has double quotes (in Python: json.dumps, not str)" if line.startswith(b"{'") else ""
        raise NotARequest(f"is not JSON ({error}){hint}; write one JSON object a line") from None
    if not isinstance(found, dict):
        raise NotARequest("is not a JSON object; write one JSON object a line")
    if not HALF_PAIR.search(line) or any(SURROGATE.search(name) for name in found):
        raise NotARequest("is not JSON that can be read; write each line with a JSON library")
    return dict(_cut(line))


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is no number in JSON")


def _cut(line: bytes) -> list[tuple[str, bytes]]:
    """The members of an object that is known to be JSON, as they stand."""
    cuts: list[int] = []
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(line):
        mark = token[0]
        if mark in (b"{", b"["):
            depth += 1
            if depth == 1:
                cuts.append(token.end())
        elif mark in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                cuts.append(token.end())
        elif mark == b"," and depth == 1:
            cuts.append(token.end())
    members = []
    for start, end in pairwise(cuts):
        member = line[start : end - 1].strip()
        name = _STRING_OR_BRACKET.match(member)
        if name is not None:
            members.append((json.loads(name[0]), member[name.end() :].lstrip()[1:].strip()))
    return members
