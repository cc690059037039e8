"""Ready requests: JSONL of which each line is one request, in Bedrock's form or in OpenAI's. Pure.

| Form | A line | What is sent of it |
| --- | --- | --- |
| `bedrock` | `{"recordId": "…", "modelInput": {…}}`, recordId optional (contract section 4.1) | `modelInput` as it is |
| `openai` | `{"custom_id": "…", "method": "POST", "url": "/v1/chat/completions", "body": {…}}` | `body` for Converse |

The records of a run have ids of Quarry's own, which are positions; the user's is a column, and is held to nothing but
what a column needs. So a `recordId` that Bedrock would not take is no fault.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from quarry_core.models.family import Invocation
from quarry_core.text import shown_name

RequestFormat = Literal["bedrock", "openai"]

ID_COLUMNS: Mapping[RequestFormat, str] = {"bedrock": "recordId", "openai": "custom_id"}
BODY_COLUMNS: Mapping[RequestFormat, str] = {"bedrock": "modelInput", "openai": "body"}
INVOCATIONS: Mapping[RequestFormat, Invocation] = {"bedrock": "InvokeModel", "openai": "Converse"}
# What else stands in a line, as JSON; only where something does.
OTHER_COLUMN = "other"
# Of the first line, to tell its form by.
HEAD_BYTES = 64 << 10
ID_BYTES_MAX = 1_024
KEYS_SHOWN_MAX = 8
# If none of so many can be sent, the file was written for something else.
FIRST_ROWS = 20
FORMS = 'Bedrock\'s {"recordId", "modelInput"} nor OpenAI\'s {"custom_id", "method", "url", "body"}'

_TABLES = (".csv", ".parquet", ".csv.gz", ".csv.zst", ".tsv", ".arrow", ".feather", ".xlsx")
_TOKEN = re.compile(rb'"(?P<text>(?:[^"\\]|\\.)*+)"(?P<colon>[ \t\r]*:)?|[\[\]{}]', re.DOTALL)
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class NotRequests(ValueError):
    """A source that holds no ready requests; the text goes on after "the first line": what was seen, and what to do."""


def could_be_requests(uris: Sequence[str]) -> bool:
    """Whether sources of these names may hold requests: not if one of them names a table."""
    return not any(uri.lower().endswith(_TABLES) for uri in uris)


def request_format_of(head: bytes) -> RequestFormat:
    """The form of the requests in a file that begins so; `HEAD_BYTES` of it are enough.

    Raises:
        NotRequests: it is neither; the text says what the first line holds.
    """
    if head.startswith(_UTF16):
        raise NotRequests("is UTF-16; save the file as UTF-8")
    line = head.removeprefix(_BOM).lstrip().partition(b"\n")[0]
    if not line:
        raise NotRequests("is empty; give a file with at least one request")
    keys = _keys(line) if line.startswith(b"{") else []
    for form, body in BODY_COLUMNS.items():
        if body in keys and (form == "bedrock" or {"custom_id", "method", "url"} & {*keys}):
            return form
    raise NotRequests(f"{_seen(line, keys)}, and is neither {FORMS}")


def id_fault(found: str) -> str | None:
    """Why an id cannot be a row's: "is empty"; None if it can."""
    if not found.strip():
        return "is empty; give each request an id of its own"
    control = _CONTROL.search(found)
    if control is not None:
        return f"holds the control character {shown_name(control[0])}; take it out"
    size_bytes = len(found.encode("utf-8", "surrogatepass"))
    if size_bytes > ID_BYTES_MAX:
        return f"has {size_bytes} bytes, more than {ID_BYTES_MAX}; shorten it"
    return None


def first_rows_fault(faults: Sequence[str], rows: int) -> str | None:
    """Why a file of requests is refused of whose first `FIRST_ROWS` rows these cannot be sent; None if it is not.

    Args:
        faults: one for each of the first rows that cannot be sent.
        rows: how many rows were looked at.
    """
    looked_at = min(rows, FIRST_ROWS)
    if not faults or len(faults) < looked_at:
        return None
    more = f" (and none of the first {looked_at} can be sent)" if looked_at > 1 else ""
    return f"data row 1: {faults[0]}{more}"


def _seen(line: bytes, keys: Sequence[str]) -> str:
    if keys:
        more = ", …" if len(keys) > KEYS_SHOWN_MAX else ""
        return f"has the keys {', '.join(map(shown_name, keys[:KEYS_SHOWN_MAX]))}{more}"
    return f"begins with {shown_name(line[:40].decode('utf-8', 'replace'))}"


def _keys(line: bytes) -> list[str]:
    """The keys of the object that a line begins, as far as the line is there."""
    keys: dict[str, None] = {}
    depth = 0
    for token in _TOKEN.finditer(line):
        mark = token[0]
        if mark in (b"{", b"["):
            depth += 1
        elif mark in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                break
        elif depth == 1 and token["colon"] is not None:
            keys[token["text"].decode("utf-8", "replace")] = None
    return list(keys)
