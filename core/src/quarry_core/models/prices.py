"""What a model's answers cost, by the dated table in `prices.json`: an estimate, and nothing is decided by it.

The table stands beside the code and not in it, with a source for each line and a sentence on how to add one. A model
that is not in it has no price; nobody guesses one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, Field

from quarry_core.models.identity import canonical_model, geography_of
from quarry_core.models.on_demand import FLEX

MILLION = 1_000_000


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    source: str
    regional: bool = False  # its geographic profiles cost what `geographies` says, times the price
    profiles: Mapping[str, float] | None = None  # what its own cost, where that differs; of others nothing is known


class Table(BaseModel):
    """`prices.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    unit: str
    to_add_one: str
    not_in_here: str
    sources: Mapping[str, str]
    geographies: Mapping[str, float]
    models: Mapping[str, _Line]


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million LLM tokens."""

    input: float
    output: float

    def dollars(self, input_tokens: int, output_tokens: int) -> float:
        return (input_tokens * self.input + output_tokens * self.output) / MILLION


@cache
def table() -> Table:
    return Table.model_validate_json(files("quarry_core.models").joinpath("prices.json").read_bytes())


# What batch costs beside the default tier of the same model asked on demand; `not_in_here` says how sure that is.
BATCH_SHARE = 0.5


def on_demand_price_of(model_id: str, tier: str | None = None) -> Price | None:
    """What the same tokens cost when asked on demand: twice the batch price; in the tier `flex`, the same."""
    batch = price_of(model_id)
    if batch is None or tier == FLEX:
        return batch
    return Price(batch.input / BATCH_SHARE, batch.output / BATCH_SHARE)


def price_of(model_id: str) -> Price | None:
    """The batch price of a model, named by id, inference profile or ARN; None where the table does not know it."""
    line = table().models.get(canonical_model(model_id))
    geography = geography_of(model_id)
    factor: float | None = 1.0
    if line is not None and geography and line.profiles is not None:
        factor = line.profiles.get(geography)
    elif line is not None and geography and line.regional:
        factor = table().geographies.get(geography)
    if line is None or factor is None:
        return None
    return Price(line.input * factor, line.output * factor)
