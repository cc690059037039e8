"""What an environment allows: models, sources, prompts, tags, and how much one sender may ask for. Pure.

`QUARRY_POLICY` holds it, as YAML of a few lines. The command judges by it before it sends; the services judge again, and their
word is final. What is not named is allowed; a policy that cannot be read allows nothing: no service starts with it.

A name in a list may hold `*`, any characters or none, and is matched whole. A model is allowed by its id or by the base model
that it stands for; a source by the bucket and the prefix with which every key begins that the manifest names.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from quarry_core.contract.manifest import Manifest
from quarry_core.contract.prompt_yaml import YamlError, read_yaml
from quarry_core.contract.s3_names import parse_s3_name
from quarry_core.models import canonical_model
from quarry_core.models.money import dollars, dollars_apart
from quarry_core.text import shown_name

VARIABLE = "QUARRY_POLICY"
POLICY_BYTES_MAX = 16_384
NAMES_MAX = 500
SENDERS_MAX = 200
Name = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
Names = Annotated[tuple[Name, ...], Field(max_length=NAMES_MAX)]


class PolicyError(ValueError):
    """The policy cannot be read; the text names the field and what to do."""


class Limits(BaseModel):
    """How much one sender may ask for. None: any.

    Attributes:
        rows_max: rows of one run.
        cost_max_usd: dollars of one run, as estimated when it is planned.
        runs_max: runs that are open at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    rows_max: int | None = Field(None, ge=1)
    cost_max_usd: float | None = Field(None, gt=0, allow_inf_nan=False)
    runs_max: int | None = Field(None, ge=1, le=100_000)


class Policy(Limits):
    """The limits at the top are everybody's; those of the first pattern in `senders` that fits a sender stand above them.

    Attributes:
        models, sources, prompts: what may be named; None: anything.
        inline_prompts: whether a manifest may bring its own prompt, or requests that are ready; by default only where `prompts`
            is not given.
        tags_required: keys that every run's tags must have: its manifest's, or the environment's own.
        senders: limits by the id under which SQS knows a sender (AIDA… of a user, AROA…:session of a role).
    """

    version: Annotated[int, Field(ge=1, le=1)]
    models: Names | None = None
    sources: Names | None = None
    prompts: Names | None = None
    inline_prompts: bool | None = None
    tags_required: Names = ()
    senders: Annotated[dict[Name, Limits], Field(max_length=SENDERS_MAX)] = Field(default_factory=dict)

    @property
    def own_prompts(self) -> bool:
        """Whether a manifest may bring its own prompt."""
        return self.prompts is None if self.inline_prompts is None else self.inline_prompts

    def limits_of(self, sender: str) -> Limits:
        """What one sender may ask for."""
        for pattern, limits in self.senders.items():
            if _fits(sender, pattern):
                given = limits.model_dump(exclude_unset=True)
                return Limits(**{name: given.get(name, getattr(self, name)) for name in Limits.model_fields})
        return Limits(**{name: getattr(self, name) for name in Limits.model_fields})


@lru_cache(maxsize=8)
def read_policy(text: str) -> Policy | None:
    """The policy, or None where there is none. Raises PolicyError."""
    if not text.strip():
        return None
    if len(text.encode(errors="replace")) > POLICY_BYTES_MAX:
        raise PolicyError(f"{VARIABLE}: it has more than {POLICY_BYTES_MAX} bytes")
    try:
        data = read_yaml(text, ())
    except (YamlError, yaml.YAMLError) as error:
        raise PolicyError(f"{VARIABLE}: {' '.join(str(error).split())}") from error
    if not isinstance(data, Mapping):
        raise PolicyError(f"{VARIABLE}: it must be fields and values, as in `version: 1`")
    try:
        policy = Policy.model_validate(_lists_as_tuples(data))
    except ValidationError as error:
        raise PolicyError("; ".join(_sentences(error))) from error
    for pattern in policy.sources or ():
        if not pattern.startswith(("s3://", "hf://")):
            raise PolicyError(
                f"{VARIABLE}: sources: {shown_name(pattern)} must begin with s3:// (bucket and prefix) or hf:// (owner/name)"
            )
        if pattern.startswith("s3://") and re.match(r"s3://[^/*]+/", pattern) is None:
            raise PolicyError(
                f"{VARIABLE}: sources: {shown_name(pattern)} must name one whole bucket, then a slash, as s3://bucket/prefix/"
            )
    return policy


def _lists_as_tuples(value: Any) -> Any:
    """`strict` keeps `true` from being 1, and takes no list for a tuple."""
    if isinstance(value, list):
        return tuple(map(_lists_as_tuples, value))
    if isinstance(value, Mapping):
        return {key: _lists_as_tuples(each) for key, each in value.items()}
    return value


def _sentences(error: ValidationError) -> Iterator[str]:
    for each in error.errors(include_url=False, include_input=False):
        where = ".".join(shown_name(str(part)) for part in each["loc"])
        what = "there is no such field" if each["type"] == "extra_forbidden" else each["msg"]
        yield f"{VARIABLE}: {where}: {what}"


