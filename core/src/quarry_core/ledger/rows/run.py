"""A run as it was accepted, with what its manifest pinned; what a person wrote of it stands in an item of its own, and may go before it."""

from __future__ import annotations

import json
from typing import Any

from quarry_core.contract.run import Pins, Run
from quarry_core.ports import Item

TEXTS = ("prompt", "inference")  # of the pins, what a person wrote
# Not `pins`, as before: whoever looks for the prompt in there must not take the run for one that has none.
PINNED = "pinned"


def run_item(run: Run) -> Item:
    item: dict[str, Any] = {
        "run_id": run.run_id,
        "manifest_hash": run.manifest_hash,
        "accepted_at": run.accepted_at,
    }
    if run.pins is not None:
        item[PINNED] = run.pins.model_dump_json(exclude_none=True, exclude=set(TEXTS))
        item["text"] = has_text(run)
    if run.refusal:
        item["refusal"] = run.refusal
    if run.sender:
        item["sender"] = run.sender
    return item


def has_text(run: Run) -> bool:
    """Whether the run has a text item."""
    return run.pins is not None and any(getattr(run.pins, name) for name in TEXTS)


def text_item(run: Run) -> Item:
    assert run.pins is not None
    return {"run_id": run.run_id, "text": run.pins.model_dump_json(exclude_none=True, include=set(TEXTS))}


def read_run(item: Item, text: Item | None = None) -> Run:
    """A run; its pins have a prompt and inference parameters if its text item is given.

    In items of the release before they stand among the pins.
    """
    pins = item.get(PINNED) or item.get("pins")
    if pins and text is not None:
        pins = json.dumps({**json.loads(pins), **json.loads(text["text"])})
    return Run(
        run_id=item["run_id"],
        manifest_hash=item["manifest_hash"],
        accepted_at=item["accepted_at"],
        pins=Pins.model_validate_json(pins) if pins else None,
        refusal=item.get("refusal", ""),
        sender=item.get("sender", ""),
    )
