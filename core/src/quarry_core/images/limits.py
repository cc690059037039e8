"""What a model takes of images, and about how many LLM tokens one is. Pure; each family says which limits are its own.

A record has `contract.images.IMAGES_MAX` images at most, which every family takes.

Sources. Claude: AWS's user guide and Anthropic's guide to vision: JPEG, PNG, GIF, WebP; 5 MiB of base64 an image, which is
3.75 MiB of bytes; 8,000 pixels a side while a request has 20 images at most (2,000 beyond); 20 MB a request on Bedrock. Converse: AWS's API reference (Message, ImageBlock): 20 images a message, 3.75 MB
and 8,000 pixels a side each. Nova: 25 MB a request. Nothing of it was seen on live AWS by the writer.
"""

from __future__ import annotations

from dataclasses import dataclass

from quarry_core.images.header import Header

# Claude shrinks what is larger, and reckons so (Anthropic's guide to vision).
_SIDE_PX_SHRUNK = 1_568
_TOKENS_MAX = 1_600
_PX_PER_TOKEN = 750


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Of the images of one request.

    Attributes:
        bytes_max: of each, before base64.
        side_px_max: width and height of each at most.
        request_bytes_max: of the whole record, base64 counted.
        tokens_sure: whether the model's maker has published how tokens are reckoned.
    """

    bytes_max: int = 3_932_160
    side_px_max: int = 8_000
    request_bytes_max: int = 25_000_000
    tokens_sure: bool = False

    def fault(self, header: Header) -> str | None:
        """Why an image is not taken: a text that goes on after "the image"; None if it is."""
        if max(header.width, header.height) > self.side_px_max:
            return (
                f"is {header.width:,} x {header.height:,} pixels, and the model takes {self.side_px_max:,} a side at most:"
                " make it smaller"
            )
        return None

    def too_long(self, size_bytes: int | None = None) -> str:
        """The sentence for an image of more than `bytes_max` bytes; goes on after "the image"."""
        has = f"has {size_bytes:,} bytes" if size_bytes is not None else f"has more than {self.bytes_max:,} bytes"
        return f"{has}, and the model takes {self.bytes_max:,} at most: make it smaller"


def tokens_of(header: Header) -> int:
    """About how many LLM tokens an image is: pixels / 750, after it was shrunk to 1,568 a side and to 1,600 tokens."""
    shrunk = min(1.0, _SIDE_PX_SHRUNK / max(header.width, header.height))
    return max(1, round(min(_TOKENS_MAX, header.width * header.height * shrunk * shrunk / _PX_PER_TOKEN)))
