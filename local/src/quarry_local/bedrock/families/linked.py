"""Content that a record names by its place in S3 (contract section 4.1). Pure.

AWS's page wants it in the folder of the input, and that folder, not a file in it, as the job's input. How a record fails
otherwise is not documented: here it has an error of its own. Whether the object is there is not looked at.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from quarry_local.bedrock.families.answers import Refused


def check_linked(model_input: bytes | msgspec.Raw, input_uri: str) -> None:
    """Whether all that a readable body names lies in the job's input.

    Raises:
        Refused: something lies elsewhere, or the input is no folder.
    """
    body = bytes(model_input)
    if b'"s3Location"' not in body:
        return
    folder = None if input_uri.endswith(".jsonl") else f"{input_uri.rstrip('/')}/"
    for uri in _places(msgspec.json.decode(body)):
        if folder is None:
            raise Refused(400, f"{uri}: with content in S3, the input of the job must be its folder, not a file")
        if not uri.startswith(folder):
            raise Refused(400, f"{uri} is not in the folder of the input: {folder}")


def _places(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _places(item)
    elif isinstance(value, dict):
        for name, found in value.items():
            if name == "s3Location" and isinstance(found, dict) and isinstance(found.get("uri"), str):
                yield found["uri"]
            else:
                yield from _places(found)
