"""Models that Bedrock refuses: noted by who was refused, asked by who plans the next run.

Both are a help and no promise: if what is known cannot be written, the run has its end all the same, and the next one is
refused by Bedrock itself.
"""

from __future__ import annotations

import difflib
from datetime import timedelta

import structlog

from quarry_core.contract.refused_models import is_about_model
from quarry_core.contract.run import Pins
from quarry_core.errors import PortError
from quarry_core.ledger import moves
from quarry_core.ledger.ledger import Ledger
from quarry_core.ledger.rows import RefusedModel
from quarry_core.models import UnsupportedModel, canonical_model, family_of, pool_of
from quarry_core.models.aliases import UnknownAlias, alias_table, model_named
from quarry_core.service.process import World

log = structlog.get_logger()
MESSAGE_CHARS_MAX = 1_000


async def note_refusal(world: World, model_id: str, run_id: str, message: str) -> None:
    """Remember that Bedrock refuses a model, if that is what it said."""
    days = world.settings.refused_model_days
    if not days or not is_about_model(message):
        return
    now = world.clock.now()
    refused = RefusedModel(
        region=world.settings.region,
        model_id=model_id,
        at=now.isoformat(),
        message=message[:MESSAGE_CHARS_MAX],
        run_id=run_id,
        expires_at=int((now + timedelta(days=days)).timestamp()),
    )
    try:
        standing = await world.ledger.refused_model(refused.region, model_id)
        await world.ledger.apply(moves.note_refused_model(refused, standing))
    except PortError as error:
        log.warning("refused_model_not_noted", model_id=model_id, error=str(error))
        return
    log.warning("refused_model", model_id=model_id, run_id=run_id, until=refused.expires_at)


async def why_refused(world: World, pins: Pins) -> str:
    """The sentence with which a run of a model is refused at once, with the nearest that works; empty if it is not."""
    region, ledger = world.settings.region, world.ledger
    now_s = world.clock.now().timestamp()
    known = await ledger.refused_model(region, pins.model_id)
    if known is None or not known.counts(now_s):
        return ""
    refused = {each.model_id for each in await ledger.refused_models() if each.counts(now_s)}
    nearest = await _nearest(ledger, region, pins.model, refused)
    return (
        f"model_id: Bedrock refused to create a job of {pins.model_id} in {region} at {known.at} ({known.message});"
        f" {nearest}to try it all the same: quarry limits {pins.model_id} --forget"
    )


async def _nearest(ledger: Ledger, region: str, model: str, refused: set[str]) -> str:
    """What to name instead: of its kind what has answered here lately, then what is called most like it."""
    wanted, family = canonical_model(model), _family(model)
    found: list[tuple[bool, bool, float, str]] = []
    for alias in alias_table().aliases:
        try:
            other = model_named(alias, region).model_id
        except UnknownAlias:
            continue
        if other in refused or canonical_model(other) == wanted or _family(other) is None:
            continue
        works = (await ledger.history(pool_of(region, other))).records > 0
        likeness = difflib.SequenceMatcher(a=wanted, b=canonical_model(other)).ratio()
        found.append((_family(other) == family, works, likeness, other))
    of_its_kind = [each for each in found if each[0]]
    if not of_its_kind:
        return ""
    _, works, _, other = max(of_its_kind)
    return f"{other} has answered here lately; " if works else f"the nearest not known to be refused is {other}; "


def _family(model: str) -> str | None:
    try:
        return family_of(model).name
    except UnsupportedModel:
        return None
