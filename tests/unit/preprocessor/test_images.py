"""A shard with images that is written twice: they are not pinned, so what the first life has written holds."""

from __future__ import annotations

import json

import pytest

from quarry_core.contract.images import ImageColumn
from quarry_core.contract.names import input_key, unsent_key
from quarry_core.contract.prompts import Prompt
from quarry_core.contract.run import Pins, Source
from quarry_core.errors import Unknown
from quarry_core.planning.counting import count_source
from quarry_core.planning.plan import ShardRange
from quarry_core.rendering.encoders import sending_encoder_of
from quarry_preprocessor.write import ShardWriter, Written
from tests.world.images import jpeg, png
from tests.world.objects import FakeObjects, FakeUpload

NOVA = "amazon.nova-lite-v1:0"
ROWS = 5


def a_writer(objects: FakeObjects) -> ShardWriter:
    lines = ["photo", *(f"s3://world/inputs/{row}.png" for row in range(ROWS))]
    ref = objects.plant("inputs/photos.csv", "\n".join(lines).encode() + b"\n")
    source = Source(
        format="csv", bucket="world", key=ref.key, size_bytes=len(objects.bodies[ref.key]), etag=ref.etag or ""
    )
    pins = Pins(
        job_name_prefix="p",
        model_id=NOVA,
        pool="p",
        family="nova",
        family_version="1",
        source=source,
        prompt=Prompt(template="What?"),
        timeout_hours=24,
        images=(ImageColumn(column="photo"),),
    )
    dataset = count_source(objects, "run", pins).dataset
    return ShardWriter(objects, "run", "plan", pins, dataset, sending_encoder_of(pins, objects), 1, 10**9)


def write(writer: ShardWriter) -> Written:
    return writer.write(ShardRange(number=0, first_row=0, rows=ROWS))


def sent_rows(objects: FakeObjects) -> list[int]:
    return [int(json.loads(line)["recordId"][5:]) for line in objects.bodies[input_key("run", "00000")].splitlines()]


def test_a_row_that_was_given_up_stays_so_though_its_image_has_come(monkeypatch):
    objects = FakeObjects()
    for row in (0, 1, 3, 4):
        objects.plant(f"inputs/{row}.png", png())
    writer = a_writer(objects)

    def died(self: FakeUpload) -> bool:
        if "batch-input" in self._key:
            raise Unknown("the worker died before it had written the input")
        return self._objects._publish(self._key, bytes(self._body), self._metadata)

    with monkeypatch.context() as patched:
        patched.setattr(FakeUpload, "commit", died)
        with pytest.raises(Unknown):
            write(writer)
    objects.plant("inputs/2.png", png())

    written = write(writer)

    assert (written.sendable, [one.row for one in written.unsent]) == (4, [2])
    assert sent_rows(objects) == [0, 1, 3, 4]


def test_an_input_that_stands_is_counted_whatever_has_become_of_its_images():
    objects = FakeObjects()
    for row in range(ROWS):
        objects.plant(f"inputs/{row}.png", png())
    writer = a_writer(objects)
    first = write(writer)
    objects.plant("inputs/1.png", jpeg())
    objects.plant("inputs/3.png", b"no image any more")

    second = write(writer)

    assert (first.sendable, second.sendable, second.unsent) == (5, 5, [])
    assert second.input_bytes == first.input_bytes == len(objects.bodies[input_key("run", "00000")])
    assert unsent_key("run", "00000") not in objects.bodies
