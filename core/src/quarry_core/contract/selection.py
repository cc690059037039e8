"""Which rows and columns of a source a manifest asks for, and what folders' names mean. Pure."""

from __future__ import annotations

from typing import Literal

# Of columns that folders named `column=value` make; text is the default, for nothing is guessed.
PartitionType = Literal["string", "int", "float", "bool", "date", "timestamp"]
