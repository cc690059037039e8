"""Which model an id means, and which pool its jobs count in: every id, profile and ARN of a model names one pool.

Total on purpose: the sweep asks it about jobs that are not ours, whose model ids may be anything (contract sections
1.3 and 1.6). Whether Quarry can work with a model is `registry.family_of`'s to say.
"""

from __future__ import annotations

import re

CUSTOM = "custom-model/"
HIDDEN = "application-inference-profile/"

# By name, since a model's own id may hold two dots (`deepseek.v3.2`). The first row are the prefixes that AWS
# documents; the second are those that its region names would give, which no provider bears.
_GEOGRAPHIES = frozenset({"us", "us-gov", "eu", "apac", "jp", "au", "ca", "in", "global"}) | frozenset(
    {"af", "ap", "il", "me", "mx", "sa"}
)
_ARN = re.compile(r"arn:aws(?:-[^:]+)?:bedrock:[a-z0-9-]*:[0-9]*:(?P<kind>[a-z-]+)/(?P<name>.+)")


def canonical_model(model_id: str) -> str:
    """The model that an id names, however it names it.

    The geography of an inference profile, the ARN around an id and a context length (`:48k`) fall away; a missing
    `:0` is put in. A custom model is `custom-model/<base>`: the quota counts all custom models of one base together,
    and apart from the base itself (contract section 5). An application inference profile hides its model and stays
    what it is, as does whatever has no known form.
    """
    arn = _ARN.fullmatch(model_id)
    if arn is None:
        return _base(model_id)
    kind, name = arn["kind"], arn["name"]
    if kind in {"foundation-model", "inference-profile"}:
        return _base(name)
    if kind == "custom-model":
        return CUSTOM + _base(name.partition("/")[0])
    return f"{kind}/{name}"


def geography_of(model_id: str) -> str:
    """The geography of the inference profile that an id or ARN names; empty for a model itself."""
    arn = _ARN.fullmatch(model_id)
    geography, _, rest = (arn["name"] if arn else model_id).partition(".")
    return geography if geography in _GEOGRAPHIES and "." in rest else ""


def pool_of(region: str, model_id: str) -> str:
    """`<region>#<model>`: the scope of one quota."""
    return f"{region}#{canonical_model(model_id)}"


def _base(name: str) -> str:
    geography, _, rest = name.partition(".")
    if geography in _GEOGRAPHIES and "." in rest:
        name = rest
    words = name.split(":")
    if len(words) == 1 and re.search(r"-v[0-9]+$", name):
        return f"{name}:0"
    return ":".join(words[:2])
