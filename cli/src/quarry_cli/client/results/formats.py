"""The formats in which results can be had. Apart from who writes them, so that knowing their names costs nothing."""

from __future__ import annotations

from typing import Literal

Format = Literal["parquet", "csv", "jsonl"]
