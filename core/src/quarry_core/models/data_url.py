"""An image in a `data:` URL: its format, told by its bytes, and its base64. Pure."""

from __future__ import annotations

import binascii
import re

from quarry_core.images.header import ImageFormat, format_of

_HEAD = re.compile(r"data:(?P<type>[a-z]+/[a-z0-9.+-]+)?(?:;[a-z0-9-]+=[^;,]*)*(?P<base64>;base64)?,", re.IGNORECASE)
_HEAD_CHARS_MAX = 200


class BadImage(ValueError):
    """No image that Converse takes; the text goes on after the field's name."""


def image_of(url: object) -> tuple[ImageFormat, str]:
    """The format and the base64 of an image.

    The media type that the URL claims is not believed: models refuse an image whose bytes are of another one.

    Raises:
        BadImage: it is no data URL in base64, or none of the four formats that Converse has.
    """
    if not isinstance(url, str):
        raise BadImage("is not a text: give the image as data:image/png;base64,…")
    head = _HEAD.match(url[:_HEAD_CHARS_MAX])
    if head is None:
        raise BadImage("is no data: URL, and Bedrock fetches nothing: put the image in, as data:image/png;base64,…")
    if head["base64"] is None:
        raise BadImage("is not in base64: write data:image/png;base64,…")
    data = url[head.end() :]
    try:
        found = format_of(binascii.a2b_base64(data.encode("ascii"), strict_mode=True))
    except (binascii.Error, UnicodeEncodeError) as error:
        raise BadImage(f"is not base64 ({error})") from error
    if found is None:
        raise BadImage("holds none of PNG, JPEG, GIF and WebP, which Converse takes: convert it")
    return found, data
