"""What a value of a column of images is: an object in S3, or the bytes themselves. Pure."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from quarry_core.contract.s3_names import KEY_BYTES_MAX
from quarry_core.models.data_url import BadImage, image_of
from quarry_core.ports import ObjectRef
from quarry_core.tabular.arrow_types import is_binary_view, is_string_view
from quarry_core.text import shown_name

# Spark and Hadoop call the same thing s3a.
_URI = re.compile(r"s3[an]?://([a-z0-9][-.a-z0-9]{1,61}[a-z0-9])/(.+)", re.DOTALL)
_BYTES, _PATH = "bytes", "path"


class BadReference(ValueError):
    """A value that is no image and names none; the text says what to write."""


def reference_of(value: Any) -> ObjectRef | bytes | None:
    """What a value is: an object of S3, an image's bytes, or no image.

    A URI's key is taken as it stands, blanks, percent signs and question marks included, as `aws s3 cp` does. A struct is
    as the Hub's datasets have it: `bytes`, or where these are null, `path`.

    Raises:
        BadReference: as it says.
    """
    if isinstance(value, Mapping):
        value = value.get(_PATH) if value.get(_BYTES) is None else value.get(_BYTES)
    if value is None or value == "":
        return None
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise BadReference(f"{shown_name(str(value))!r} is no S3 URI: write s3://bucket/key")
    if value[:5].lower() == "data:":
        try:
            return binascii.a2b_base64(image_of(value)[1])
        except BadImage as error:
            raise BadReference(f"the data: URL {error}") from error
    match = _URI.fullmatch(value)
    if match is None:
        raise BadReference(f"{shown_name(value)!r} {_instead(value)}")
    try:
        size_bytes = len(match[2].encode())
    except UnicodeEncodeError:
        raise BadReference(f"{shown_name(value)!r} holds half of a surrogate pair, which no key can have") from None
    if size_bytes > KEY_BYTES_MAX or "\0" in match[2]:
        raise BadReference(f"{shown_name(value)!r} names no object: keys have up to {KEY_BYTES_MAX} bytes, and no NUL")
    return ObjectRef(match[2], match[1])


def _instead(value: str) -> str:
    if value.lower().startswith(("http://", "https://")):
        return "is a web address, and images are read from S3 only: copy them there, and write s3://bucket/key"
    return "is no S3 URI: write s3://bucket/key"


def why_no_images(kind: pa.DataType) -> str | None:
    """Why no value of a column of this type is an image; None if they may be."""
    if isinstance(kind, pa.BaseExtensionType):
        return why_no_images(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return why_no_images(kind.value_type)
    if pa.types.is_struct(kind):
        parts = {kind.field(place).name: kind.field(place).type for place in range(kind.num_fields)}
        known = [name for name in (_BYTES, _PATH) if name in parts]
        if known and not any(why_no_images(parts[name]) for name in known):
            return None
        return "has neither bytes nor a path, as structs of images have"
    if pa.types.is_null(kind) or _is_text(kind) or holds_bytes(kind):
        return None
    return "holds neither S3 URIs nor bytes"


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether a column's values are the images themselves."""
    if isinstance(kind, pa.BaseExtensionType):
        return holds_bytes(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return holds_bytes(kind.value_type)
    if pa.types.is_struct(kind):
        return any(holds_bytes(kind.field(place).type) for place in range(kind.num_fields))
    return any(of(kind) for of in (pa.types.is_binary, pa.types.is_large_binary, is_binary_view))


def _is_text(kind: pa.DataType) -> bool:
    return any(of(kind) for of in (pa.types.is_string, pa.types.is_large_string, is_string_view))
