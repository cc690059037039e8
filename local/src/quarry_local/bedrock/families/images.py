"""What a model refuses of an image: the wrong format, too many bytes, too many pixels, bytes that are no image. Pure.

The limits are those of AWS's and Anthropic's pages: 3.75 MiB of bytes (5 MiB of base64) and 8,000 pixels a side, 2,000 where a
request has more than 20. Which images a live model's decoder cannot read is not known; here bytes are refused that do not
begin as the format does that the record claims. Texts imitate those of the validators.
"""

import binascii
import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from quarry_local.bedrock.families.answers import Refused
from quarry_local.bedrock.models.catalogue import catalogue

BASE64_BYTES_MAX = 5 * 1024 * 1024
SIDE_PX_MAX = 8_000
CROWD = 20
CROWD_SIDE_PX_MAX = 2_000
_BEGINNINGS = {
    "png": re.compile(rb"\x89PNG\r\n\x1a\n.{4}IHDR(?P<width>.{4})(?P<height>.{4})", re.DOTALL),
    "gif": re.compile(rb"GIF8[79]a(?P<width>..)(?P<height>..)", re.DOTALL),
    "jpeg": re.compile(rb"\xff\xd8\xff"),
    "webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
# A frame's header: not a table (C4, C8, CC), and with a length that a header may have.
_JPEG_FRAME = re.compile(
    rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]\x00[\x0b-\x14][\x08\x0c](?P<height>..)(?P<width>..)", re.DOTALL
)


class Shown(NamedTuple):
    """An image of a record: where it stands, the format that it claims, its base64."""

    at: str
    claimed: str
    data: str


def sees(model_id: str) -> bool:
    """Whether a model takes images, as far as the catalogue tells; one that is not in it does."""
    return next(("IMAGE" in entry.input for entry in catalogue().models if entry.id == model_id), True)


def check_images(images: Iterable[Shown], *, most: int = 100) -> None:
    """Refuse images that a model does not take.

    Args:
        images: of one request.
        most: how many a request may have.

    Raises:
        Refused: the record's error.
    """
    found = list(images)
    if len(found) > most:
        raise Refused(400, f"too many images and documents: {len(found)} + 0 > {most}")
    side_max = SIDE_PX_MAX if len(found) <= CROWD else CROWD_SIDE_PX_MAX
    for image in found:
        _check(image, side_max)


def _check(image: Shown, side_max: int) -> None:
    if len(image.data) > BASE64_BYTES_MAX:
        raise Refused(
            400, f"{image.at}: image exceeds 5 MB maximum: {len(image.data)} bytes > {BASE64_BYTES_MAX} bytes"
        )
    try:
        data = binascii.a2b_base64(image.data.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise Refused(400, f"{image.at}: invalid base64 data") from None
    kind = next((kind for kind, beginning in _BEGINNINGS.items() if beginning.match(data)), None)
    if kind is None:
        raise Refused(400, f"{image.at}: Could not process image")
    if kind != image.claimed:
        raise Refused(
            400,
            f"{image.at}: The image was specified using the image/{image.claimed} media type, but the image appears to be a"
            f" image/{kind} image",
        )
    if max(_size(kind, data)) > side_max:
        raise Refused(
            400, f"{image.at}: At least one of the image dimensions exceed max allowed size: {side_max} pixels"
        )


def _size(kind: str, data: bytes) -> tuple[int, int]:
    """Width and height; of a form whose size stands elsewhere, 1 x 1."""
    found = _JPEG_FRAME.search(data) if kind == "jpeg" else _BEGINNINGS[kind].match(data)
    if found is None or not found.groupdict():
        return 1, 1
    order: Literal["little", "big"] = "little" if kind == "gif" else "big"
    return int.from_bytes(found["width"], order), int.from_bytes(found["height"], order)
