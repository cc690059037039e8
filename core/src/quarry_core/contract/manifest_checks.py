"""What a manifest says, held against the environment it was sent to. Pure; the services and the command judge by it.

`manifest` judges what can be known of a manifest alone. Here stands what needs the environment's names too: its
region, its bucket, who may own others.
"""

from __future__ import annotations

import re

from quarry_core.contract.canary import Canary
from quarry_core.contract.manifest import Manifest, ManifestError
from quarry_core.contract.manifest_reading import FAULTS_MAX
from quarry_core.contract.names import RESULTS, covers_own_folders, in_own_folder
from quarry_core.contract.prompts import Prompt, columns_of, template_of
from quarry_core.contract.s3_names import S3Name, parse_s3_name
from quarry_core.models import limits_of
from quarry_core.models.on_demand import why_never
from quarry_core.models.prices import price_of
from quarry_core.text import shown_name

_REGION_OF_ARN = re.compile(r"arn:[a-z-]+:(?P<service>[a-z0-9-]+):(?P<region>[a-z0-9-]+):")
# An access point's alias is a bucket's second name: which bucket's, it does not say.
_ALIAS = re.compile(r"-s3alias$|--ol-s3$|\.mrap$")


def on_demand_below(manifest: Manifest, *, allowed: bool) -> int:
    """Below how many rows a run is asked on demand; 0: never.

    Args:
        manifest: what it asks for; by default, what is too few for a job.
        allowed: whether the environment asks on demand at all.

    Raises:
        ManifestError: it asks for what cannot be.
    """
    asked, least = manifest.on_demand_below, limits_of(manifest.model).records_min
    why = why_never(manifest.model)
    if not allowed:
        why = "this environment asks nothing on demand (QUARRY_ON_DEMAND and QUARRY_ON_DEMAND_QUEUE_URL)"
    if why is not None and asked:
        raise ManifestError(f"on_demand_below: {why}: set it to 0, or leave it out")
    return 0 if asked == 0 or why is not None else max(least, asked or 0)


def canary_of(manifest: Manifest) -> Canary | None:
    """The limits of a run's canary; None if it is to have none. Raises ManifestError: no canary can be held against them."""
    canary = manifest.canary or Canary()
    if not canary.wanted:
        return None
    faults, least = [], limits_of(manifest.model).records_min
    if canary.rows is not None and canary.rows < least:
        faults.append(
            f"canary.rows: it is {canary.rows}, and the model's smallest job has {least} records: give at least {least},"
            " or leave it out"
        )
    if canary.max_cost_usd is not None and price_of(manifest.model) is None:
        faults.append(
            f"canary.max_cost_usd: the table of prices has no {shown_name(manifest.model)}, so no cost can be held against it:"
            " leave it out (`quarry prices` lists the models that have a price)"
        )
    if faults:
        raise ManifestError("; ".join(faults))
    return canary


def budget_of(manifest: Manifest) -> float | None:
    """The run's budget in US dollars. Raises ManifestError: the model has no price."""
    if manifest.budget_usd is not None and price_of(manifest.model) is None:
        raise ManifestError(
            f"budget_usd: the table of prices has no {shown_name(manifest.model)}, so nobody can say what is spent:"
            " leave it out (`quarry prices` lists the models that have a price)"
        )
    return manifest.budget_usd


def check_environment(manifest: Manifest, *, region: str | None, bucket: str, owner_required: bool = False) -> None:
    """Refuse what cannot work here.

    Args:
        region: of the environment; Bedrock runs its jobs there. None: not known.
        bucket: the environment's own.
        owner_required: a source in another bucket must say whose it is.

    Raises:
        ManifestError: with all that is wrong.
    """
    faults = [*_regions(manifest, region), *_place(manifest, bucket, owner_required)]
    if faults:
        raise ManifestError("; ".join(faults))


def check_selection(manifest: Manifest, prompt: Prompt | None, *, requests: bool = False) -> None:
    """Refuse a choice of columns that does not fit the prompt.

    Args:
        prompt: as it was looked up.
        requests: the source holds ready requests.

    Raises:
        ManifestError: with all that is wrong.
    """
    faults = []
    if requests:
        if manifest.id_column is not None:
            faults.append(
                "id_column: the source holds ready requests, whose ids are checked anyway; leave id_column out"
            )
    elif manifest.columns is not None:
        chosen = set(manifest.columns)
        needed = [name for name in columns_of(template_of(prompt)) if name not in chosen]
        if needed:
            listed = ", ".join(repr(shown_name(name)) for name in needed)
            faults.append(f"columns: the records need {listed}: add what is missing, or leave columns out for all")
        if manifest.id_column is not None and manifest.id_column not in chosen:
            faults.append(f"columns: id_column is {shown_name(manifest.id_column)!r}, which is not among them: add it")
    if faults:
        raise ManifestError("; ".join(faults))


def _regions(manifest: Manifest, region: str | None) -> list[str]:
    faults = []
    for field, arn, meant in (
        ("model_id", manifest.model_id, "name the model or profile by its id, or by its ARN in"),
        ("output_kms_key", manifest.output_kms_key, "name a key in"),
    ):
        match = _REGION_OF_ARN.match(arn or "")
        if match is not None and region is not None and match["region"] != region:
            faults.append(
                f"{field}: the ARN is of the region {match['region']}, and this environment is in {region}:"
                f" {meant} {region}"
            )
    return faults


def _place(manifest: Manifest, own_bucket: str, owner_required: bool) -> list[str]:
    names = [parse_s3_name(uri) for uri in manifest.uris]
    faults = [fault for name in names if (fault := own_file_fault(name, own_bucket))]
    others = [name for name in names if name.bucket != own_bucket]
    if others and not faults and owner_required and manifest.input_bucket_owner is None:
        faults.append(
            f"input_bucket_owner: this environment requires it for buckets other than {own_bucket}:"
            f" give the 12 digits of the account that owns {others[0].bucket}"
        )
    return faults[:FAULTS_MAX]


def own_file_fault(name: S3Name, own_bucket: str) -> str:
    """Why something may not be a source that is, or has in it, Quarry's own working files; empty if it has none."""
    if name.bucket != own_bucket and not _ALIAS.search(name.bucket):
        return ""
    # What is named without its slash may be a folder too.
    if in_own_folder(name.prefix) or (name.kind == "object" and in_own_folder(f"{name.key}/")):
        return (
            f"s3_uri: {name.uri} is one of Quarry's own working files, which cannot be a"
            f" source: copy the data to a folder of your own, or name a part under {RESULTS} of an earlier run"
        )
    if name.kind != "object" and covers_own_folders(name.prefix):
        return (
            f"s3_uri: {name.uri} takes in Quarry's own working files (plans/, rows/ and others), which cannot be a"
            f" source: begin with a folder of your own, such as s3://{name.bucket}/inputs/"
        )
    return ""
