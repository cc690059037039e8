"""What a value of a column of images names or is; and that a model's images are what its family says."""

from __future__ import annotations

import pyarrow as pa
import pytest

from quarry_core.models import UnsupportedModel, canonical_model, family_of
from quarry_core.ports import ObjectRef
from quarry_core.rendering.image_values import BadReference, holds_bytes, reference_of, why_no_images
from quarry_local.bedrock.models.catalogue import catalogue
from tests.world.images import png

DATA_URL = "data:image/png;base64,iVBORw0KGgo="


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("s3://a-bucket/a.png", ObjectRef("a.png", "a-bucket")),
        ("s3a://a-bucket/x/y.jpg", ObjectRef("x/y.jpg", "a-bucket")),
        ("s3://a-bucket/a b%20+é?versionId=1#*[x]\n", ObjectRef("a b%20+é?versionId=1#*[x]\n", "a-bucket")),
        ("s3://a-bucket//two", ObjectRef("/two", "a-bucket")),
        (b"bytes", b"bytes"),
        (DATA_URL, b"\x89PNG\r\n\x1a\n"),
        ({"bytes": b"x", "path": "s3://a-bucket/b"}, b"x"),
        ({"bytes": None, "path": "s3://a-bucket/b"}, ObjectRef("b", "a-bucket")),
        ({"path": "s3://a-bucket/b"}, ObjectRef("b", "a-bucket")),
        ({"bytes": None, "path": None}, None),
        (None, None),
        ("", None),
    ],
)
def test_a_value_is_an_object_or_bytes_or_nothing(value, found):
    assert reference_of(value) == found


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("a.png", "'a.png' is no S3 URI: write s3://bucket/key"),
        ("s3://Bucket/a", "is no S3 URI"),
        ("s3://bucket/", "is no S3 URI"),
        ("HTTPS://example.com/a.png", "is a web address, and images are read from S3 only"),
        ("s3://a-bucket/" + "é" * 513, "names no object: keys have up to 1024 bytes"),
        ("s3://a-bucket/a\0b", "names no object"),
        ("s3://a-bucket/\ud83d", "holds half of a surrogate pair"),
        ("data:image/svg+xml,<svg/>", "the data: URL is not in base64"),
        (7, "'7' is no S3 URI"),
        ({"path": "cat.jpg"}, "'cat.jpg' is no S3 URI"),
    ],
)
def test_what_is_none_says_what_to_write(value, why):
    with pytest.raises(BadReference) as caught:
        reference_of(value)
    assert why in str(caught.value)


def test_types_of_columns_that_may_be_images():
    text, raw = [pa.string(), pa.large_string(), pa.string_view()], [pa.binary(), pa.large_binary(), pa.binary_view()]
    hub = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for kind in (
        *text,
        *raw,
        hub,
        pa.struct([("path", pa.string())]),
        pa.dictionary(pa.int8(), pa.string()),
        pa.null(),
    ):
        assert why_no_images(kind) is None, kind
    for kind in (pa.int64(), pa.list_(pa.string()), pa.struct([("bytes", pa.list_(pa.uint8()))]), pa.float32()):
        assert why_no_images(kind), kind
    assert [kind for kind in (*text, *raw, hub) if holds_bytes(kind)] == [*raw, hub]


def test_the_families_refuse_the_models_that_the_catalogue_says_see_nothing_and_no_other():
    wrong = []
    for entry in catalogue().models:
        if "TEXT" not in entry.output:
            continue
        try:
            family = family_of(entry.id)
        except UnsupportedModel:
            continue
        if family.kind == "text" and (family.images(canonical_model(entry.id)) is not None) != ("IMAGE" in entry.input):
            wrong.append(entry.id)
    # Of them no table says that they see nothing: they are asked, and Bedrock's own refusal costs nothing.
    assert wrong == ["cohere.command-r-v1:0", "cohere.command-r-plus-v1:0"]


@pytest.mark.parametrize(
    "model_id", ["anthropic.claude-3-haiku-20240307-v1:0", "amazon.nova-lite-v1:0", "x.some-model"]
)
@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp"])
def test_a_block_holds_the_format_and_the_base64_once(model_id, kind):
    content = family_of(model_id).images(canonical_model(model_id))
    assert content is not None
    block = content.block(kind, "AAAA")
    assert str(block).count("AAAA") == 1
    assert kind in str(block)
    assert content.limits.bytes_max * 4 // 3 <= 5 * 1024 * 1024 < content.limits.request_bytes_max
    assert len(png()) < content.limits.bytes_max
