"""What one Claude model refuses of a body that is well formed: limits and parameters that exclude each other. Pure.

A record that breaks one of these fails, and the next ones with it, for a run sends the same parameters in all of them.
Limits of output, and that the newest models take no sampling parameters: from a public price table (LiteLLM 1.110.2,
2026-11); Claude 3.7's limit from its page. A model that no line names is not limited. That Claude 4.5 and later refuse
`temperature` and `top_p` together was seen live (contract section 12), Opus 4.1 by a public report. Texts are those that
on-demand calls were seen to give, as far as they are known.
"""

import re
from collections.abc import Container
from typing import Any

from quarry_local.bedrock.families.answers import Refused

_OUTPUT_TOKENS_MAX = (
    (re.compile(r"claude-3-(?:haiku|sonnet|opus)"), 4_096),
    (re.compile(r"claude-3-5"), 8_192),
    (re.compile(r"claude-3-7"), 64_000),
    (re.compile(r"claude-opus-4(?:-1)?-\d{8}"), 32_000),
    (re.compile(r"claude-(?:sonnet|opus)-4-[678](?!\d)"), 128_000),
    (re.compile(r"claude-(?:haiku|sonnet|opus)-4"), 64_000),
    (re.compile(r"claude-[a-z]+-[5-9]"), 128_000),
)
# With which a model answers more.
_LONGER = {"claude-3-7-sonnet": ("output-128k-2025-02-19", 128_000)}
_VERSION = re.compile(r"claude-(opus|sonnet|haiku|fable)-(\d+)(?:-(\d)(?!\d))?")
# The first version that takes one of `temperature` and `top_p`, and the first that takes none of all three.
_ONE_OF_BOTH = {"opus": (4, 1), "sonnet": (4, 5), "haiku": (4, 5), "fable": (5, 0)}
_NO_SAMPLING = {"opus": (4, 7), "sonnet": (5, 0), "haiku": (5, 5), "fable": (5, 0)}
_BUDGET_MIN = 1_024


class ClaudeRules:
    """The rules of one model, named by its id; they hold in Messages bodies and in Converse's."""

    def __init__(self, model_id: str) -> None:
        name = model_id.removeprefix("anthropic.")
        self._tokens_max = next((tokens for pattern, tokens in _OUTPUT_TOKENS_MAX if pattern.match(name)), None)
        self._longer = next((longer for beginning, longer in _LONGER.items() if name.startswith(beginning)), None)
        found = _VERSION.match(name)
        line, version = (found[1], (int(found[2]), int(found[3] or 0))) if found else ("", (0, 0))
        self._one_of_both = found is not None and version >= _ONE_OF_BOTH[line]
        self._no_sampling = found is not None and version >= _NO_SAMPLING[line]

    def check(
        self,
        max_tokens: int | None,
        temperature: float | None,
        top_p: float | None,
        top_k: int | None,
        thinking: dict[str, Any] | None,
        betas: Container[str] = (),
    ) -> None:
        """Judge one record's parameters.

        Raises:
            Refused: the model does not take them.
        """
        most = self._tokens_max
        if self._longer is not None and self._longer[0] in betas:
            most = self._longer[1]
        if max_tokens is not None and most is not None and max_tokens > most:
            raise Refused(
                400,
                f"The maximum tokens you requested exceeds the model limit of {most}. "
                f"Try again with a maximum tokens value that is lower than {most}.",
            )
        for name, value in (("temperature", temperature), ("top_p", top_p), ("top_k", top_k)):
            if self._no_sampling and value is not None:
                raise Refused(400, f"`{name}` is deprecated for this model.")
        if self._one_of_both and temperature is not None and top_p is not None:
            raise Refused(
                400, "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
            )
        if thinking is None or thinking.get("type") != "enabled":
            return
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or isinstance(budget, bool):
            raise Refused(400, "thinking.enabled.budget_tokens: Field required")
        if budget < _BUDGET_MIN:
            raise Refused(
                400, f"thinking.enabled.budget_tokens: Input should be greater than or equal to {_BUDGET_MIN}"
            )
        if max_tokens is not None and budget >= max_tokens:
            raise Refused(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")
        if temperature not in (None, 1):
            raise Refused(400, "`temperature` may only be set to 1 when thinking is enabled.")
        if top_k is not None:
            raise Refused(400, "`top_k` must be unset when thinking is enabled.")
