"""Peak memory and CPU to count a dataset of images and write its shard, at two numbers of images; and what the images become.

Every image is a file of a folder, as large as a phone's photo (`--kb`), made by hand and never decoded. Kinds take turns: three of four are
plain JPEG; the others are turned, CMYK, 16 bits, animated, PNG, WebP, and now and then HEIC, SVG, cut, text, empty, missing, too wide or too
heavy. Each size has a process of its own. Prints what was sent and refused and why, and fails if ten times the images take more than
`--growth-max` of the memory.

    python benchmarks/images.py [--images 200 2000] [--kb 300] [--growth-max 1.15]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests' images

from quarry_core.contract.images import ImageColumn
from quarry_core.contract.prompts import Prompt
from quarry_core.contract.run import Pins, Source
from quarry_core.errors import Missing
from quarry_core.planning.counting import count_source
from quarry_core.planning.plan import ShardRange
from quarry_core.ports import ObjectInfo
from quarry_core.rendering.encoders import sending_encoder_of
from quarry_core.rendering.images import ImageEncoder
from quarry_core.tabular.memory import choose_arrow_allocator
from quarry_preprocessor.write import ShardWriter
from tests.world.images import HEIC, SVG, gif, jpeg, png, webp

MODEL = "anthropic.claude-haiku-4-5-20251001-v1:0"
NOTHING = b""
# One of so many images each; the others are plain JPEG.
COMMON: Mapping[str, Callable[[bytes], bytes]] = {
    "jpeg, turned by Exif": lambda noise: filled(jpeg(4_000, 3_000, orientation=6), noise),
    "jpeg, CMYK": lambda noise: filled(jpeg(2_000, 1_500, channels=4), noise),
    "png": lambda noise: png(1_200, 900, fill=len(noise)),
    "png, 16 bits": lambda noise: png(1_200, 900, bits=16, fill=len(noise)),
    "gif, animated": lambda _: gif(600, 400, frames=24),
    "webp": lambda _: webp(1_600, 1_200),
}
RARE: Mapping[str, Callable[[bytes], bytes]] = {
    "heic": lambda noise: HEIC + noise,
    "svg": lambda _: SVG,
    "text": lambda _: b"this is no image at all\n" * 100,
    "cut off": lambda noise: filled(jpeg(4_000, 3_000), noise)[:-100],
    "empty": lambda _: b"",
    "missing": lambda _: NOTHING,
    "9,000 pixels wide": lambda _: jpeg(9_000, 100),
    "5 MB": lambda _: png(1_000, 1_000, fill=5_000_000),
}
COMMON_EVERY, RARE_EVERY = 4, 100


def filled(image: bytes, noise: bytes) -> bytes:
    """A JPEG with so many bytes more in its pixels."""
    at = image.rindex(b"pixels")
    return image[:at] + noise.replace(b"\xff", b"\xfe") + image[at:]


def kind_of(number: int) -> str:
    if number % RARE_EVERY == RARE_EVERY - 1:
        return list(RARE)[number // RARE_EVERY % len(RARE)]
    if number % COMMON_EVERY == COMMON_EVERY - 1:
        return list(COMMON)[number // COMMON_EVERY % len(COMMON)]
    return "jpeg"


class Files:
    """The port over a folder: what is written is counted and dropped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: dict[str, bytes] = {}
        self.size_bytes = 0

    def head(self, ref: Any) -> ObjectInfo:
        raise Missing(ref.key)

    def stream(self, ref: Any, start_byte: int = 0) -> io.FileIO:
        opened = io.FileIO(self.folder / ref.key)
        opened.seek(start_byte)
        return opened

    def read(self, ref: Any, start_byte: int = 0, length_bytes: int | None = None) -> bytes:
        if ref.key in self.written:
            return self.written[ref.key]
        try:
            with (self.folder / ref.key).open("rb") as opened:
                opened.seek(start_byte)
                return opened.read(-1 if length_bytes is None else length_bytes)
        except FileNotFoundError as error:
            raise Missing(ref.key) from error

    def put_once(self, key: str, body: bytes, metadata: Any) -> bool:
        del metadata
        self.written[key] = body
        return True

    def create(self, key: str, metadata: Any) -> Files:
        del key, metadata
        return self

    def write(self, data: bytes) -> int:
        self.size_bytes += len(data)
        return len(data)

    def commit(self) -> bool:
        return True

    def abort(self) -> None:
        pass


