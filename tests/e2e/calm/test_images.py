"""Images in S3, on real processes and the embedded AWS: each row's image is read, sent, and answered."""

from __future__ import annotations

import pytest

from tests.world.images import HEIC, jpeg, png

NOVA = "amazon.nova-lite-v1:0"


@pytest.mark.promise("S3")
def test_every_row_is_answered_by_its_image_or_says_what_its_image_is(calm):
    uris = [calm.put(f"inputs/photos/{row} é.jpg", jpeg(100 + row, 80)) for row in range(108)]
    uris += [calm.put("inputs/photos/phone.heic", HEIC), f"s3://{calm.bucket}/inputs/photos/none.png"]
    uris += [calm.put("inputs/photos/broad.png", png(9_000, 10)), calm.put("inputs/photos/empty.png", b"")]
    source = calm.put("inputs/photos.csv", "photo\n" + "".join(f"{uri}\n" for uri in uris))
    manifest = {
        "s3_uri": source,
        "job_name_prefix": "photos",
        "model_id": NOVA,
        "images": "photo",
        "prompt": "What is it?",
    }

    run_id = calm.send(manifest)
    totals = calm.ended(run_id)

    assert (totals["state"], totals["ok"], totals["error"]) == ("SUCCEEDED_WITH_ERRORS", 108, 4), totals
    rows = calm.result(run_id).to_pylist()
    assert [row["photo"] for row in rows] == uris
    assert {row["status"] for row in rows[:108]} == {"ok"}
    assert [row["error_code"] for row in rows[108:]] == ["BAD_IMAGE", "IMAGE_MISSING", "IMAGE_TOO_LARGE", "BAD_IMAGE"]
    assert "is HEIC" in rows[108]["error_message"]
