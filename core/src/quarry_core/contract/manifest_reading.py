"""From the JSON of a manifest to a `Manifest`, or to one sentence with all that is wrong. Pure.

A key that the design names for later is answered with "not yet supported", any other unknown key with the nearest known
one. `null` means unset, for every optional field and at every depth.

What may stand around a manifest is told by `envelopes`, what its text may hold by `json_text`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from pydantic import ValidationError

from quarry_core.contract.envelopes import envelope_of
from quarry_core.contract.field_faults import in_words
from quarry_core.contract.json_text import fixed, half_pairs, nested, repeated_keys, without_nulls
from quarry_core.contract.manifest import FIELDS, Manifest, ManifestError
from quarry_core.contract.manifest_identity import ManifestData
from quarry_core.contract.manifest_requests import model_fault
from quarry_core.models import is_application_profile
from quarry_core.text import SURROGATE, bounded_text, shown_name

MANIFEST_BYTES_MAX = 256 * 1024
REFUSAL_BYTES_MAX = 4 * 1024
NESTING_MAX = 32
FAULTS_MAX = 20

NOT_YET = {
    "output": "choosing the form of the output is not yet supported: it is Parquet under results/",
    "deadline": "deadlines are not yet supported",
    "stages": "stages are not yet supported: send the next manifest when this run has ended",
}


def read_manifest(data: ManifestData, size_bytes: int = 0, *, model: str = "") -> Manifest:
    """Validate a manifest.

    Args:
        size_bytes: what its text takes, where it is known.
        model: of an application inference profile, the model behind it; empty: not known, so what depends on the model is
            not judged.

    Raises:
        ManifestError: names each wrong field (the first twenty), what is wrong with it, and the remedy; one line of
            at most `REFUSAL_BYTES_MAX` bytes, without a control character.
    """
    envelope = envelope_of(data)
    if envelope is not None:
        raise ManifestError(bounded_text(envelope, REFUSAL_BYTES_MAX))
    assert isinstance(data, Mapping), "text is an envelope"
    faults = list(islice(_faults(data, size_bytes, model), FAULTS_MAX + 1))
    whole = fixed(dict(data))
    known = {key: value for key, value in without_nulls(whole).items() if key in FIELDS}
    if "output_schema" in known:
        known["output_schema"] = whole["output_schema"]  # null is a value to a schema
    # A stand-in, so that the other fields are judged in the same answer.
    if "dataset_id" not in known:
        known.setdefault("s3_uri", "s3://none/none.csv")
    manifest: Manifest | None = None
    try:
        manifest = Manifest.model_validate(known, context={"model": model})
    except ValidationError as error:
        reported = {fault.partition(":")[0].partition(".")[0] for fault in faults}
        more = (_sentence(fault) for fault in error.errors(include_url=False) if _field(fault) not in reported)
        faults += [sentence for sentence in more if sentence not in faults]
    if faults or manifest is None:
        raise ManifestError(_listed(faults))
    return manifest


def _faults(data: Mapping[str, Any], size_bytes: int, model: str) -> Iterator[str]:
    """What is wrong before any field is looked at."""
    if size_bytes > MANIFEST_BYTES_MAX:
        yield f"the manifest has {size_bytes} bytes; at most {MANIFEST_BYTES_MAX} are allowed"
    depth = nested(data)
    if depth > NESTING_MAX:
        yield f"the manifest is nested {depth} deep; at most {NESTING_MAX} levels are allowed"
    for field, sentence in chain(half_pairs(data), repeated_keys(data)):
        yield f"{field}: {sentence}"
    yield from _key_faults(data)
    # Here, so that it is told beside what is wrong with other fields.
    model_id = model or data.get("model_id")
    fault = None
    if isinstance(model_id, str) and not is_application_profile(model_id):
        fault = model_fault(model_id, data.get("request_format"))
    if fault:
        yield fault
    if not data.get("s3_uri"):
        if not data.get("dataset_id"):
            yield "s3_uri: no source is named: give s3_uri, or dataset_id for a dataset of the Hugging Face Hub"
    elif data.get("dataset_id"):
        yield "s3_uri: two sources are named, s3_uri and dataset_id: give exactly one"


def _key_faults(data: Mapping[str, Any]) -> Iterator[str]:
    for key in data:
        if key in FIELDS or SURROGATE.search(key):
            continue
        if key in NOT_YET:
            # A null asks for nothing: the seeds' manifests may carry the key they do not use.
            if data[key] is not None:
                yield f"{key}: {NOT_YET[key]}"
            continue
        nearest = difflib.get_close_matches(shown_name(key), [*FIELDS, *NOT_YET], n=1, cutoff=0.5)
        yield f"{shown_name(key)}: unknown key" + (f"; did you mean {nearest[0]}?" if nearest else "")


def _listed(faults: list[str]) -> str:
    more = "; there are more" if len(faults) > FAULTS_MAX else ""
    each_bytes_max = max(REFUSAL_BYTES_MAX // min(len(faults), FAULTS_MAX) - len("; "), 0)
    reported = [bounded_text(fault, each_bytes_max) for fault in faults[:FAULTS_MAX]]
    return bounded_text("; ".join(reported) + more, REFUSAL_BYTES_MAX)


def _field(fault: Mapping[str, Any]) -> str:
    return shown_name(str(fault["loc"][0])) if fault["loc"] else ""


def _sentence(fault: Mapping[str, Any]) -> str:
    where = ".".join(shown_name(str(part)) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown key"
    text = in_words(fault)
    return text if not where or text.startswith(f"{where}:") else f"{where}: {text}"
