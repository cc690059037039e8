"""What differs from model to model when a record is asked on demand (contract section 9): tier, quota, and whether it can be.

The table of models with the tier `flex` stands in `on_demand.json`, with its sources. Flex costs half of the default tier,
which is what batch costs; its answers may take longer. No Claude model has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, Field

from quarry_core.models.identity import CUSTOM, canonical_model

FLEX = "flex"
# Newer Claude: a token of output weighs five times.
_FIVEFOLD = re.compile(r"anthropic\.claude-(?!3-(?:haiku|sonnet|opus)|3-5|v\d|instant)")
_BURNDOWN = 5


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    to_add_one: str
    sources: Mapping[str, str]
    flex: frozenset[str]


@cache
def _table() -> _Table:
    return _Table.model_validate_json(files("quarry_core.models").joinpath("on_demand.json").read_bytes())


def tier_of(model_id: str) -> str | None:
    """The service tier in which a model is asked: `flex` where it has that, else None, the default one."""
    return FLEX if canonical_model(model_id) in _table().flex else None


def burndown_of(model_id: str) -> int:
    """How many LLM tokens of the quota one token of output takes."""
    return _BURNDOWN if _FIVEFOLD.match(canonical_model(model_id)) else 1


def why_never(model_id: str) -> str | None:
    """Why a model cannot be asked on demand, as far as its id tells."""
    if canonical_model(model_id).startswith(CUSTOM):
        return "a custom model is asked on demand by a deployment of its own, and model_id names the model"
    return None
