"""Whether a source holds ready requests, and of which form: as the manifest says, else by its first line. Blocking.

A manifest for a text model names a prompt, or its source holds requests in which everything stands. It is looked at
when the manifest arrives, and not with the count: the scheduler and the collector go by what is pinned of it.
"""

from __future__ import annotations

from collections.abc import Callable

from quarry_core.contract.manifest import ONE_PROMPT, Manifest, ManifestError
from quarry_core.contract.manifest_requests import prompt_of_requests
from quarry_core.contract.requests import HEAD_BYTES, NotRequests, RequestFormat, request_format_of
from quarry_core.contract.source_format import SourceFormat
from quarry_core.models import family_of
from quarry_core.ports import ObjectRef, Objects
from quarry_core.tabular.compressed import compression_of, unpacked_beginning
from quarry_core.tabular.errors import SourceError


def find_requests(
    objects: Objects, manifest: Manifest, form: SourceFormat, first: Callable[[], ObjectRef]
) -> RequestFormat | None:
    """The form of the requests that a manifest's source holds; None where a prompt or a column asks.

    Args:
        form: of the source's files.
        first: gives the first of them, and is asked only if it is looked at.

    Raises:
        ManifestError: the source is no source of requests, and the manifest names no prompt.
        PortError: as `Objects.read`.
    """
    if manifest.request_format is not None:
        if form != "jsonl":
            raise ManifestError("request_format: ready requests are JSONL, and the source is something else")
        return manifest.request_format
    if manifest.prompt_id is not None or manifest.prompt is not None or family_of(manifest.model).kind != "text":
        return None
    if form != "jsonl":
        raise ManifestError(f"prompt_id: {ONE_PROMPT}")
    ref = first()
    try:
        found = request_format_of(_head(objects.read(ref, 0, HEAD_BYTES), ref.key))
    except NotRequests as error:
        raise ManifestError(
            f"prompt_id: {ONE_PROMPT}, or a source of ready requests: the first line of {ref.key} {error}"
        ) from error
    fault = prompt_of_requests(manifest)
    if fault:
        raise ManifestError(fault)
    return found


def _head(data: bytes, key: str) -> bytes:
    """The beginning of a file, unpacked as far as it is there."""
    try:
        packed = compression_of(data, key)
    except SourceError as error:
        raise ManifestError(f"s3_uri: {error}") from error
    return data if packed is None else unpacked_beginning(data, packed, HEAD_BYTES)
