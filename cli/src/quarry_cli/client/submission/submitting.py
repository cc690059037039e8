"""Putting a manifest on the queue, and knowing its run id before anyone has read it.

The very text goes on the queue, with an origin id of its own: the run id follows from both (`manifest_identity.run_id_of`).
Sending twice makes two runs unless the manifest names its `run_id`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from pydantic import TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from quarry_cli.client.connections import Connections
from quarry_cli.client.manifest_queue import wrong_queue
from quarry_cli.client.submission.checking import check as check_in_aws
from quarry_cli.client.submission.checking import model_behind_profile, nearest_model
from quarry_cli.errors import NotSubmitted
from quarry_core.aws.dead_letters import REFUSED_CHARACTER
from quarry_core.contract.job_tags import JobTagsError, read_job_tags, tag_faults
from quarry_core.contract.json_text import NotAnObject, parse_object
from quarry_core.contract.manifest import Manifest, ManifestError
from quarry_core.contract.manifest_checks import check_environment
from quarry_core.contract.manifest_identity import ORIGIN_ATTRIBUTE, ManifestData, manifest_hash, run_id_of
from quarry_core.contract.manifest_reading import MANIFEST_BYTES_MAX, read_manifest
from quarry_core.contract.policy import PolicyError, read_policy, violations
from quarry_core.models import UnsupportedModel, family_of
from quarry_core.text import shown_name


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """`run_id` is None for text that is no JSON object: it was sent unchecked, and its end is the dead-letter queue.

    `known`: this very manifest, with this `run_id`, was accepted before; nothing happens a second time.
    `unchecked`: what could not be looked at before it was sent, and why; one sentence each.
    """

    run_id: str | None
    message_id: str
    origin_id: str
    known: bool = False
    unchecked: list[str] = []


def as_text(manifest: Mapping[str, Any] | str, output_schema: Any = None) -> str:
    """A manifest as JSON that a message can carry: what it cannot is escaped, to be judged as any other. Text stays as it is.

    Args:
        output_schema: in place of the manifest's, which is an object then.

    Raises:
        NotSubmitted: it has no form in JSON.
    """
    if isinstance(manifest, str):
        if output_schema is not None:
            raise NotSubmitted("output_schema: the manifest is text: write the schema into it, or give an object")
        return manifest
    if output_schema is not None:
        manifest = {**manifest, "output_schema": output_schema}
    asked = manifest.get("output_schema")
    if asked is not None and not isinstance(asked, (Mapping, list, tuple, str)):
        manifest = {**manifest, "output_schema": _schema_of(asked)}
    try:
        text = json.dumps(manifest, ensure_ascii=False)
        return text if REFUSED_CHARACTER.search(text) is None else json.dumps(manifest)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotSubmitted(f"the manifest cannot be written as JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class Judged:
    """A manifest's text, as far as it was looked at here.

    Attributes:
        data: its JSON; None if it is none, and nobody asked.
        manifest: None if it was not checked.
        known: this very manifest, with this `run_id`, was accepted before.
        unchecked: what could not be looked at, and why.
    """

    data: ManifestData | None
    manifest: Manifest | None = None
    known: bool = False
    unchecked: list[str] = field(default_factory=list)


def _schema_of(kind: Any) -> dict[str, Any]:
    """The JSON Schema of a type, as pydantic makes it. Raises NotSubmitted."""
    try:
        return TypeAdapter(kind).json_schema()
    except (PydanticUserError, PydanticSchemaGenerationError, TypeError, ValueError) as error:
        raise NotSubmitted(
            f"output_schema: no JSON Schema can be made of {kind!r}: give a pydantic model ({error})"
        ) from error


async def submit(connections: Connections, text: str, *, check: bool = True, any_queue: bool = False) -> Submitted:
    """Send a manifest.

    Args:
        text: JSON.
        check: refuse here what would be refused there, as far as it can be seen from here.
        any_queue: send it to the queue that is set, whatever that is by its name.

    Raises:
        NotSubmitted: with the same sentences that the run would end with.
    """
    if not any_queue:
        check_queue(connections)
    return await put(connections, text, await judge(connections, text, check=check))


def check_queue(connections: Connections) -> None:
    """Raises NotSubmitted if the queue that is set looks like another of Quarry's."""
    wrong = wrong_queue(connections.manifest_queue_url, connections.env, connections.other_queue_urls)
    if wrong is not None:
        raise NotSubmitted(wrong)


