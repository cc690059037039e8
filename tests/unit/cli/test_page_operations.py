"""What the page does beside runs: the limit of a pool, and dead-letter messages that go back to where they came from."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("starlette")  # the extra `ui`

from quarry_cli.client.api import Client
from quarry_cli.client.dead_letters.queue import DEAD_LETTER_QUEUES
from quarry_core.contract.names import queue_url_variable
from quarry_core.models import pool_of
from tests.ui.scene import SCRIPT, Scene
from tests.unit.cli.test_page import SAME_ORIGIN, Seen, opened, scene_access
from tests.world.world import CLAUDE

POOL = pool_of("us-east-1", CLAUDE)


@pytest.fixture(autouse=True)
def queues_known(monkeypatch):
    for name in DEAD_LETTER_QUEUES:
        if name != "event-target":
            monkeypatch.setenv(queue_url_variable(name), f"https://queue/{name}")
    monkeypatch.setenv("QUARRY_EVENT_TARGET_DLQ_URL", "https://queue/event-target-dlq")


def send(client, scene, path, **fields):
    data = {"form_token": scene_access(scene).form_token, **fields}
    answer = client.post(path, data=data, headers=SAME_ORIGIN)
    return answer.status_code, " ".join(Seen(answer.text).text.split())


def text_of(client, path):
    return " ".join(Seen(client.get(path).text).text.split())


def pool_in(scene):
    return asyncio.run(scene.world.ledger.pool(POOL))


def waiting(scene, queue):
    return list(scene.dead_letters[queue].bodies)


# --------------------------------------------------------------------------- pools


def test_a_pools_limit_is_set_taken_away_and_kept_with_who_and_why():
    scene = Scene()
    scene.moving_run(400, ended=0)
    with opened(scene, write=True) as client:
        link = next(
            attributes["href"]
            for tag, attributes in Seen(client.get("/pools").text).elements
            if tag == "a" and "/pools/limit" in (attributes.get("href") or "")
        )
        assert "How many jobs may be active at once?" in text_of(client, link)
        assert pool_in(scene).set_to is None, "it was only asked"

        status, said = send(client, scene, "/pools/limit", pool=POOL, limit="3", reason=f"calm {SCRIPT}")
        assert (status, "The limit goes by 3 now" in said) == (200, True)
        assert pool_in(scene).set_to == 3
        assert "Set to 3 by hand" in text_of(client, "/pools")
        asked = client.get(link).text
        assert f"QUARRY_JOB_QUOTA → 3, by {pool_in(scene).set_by}: calm {SCRIPT}" in Seen(asked).text
        assert SCRIPT not in asked

        status, said = send(client, scene, "/pools/limit", pool=POOL, limit="")
        assert (status, "goes by QUARRY_JOB_QUOTA now" in said) == (200, True)
        assert pool_in(scene).set_to is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"pool": POOL, "limit": "many"}, "limit: 'many' is not a whole number"),
        ({"pool": POOL, "limit": "-1"}, "limit: '-1' is not a whole number"),
        ({"pool": POOL, "limit": "100000"}, "limit: 100000 is not a whole number"),
        ({"pool": CLAUDE, "limit": "3"}, "not one of ours"),
        ({"pool": "", "limit": "3"}, "not one of ours"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_and_nothing_is_set(fields, words):
    scene = Scene()
    scene.moving_run(400, ended=0)
    with opened(scene, write=True) as client:
        status, said = send(client, scene, "/pools/limit", **fields)
        assert (status, words in said) == (400, True), said
        assert pool_in(scene).set_to is None


def test_a_pool_that_does_not_stand_is_not_made_by_a_question():
    scene = Scene()
    with opened(scene, write=True) as client:
        assert client.get("/pools/limit", params={"pool": POOL}).status_code == 400
        assert asyncio.run(scene.world.ledger.pool(POOL)) is None


# --------------------------------------------------------------------------- dead-letter messages


def shown_ids(client, scene, queue):
    """What the page has shown, as its own form sends it back."""
    data = {"form_token": scene_access(scene).form_token}
    page = Seen(client.post(f"/dead-letters/{queue}", data=data, headers=SAME_ORIGIN).text)
    return next((each["value"] for tag, each in page.elements if tag == "input" and each.get("name") == "ids"), None)


def test_what_was_shown_is_moved_back_after_a_question_and_nothing_else():
    scene = Scene()
    scene.dead_letter("manifests", '{"seen": 1}', "the bucket was closed")
    with opened(scene, write=True) as client:
        ids = shown_ids(client, scene, "manifests")
        scene.dead_letter("manifests", '{"came": "later"}', "nobody has seen it")

        status, said = send(client, scene, "/dead-letters/manifests/redrive", ids=ids)
        assert (status, "Is the cause fixed?" in said) == (200, True)
        assert len(waiting(scene, "manifests")) == 2, "it was only asked"

        status, said = send(client, scene, "/dead-letters/manifests/redrive", ids=ids, sure="yes")
        assert (status, "1 message moved back to manifests." in said) == (200, True), said
        assert waiting(scene, "manifests") == ['{"came": "later"}']
        back = list(scene.world.queues["manifests"].bodies)
        assert back == ['{"seen": 1}']
    month = scene.world.clock.now().isoformat()[:7]
    kept = [each for each in asyncio.run(scene.world.ledger.audit_entries(month)) if each.action == "redrive"]
    assert [(each.subject, each.what) for each in kept] == [
        ("manifests-dlq", f"1 message of manifests-dlq: {ids.strip()}")
    ]


def test_a_message_that_somebody_else_has_moved_is_named():
    scene = Scene()
    scene.dead_letter("slices", "{}", "it broke")
    with opened(scene, write=True) as client:
        ids = shown_ids(client, scene, "slices")
        send(client, scene, "/dead-letters/slices/redrive", ids=ids, sure="yes")
        status, said = send(client, scene, "/dead-letters/slices/redrive", ids=ids, sure="yes")
        assert (status, "0 messages moved back" in said, ids in said) == (200, True, True), said


@pytest.mark.parametrize("queue", ["events", "event-target"])
def test_nothing_goes_back_to_the_events_queue(queue):
    scene = Scene()
    scene.dead_letter(queue, "{}", "it came too late")
    with opened(scene, write=True) as client:
        assert shown_ids(client, scene, queue) is None
        status, _ = send(client, scene, f"/dead-letters/{queue}/redrive", ids="id-{}", sure="yes")
        assert status == 400
        assert waiting(scene, queue) == ["{}"]


@pytest.mark.parametrize("ids", ["", " ", " ".join(f"id-{number}" for number in range(11)), "x" * 101])
def test_ids_that_were_not_shown_move_nothing(ids):
    scene = Scene()
    scene.dead_letter("manifests", "{}", "it broke")
    with opened(scene, write=True) as client:
        assert send(client, scene, "/dead-letters/manifests/redrive", ids=ids, sure="yes")[0] == 400
        assert waiting(scene, "manifests") == ["{}"]


# --------------------------------------------------------------------------- between what a run ends


def test_the_expected_end_of_a_run_of_a_model_with_a_history_has_an_interval_that_narrows():
    scene = Scene()
    scene.moving_run(3_000, ended=12)
    run_id = scene.moving_run(1_200, "the next", ended=2)
    views = []
    for _ in range(2):
        views.append(Client(scene.connect).status(run_id))
        for _ in range(4):
            scene.step()
    assert all(0 <= view.eta_low_s <= view.eta_s <= view.eta_high_s for view in views), views
    nearer, farther = sorted((view.eta_s, view.eta_high_s - view.eta_low_s) for view in views)
    assert nearer[1] <= farther[1]


def test_without_a_history_there_is_no_interval():
    scene = Scene()
    run_id = scene.moving_run(1_200, ended=3)
    view = Client(scene.connect).status(run_id)
    assert (view.eta_low_s, view.eta_high_s) == (None, None)
    with opened(scene) as client:
        assert " left (" not in text_of(client, f"/runs/{run_id}")


# --------------------------------------------------------------------------- who may


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/pools/limit", {"pool": POOL, "limit": "3"}),
        ("/dead-letters/manifests/redrive", {"ids": "id-{}", "sure": "yes"}),
    ],
)
def test_without_write_or_the_form_token_neither_can_be_done(path, fields):
    scene = Scene()
    scene.moving_run(400, ended=0)
    scene.dead_letter("manifests", "{}", "it broke")
    with opened(scene) as client:
        assert send(client, scene, path, **fields)[0] in (404, 405)
        assert "/pools/limit" not in client.get("/pools").text
        assert shown_ids(client, scene, "manifests") is None
    with opened(scene, write=True) as client:
        assert client.post(path, data={"form_token": "x" * 64, **fields}, headers=SAME_ORIGIN).status_code == 403
        assert client.post(path, data={**fields, "form_token": scene_access(scene).form_token}).status_code == 403
    assert pool_in(scene).set_to is None
    assert waiting(scene, "manifests") == ["{}"]
