"""A collector with a bug in it, as a bad release has: `python -m tests.deploy.bad_release`.

Each output of Bedrock's that it begins to read fails, in the same way, and through no fault of AWS.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any, BinaryIO

from quarry_collector import handler
from quarry_core.ports import ObjectRef
from quarry_core.service import process
from quarry_core.service.process import World


class _Objects:
    def __init__(self, objects: Any) -> None:
        self._objects = objects

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    def stream(self, ref: ObjectRef, start_byte: int = 0) -> BinaryIO:
        if ref.key.startswith("batch-output/"):
            raise AttributeError("'dict' object has no attribute 'modelOutput'")
        stream: BinaryIO = self._objects.stream(ref, start_byte)
        return stream


def broken(world: World) -> World:
    objects: Any = _Objects(world.objects)
    return dataclasses.replace(world, objects=objects)


if __name__ == "__main__":
    sys.exit(process.main("collector", handler.build, handler.QUEUES, wrap=broken))