def _fits(name: str, pattern: str) -> bool:
    """Only `*` is special: brackets and question marks stand in ids, and mean themselves."""
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]").replace("?", "[?]"))


def _allowed(names: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(_fits(name, pattern) for name in names if name for pattern in patterns)


def violations(manifest: Manifest, policy: Policy | None, tags_given: Container[str] = ()) -> list[str]:
    """What of a manifest an environment does not allow, a sentence each that names the field.

    Args:
        tags_given: keys that the environment gives every job (`contract.job_tags`).
    """
    if policy is None:
        return []
    found: list[str] = []
    if policy.models is not None:
        names = [manifest.model_id]
        if manifest.model_known:
            names += [manifest.model, canonical_model(manifest.model)]
        if not _allowed(names, policy.models):
            found.append(f"model_id: {manifest.model_id} is not allowed here; allowed are {_listed(policy.models)}")
    if policy.sources is not None:
        found += _sources(manifest, policy.sources)
    if (
        policy.prompts is not None
        and manifest.prompt_id is not None
        and not _allowed((manifest.prompt_id,), policy.prompts)
    ):
        found.append(f"prompt_id: {manifest.prompt_id} is not allowed here; allowed are {_listed(policy.prompts)}")
    if not policy.own_prompts and manifest.prompt is not None:
        found.append(f"prompt: a prompt of one's own is not allowed here; name one by prompt_id{_those(policy)}")
    if not policy.own_prompts and manifest.request_format is not None:
        found.append(f"request_format: {ready_requests(policy)}")
    missing = [key for key in policy.tags_required if key not in manifest.tags and key not in tags_given]
    if missing:
        found.append(f"tags: {_listed(missing)} must be given here, and {'is' if len(missing) == 1 else 'are'} not")
    return [f"{each} ({VARIABLE})" for each in found]


def ready_requests(policy: Policy) -> str:
    """Why a source of ready requests is refused."""
    return f"requests that are ready bring prompts of their own, which is not allowed here; name one by prompt_id{_those(policy)}"


def _those(policy: Policy) -> str:
    return f": {_listed(policy.prompts)}" if policy.prompts else ""


def _sources(manifest: Manifest, allowed: Names) -> Iterator[str]:
    """Whatever the manifest may turn out to name must lie below a prefix that is allowed."""
    if manifest.dataset_id is not None and not _allowed((f"hf://{manifest.dataset_id}",), allowed):
        yield f"dataset_id: {manifest.dataset_id} is not allowed here; allowed are {_listed(allowed)}"
    for uri in manifest.uris:
        name = parse_s3_name(uri)
        # A pattern without `*` is a prefix; every key that is named begins with `name.prefix`.
        begins = f"s3://{name.bucket}/{name.prefix}"
        if not any(_fits(begins, pattern if pattern.endswith("*") else f"{pattern}*") for pattern in allowed):
            yield f"s3_uri: {uri} is not allowed here; allowed are {_listed(allowed)}"


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    shown = ", ".join(known[:5])
    return f"{shown} and {len(known) - 5} more" if len(known) > 5 else shown or "none"


# --------------------------------------------------------------------------- how much


def too_many_runs(policy: Policy | None, sender: str, open_runs: Iterable[str]) -> str:
    """Why a sender may not begin another run; empty: it may.

    Args:
        open_runs: the senders of all runs that are open. Sessions of one role are one sender.
    """
    if policy is None or (most := policy.limits_of(sender).runs_max) is None:
        return ""
    principal = sender.partition(":")[0]
    count = sum(each.partition(":")[0] == principal for each in open_runs)
    if count < most:
        return ""
    who = f"sender {sender}" if sender else "an unknown sender"
    return (
        f"run: {who} has {count} open runs, and at most {most} are allowed here: wait until one has ended ({VARIABLE})"
    )


def too_large(policy: Policy | None, sender: str, rows: int) -> str:
    """Why a planned run has too many rows; empty: it has not."""
    if policy is None or (most := policy.limits_of(sender).rows_max) is None or rows <= most:
        return ""
    return f"rows: the run has {rows:,} rows, and at most {most:,} are allowed here: set max_records_total, or split it ({VARIABLE})"


def too_dear(policy: Policy | None, sender: str, cost_usd: float | None) -> str:
    """Why a planned run costs too much; empty: it does not. `cost_usd` None: there is no price for its model."""
    if policy is None or (most := policy.limits_of(sender).cost_max_usd) is None:
        return ""
    if cost_usd is None:
        return (
            f"model_id: what the run costs is not known, since its model has no price here, and at most {dollars(most)} is"
            f" allowed: name a model that `quarry prices` lists ({VARIABLE})"
        )
    if cost_usd <= most:
        return ""
    cost, allowed = dollars_apart(cost_usd, most)
    return f"rows: the run costs about {cost}, and at most {allowed} is allowed here: take fewer rows ({VARIABLE})"


def limits_cost(policy: Policy | None, sender: str) -> bool:
    """Whether a run's cost has to be known."""
    return policy is not None and policy.limits_of(sender).cost_max_usd is not None
