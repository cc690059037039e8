"""Which of Bedrock's refusals are about the model itself, so that the next run of it would be refused as well. Pure.

No API tells which models take batch jobs, so Create is the probe, and its answer is remembered for some days per region and model
id. Only sentences that are known to be about the model are: a refusal for a role, a bucket or a key says nothing of others.
"""

from __future__ import annotations

# Contract section 7 (seen at Create in 2026), and what Bedrock answers to an id that the region does not have, or to an account
# without access to it (seen in users' reports of both APIs, 2024 to 2026). Apostrophes come straight and curly.
ABOUT_MODEL = (
    "batch inference is not supported for the requested model",
    "the provided model identifier is invalid",
    "you don't have access to the model with the specified model id",
)


def is_about_model(message: str) -> bool:
    """Whether a refusal of Create is about the model, by Bedrock's words."""
    said = message.replace("\u2019", "'").casefold()
    return any(sentence in said for sentence in ABOUT_MODEL)
