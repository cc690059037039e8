"""Kinds of columns that only later releases of pyarrow know. Where one is not known, no column is of it.

The command may run beside an older pyarrow, which a notebook has; in production the services have a current one.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

Is = Callable[[pa.DataType], bool]


def _later(name: str) -> Is:
    known: Is = getattr(pa.types, name, lambda _: False)
    return known


is_string_view = _later("is_string_view")
is_binary_view = _later("is_binary_view")
is_list_view = _later("is_list_view")
is_large_list_view = _later("is_large_list_view")
