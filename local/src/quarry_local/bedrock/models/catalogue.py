"""The catalogue of models: what `catalogue.json` says, as values. Nothing here decides.

The data is contract section 4.5 (which models, which are refused live), section 5 (limits of single models) and section
8 (ids), read on the file's own date. What the contract does not say is left open rather than guessed:

* `regions`: where the plain id may be used for batch inference; every region when absent (the table that says it was
  read for Nova only). An empty list means: by inference profile only.
* `profiles`: which geographies a model has profiles in was not read; a model with profiles has one in each, and the
  global one.
* `batch: false` = refused at Create. Models without a batch quota count as refused.
* `verified: false` = a published table has a batch price for it (LiteLLM 1.110.2), and that is all that is known.

Cohere, AI21 and the older models stand here for discovery, for on-demand calls, and for who switches them on with the
setting `batch_models`.
"""

import importlib.resources
from collections.abc import Mapping
from functools import cache
from typing import Literal

import msgspec

Family = Literal[
    "anthropic",
    "nova",
    "nova-embeddings",
    "titan-text-v1",
    "titan-text-v2",
    "titan-multimodal",
    "llama",
    "mistral-text",
    "mistral-chat",
    "openai-chat",
    "cohere-embed",
    "cohere-embed-v4",
    "cohere-command",
    "jamba",
]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for one model instead of the settings (contract section 5)."""

    records_min: int | None = None
    job_bytes_max: int | None = None


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One foundation model."""

    id: str
    name: str
    provider: str
    family: Family
    input: list[str]
    output: list[str]
    batch: bool
    verified: bool = True
    """False: a batch price is published for it, and nobody wrote down a job that ran (contract section 12)."""
    regions: list[str] | None = None
    profiles: bool = True
    on_demand: bool = True
    """False: only by an inference profile (contract section 9)."""
    streaming: bool = True
    legacy: bool = False
    custom: bool = False
    """Whether custom models of this base have a batch quota (contract section 5)."""
    limits: Limits = Limits()


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    read_on: str
    geographies: dict[str, list[str]]
    """The regions that a geographic profile routes to, by its prefix."""
    models: list[Entry]


@cache
def catalogue() -> Catalogue:
    raw = (importlib.resources.files(__package__) / "catalogue.json").read_bytes()
    return msgspec.json.decode(raw, type=Catalogue)


@cache
def entries() -> Mapping[str, Entry]:
    """Every model by its id."""
    return {entry.id: entry for entry in catalogue().models}


def serves(geography: str, region: str) -> bool:
    """Whether a profile with this prefix can be called from `region`.

    By the region's name: the exact lists of source regions are longer than those of destinations, and were not read.
    """
    government = region.startswith("us-gov-")
    match geography:
        case "global":
            return not government
        case "us":
            # Canada's first region is a source of the American profiles.
            return (region.startswith("us-") and not government) or region == "ca-central-1"
        case "us-gov":
            return government
        case "eu":
            return region.startswith("eu-")
        case "apac":
            return region.startswith("ap-")
        case "jp" | "au" | "ca":
            return region in catalogue().geographies[geography]
        case _:
            return False
