"""What a manifest may say beside ready requests, and whether its model can be asked in their form. Pure."""

from __future__ import annotations

from quarry_core.contract import job_request
from quarry_core.models import UnsupportedModel, check_converses, family_of


def prompt_of_requests(manifest: object) -> str | None:
    """What a manifest says of prompts though its source holds ready requests; None if it says nothing."""
    for field in ("prompt_id", "prompt", "inference", "output_schema", "images"):
        if getattr(manifest, field):
            return f"{field}: the source holds ready requests, in which all of it stands: leave {field} out"
    return None


def source_of_requests(*, may_be_requests: bool, has_dialect: bool) -> str | None:
    """Why a source cannot hold ready requests, as far as the manifest tells; None if it can."""
    if not may_be_requests:
        return "request_format: ready requests are JSONL, and the source is a table: leave request_format out"
    if has_dialect:
        return "csv: ready requests are JSONL: leave csv out"
    return None


def model_fault(model_id: str, request_format: str | None) -> str | None:
    """Why Quarry cannot ask this model; of requests in Bedrock's form the family must be known, to read the answers."""
    try:
        job_request.check_model_id(model_id)
    except ValueError:
        return None  # its own field says so
    try:
        if request_format == "openai":
            check_converses(model_id)
        else:
            family_of(model_id)
    except UnsupportedModel as error:
        return f"model_id: {error}"
    return None
