"""What a manifest says, held against the environment it was sent to. Pure; the services and the command judge by it.

`manifest` judges what can be known of a manifest alone. Here stands what needs the environment's names too: its
region, its bucket, who may own others.
"""

from __future__ import annotations

import re

from quarry_core.contract.manifest import Manifest, ManifestError
from quarry_core.contract.names import RESULTS, in_own_folder, parse_s3_uri

_REGION_OF_ARN = re.compile(r"arn:[a-z-]+:(?P<service>[a-z0-9-]+):(?P<region>[a-z0-9-]+):")
# An access point's alias is a bucket's second name: which bucket's, it does not say.
_ALIAS = re.compile(r"-s3alias$|--ol-s3$|\.mrap$")


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
    bucket, key = parse_s3_uri(manifest.s3_uri)
    own = bucket == own_bucket
    if (own or _ALIAS.search(bucket)) and in_own_folder(key):
        fault = (
            f"s3_uri: {manifest.s3_uri} is one of Quarry's own working files, which cannot be a"
            f" source: copy the data to a folder of your own, or name a part under {RESULTS} of an earlier run"
        )
        return [fault]
    if not own and owner_required and manifest.input_bucket_owner is None:
        fault = (
            f"input_bucket_owner: this environment requires it for buckets other than {own_bucket}:"
            f" give the 12 digits of the account that owns {bucket}"
        )
        return [fault]
    return []
