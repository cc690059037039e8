"""One object that a manifest names, and its prompt, looked up in S3. Blocking; the services and the command use it.

Only reads: one HEAD for the object, one GET for the prompt, and where something is missing one page of names, for the
nearest that is there. A listing that is not allowed only costs the hint. Sources of several objects: `listing`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from itertools import islice

from quarry_core.contract.manifest import ManifestError
from quarry_core.contract.names import in_own_folder, prompt_key
from quarry_core.contract.prompts import PROMPT_BYTES_MAX, Prompt, load_prompt
from quarry_core.errors import Missing, MissingBucket, PortError, Refused
from quarry_core.ports import ObjectInfo, ObjectRef, Objects
from quarry_core.text import shown_name

NAMES_LOOKED_AT_MAX = 1_000  # one page of S3's
PROMPTS_SHOWN_MAX = 20


class NotReadable(ManifestError):
    """Whoever asked may not read it; others may."""


class TooManyKeys(ManifestError):
    """More are to be listed than whoever asked would wait for."""


def look_at_object(objects: Objects, ref: ObjectRef, uri: str) -> ObjectInfo:
    """HEAD of an object that a manifest names by `uri`.

    Raises:
        ManifestError: it does not exist (bucket and object are told apart).
        NotReadable: it may not be read.
        PortError: S3 gave no answer.
    """
    try:
        return objects.head(ref)
    except Missing as error:
        if _bucket_is_missing(objects, ref):
            raise no_bucket(objects, ref) from error
        near = _nearest_key(objects, ref)
        hint = f"; did you mean s3://{ref.bucket}/{near}?" if near else ""
        raise ManifestError(
            f"s3_uri: {uri} does not exist: the bucket {ref.bucket} has no such object{hint}"
        ) from error
    except Refused as error:
        owned = f", and does account {ref.owner} own the bucket (input_bucket_owner)?" if ref.owner else ""
        remedy = f"grant s3:GetObject on it{' if it should be read' if owned else ''}{owned}"
        raise NotReadable(f"s3_uri: {uri} cannot be read ({error}): {remedy}") from error


def no_bucket(objects: Objects, ref: ObjectRef) -> ManifestError:
    """The answer to whoever names a bucket that is not there."""
    return ManifestError(f"s3_uri: there is no bucket {ref.bucket}: {_bucket_hint(objects, ref)}")


def _bucket_is_missing(objects: Objects, ref: ObjectRef) -> bool:
    """HEAD's 404 has no body: only a GET tells what is missing."""
    try:
        objects.read(ref, 0, 1)
    except MissingBucket:
        return True
    except PortError:
        return False
    return False


def _bucket_hint(objects: Objects, ref: ObjectRef) -> str:
    try:
        objects.head(ObjectRef(ref.key))
    except PortError:
        return "bucket names are lower case, and folders are not buckets"
    return "did you mean the environment's own bucket? It has an object of that key"


def _nearest_key(objects: Objects, ref: ObjectRef) -> str:
    folder = ref.key.rpartition("/")[0]
    for prefix in dict.fromkeys((f"{folder}/" if folder else "", ref.key[:1], "")):
        near = difflib.get_close_matches(ref.key, _keys(objects, prefix, ref.bucket, ref.owner), n=1, cutoff=0.6)
        if near:
            return shown_name(near[0])
    return ""


def _keys(objects: Objects, prefix: str, bucket: str, owner: str | None) -> list[str]:
    try:
        found: Iterator[ObjectInfo] = islice(objects.list(prefix, bucket, owner), NAMES_LOOKED_AT_MAX)
        return [info.key for info in found if not in_own_folder(info.key)]
    except PortError:
        return []


def look_up_prompt(objects: Objects, prompt_id: str, *, images: bool = False) -> Prompt:
    """Read a prompt of the prompt store.

    Args:
        images: whether images stand beside its template.

    Raises:
        ManifestError: there is none; the text names the nearest one, and all (up to twenty).
        NotReadable: it may not be read.
        PromptError: it cannot be used.
        PortError: S3 gave no answer.
    """
    key = prompt_key(prompt_id)
    try:
        # One byte more than it may have, so that one that is too long is refused as that, and never read whole.
        text = objects.read(ObjectRef(key), 0, PROMPT_BYTES_MAX + 1)
    except MissingBucket:
        raise  # the environment's own, and no fault of the manifest
    except Missing as error:
        known = _known_prompts(objects)
        nearest = difflib.get_close_matches(prompt_id, known, n=1)
        reported = f"did you mean {nearest[0]}? The" if nearest else "the"
        shown = ", ".join(known[:PROMPTS_SHOWN_MAX]) or "none"
        raise ManifestError(f"prompt_id: no prompt {prompt_id!r}; {reported} store has: {shown}") from error
    except Refused as error:
        raise NotReadable(
            f"prompt_id: {prompt_id!r} cannot be read ({error}): grant s3:GetObject and s3:ListBucket on {key}"
        ) from error
    return load_prompt(text, prompt_id, images=images)


def _known_prompts(objects: Objects) -> list[str]:
    ids = [key.removeprefix("prompts/").removesuffix(".yaml") for key in _prompt_keys(objects)]
    return [shown_name(each) for each in ids]


def _prompt_keys(objects: Objects) -> list[str]:
    try:
        found = islice(objects.list("prompts/"), NAMES_LOOKED_AT_MAX)
        return [info.key for info in found if info.key.endswith(".yaml")]
    except PortError:
        return []
