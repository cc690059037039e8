"""Faults of the simulated Hub, and which of them befalls a request. Pure.

What befalls a request is decided by what it asks for, and by how many such came before it: `{"resolve": 2}` befalls the
first two requests of that kind for each file, whichever order the machine sends them in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

Kind = Literal["info", "tree", "resolve", "storage", "other"]
Share = Annotated[float, Field(ge=0, le=1)]


class Faults(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    throttled_first: dict[Kind, NonNegativeInt] = Field(
        default_factory=dict, description="requests answered 429, by kind: the first of each file"
    )
    throttled_share: Share = Field(0.0, description="share of requests answered 429")
    throttled_s: NonNegativeInt = Field(1, description="seconds until the limit is lifted, in the header RateLimit")
    unavailable_first: dict[Kind, NonNegativeInt] = Field(
        default_factory=dict, description="requests answered 503, by kind: the first of each file"
    )
    unavailable_share: Share = Field(0.0, description="share of requests answered 503")
    unavailable_s: NonNegativeInt = Field(1, description="seconds, in the header Retry-After")
    cut_first: NonNegativeInt = Field(
        0, description="bodies of files that end half-way without a word: the first of each file"
    )
    location_s: NonNegativeInt = Field(3_600, description="seconds that the storage's signed addresses are good for")
    location_uses: NonNegativeInt = Field(0, description="requests that one such address is good for; 0: any number")
    whole_for_range: bool = Field(False, description="answer a request for a range with the whole file, and 200")
    wrong_range: bool = Field(False, description="answer a request for a range with the file's beginning, and 206")
    other_commit: bool = Field(False, description="say of every file that it is of another commit than was asked for")
    resolve_cache: bool = Field(
        False, description="send a client that asks for a small file to another path of the Hub, as the Hub does"
    )
    tree_page: PositiveInt = Field(1_000, description="entries of one page of a tree")


@dataclass(frozen=True, slots=True)
class Fate:
    """What is answered instead: 429 or 503 with the seconds to wait; 0 if nothing befalls the request."""

    status: int = 0
    wait_s: int = 0


CALM = Fate()


def fate_of(kind: Kind, about: str, before: int, faults: Faults, seed: int = 0) -> Fate:
    """What befalls a request of a kind, about a file or a dataset, before which `before` such came."""

    def suffers(name: str, first: Mapping[Kind, int], share: float) -> bool:
        return before < first.get(kind, 0) or befalls(seed, f"{name}/{kind}/{about}/{before}", share)

    if suffers("throttled", faults.throttled_first, faults.throttled_share):
        return Fate(429, faults.throttled_s)
    behind = before - faults.throttled_first.get(kind, 0)
    if 0 <= behind < faults.unavailable_first.get(kind, 0) or suffers("unavailable", {}, faults.unavailable_share):
        return Fate(503, faults.unavailable_s)
    return CALM


def befalls(seed: int, name: str, share: float) -> bool:
    """Never for share 0, always for share 1, and always the same for the same seed and name."""
    if share <= 0:
        return False
    drawn = int.from_bytes(blake2b(f"{seed}/{name}".encode(), digest_size=8).digest(), "big") >> 11
    return drawn / 2**53 < share
