"""From a manifest to pins: what it means today. Blocking; the preprocessor and `quarry plan` use it.

Looks up the prompt and the source, and writes nothing but the list of a source of several files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from quarry_core.contract.canary import CANARY_ABOVE_SHARDS
from quarry_core.contract.hub_names import in_hub
from quarry_core.contract.job_tags import NO_TAGS, joined_tags, tag_faults
from quarry_core.contract.listing import Listing, digest_of, ref_of
from quarry_core.contract.manifest import Manifest, ManifestError
from quarry_core.contract.manifest_checks import (
    budget_of,
    canary_of,
    check_environment,
    check_selection,
    on_demand_below,
)
from quarry_core.contract.names import listing_key
from quarry_core.contract.policy import Policy, ready_requests, violations
from quarry_core.contract.record_errors import RecordErrors, RecordRetries
from quarry_core.contract.requests import INVOCATIONS
from quarry_core.contract.run import PINS_BYTES_MAX, Output, Pins, Source
from quarry_core.errors import Conflict
from quarry_core.models import BY_INVOKE_MODEL, carriers_of, check_inference, family_of, joined, pool_of, reader_of
from quarry_core.ports import ObjectRef, Objects
from quarry_core.sources.listing import LISTING_BYTES_MAX, find_source
from quarry_core.sources.lookups import look_up_prompt
from quarry_core.sources.ready import find_requests
from quarry_core.tabular.dataset import files_of


@dataclass(frozen=True, slots=True)
class Environment:
    """What a manifest is held against, and what it leaves to the environment (`quarry_core.settings`)."""

    region: str
    bucket: str
    owner_required: bool = False
    max_total_records: int | None = None
    max_records_per_job: int | None = None
    timeout_hours: int = 72
    asks_on_demand: bool = True
    policy: Policy | None = None
    job_tags: Mapping[str, str] = field(default_factory=lambda: NO_TAGS)


def pin(objects: Objects, run_id: str, manifest: Manifest, environment: Environment) -> Pins:
    """What the manifest means today.

    Raises:
        ManifestError, PromptError: it is refused; the text says what to do.
        PortError: S3 gave no answer.
    """
    check_environment(
        manifest,
        region=environment.region,
        bucket=environment.bucket,
        owner_required=environment.owner_required,
    )
    faults = violations(manifest, environment.policy, environment.job_tags)
    faults += tag_faults(manifest.tags, environment.job_tags)
    if faults:
        raise ManifestError("; ".join(faults))
    if not manifest.model_known:
        raise ManifestError(
            f"model_id: which model {manifest.model_id} stands for is not known here, since it could not be read: allow"
            " bedrock:GetInferenceProfile for it, or name the model"
        )
    prompt = manifest.prompt
    if manifest.prompt_id is not None:
        prompt = look_up_prompt(objects, manifest.prompt_id, images=bool(manifest.images))
    inference = {**manifest.inference}
    if prompt is not None and prompt.inference:
        inference = joined(manifest.model, prompt.inference, manifest.inference)
    if manifest.request_format is None:
        try:
            check_inference(manifest.model, inference)
        except ValueError as error:
            raise ManifestError(str(error)) from error
    output = output_of(manifest, inference)
    source = pin_source(objects, run_id, manifest, environment.bucket)
    requests = find_requests(objects, manifest, source.format, partial(first_file, objects, run_id, source))
    if requests is not None and environment.policy is not None and not environment.policy.own_prompts:
        raise ManifestError(f"s3_uri: {ready_requests(environment.policy)}")
    check_selection(manifest, prompt, requests=requests is not None)
    invocation = INVOCATIONS[requests] if requests else None
    family = reader_of(manifest.model, invocation)
    if invocation is None and family_of(manifest.model).invocation == "Converse":
        own_form = output is not None and output.carrier in BY_INVOKE_MODEL
        invocation = "InvokeModel" if own_form else "Converse"
    errors = manifest.record_errors or RecordErrors()
    pins = Pins(
        job_name_prefix=manifest.job_name_prefix,
        model_id=manifest.model_id,
        base_model="" if manifest.model == manifest.model_id else manifest.model,
        pool=pool_of(environment.region, manifest.model),
        family=family.name,
        family_version=family.version,
        source=source,
        prompt=prompt,
        inference=inference,
        max_records_total=manifest.max_records_total or environment.max_total_records,
        max_num_jobs=manifest.max_num_jobs,
        max_records_per_job=manifest.max_records_per_job or environment.max_records_per_job,
        timeout_hours=manifest.timeout_hours or environment.timeout_hours,
        tags=joined_tags(manifest.tags, environment.job_tags),
        output_kms_key=manifest.output_kms_key,
        vpc=manifest.vpc,
        csv=manifest.csv,
        partition_types=manifest.partition_types,
        columns=manifest.columns,
        where=manifest.where or "",
        sample=manifest.sample,
        id_column=manifest.id_column or "",
        result_prefix=manifest.result_prefix or "",
        dry_run=manifest.dry_run,
        request_format=requests,
        invocation=invocation,
        on_demand_below=on_demand_below(manifest, allowed=environment.asks_on_demand),
        output=output,
        images=manifest.images,
        admission_class=manifest.admission_class,
        weight=manifest.weight,
        record_retries=RecordRetries(codes=errors.codes, max_attempts=errors.max_attempts),
        canary=canary_of(manifest),
        budget_usd=budget_of(manifest),
        canary_above_shards=CANARY_ABOVE_SHARDS if manifest.canary is None else 1,
    )
    size_bytes = len(pins.model_dump_json().encode())
    if size_bytes > PINS_BYTES_MAX:
        raise ManifestError(
            f"prompt: prompt and parameters take {size_bytes} bytes, and at most {PINS_BYTES_MAX} are allowed:"
            " shorten the prompt"
        )
    return pins


def output_of(manifest: Manifest, inference: Mapping[str, Any]) -> Output | None:
    """What the answers are asked to be; the parameters are the prompt's and the manifest's. Raises ManifestError."""
    try:
        mode = manifest.check_output(inference)
    except ValueError as error:
        raise ManifestError(str(error)) from error
    if mode is None or manifest.output_schema is None:
        return None
    return Output(text=manifest.output_schema.text, mode=mode, carrier=carriers_of(manifest.model)[mode])


def first_file(objects: Objects, run_id: str, source: Source) -> ObjectRef:
    """The file that holds a source's first row. Blocking. Raises as `files_of`."""
    if not source.listing:
        return source.ref
    return ref_of(files_of(objects, run_id, source).files[0], source.bucket, source.bucket_owner)


