"""The moves of what is remembered of models that Bedrock refuses: a refusal is noted, or made forgotten. No run moves by them."""

from __future__ import annotations

from quarry_core.ledger.keys import refused_model_key
from quarry_core.ledger.moves.control import By
from quarry_core.ledger.moves.premise import equal
from quarry_core.ledger.rows import RefusedModel
from quarry_core.ports import Cond, Put, Update, Write

FORGOTTEN = ("forgotten_at", "forgotten_by")


def note_refused_model(refused: RefusedModel, standing: RefusedModel | None) -> list[Write]:
    """Bedrock refuses a model; the newest refusal counts.

    Args:
        standing: what is known of the model, as read.
    """
    key = refused_model_key(refused.region, refused.model_id)
    said = {
        "region": refused.region,
        "model_id": refused.model_id,
        "at": refused.at,
        "message": refused.message,
        "run_id": refused.run_id,
        "expires_at": refused.expires_at,
    }
    if standing is None:
        return [Put(key, said)]
    return [Update(key, when=(equal("at", standing.at),), set=said, remove=FORGOTTEN)]


def forget_refused_model(standing: RefusedModel, by: By) -> list[Write]:
    """Somebody knows better: the next run of the model is sent.

    Args:
        standing: as read.
    """
    assert not standing.forgotten_at
    return [
        Update(
            refused_model_key(standing.region, standing.model_id),
            when=(equal("at", standing.at), Cond("forgotten_at", "absent")),
            set={"forgotten_at": by.at, "forgotten_by": by.who},
        )
    ]
