"""Short names of models, by the dated table in `aliases.json`: `haiku` in place of an id that nobody remembers. Pure.

An alias names exactly one model id in a region, and whoever uses one is told which. Manifests do not know aliases: what is
sent, pinned and reported is the id, so no run changes its model when the table does.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, Field

GLOBAL = "global"
_ALIKE = 0.6
# An id has its provider before a dot, or is an ARN; the dots of aliases stand between digits.
_ID = re.compile(r":|^[A-Za-z0-9-]+\.[A-Za-z]")
NEAREST_MAX = 3
# Regions by how their names begin, and the geography whose profiles cover them. Of others `global` alone is known to.
_GEOGRAPHIES = (("us-gov-", "us-gov"), ("us-", "us"), ("eu-", "eu"), ("ap-", "apac"))


class UnknownAlias(ValueError):
    """No model is called that; the text names the nearest that are."""


class _Alias(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    source: str
    profiles: tuple[str, ...] = ()


class AliasTable(BaseModel):
    """`aliases.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    to_add_one: str
    sources: Mapping[str, str]
    aliases: Mapping[str, _Alias]


@dataclass(frozen=True, slots=True)
class Named:
    """What a name of a model means: the id, and the alias that was used for it; empty if it was the id itself."""

    model_id: str
    alias: str = ""


@cache
def alias_table() -> AliasTable:
    return AliasTable.model_validate_json(files("quarry_core.models").joinpath("aliases.json").read_bytes())


def model_named(name: str, region: str) -> Named:
    """The model that an alias means in a region; an id or an ARN, which has a dot or a colon, is itself.

    Raises:
        UnknownAlias: no alias is like this, or the region has no profile of its model.
    """
    known = alias_table().aliases
    found = known.get(name.strip().casefold())
    if found is None:
        if _ID.search(name):
            return Named(name)
        raise UnknownAlias(_unknown(name))
    if not found.profiles:
        return Named(found.model, name)
    geography = _geography(found.profiles, region)
    if geography is None:
        raise UnknownAlias(
            f"{name} means {found.model}, which Bedrock asks by an inference profile, and none is known that covers"
            f" {region or 'this region'}: name the profile's id ({', '.join(f'{each}.{found.model}' for each in found.profiles)})"
        )
    return Named(f"{geography}.{found.model}", name)


def _geography(profiles: tuple[str, ...], region: str) -> str | None:
    own = next((geography for beginning, geography in _GEOGRAPHIES if region.startswith(beginning)), None)
    if own in profiles:
        return own
    return GLOBAL if GLOBAL in profiles and own != "us-gov" else None


def _nearest(name: str) -> list[str]:
    return difflib.get_close_matches(name.casefold(), alias_table().aliases, NEAREST_MAX, _ALIKE)


def _unknown(name: str) -> str:
    shown = name if name.isprintable() and len(name) <= _SHOWN_CHARS_MAX else ascii(name[:_SHOWN_CHARS_MAX])
    near = _nearest(name)
    if near:
        aliases = alias_table().aliases
        return f"no model is called {shown!r}; did you mean {' or '.join(f'{each} ({aliases[each].model})' for each in near)}?"
    return (
        f"no model is called {shown!r}: give an alias ({', '.join(alias_table().aliases)}) or an id, as in"
        " amazon.nova-lite-v1:0 (`quarry models` lists those of the region)"
    )


_SHOWN_CHARS_MAX = 80
