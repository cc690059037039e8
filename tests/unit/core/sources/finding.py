"""What the tests of sources share: a bucket with folders, a manifest over it, and the count of what was asked."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_core.contract.manifest import ManifestError
from quarry_core.contract.manifest_checks import check_environment
from quarry_core.contract.manifest_reading import read_manifest
from quarry_core.ports import ObjectInfo
from quarry_core.sources.finding import KEYS_LISTED_MAX, PAGE_KEYS
from quarry_core.sources.listing import Found, find_source
from tests.world.objects import FakeObjects
from tests.world.world import CLAUDE

CSV = b"topic\nx\n"


def parquet(rows: int = 1, **columns: list) -> bytes:
    body = io.BytesIO()
    pq.write_table(pa.table(columns or {"topic": ["x"] * rows}), body)
    return body.getvalue()


PARQUET = parquet()


class CountedObjects(FakeObjects):
    """Counts requests as S3 bills them: a listing by its pages."""

    def __init__(self, bucket: str = "world") -> None:
        super().__init__(bucket)
        self.asked: list[str] = []

    def head(self, ref):
        self.asked.append(f"HEAD {ref.key}")
        return super().head(ref)

    def read(self, ref, start_byte=0, length_bytes=None):
        self.asked.append(f"GET {ref.key}")
        return super().read(ref, start_byte, length_bytes)

    def list(self, prefix, bucket="", owner=None) -> Iterator[ObjectInfo]:
        self.asked.append(f"LIST {prefix}")
        for number, info in enumerate(super().list(prefix, bucket, owner)):
            if number and number % PAGE_KEYS == 0:
                self.asked.append(f"LIST {prefix}")
            yield info


class Bucket:
    """A user's bucket."""

    def __init__(self) -> None:
        self.objects = CountedObjects()
        self.keys_listed_max = KEYS_LISTED_MAX

    def put(self, *keys: str, body: bytes = CSV, bucket: str = "data") -> None:
        for key in keys:
            self.objects.plant(key, body, bucket)

    def find(self, uri: Any, **fields: Any) -> Found:
        data = {"job_name_prefix": "j", "model_id": CLAUDE, "prompt": "{topic}", "s3_uri": uri} | fields
        manifest = read_manifest(data)
        check_environment(manifest, region="us-east-1", bucket="world")
        self.objects.asked.clear()
        return find_source(self.objects, manifest, "world", self.keys_listed_max)

    def keys(self, uri: Any, **fields: Any) -> list[str]:
        found = self.find(uri, **fields)
        assert found.listing is not None
        return [file.key for file in found.listing.files]

    def refused(self, uri: Any, **fields: Any) -> str:
        with pytest.raises(ManifestError) as error:
            self.find(uri, **fields)
        return str(error.value)
