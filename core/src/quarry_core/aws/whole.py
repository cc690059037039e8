"""An answer to boto3 that is cut short is an error, not an empty answer.

botocore ignores a body that ends too early, and reads an empty body as an answer without fields: "no such item",
"nothing under this prefix" (`findings/botocore-a-cut-answer-is-empty.sh`). Here the length of a body is checked before
it is parsed. aiobotocore does so by itself.

botocore before 1.35.60, which the command may find installed, has no hook for it; DynamoDB's own checksum is then the
only protection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ConnectionClosedError


def require_whole_answers(client: Any) -> None:
    """Make a boto3 client raise ConnectionClosedError when a body is shorter than its Content-Length."""
    client.meta.events.register("before-parse", _measure)


def _measure(operation_model: Any, response_dict: Mapping[str, Any], **_: Any) -> None:
    length, body = response_dict["headers"].get("content-length"), response_dict["body"]
    if not isinstance(body, bytes) or length is None or operation_model.http.get("method") == "HEAD":
        return  # whoever reads a stream checks its length
    if len(body) < int(length):
        raise ConnectionClosedError(endpoint_url=operation_model.service_model.endpoint_prefix)
