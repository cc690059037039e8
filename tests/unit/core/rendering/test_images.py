"""How many images are held while records are written."""

from __future__ import annotations

import threading

import pyarrow as pa

from quarry_core.contract.images import ImageColumn
from quarry_core.contract.prompts import Prompt
from quarry_core.contract.run import Pins, Source
from quarry_core.ports import ObjectRef
from quarry_core.rendering.encoders import sending_encoder_of
from quarry_core.rendering.images import AHEAD_IMAGES
from quarry_core.rendering.row_encoder import LINES_BYTES_MAX
from tests.world.images import png
from tests.world.objects import FakeObjects

PINS = Pins(
    job_name_prefix="p",
    model_id="amazon.nova-lite-v1:0",
    pool="p",
    family="nova",
    family_version="1",
    source=Source(format="csv", bucket="world", key="k", size_bytes=1),
    prompt=Prompt(template="What?"),
    timeout_hours=24,
    images=(ImageColumn(column="a"), ImageColumn(column="b")),
)


class Counting(FakeObjects):
    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self._counting = threading.Lock()

    def read(self, ref: ObjectRef, start_byte: int = 0, length_bytes: int | None = None) -> bytes:
        with self._counting:
            self.reads += 1
        return super().read(ref, start_byte, length_bytes)


def test_images_are_read_a_few_ahead_of_their_turn_and_no_more():
    objects = Counting()
    image = png(fill=600_000)
    objects.plant("x.png", image, "photos")
    batch = pa.record_batch({name: ["s3://photos/x.png"] * 60 for name in ("a", "b")})
    sent = 0
    for encoded in sending_encoder_of(PINS, objects).encode_bounded(batch, "00000", 0):
        sent += encoded.records
        assert len(encoded.data) <= LINES_BYTES_MAX
        # What was handed on, the record that did not fit any more, and those that are waiting for their turn.
        assert objects.reads <= 2 * (sent + 1) + AHEAD_IMAGES
    assert (sent, objects.reads) == (60, 120)
