"""Model identifiers: which model is meant, which pool it counts in, what Get shows for it. Pure.

A model is named by its id, by a geographic or global inference profile, or by either's ARN; all of them share one
quota, the pool (contract sections 1.6 and 5). The id's pattern is no proof that a model exists, so only known forms are
taken, and the rest gets the words that live AWS uses.
"""

import re
from dataclasses import dataclass
from typing import Literal

from quarry_local.bedrock.errors import ApiError, invalid

Family = Literal["anthropic", "titan-text-v2"]

# Contract section 7, verbatim.
UNSUPPORTED = "Batch inference is not supported for the requested model"

_PROFILE = re.compile(r"^(?:us-gov|us|eu|apac|jp|au|ca|global)\.")
# A context length behind the version (`:0:200k`) names the same model.
_CONTEXT = re.compile(r"(?<=:\d):\d+k$")
_ARN = re.compile(
    r"arn:aws(?:-[^:]+)?:bedrock:(?P<region>[a-z0-9-]+):(?P<account>\d{12})?:"
    r"(?P<kind>foundation-model|inference-profile)/(?P<id>.+)"
)
_CLAUDE = re.compile(
    r"anthropic\.claude-(?:3(?:-[57])?-(?:haiku|sonnet|opus)|(?:haiku|sonnet|opus)-\d+(?:-\d{1,2})?)"
    r"(?:-\d{8})?(?:-v\d+)?(?::\d+)?"
)
_TITAN_TEXT_V2 = re.compile(r"amazon\.titan-embed-text-v2(?::0)?")
# Refused live in 2026, one account each (contract section 4.5).
_REFUSED = re.compile(r"anthropic\.claude-(?:sonnet-5|opus-4-7|opus-4-8)(?:[-:].*)?")


@dataclass(frozen=True, slots=True)
class Model:
    pool: str
    arn: str
    family: Family


def resolve(model_id: str, *, region: str, account: str) -> Model:
    """The model that `model_id` names.

    Raises:
        ApiError: ValidationException, when batch inference does not know the model.
    """
    named = model_id
    arn = _ARN.fullmatch(model_id)
    if arn:
        if arn["region"] != region:
            raise _unsupported()
        named = arn["id"]
    base = _CONTEXT.sub("", _PROFILE.sub("", named))
    if _TITAN_TEXT_V2.fullmatch(base):
        family: Family = "titan-text-v2"
    elif _CLAUDE.fullmatch(base) and not _REFUSED.fullmatch(base):
        family = "anthropic"
    else:
        raise _unsupported()
    if arn:
        shown = model_id
    elif _PROFILE.match(named):
        shown = f"arn:aws:bedrock:{region}:{account}:inference-profile/{named}"
    else:
        shown = f"arn:aws:bedrock:{region}::foundation-model/{named}"
    return Model(base, shown, family)


def _unsupported() -> ApiError:
    return invalid(UNSUPPORTED)