def make(folder: Path, images: int, kb: int) -> None:
    noise = os.urandom(kb * 1_000)
    with (folder / "photos.csv").open("w") as rows:
        rows.write("photo\n")
        for number in range(images):
            kind = kind_of(number)
            rows.write(f"s3://photos/{number}.jpg\n")
            if kind != "missing":
                made = (COMMON | dict(RARE)).get(kind, lambda noise: filled(jpeg(4_000, 3_000), noise))(noise)
                (folder / f"{number}.jpg").write_bytes(made)


def measure(folder: Path, images: int) -> dict[str, Any]:
    choose_arrow_allocator()  # as the services do
    objects: Any = Files(folder)
    size_bytes = (folder / "photos.csv").stat().st_size
    pins = Pins(
        job_name_prefix="images",
        model_id=MODEL,
        pool="pool",
        family="anthropic",
        family_version="3",
        source=Source(format="csv", bucket="photos", key="photos.csv", size_bytes=size_bytes, etag="e"),
        prompt=Prompt(template="What is to be seen?"),
        timeout_hours=24,
        images=(ImageColumn(column="photo"),),
    )
    began, cpu = time.perf_counter(), time.process_time()
    counted = count_source(objects, "run", pins)
    encoder = sending_encoder_of(pins, objects)
    writer = ShardWriter(objects, "run", "plan", pins, counted.dataset, encoder, 1, 10**12)
    written = writer.write(ShardRange(number=0, first_row=0, rows=images))
    assert isinstance(encoder, ImageEncoder)
    codes = {one.row: (one.code, one.message.partition("jpg: ")[2] or one.message) for one in written.unsent}
    became = Counter((kind_of(row), *codes.get(row, ("sent", "as it is"))) for row in range(images))
    return {
        "images": images,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - began,
        "input_mb": written.input_bytes / 1e6,
        "estimated_mb": counted.record_bytes * written.sendable / 1e6,
        "unusual": dict(encoder.tally.odd),
        "became": [[*key, count] for key, count in sorted(became.items(), key=lambda each: -each[1])],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[200, 2_000])
    parser.add_argument("--kb", type=int, default=300)
    parser.add_argument("--growth-max", type=float, default=1.15)
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.folder is not None:
        print(json.dumps(measure(asked.folder, asked.images[0])))
        return 0
    peaks = []
    for images in asked.images:
        with tempfile.TemporaryDirectory() as place:
            make(Path(place), images, asked.kb)
            command = [sys.executable, __file__, "--in", place, "--images", str(images)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        peaks.append(found["peak_mb"])
        print(
            f"{images:6,} images: peak {found['peak_mb']:.0f} MB, {found['cpu_s']:.1f} CPU s, {found['wall_s']:.1f} s; input"
            f" {found['input_mb']:,.0f} MB ({found['estimated_mb']:,.0f} estimated); unusual {found['unusual']}"
        )
    print(f"{'kind':22} {'rows':>5}  what became of it")
    for kind, code, why, count in found["became"]:
        print(f"{kind:22} {count:5}  {code}{'' if code == 'sent' else ': ' + why[:96]}")
    growth = peaks[-1] / peaks[0]
    print(f"memory: x {growth:.2f} for x {asked.images[-1] / asked.images[0]:.0f} the images")
    return 0 if growth <= asked.growth_max else 1


if __name__ == "__main__":
    sys.exit(main())
