"""How much one batch job of a model may hold (contract section 5, as of 2026-11-20).

These are the values AWS applies by default. The minimum and the file size cannot be raised; an account's own raised
record quota is not read here: a plan that keeps to the default is never refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from quarry_core.models.identity import canonical_model

# Decimal, the smaller reading of AWS's "GB".
_GB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """Records and bytes of one job. One job reads one file, so the smaller of the two byte limits counts."""

    records_min: int = 100
    records_max: int = 50_000
    file_bytes_max: int = 1 * _GB
    job_bytes_max: int = 5 * _GB


_DEFAULT = ModelLimits()
_EXCEPTIONS = {
    "meta.llama4-scout-17b-instruct-v1:0": replace(_DEFAULT, records_min=50),
    "amazon.nova-pro-v1:0": replace(_DEFAULT, job_bytes_max=100 * _GB),
}


def too_few(rows: int, rows_available: int, limits: ModelLimits) -> str:
    """The sentence for a run with fewer rows than the model's smallest job takes."""
    if rows_available >= limits.records_min:
        remedy = f"max_records_total leaves {rows} rows: give at least {limits.records_min}, or leave it out"
    else:
        remedy = f"the dataset has {rows} rows: add rows until it has {limits.records_min}"
    return (
        f"{remedy}. The model's smallest batch job has {limits.records_min} records, and fewer are asked on demand only if"
        " on_demand_below is not 0 and the environment allows it (QUARRY_ON_DEMAND)"
    )


def limits_of(model_id: str) -> ModelLimits:
    """The limits of the model that an id, profile or ARN names."""
    return _EXCEPTIONS.get(canonical_model(model_id), _DEFAULT)
