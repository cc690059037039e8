"""Runs that show images: what is sent of them, what is refused and why, and what comes back."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

import pyarrow as pa
import pytest

from quarry_core.contract.names import input_key
from quarry_core.contract.states import RunState
from tests.unit.flow.test_structured import simulated
from tests.world.images import HEIC, SVG, gif, jpeg, png, webp
from tests.world.world import SimulatedWorld

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
NOVA = "amazon.nova-lite-v1:0"
PHOTOS = "photos-of-others"
SENT = {
    "png": png(),
    "jpeg": jpeg(),
    "gif": gif(),
    "webp": webp(),
    "turned": jpeg(orientation=6),
    "cmyk": jpeg(channels=4),
    "sixteen bits": png(bits=16),
    "animated": gif(frames=3),
    "large": png(8_000, 8_000),
    "strange key": jpeg(9, 9),
}
KEYS = {"strange key": "a b/%20+é?#.jpg.exe"}
REFUSED = {
    "heic": (
        HEIC,
        "BAD_IMAGE",
        "the image is HEIC, and models take JPEG, PNG, GIF and WebP: convert it to JPEG or PNG",
    ),
    "svg": (SVG, "BAD_IMAGE", "the image is SVG, a vector format"),
    "no image": (b"just text", "BAD_IMAGE", "the image is none of JPEG, PNG, GIF and WebP by its first bytes"),
    "cut": (jpeg()[:-40], "BAD_IMAGE", "the image is cut off"),
    "empty": (b"", "BAD_IMAGE", "the image is empty (0 bytes)"),
    "missing": (None, "IMAGE_MISSING", f"s3://{PHOTOS}/missing: there is no such object"),
    "denied": (png(), "IMAGE_DENIED", f"s3://{PHOTOS}/denied cannot be read (AccessDenied)"),
    "wide": (png(8_001, 8), "IMAGE_TOO_LARGE", "the image is 8,001 x 8 pixels, and the model takes 8,000 a side"),
    "heavy": (png(fill=3_932_160), "IMAGE_TOO_LARGE", "the image has more than 3,932,160 bytes"),
}
ODD = {
    "https://example.com/a.png": ("BAD_IMAGE", "is a web address, and images are read from S3 only"),
    "s3://no-bucket-of-this-name/x": ("IMAGE_MISSING", "there is no such bucket"),
    "photos/a.png": ("BAD_IMAGE", "is no S3 URI: write s3://bucket/key"),
    "s3://photos-of-others": ("BAD_IMAGE", "is no S3 URI"),
    "data:image/png;base64,@@@": ("BAD_IMAGE", "the data: URL is not base64"),
    None: ("NULL_INPUT", "the column 'photo' is null in this row"),
}


def plant(world: SimulatedWorld) -> Mapping[str, str]:
    """All of the images; their URIs."""
    world.objects.plant("plain", png(), PHOTOS)
    for name, image in {**SENT, **{name: image for name, (image, *_) in REFUSED.items()}}.items():
        if image is not None:
            world.objects.plant(KEYS.get(name, name), image, PHOTOS)
    world.objects.denied = {f"s3://{PHOTOS}/denied"}
    return {name: f"s3://{PHOTOS}/{KEYS.get(name, name)}" for name in (*SENT, *REFUSED)}


def manifest(world: SimulatedWorld, table: pa.Table, model_id: str = NOVA, **more) -> dict:
    world.bedrock.answerer = simulated(model_id)
    return {
        "job_name_prefix": "photos",
        "model_id": model_id,
        "s3_uri": world.parquet(table),
        "prompt": "What is to be seen?",
        "images": "photo",
        **more,
    }


def sent(world: SimulatedWorld) -> dict[int, dict]:
    """The content of the last message of each record of all jobs, by its row in the shard."""
    seen: dict[int, dict] = {}
    for job in world.jobs.all:
        body = world.objects._buckets[world.objects.bucket].versions[job.input_uri.split("/", 3)[3]][0].body
        for line in body.splitlines():
            record = json.loads(line)
            seen[int(record["recordId"][5:])] = record["modelInput"]["messages"][-1]["content"]
    return seen


def image_of(block: dict) -> tuple[str, bytes]:
    """The format that a block claims, and its bytes."""
    if block.get("type") == "image":
        source = block["source"]
        return source["media_type"].removeprefix("image/"), base64.b64decode(source["data"])
    return block["image"]["format"], base64.b64decode(block["image"]["source"]["bytes"])


@pytest.mark.parametrize("model_id", [NOVA, CLAUDE])
async def test_images_are_sent_as_they_are_and_what_cannot_be_is_its_rows_own_fault(model_id):
    world = SimulatedWorld()
    uris = plant(world)
    names = [*SENT, *REFUSED]
    photos = [uris[name] for name in names] + list(ODD) + [f"s3://{PHOTOS}/plain"] * 100
    run_id = world.send(manifest(world, pa.table({"photo": photos}), model_id))

    totals = await world.run(run_id)

    refused = len(REFUSED) + len(ODD)
    assert (totals.state, totals.ok, totals.error) == (RunState.SUCCEEDED_WITH_ERRORS, len(photos) - refused, refused)
    content = sent(world)
    for row, name in enumerate(SENT):
        picture, text = content[row]
        kind, data = image_of(picture)
        assert data == SENT[name]
        assert kind == {"jpe": "jpeg", "web": "webp", "gif": "gif"}.get(name[:3], kind)
        assert text["text"] == "What is to be seen?"
    rows = world.result(run_id).to_pylist()
    expected = [(code, why) for _, code, why in REFUSED.values()] + list(ODD.values())
    for row, (code, why) in enumerate(expected, len(SENT)):
        assert (rows[row]["status"], rows[row]["error_code"]) == ("error", code), rows[row]
        assert "the column 'photo'" in rows[row]["error_message"]
        assert why in rows[row]["error_message"]
    assert all(row["status"] == "ok" for row in rows[len(SENT) + refused :])
    assert [row["photo"] for row in rows] == photos


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.struct([("bytes", pa.binary()), ("path", pa.string())])]
)
@pytest.mark.parametrize("named", [False, True])
async def test_bytes_in_the_source_are_sent_and_come_back_only_if_they_are_asked_for(kind, named):
    world = SimulatedWorld()
    images = [jpeg(10 + row, 20) for row in range(120)]
    values = [{"bytes": each, "path": "x.jpg"} for each in images] if pa.types.is_struct(kind) else images
    table = pa.table({"photo": pa.array(values, kind), "label": [f"l{row}" for row in range(120)]})
    more = {"columns": ["label", "photo"]} if named else {}
    run_id = world.send(manifest(world, table, prompt="Is it {label}?", **more))

    totals = await world.run(run_id)

    assert (totals.state, totals.ok) == (RunState.SUCCEEDED, 120)
    assert [image_of(blocks[0])[1] for _, blocks in sorted(sent(world).items())] == images
    assert [blocks[1]["text"] for _, blocks in sorted(sent(world).items())][7] == "Is it l7?"
    result = world.result(run_id)
    assert result.column_names[:2] == (["label", "photo"] if named else ["label", "response"])
    if not named:
        notes = world.report(run_id)["estimate"]["notes"]
        assert any("column 'photo' holds the images themselves and does not come back" in note for note in notes)
    assert result["label"].to_pylist() == table["label"].to_pylist()


async def test_where_a_struct_has_no_bytes_its_path_is_read():
    world = SimulatedWorld()
    world.objects.plant("cat.png", png(7, 7), PHOTOS)
    photos = [{"bytes": None, "path": f"s3://{PHOTOS}/cat.png"}] * 100 + [{"bytes": None, "path": None}, None]
    table = pa.table(
        {"photo": pa.array(photos, pa.struct([("bytes", pa.binary()), ("path", pa.string())])), "n": range(102)}
    )
    run_id = world.send(manifest(world, table))

    totals = await world.run(run_id)

    assert (totals.ok, dict(totals.errors)) == (100, {"NULL_INPUT": 2})
    assert image_of(sent(world)[0][0]) == ("png", png(7, 7))


async def test_rows_without_an_image_are_errors_or_asked_without_or_skipped_as_the_manifest_says():
    for nulls, ok, errors in (("error", 100, {"NULL_INPUT": 20}), ("skip", 100, {"SKIPPED": 20}), ("empty", 120, {})):
        world = SimulatedWorld()
        world.objects.plant("a.png", png(), PHOTOS)
        photos = [f"s3://{PHOTOS}/a.png"] * 100 + [None, ""] * 10
        run_id = world.send(manifest(world, pa.table({"photo": photos}), images=[{"column": "photo", "nulls": nulls}]))

        totals = await world.run(run_id)

        assert (totals.ok, dict(totals.errors)) == (ok, errors)
        assert len(sent(world)[0]) == 2
        if nulls == "empty":
            assert sent(world)[119] == [{"text": "What is to be seen?"}]


async def test_what_models_may_see_otherwise_is_told_and_may_be_an_error():
    odd = ["turned", "cmyk", "sixteen bits", "animated"]
    for unusual, errors in (("send", {}), ("error", {"BAD_IMAGE": 40})):
        world = SimulatedWorld()
        uris = plant(world)
        photos = [uris[name] for name in odd] * 10 + [uris["png"]] * 100
        more = {"images": {"column": "photo", "unusual": unusual}}
        run_id = world.send(manifest(world, pa.table({"photo": photos}), **more))

        totals = await world.run(run_id)

        assert (totals.ok, dict(totals.errors)) == (140 - sum(errors.values()), errors)
        notes = " ".join(world.report(run_id)["estimate"]["notes"])
        assert notes.count("looked at are unusual: each ") == 4
        assert "each is turned or mirrored by its Exif orientation" in notes
        if errors:
            message = world.result(run_id)["error_message"][1].as_py()
            assert "the image has the colours of print (CMYK), which models may see wrongly: write it again" in message


async def test_several_images_stand_in_the_order_of_the_manifest_before_the_text_and_behind_the_examples():
    world = SimulatedWorld()
    for row in range(100):
        world.objects.plant(f"{row}-before", png(10 + row, 5), PHOTOS)
        world.objects.plant(f"{row}-after", gif(10 + row, 5), PHOTOS)
    table = pa.table(
        {
            "after": [f"s3://{PHOTOS}/{row}-after" for row in range(100)],
            "before": [f"s3://{PHOTOS}/{row}-before" for row in range(100)],
            # What looks like the mark of an image is a text like others.
            "what": ['["<image 0>",', *["car"] * 99],
        }
    )
    prompt = {
        "template": "{what}",
        "messages": [{"role": "user", "content": "{what} before"}, {"role": "assistant", "content": "Scratched."}],
        "inference": {"stop_sequences": ["<image 0>", "x"]},
    }
    run_id = world.send(manifest(world, table, CLAUDE, images=["before", "after"], prompt=prompt))

    assert (await world.run(run_id)).ok == 100

    content = sent(world)
    assert [image_of(block) for block in content[42][:2]] == [("png", png(52, 5)), ("gif", gif(52, 5))]
    assert content[42][2]["text"] == "car"
    assert content[0][2]["text"] == '["<image 0>",'


async def test_a_bucket_that_may_not_be_read_refuses_the_run_before_anything_is_paid():
    world = SimulatedWorld()
    world.objects.plant("a.png", png(), PHOTOS)
    world.objects.denied = {f"s3://{PHOTOS}/"}
    run_id = world.send(manifest(world, pa.table({"photo": [f"s3://{PHOTOS}/a.png"] * 200})))

    totals = await world.run(run_id)

    assert (totals.state, totals.accepted) == (RunState.FAILED, 0)
    assert (
        f"images: the role of the preprocessor may not read s3://{PHOTOS} (AccessDenied): add it to source_buckets"
        in (totals.message)
    )
    assert not world.jobs.all


async def test_a_few_rows_that_name_a_bucket_of_strangers_are_their_own_fault():
    world = SimulatedWorld()
    world.objects.plant("a.png", png(), PHOTOS)
    world.objects.plant("b.png", png(), "of-strangers")
    world.objects.denied = {"s3://of-strangers/"}
    # 30 in a thousand, and the first one among the rows that are looked at.
    photos = ["s3://of-strangers/b.png" if row % 33 == 0 else f"s3://{PHOTOS}/a.png" for row in range(1_000)]
    run_id = world.send(manifest(world, pa.table({"photo": photos})))

    totals = await world.run(run_id)

    assert (totals.ok, dict(totals.errors)) == (969, {"IMAGE_DENIED": 31})


async def test_a_permission_that_is_taken_away_meanwhile_ends_the_run_instead_of_each_row():
    world = SimulatedWorld()
    world.objects.plant("a.png", png(), PHOTOS)
    run_id = world.send(manifest(world, pa.table({"photo": [f"s3://{PHOTOS}/a.png"] * 200})))
    while (totals := await world.ledger.totals(run_id)) is None or totals.state is not RunState.RUNNING:
        await world.turn()
    world.objects.denied = {f"s3://{PHOTOS}/"}

    totals = await world.run(run_id)

    assert totals.state is RunState.FAILED
    assert f"may not read s3://{PHOTOS}" in totals.fault
    assert not world.jobs.all


async def test_images_of_another_account_are_read_only_if_it_owns_them():
    world = SimulatedWorld()
    uris = plant(world)
    world.objects.owners = {PHOTOS: "999999999999"}
    run_id = world.send(manifest(world, pa.table({"photo": [uris["png"]] * 120}), input_bucket_owner="123456789012"))

    totals = await world.run(run_id)

    assert (totals.state, totals.accepted) == (RunState.FAILED, 0)


async def test_forty_rows_with_images_are_asked_on_demand():
    world = SimulatedWorld()
    uris = plant(world)
    run_id = world.send(manifest(world, pa.table({"photo": [uris["jpeg"]] * 39 + [uris["svg"]]}), CLAUDE))

    totals = await world.run(run_id)

    assert (totals.ok, dict(totals.errors)) == (39, {"BAD_IMAGE": 1})
    assert not world.jobs.all
    blocks = json.loads(world.runtime.asked[0].body)["messages"][0]["content"]
    assert image_of(blocks[0]) == ("jpeg", SENT["jpeg"])


async def test_answers_about_images_may_be_structured():
    world = SimulatedWorld()
    uris = plant(world)
    schema = {"output_schema": ["animal: cat | dog"], "prompt": {"template": "What?", "inference": {"max_tokens": 500}}}
    run_id = world.send(manifest(world, pa.table({"photo": [uris["jpeg"]] * 100}), CLAUDE, **schema))

    totals = await world.run(run_id)

    assert totals.state is RunState.SUCCEEDED
    assert set(world.result(run_id)["animal"].to_pylist()) <= {"cat", "dog"}
    assert image_of(sent(world)[0][0]) == ("jpeg", SENT["jpeg"])


async def test_a_plan_knows_the_bytes_and_the_tokens_of_images():
    world = SimulatedWorld()
    world.objects.plant("a.png", png(1_000, 1_000, fill=300_000), PHOTOS)
    run_id = world.send(manifest(world, pa.table({"photo": [f"s3://{PHOTOS}/a.png"] * 5_000}), dry_run=True))

    totals = await world.run(run_id)

    assert totals.state is RunState.SUCCEEDED
    estimate = world.report(run_id)["estimate"]
    # 400 KB of base64 each, in files of 1 GB.
    assert estimate["shards"] >= 3
    assert estimate["input_bytes"] == pytest.approx(5_000 * 400_500, rel=0.01)
    assert estimate["input_tokens"] == pytest.approx(5_000 * 1_338, rel=0.01)
    assert any("about 400 KB as base64 and 1,333 tokens each" in note for note in estimate["notes"])


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"images": "foto"}, "images: the dataset has no column 'foto'; did you mean 'photo'?"),
        ({"images": "number"}, "images: the column 'number' is of type int64, which holds neither S3 URIs nor bytes"),
        ({"images": "place"}, "which has neither bytes nor a path, as structs of images have"),
        ({"model_id": "amazon.nova-micro-v1:0"}, "images: amazon.nova-micro-v1:0 takes text only"),
        ({"model_id": "openai.gpt-oss-20b-1:0"}, "images: openai.gpt-oss-20b-1:0 takes text only"),
        ({"model_id": "amazon.titan-embed-image-v1", "prompt": None}, "makes embeddings, of texts only here"),
        ({"images": ["photo", "photo"]}, "images: 'photo' appears twice"),
        ({"images": [f"c{number}" for number in range(21)]}, "images: has 21 columns; at most 20 images"),
        ({"images": 3}, 'images: must name columns: ["photo"]'),
        ({"images": [{"column": "photo", "nulls": "drop"}]}, "images.0.nulls: must be 'error', 'empty' or 'skip'"),
        ({"images": None}, "prompt.template: the template has no placeholder"),
        ({"prompt": "  "}, "prompt.template: the template is blank"),
    ],
)
async def test_what_cannot_be_is_refused_by_its_name(more, why):
    world = SimulatedWorld()
    table = pa.table({"photo": ["s3://a-bucket/b"], "number": [1], "place": [{"city": "x"}]})
    run_id = world.send({**manifest(world, table), **more})

    totals = await world.run(run_id)

    assert totals.state is RunState.FAILED
    assert why in totals.message
    assert not [key for key in world.objects.bodies if key.startswith(input_key(run_id, ""))]
