"""What differs from model to model when it is called on demand (contract section 9). Pure.

Every model of the catalogue can be called, also those that batch inference refuses; many only by an inference profile.
A profile has rates of its own, apart from those of the plain id.
"""

import re
from dataclasses import dataclass

import msgspec

from quarry_local.bedrock.errors import ApiError, invalid
from quarry_local.bedrock.models.catalogue import entries, serves
from quarry_local.bedrock.models.identity import EMBEDDINGS, Model, named

# Newer Claude: output weighs five times.
_FIVEFOLD = re.compile(r"anthropic\.claude-(?:3-7-|[a-z]+-\d)")
_BURNDOWN = 5
# CountTokens was seen to take Claude from 3.5 on, by its plain id only, and to refuse 4.7 and later.
_COUNTED = re.compile(r"anthropic\.claude-(?:3-[57]-|(?:haiku|sonnet|opus)-4(?:-[0-6])?(?![0-9])(?:-\d{8}|$))")

# The most that a model answers, which is what a request without a limit of its own reserves. From the models' pages,
# rounded down; what no line names answers up to the last figure.
_OUTPUT_TOKENS_MAX = (
    (re.compile(r"anthropic\.claude-3-(?:haiku|sonnet|opus)"), 4_096),
    (re.compile(r"anthropic\.claude-3-5"), 8_192),
    (re.compile(r"anthropic\.claude-opus-4(?:-1)?-\d{8}"), 32_000),
    (re.compile(r"anthropic\."), 64_000),
    (re.compile(r"amazon\.nova-2"), 64_000),
    (re.compile(r"amazon\.nova"), 10_000),
    (re.compile(r"openai\.|qwen\.|deepseek\.|moonshotai\."), 32_000),
    (re.compile(r""), 8_192),
)


@dataclass(frozen=True, slots=True)
class Callee:
    """A model as it was called."""

    model: Model
    scope: str
    """Whose rates count: the profile's id, or the model's own."""
    by_profile: bool

    @property
    def embeds(self) -> bool:
        return self.model.family in EMBEDDINGS

    @property
    def counts_tokens(self) -> bool:
        return not self.by_profile and _COUNTED.match(self.model.id) is not None

    @property
    def burndown(self) -> int:
        """How many tokens of the quota one token of output takes."""
        return _BURNDOWN if _FIVEFOLD.match(self.model.id) else 1

    @property
    def output_tokens_max(self) -> int:
        if self.embeds:
            return 0
        return next(tokens for pattern, tokens in _OUTPUT_TOKENS_MAX if pattern.match(self.model.id))


def callee(model_id: str, *, region: str, account: str) -> Callee:
    """The model that `model_id` names.

    Raises:
        ApiError: ValidationException, when there is none, or when it can be called by an inference profile only.
    """
    found = named(model_id, region=region, account=account)
    entry = entries().get(found.id) if found else None
    if found is None or entry is None or found.custom:
        raise _unknown()
    if found.geography is None:
        if not entry.on_demand:
            # Contract section 9, with the end that others saw.
            raise invalid(
                f"Invocation of model ID {model_id} with on-demand throughput isn't supported. Retry your request with "
                "the ID or ARN of an inference profile that contains this model."
            )
        scope = found.id
    elif entry.profiles and serves(found.geography, region):
        scope = f"{found.geography}.{found.id}"
    else:
        raise _unknown()
    model = Model(found.id, found.arn, entry.family, entry.limits, id=found.id)
    return Callee(model, scope, by_profile=found.geography is not None)


def counted(model_id: str, *, region: str, account: str) -> Callee:
    """The model whose tokens are to be counted; here its plain id is the right one.

    Raises:
        ApiError: ValidationException, when it is not known or does not count.
    """
    found = named(model_id, region=region, account=account)
    entry = entries().get(found.id) if found else None
    if found is None or entry is None or found.custom:
        raise _unknown()
    model = Model(found.id, found.arn, entry.family, entry.limits, id=found.id)
    wanted = Callee(model, found.id, by_profile=found.geography is not None)
    if not wanted.counts_tokens:
        raise invalid("The provided model doesn't support counting tokens.")
    return wanted


def _unknown() -> ApiError:
    return invalid("The provided model identifier is invalid.")


class _Inference(msgspec.Struct, gc=False):
    maxTokens: int | None = None  # noqa: N815 - the API's name
    max_new_tokens: int | None = None


class _Limited(msgspec.Struct, gc=False):
    """Where the families put the most that a request may be answered with."""

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_gen_len: int | None = None
    inferenceConfig: _Inference | None = None  # noqa: N815 - the API's name


_DECODER = msgspec.json.Decoder(_Limited)


def tokens_to_reserve(body: bytes, most: int) -> int:
    """How many tokens of output a body may ask for; `most`, the model's maximum, when it sets no limit."""
    if not most:
        return 0
    try:
        asked = _DECODER.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return most
    inference = asked.inferenceConfig or _Inference()
    limits = (
        asked.max_tokens,
        asked.max_completion_tokens,
        asked.max_gen_len,
        inference.maxTokens,
        inference.max_new_tokens,
    )
    return next((limit for limit in limits if limit is not None), most)