def pin_source(objects: Objects, run_id: str, manifest: Manifest, own_bucket: str) -> Source:
    """Look up what a manifest names, and pin it; the list of several files is written once. Blocking.

    A worker that died here has left a list, and its run was not accepted. Who comes next takes that list, though it would
    make another by now: a list that was written is never written again, and whichever of two workers is first with the
    ledger has pinned the same one.

    Raises:
        ManifestError: the source is refused; the text says what to do.
        PortError: S3 gave no answer.
    """
    found = find_source(objects, manifest, own_bucket)
    if found.one is not None:
        one = found.one
        return Source(
            format=found.format,
            bucket=found.bucket,
            key=found.key,
            size_bytes=one.size_bytes,
            etag=one.etag,
            version_id=one.version_id,
            bucket_owner=manifest.input_bucket_owner,
        )
    assert found.listing is not None
    listing = found.listing
    body = listing.to_json()
    if len(body) > LISTING_BYTES_MAX:
        raise ManifestError(
            f"{'dataset_id' if in_hub(found.bucket) else 's3_uri'}: the list of its {len(listing.files)} files takes {len(body)} bytes, and at most {LISTING_BYTES_MAX} are"
            " allowed: name fewer, or give them shorter keys"
        )
    try:
        objects.put_once(listing_key(run_id), body, {"run": run_id, "listing": digest_of(body)})
    except Conflict:
        body = objects.read(ObjectRef(listing_key(run_id)))
        listing = Listing.model_validate_json(body)
    return Source(
        format=found.format,
        # Of a dataset on the Hub the list that stands may be of an earlier commit.
        bucket=listing.files[0].bucket if in_hub(found.bucket) else found.bucket,
        key=listing.files[0].key if in_hub(found.bucket) else found.key,
        size_bytes=sum(file.size_bytes for file in listing.files),
        bucket_owner=manifest.input_bucket_owner,
        files=len(listing.files),
        listing=digest_of(body),
    )