async def put(connections: Connections, text: str, judged: Judged) -> Submitted:
    """Put a manifest on the queue that `judge` has let pass."""
    origin_id = connections.clock.token() + connections.clock.token()
    message_id = await connections.queue().send(text, {ORIGIN_ATTRIBUTE: origin_id})
    return Submitted(
        run_id=None if judged.data is None else run_id_of(judged.data, origin_id),
        message_id=message_id,
        origin_id=origin_id,
        known=judged.known,
        unchecked=judged.unchecked,
    )


async def judge(connections: Connections, text: str, *, check: bool = True) -> Judged:
    """Look at a manifest's text, and with `check` at what it names. Raises NotSubmitted."""
    found = REFUSED_CHARACTER.search(text)
    if found is not None:
        raise NotSubmitted(
            f"character {found.start() + 1} of the manifest is {shown_name(found[0])}, which no message can"
            " carry: write it as a JSON escape, or remove it"
        )
    if not text.strip():
        raise NotSubmitted("the manifest is empty")
    try:
        data = parse_object(text)
    except NotAnObject as error:
        if check:
            raise NotSubmitted(f"the manifest is {error}") from error
        return Judged(None)
    return await _check(connections, text, data) if check else Judged(data)


async def _check(connections: Connections, text: str, data: ManifestData) -> Judged:
    """What came of looking. Raises NotSubmitted."""
    size_bytes = len(text.encode())
    if size_bytes > MANIFEST_BYTES_MAX:
        raise NotSubmitted(f"the manifest has {size_bytes} bytes; at most {MANIFEST_BYTES_MAX} are allowed")
    try:
        model, unknown = await model_behind_profile(connections, data)
        manifest = read_manifest(data, model=model)
    except ManifestError as error:
        raise NotSubmitted(str(error) + await _model_hint(connections, data)) from error
    try:
        region = connections.region or None
        check_environment(manifest, region=region, bucket=connections.bucket, owner_required=connections.owner_required)
        job_tags = read_job_tags(connections.job_tags)
        faults = violations(manifest, read_policy(connections.policy), job_tags)
        faults += tag_faults(manifest.tags, job_tags)
    except (ManifestError, PolicyError, JobTagsError) as error:
        raise NotSubmitted(str(error)) from error
    if faults:
        raise NotSubmitted("; ".join(faults))
    if manifest.run_id is not None:
        run = await connections.ledger.run(manifest.run_id)
        if run is not None and run.manifest_hash != manifest_hash(data):
            raise NotSubmitted(
                f"run_id: {manifest.run_id} belongs to another manifest already; give this one an id of its own"
            )
        if run is not None:
            # What it named may be gone by now, and nothing happens a second time.
            return Judged(data, manifest, known=True)
    checked = await check_in_aws(connections, manifest)
    if checked.faults:
        raise NotSubmitted("; ".join(checked.faults))
    return Judged(data, manifest, unchecked=[*unknown, *checked.unchecked])


async def _model_hint(connections: Connections, data: ManifestData) -> str:
    """What Bedrock has that is like a model id of no family; empty for any other fault."""
    model_id = data.get("model_id") if isinstance(data, Mapping) else None
    if not isinstance(model_id, str) or (isinstance(data, Mapping) and data.get("request_format") == "openai"):
        return ""  # Converse asks models of any family
    try:
        family_of(model_id)
    except UnsupportedModel:
        near = await nearest_model(connections, model_id)
        return f"; did you mean model_id {near}?" if near else ""
    return ""
