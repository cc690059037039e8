"""What AWS and the Hugging Face Hub can say of a manifest before it is sent: its source, its prompt, its model.

Theory of operation. Everything here only reads, and is given up after `CHECK_S`. What is surely wrong is a fault, in
the sentence with which the run would end, but minutes earlier. What cannot be known, for want of a permission, an
answer or time, is said and holds nobody up: the services look again, with their own permissions.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Awaitable
from dataclasses import dataclass, field
from functools import partial

from quarry_cli.aws.answers import for_people
from quarry_cli.aws.asking import Asking
from quarry_cli.aws.environment import is_profile
from quarry_cli.aws.finding import NotKnown
from quarry_cli.aws.models_quotas import Batch, takes_batch
from quarry_cli.client.aside import aside
from quarry_cli.client.connections import Connections
from quarry_cli.settings import ClientSettings
from quarry_core.contract.manifest import Manifest, ManifestError
from quarry_core.contract.prompts import Prompt, PromptError
from quarry_core.errors import MissingBucket, PortError
from quarry_core.models import UnsupportedModel, canonical_model, check_inference, family_of, joined
from quarry_core.models.quota_names import SERVICE, BatchQuotas
from quarry_core.ports import InferenceProfile, Objects
from quarry_core.sources.lookups import NotReadable, TooManyKeys, look_up_prompt
from quarry_core.sources.profiles import ProfileNotReadable, look_up_model

CHECK_S = 15.0
HINT_S = 5.0
# Twenty requests; the services have more time.
KEYS_LISTED_MAX = 20_000
SERVICE_QUOTAS = "service-quotas"


@dataclass(slots=True)
class Checked:
    """`unchecked`: what could not be looked at, and why; one sentence each."""

    faults: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


async def check(connections: Connections, manifest: Manifest, within_s: float = CHECK_S) -> Checked:
    """Look at what a manifest names. Never raises what AWS answers."""
    found = Checked()
    objects = (connections.glance or connections.objects)()
    tasks = [
        _bounded(
            "the source and the prompt", aside(partial(_in_s3, objects, manifest, connections.bucket)), found, within_s
        )
    ]
    if connections.ask is not None and manifest.model_known:
        # AWS's own profile of the geography is only what the one of the manifest costs as much as.
        model_id = canonical_model(manifest.model) if manifest.model != manifest.model_id else manifest.model_id
        tasks.append(
            _bounded("the model", _model(Asking(connections.ask), model_id, connections.region), found, within_s)
        )
    await asyncio.gather(*tasks)
    return found


async def _bounded(what: str, looking: Awaitable[Checked], found: Checked, within_s: float) -> None:
    try:
        result = await asyncio.wait_for(looking, within_s)
    except TimeoutError:
        result = Checked(unchecked=[f"{what}: no answer within {within_s:.0f} s"])
    except (PortError, NotKnown) as error:
        result = Checked(unchecked=[f"{what}: {error}"])
    found.faults += result.faults
    found.unchecked += result.unchecked


@dataclass(frozen=True, slots=True)
class _Profiles:
    """Inference profiles, as the person who asks may see them."""

    asking: Asking

    async def get(self, arn: str) -> InferenceProfile:
        answer = await self.asking("bedrock", "get_inference_profile", inferenceProfileIdentifier=arn)
        return InferenceProfile(tuple(str(each["modelArn"]) for each in answer["models"]), str(answer["status"]))


async def model_behind_profile(
    connections: Connections, data: object, within_s: float = CHECK_S
) -> tuple[str, list[str]]:
    """The model behind a manifest's application inference profile, and why it is not known; both are empty for any other.

    Raises:
        ManifestError: there is no such profile, or no one model behind it.
    """
    if connections.ask is None or not connections.region:
        return "", []
    try:
        looking = look_up_model(_Profiles(Asking(connections.ask)), data, connections.region)
        return await asyncio.wait_for(looking, within_s), []
    except TimeoutError:
        return "", [f"the model: no answer within {within_s:.0f} s"]
    except (ProfileNotReadable, PortError, NotKnown) as error:
        return "", [f"the model: {error}"]


async def nearest_model(connections: Connections, model_id: str, within_s: float = HINT_S) -> str:
    """The supported id in the region that is most like one of no family; empty if there is none, or no answer."""
    if connections.ask is None:
        return ""
    try:
        message = await asyncio.wait_for(Asking(connections.ask)("bedrock", "list_foundation_models"), within_s)
    except (TimeoutError, PortError, NotKnown):
        return ""
    ids = [str(each["modelId"]) for each in message["modelSummaries"]]
    supported = [each for each in ids if _has_family(each)]
    near = difflib.get_close_matches(model_id.rpartition("/")[2], supported, n=1, cutoff=0.8)
    return near[0] if near else ""


def _has_family(model_id: str) -> bool:
    try:
        family_of(model_id)
    except UnsupportedModel:
        return False
    return True


# --------------------------------------------------------------------------- S3


def _in_s3(objects: Objects, manifest: Manifest, own_bucket: str) -> Checked:
    found = Checked()
    prompt, known = _prompt(objects, manifest, found)
    try:
        _source(objects, manifest, own_bucket, prompt if known else None, found, columns=known)
    except PortError as error:
        found.unchecked.append(f"{_field(manifest)}: {error}")
    return found


def _field(manifest: Manifest) -> str:
    """The field that names the source."""
    return "s3_uri" if manifest.dataset_id is None else "dataset_id"


def _prompt(objects: Objects, manifest: Manifest, found: Checked) -> tuple[Prompt | None, bool]:
    """The prompt, and whether it is known."""
    if manifest.prompt_id is None:
        return manifest.prompt, True
    try:
        prompt = look_up_prompt(objects, manifest.prompt_id, images=bool(manifest.images))
        if manifest.model_known:
            check_inference(manifest.model, joined(manifest.model, prompt.inference, manifest.inference))
    except MissingBucket as error:
        found.faults.append(str(for_people(error, ClientSettings()) or error))
    except (NotReadable, PortError) as error:
        found.unchecked.append(str(error))
    except (ManifestError, PromptError, ValueError) as error:
        found.faults.append(str(error))
    else:
        return prompt, True
    return None, False


def _source(
    objects: Objects, manifest: Manifest, own_bucket: str, prompt: Prompt | None, found: Checked, *, columns: bool
) -> None:
    # pyarrow takes its time to import, and `quarry --help` needs none of it.
    from quarry_core.sources.listing import find_source  # noqa: PLC0415 see above
    from quarry_core.sources.preview import SourceError, faults_of, preview_source  # noqa: PLC0415 see above

    try:
        source = find_source(objects, manifest, own_bucket, KEYS_LISTED_MAX)
    except (NotReadable, TooManyKeys) as error:
        found.unchecked.append(str(error))
        return
    except ManifestError as error:
        found.faults.append(str(error))
        return
    if not manifest.model_known:
        return  # what the source must have depends on the model
    try:
        seen = preview_source(objects, manifest, source)
    except ManifestError as error:
        found.faults.append(str(error))
        return
    except SourceError as error:
        found.faults.append(f"{_field(manifest)}: {error}")
        return
    if seen is not None and columns:
        faults = faults_of(seen, manifest, prompt)
        found.faults += faults.sure
        found.unchecked += faults.likely


# --------------------------------------------------------------------------- Bedrock


async def _model(asking: Asking, model_id: str, region: str) -> Checked:
    """Whether the region has the model or profile, and whether batch inference is known to refuse it.

    Raises:
        PortError, NotKnown: Bedrock does not list its models.
    """
    if ":custom-model/" in model_id:
        return Checked()
    message = await asking("bedrock", "list_foundation_models")
    names = {
        canonical_model(str(each["modelId"])): str(each.get("modelName", "")) for each in message["modelSummaries"]
    }
    ids = [str(each["modelId"]) for each in message["modelSummaries"]]
    if is_profile(model_id):
        pages = asking.pages(
            "bedrock", "list_inference_profiles", "inferenceProfileSummaries", "nextToken", maxResults=100
        )
        profiles = [str(each["inferenceProfileId"]) for each in await pages]
        if model_id.rpartition("/")[2] not in profiles:
            return Checked([_absent("inference profile", model_id, [*profiles, *ids], region)])
    elif canonical_model(model_id) not in names:
        return Checked([_absent("model", model_id, ids, region)])
    takes, why = takes_batch(model_id, "", None)
    if takes is Batch.NO:
        quotas = BatchQuotas(
            await asking.pages(
                SERVICE_QUOTAS, "list_aws_default_service_quotas", "Quotas", "NextToken", ServiceCode=SERVICE
            )
        )
        takes, why = takes_batch(model_id, names.get(canonical_model(model_id), ""), quotas)
    if takes is Batch.NO:
        return Checked(
            [
                (
                    f"model_id: batch inference does not support {model_id} in {region}: {why}; `quarry models` lists"
                    " those that it supports"
                )
            ]
        )
    return Checked()


def _absent(what: str, model_id: str, known: list[str], region: str) -> str:
    name = model_id.rpartition("/")[2]
    same = [each for each in known if canonical_model(each) == canonical_model(name)]
    near = same or difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"model_id: there is no {what} {name} in {region}{hint} (`quarry models` lists what there is)"
