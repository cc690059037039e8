"""The page of `quarry ui` through HTTP, over a world of fakes: who may see it, what it shows, what it does."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("starlette")  # the extra `ui`

from starlette.testclient import TestClient

from quarry_cli.main import app
from quarry_cli.page import guard, shapes, words
from quarry_cli.page.cache import Cache
from quarry_cli.page.guard import local_target
from quarry_cli.page.links import Links
from quarry_cli.page.serve import Address, access_of, bind, url_of
from tests.ui.scene import HOSTILE, SCRIPT, TOKEN, Scene
from tests.unit.cli.runner import runner

HOST = "testserver"
SAME_ORIGIN = {"origin": f"http://{HOST}", "sec-fetch-site": "same-origin"}


class Seen(HTMLParser):
    """What a browser would make of a page: its elements, their attributes, and the text that it shows."""

    def __init__(self, body: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(body)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def scene():
    """Only looked at."""
    scene = Scene()
    scene.hostile = scene.hostile_run()
    scene.moving = scene.moving_run(1_500, ended=3)
    scene.dead_letter("manifests", '{"prompt": "' + SCRIPT.replace('"', "'") + '"}', f"s3_uri: {SCRIPT}")
    return scene


@pytest.fixture(autouse=True)
def queues_known(monkeypatch):
    monkeypatch.setenv("QUARRY_MANIFEST_QUEUE_URL", "https://queue/manifests")


def opened(scene, *, write=False, signed_in=True):
    client = TestClient(scene.app(write=write), base_url=f"http://{HOST}", follow_redirects=False)
    if signed_in:
        client.cookies.set("quarry_ui_80", scene_access(scene).session)
    return client


def scene_access(scene):
    return guard.Access(TOKEN, frozenset({HOST}), 80)


def pages_of(scene, run_id):
    tabs = ("", "/live", "/shards", "/shards/00000", "/jobs", "/errors", "/rows", "/request")
    return ["/", "/pools", "/dead-letters", *(f"/runs/{run_id}{tab}" for tab in tabs)]


# --------------------------------------------------------------------------- who may see it


def test_a_stranger_is_asked_for_the_token_and_sees_nothing(scene):
    with opened(scene, signed_in=False) as client:
        for path in pages_of(scene, scene.hostile):
            answer = client.get(path)
            assert (answer.status_code, answer.text) == (303, "")
            assert answer.headers["location"].startswith("/login?next=")
            assert client.get(path, headers={"hx-request": "true"}).status_code == 401
        assert client.post(f"/runs/{scene.moving}/do/cancel", headers=SAME_ORIGIN).status_code == 401


def test_the_token_signs_in_and_a_wrong_one_does_not(scene):
    with opened(scene, signed_in=False) as client:
        assert client.get("/login", params={"token": TOKEN[:-1]}).status_code == 401
        assert "set-cookie" not in client.get("/login", params={"token": ""}).headers

        answer = client.get("/login", params={"token": TOKEN, "next": "/pools"})

        cookie = answer.headers["set-cookie"]
        assert (answer.status_code, answer.headers["location"]) == (303, "/pools")
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert TOKEN not in cookie
        assert client.get("/pools").status_code == 200


def test_the_form_signs_in_too(scene):
    with opened(scene, signed_in=False) as client:
        answer = client.post("/login", data={"token": TOKEN, "next": "/"}, headers=SAME_ORIGIN)
        assert (answer.status_code, client.get("/").status_code) == (303, 200)


@pytest.mark.parametrize(
    "target", ["//evil.example/", "https://evil.example", "/\\evil.example", "evil", "/a\nb", "", "/login?token=x"]
)
def test_after_signing_in_nobody_is_sent_elsewhere(target):
    assert local_target(target) == "/"


@pytest.mark.parametrize("host", ["evil.example", "testserver.evil.example", "testserver:81", "", "127.0.0.1"])
def test_a_name_that_only_resolves_to_this_machine_is_answered_nothing(scene, host):
    with opened(scene) as client:
        answer = client.get("/", headers={"host": host})
        assert answer.status_code == 421
        assert "jokes" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://testserver.evil.example"},
        {"origin": f"http://{HOST}", "sec-fetch-site": "cross-site"},
        {"origin": f"http://{HOST}", "sec-fetch-site": "same-site"},
    ],
)
def test_a_post_of_another_page_changes_nothing(headers):
    scene = Scene()
    run_id = scene.moving_run(400, ended=0)
    with opened(scene, write=True) as client:
        data = {"form_token": scene_access(scene).form_token}
        assert client.post(f"/runs/{run_id}/do/pause", data=data, headers=headers).status_code == 403
        assert not paused(scene, run_id)


@pytest.mark.parametrize("form_token", ["", "x", TOKEN])
def test_a_post_without_the_form_token_changes_nothing(form_token):
    scene = Scene()
    run_id = scene.moving_run(400, ended=0)
    with opened(scene, write=True) as client:
        answer = client.post(f"/runs/{run_id}/do/pause", data={"form_token": form_token}, headers=SAME_ORIGIN)
        assert answer.status_code == 403
        assert not paused(scene, run_id)


def test_every_answer_carries_the_policy(scene):
    with opened(scene) as client:
        for path in (*pages_of(scene, scene.hostile), "/login", "/healthz", "/nothing", "/static/page.css"):
            headers = client.get(path).headers
            assert headers["content-security-policy"] == guard.POLICY
            assert headers["referrer-policy"] == "same-origin"
            assert headers["x-frame-options"] == "DENY"
            assert headers["x-content-type-options"] == "nosniff"
        assert "unsafe" not in guard.POLICY


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(scene, method):
    with opened(scene) as client:
        assert client.request(method, "/").status_code == 405


def test_a_form_that_is_too_long_or_of_another_kind_is_refused(scene):
    with opened(scene, write=True) as client:
        path = f"/runs/{scene.moving}/do/pause"
        assert client.post(path, data={"form_token": "x" * 5_000}, headers=SAME_ORIGIN).status_code == 413
        assert client.post(path, json={"form_token": "x"}, headers=SAME_ORIGIN).status_code == 415


def test_whoever_opens_it_to_others_says_under_which_name():
    with pytest.raises(Exception, match="--allow-host"):
        bind(Address("0.0.0.0", 0))
    access = access_of(Address("0.0.0.0", 8080, ("Quarry.example",)), 8080, "t" * 32)
    assert {"quarry.example", "quarry.example:8080", "localhost:8080"} <= access.hosts
    assert access.secure
    with pytest.raises(Exception, match="32 characters"):
        access_of(Address("127.0.0.1", 0), 80, "short")


def test_the_address_that_is_printed_signs_in():
    address = Address("127.0.0.1", 0)
    with bind(address) as listening:
        port = listening.getsockname()[1]
    access = access_of(address, port)
    assert url_of(address, port, access) == f"http://127.0.0.1:{port}/login?token={access.token}"
    assert access_of(address, port).token != access.token
    assert access.token not in repr(access)


@pytest.fixture
def started(scene, monkeypatch):
    """`quarry ui`, which serves nothing here: what it would serve is looked at, and its output is the answer."""
    for name, value in (("QUARRY_REGION", "us-east-1"), ("QUARRY_TABLE", "ledger"), ("QUARRY_BUCKET", "world")):
        monkeypatch.setenv(name, value)

    def start(*arguments, look=lambda client: None):
        def serve(page, sockets):
            port = sockets[0].getsockname()[1]
            with TestClient(page, base_url=f"http://127.0.0.1:{port}") as client:
                look(client)

        monkeypatch.setattr("quarry_cli.page.serve.serve", serve)
        return runner().invoke(app, ["ui", "--no-open", *arguments], obj=scene.connect)

    return start


def test_the_command_prints_where_the_page_is_and_that_signs_in(scene, started):
    found = []

    def look(client):
        found.append((client.get("/").url.path, client.get("/healthz").status_code))
        found.append(client.get("/", headers={"host": "evil.example"}).status_code)

    result = started("--json", look=look)

    assert result.exit_code == 0, result.output
    url = json.loads(result.stdout)["url"]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/login\?token=[\w-]{43}", url)
    assert found == [("/login", 200), 421]
    assert url not in started("--json").stdout  # another token at each start


def test_a_token_that_was_given_is_printed_nowhere_and_signs_in(scene, started, monkeypatch):
    monkeypatch.setenv("QUARRY_UI_TOKEN", TOKEN)
    seen = []

    result = started(look=lambda client: seen.append(client.get("/login", params={"token": TOKEN}).text))

    assert result.exit_code == 0
    assert TOKEN not in result.output
    assert "hostile" in seen[0]
    monkeypatch.setenv("QUARRY_UI_TOKEN", "short")
    assert "32 characters" in started().stderr


def test_the_page_is_opened_to_others_only_under_a_name(started, monkeypatch):
    refused = started("--host", "0.0.0.0")
    assert (refused.exit_code, "--allow-host" in refused.stderr) == (2, True)

    monkeypatch.setenv("QUARRY_UI_ALLOW_HOSTS", "quarry.example, other.example")
    codes = []
    named = started(
        "--host",
        "0.0.0.0",
        look=lambda client: codes.extend(
            client.get("/login", headers={"host": host}).status_code for host in ("quarry.example", "evil.example")
        ),
    )
    assert (named.exit_code, codes) == (0, [200, 421])


def test_links_lead_to_the_console_of_an_environment_in_aws_alone():
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    known = Links("eu-west-1", "prod", "https://grafana.example/d/q?var-run={run_id}")
    s3, logs, metrics = known.of_run("r1", "s3://bucket/results/r1/", "2026-11-30T08:00:00+00:00", None, now)

    assert s3.url == "https://console.aws.amazon.com/s3/buckets/bucket?region=eu-west-1&prefix=results/r1/"
    assert logs.url.startswith("https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:")
    assert "$257Estart$257E$25272026-11-30T07*3a50*3a00.000Z" in logs.url
    assert "$2527*2fecs*2fprod-quarry-collector" in logs.url
    assert metrics.url == "https://grafana.example/d/q?var-run=r1"
    assert Links().of_run("r1", "s3://bucket/results/r1/", "", None, now) == []


# --------------------------------------------------------------------------- what means harm is text


def test_answers_names_prompts_and_errors_are_text_on_every_page(scene):
    with opened(scene, write=True) as client:
        found = ""
        for path in pages_of(scene, scene.hostile):
            body = client.get(path).text
            page = Seen(body)
            found += page.text
            assert "<h1>taken" not in body
            for tag, attributes in page.elements:
                assert tag != "script" or set(attributes) == {"src", "defer"}
                assert not [name for name in attributes if name.startswith("on") or name == "style"]
                for name in ("href", "src", "action", "hx-get"):
                    assert (attributes.get(name) or "/").startswith(("/", "?", "#", "https://"))
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", body)
            assert "taken'</script>" not in body
            assert "1337" not in body
        # It was there, all the same.
        assert SCRIPT in found
        assert "\N{REPLACEMENT CHARACTER}]0;taken" in found


def test_a_dead_letter_is_text(scene):
    with opened(scene) as client:
        data = {"form_token": scene_access(scene).form_token}
        page = Seen(client.post("/dead-letters/manifests", data=data, headers=SAME_ORIGIN).text)
        assert f"s3_uri: {SCRIPT}" in page.text
        assert [attributes for tag, attributes in page.elements if tag == "script"] == [
            attributes for tag, attributes in page.elements if tag == "script" and "src" in attributes
        ]


def test_no_template_has_a_script_or_a_style_of_its_own_or_switches_escaping_off():
    directory = Path(guard.__file__).parent / "templates"
    for path in directory.glob("*.html"):
        text = path.read_text()
        assert not re.search(
            r"<style|\sstyle=|\son[a-z]+=|<script(?! src=\"/static/)|\|\s*safe\b|autoescape|hx-on", text
        ), path


def test_text_of_an_address_is_text(scene):
    with opened(scene) as client:
        for path in ("/", "/runs/x", f"/runs/{scene.moving}/request", f"/runs/{scene.moving}/shards"):
            answer = client.get(path, params={"name": SCRIPT, "state": SCRIPT, "record": SCRIPT, "after": SCRIPT})
            assert SCRIPT not in answer.text
        assert client.get("/runs/" + "%3Cscript%3E").status_code == 404


# --------------------------------------------------------------------------- what it shows


def test_a_run_is_shown_whole(scene):
    with opened(scene) as client:
        text = " ".join(Seen(client.get(f"/runs/{scene.hostile}").text).text.split())
        assert "hostile" in text
        assert "Succeeded with errors" in text
        assert "240 of 240 rows" in text
        assert "NULL_INPUT" in text
        assert "Results in S3" in text

        errors = Seen(client.get(f"/runs/{scene.hostile}/errors").text).text
        assert "120 rows" in errors
        request = Seen(client.get(f"/runs/{scene.hostile}/request", params={"record": "1"}).text).text
        assert '"anthropic_version"' in request
        assert HOSTILE.split()[0] in request


def test_a_running_run_is_asked_for_again_and_an_ended_one_is_not(scene):
    with opened(scene) as client:
        assert f'hx-get="/runs/{scene.moving}/live?' in client.get(f"/runs/{scene.moving}").text
        assert "hx-get" not in client.get(f"/runs/{scene.hostile}").text


def test_a_run_of_a_model_with_a_history_is_shown_with_its_expected_time():
    scene = Scene()
    scene.moving_run(3_000, ended=12)
    run_id = scene.moving_run(1_200, "the next", ended=0)
    with opened(scene) as client:
        seen = " ".join(Seen(client.get(f"/runs/{run_id}").text).text.split())
    assert re.search(r"12 shards, 2 waves, \d+ (s|min|h)", seen), seen


def test_the_pause_between_looks_grows_while_nothing_moves():
    scene = Scene()
    run_id = scene.moving_run(800, ended=1)
    with opened(scene) as client:
        path, pauses = f"/runs/{run_id}/live", []
        for _ in range(7):
            body = client.get(path, headers={"hx-request": "true"}).text
            path = re.search('hx-get="([^"]+)"', body)[1].replace("&amp;", "&")
            pauses.append(int(re.search(r"delay:(\d+)s", body)[1]))
        assert pauses == [2, 4, 8, 16, 32, 60, 60]

        scene.step()

        body = client.get(path, headers={"hx-request": "true"}).text
        assert "delay:2s" in body


def test_what_was_just_read_is_not_read_again_by_the_next_who_looks():
    scene = Scene()
    run_id = scene.ended(200, "calm")
    calls = []
    query = scene.world.table.get
    scene.world.table.get = lambda key: calls.append(key) or query(key)
    with opened(scene) as client:
        client.get(f"/runs/{run_id}")
        before = len(calls)
        assert 0 < before <= 8
        client.get(f"/runs/{run_id}")
        assert len(calls) == before
        scene.world.clock.advance(3)
        client.get(f"/runs/{run_id}")
        assert len(calls) > before


def test_twenty_thousand_shards_are_paged_and_cost_no_more_calls():
    scene = Scene()
    run_id = scene.moving_run(1_000, ended=1)
    scene.many_shards(run_id, 20_000)
    queries = []
    query = scene.world.table.query

    async def counted(pk, prefix="", **options):
        queries.append(options["most"])
        return await query(pk, prefix, **options)

    scene.world.table.query = counted
    with opened(scene) as client:
        page = Seen(client.get(f"/runs/{run_id}/shards", params={"page": "7"}).text)
        cells = [attributes for tag, attributes in page.elements if "cell" in (attributes.get("class") or "").split()]
        assert "Page 8 of 40" in page.text
        assert len(cells) == 500
        assert [cell["tabindex"] for cell in cells].count("0") == 1
        assert cells[0]["href"].endswith("/07000")
        assert len(queries) <= 8
        assert max(queries) <= 500
        assert client.get(f"/runs/{run_id}/shards", params={"page": "999999"}).text.count("Page 40 of 40") == 1
        assert (
            client.get(f"/runs/{run_id}/shards", params={"shard": "38"}).headers["location"].endswith("/shards/00038")
        )


def test_runs_are_paged_and_filtered():
    scene = Scene()
    ids = [scene.ended(100, f"nightly-{number}") for number in range(3)]
    other = scene.ended(100, "weekly")
    with opened(scene) as client:
        assert all(run_id in client.get("/").text for run_id in (*ids, other))
        named = client.get("/", params={"name": "nightly"}).text
        assert other not in named
        assert all(run_id in named for run_id in ids)
        assert "No run matches" in client.get("/", params={"state": "FAILED"}).text
        assert other in client.get("/", params={"state": "succeeded", "model": "HAIKU"}).text
        assert "There is no state" in client.get("/", params={"state": "odd"}).text
        older = client.get("/", params={"after": "1"}).text
        assert other not in older
        assert ids[0] in older


def test_silence_of_aws_is_an_answer_with_a_reason(scene):
    from quarry_core.errors import Throttled

    broken = Scene()

    async def refuse(*_, **__):
        raise Throttled("Rate exceeded " + SCRIPT)

    broken.world.table.query = refuse
    with opened(broken) as client:
        answer = client.get("/")
        assert answer.status_code == 502
        assert "Rate exceeded" in answer.text
        assert SCRIPT not in answer.text
        fragment = client.get("/", headers={"hx-request": "true"})
        assert fragment.headers["content-type"].startswith("text/plain")


def test_counting_dead_letters_touches_none():
    scene = Scene()
    scene.dead_letter("manifests", "{}", "it is no manifest")
    queue = scene.dead_letters["manifests"]
    with opened(scene) as client:
        page = Seen(client.get("/dead-letters").text)
        assert "Show the first of manifests" in page.text
        assert [held.receive_count for held in queue._contents.waiting.values()] == [0]

        data = {"form_token": scene_access(scene).form_token}
        assert "it is no manifest" in client.post("/dead-letters/manifests", data=data, headers=SAME_ORIGIN).text


# --------------------------------------------------------------------------- what it does


def paused(scene, run_id):
    return bool(asyncio.run(scene.world.totals(run_id)).paused_at)


def test_without_write_nothing_can_be_done():
    scene = Scene()
    run_id = scene.moving_run(400, ended=0)
    with opened(scene) as client:
        data = {"form_token": scene_access(scene).form_token}
        assert client.post(f"/runs/{run_id}/do/pause", data=data, headers=SAME_ORIGIN).status_code == 404
        assert "/do/" not in client.get(f"/runs/{run_id}").text
        assert not paused(scene, run_id)


def test_a_run_is_paused_shared_resumed_and_cancelled():
    scene = Scene()
    run_id = scene.moving_run(800, ended=0)

    def do(client, action, **fields):
        asked = client.get(f"/runs/{run_id}/do/{action}").text
        token = re.search('name="form_token" value="([^"]+)"', asked)[1]
        answer = client.post(f"/runs/{run_id}/do/{action}", data={"form_token": token, **fields}, headers=SAME_ORIGIN)
        return answer.status_code, " ".join(Seen(answer.text).text.split())

    with opened(scene, write=True) as client:
        status, text = do(client, "pause")
        assert (status, paused(scene, run_id)) == (200, True)
        assert "The run is paused." in text
        assert "paused" in Seen(client.get(f"/runs/{run_id}").text).text

        status, text = do(client, "share", **{"class": "high", "weight": "7"})
        assert (status, "class is high, its weight 7" in text) == (200, True)
        assert do(client, "share", weight="seven")[0] == 400
        assert do(client, "share", weight="0")[0] == 400

        assert do(client, "resume")[0] == 200
        assert not paused(scene, run_id)

        status, text = do(client, "cancel")
        assert (status, "The run is cancelled." in text) == (200, True)
        assert client.get(f"/runs/{run_id}/do/nothing").status_code == 404
        scene.finish(run_id)
        assert do_after_its_end(client, scene, run_id) == 409


def done(client, scene, run_id, action, **fields):
    data = {"form_token": scene_access(scene).form_token, **fields}
    answer = client.post(f"/runs/{run_id}/do/{action}", data=data, headers=SAME_ORIGIN)
    return answer.status_code, " ".join(Seen(answer.text).text.split())


def test_a_held_run_says_why_and_is_approved():
    scene = Scene()
    run_id = scene.held_run()
    with opened(scene) as client:
        seen = Seen(client.get(f"/runs/{run_id}").text).text
        assert "the canary exceeds its limits" in seen
        assert f"quarry approve {run_id}" in seen, "who may not write is told the command"
        assert "100 rows, 100.0% (96.3% to 100.0%) with an error" in seen
        assert run_id in client.get("/", params={"state": "held"}).text
        assert run_id not in client.get("/", params={"state": "running"}).text
        assert done(client, scene, run_id, "approve")[0] == 404
    assert asyncio.run(scene.world.totals(run_id)).held
    with opened(scene, write=True) as client:
        assert f"/runs/{run_id}/do/approve" in client.get(f"/runs/{run_id}").text

        status, text = done(client, scene, run_id, "approve")

        assert (status, "The run is approved, and goes on." in text) == (200, True)
        assert not asyncio.run(scene.world.totals(run_id)).held
        assert "/do/approve" not in client.get(f"/runs/{run_id}", headers={"cache-control": "no-cache"}).text
        assert done(client, scene, run_id, "approve")[0] == 200, "a second click changes nothing"
    scene.finish(run_id)


def test_the_budget_of_a_run_is_set_and_taken_away():
    scene = Scene()
    run_id = scene.moving_run(1_200, ended=1)
    with opened(scene, write=True) as client:
        assert "no budget" in Seen(client.get(f"/runs/{run_id}/do/budget").text).text
        for wrong in ("-1", "1e3", "ten", "$5", "nan", "0", "9" * 30):
            status, text = done(client, scene, run_id, "budget", budget_usd=wrong)
            assert (status, "US dollars" in text) == (400, True), wrong

        status, text = done(client, scene, run_id, "budget", budget_usd="2.50")

        assert (status, "The run's budget is $2.50." in text, "before: no budget" in text) == (200, True, True)
        assert asyncio.run(scene.world.totals(run_id)).budget_micros == 2_500_000
        assert 'value="2.5"' in client.get(f"/runs/{run_id}/do/budget").text
        assert "of a budget of $2.50" in Seen(client.get(f"/runs/{run_id}").text).text
        assert "has no budget" in done(client, scene, run_id, "budget", budget_usd="")[1]
        assert asyncio.run(scene.world.totals(run_id)).budget_micros is None


def test_a_run_that_is_held_for_its_budget_goes_on_when_it_is_raised():
    scene = Scene(job_quota=2)
    run_id = scene.moving_run(1_200, ended=0, budget_usd=0.005)
    for _ in range(12):
        scene.step()
    assert asyncio.run(scene.world.totals(run_id)).held_kind == "budget"
    with opened(scene, write=True) as client:
        page = client.get(f"/runs/{run_id}").text
        assert "Held since" in Seen(page).text
        assert 'id="to-budget"' in page
        assert "/do/approve" not in page
        assert done(client, scene, run_id, "budget", budget_usd="100")[0] == 200
    scene.finish(run_id)
    assert asyncio.run(scene.world.totals(run_id)).ok == 1_200


def test_the_error_rows_of_an_ended_run_are_asked_again():
    scene = Scene()
    scene.world.bedrock.throttled_share = 0.2
    run_id = scene.ended(300, "reviews", record_errors={"max_attempts": 1})
    scene.world.bedrock.throttled_share = 0.0
    with opened(scene, write=True) as client:
        page = Seen(client.get(f"/runs/{run_id}").text)
        assert "Retry errors" in page.text
        assert "Pause" not in page.text
        data = {"form_token": scene_access(scene).form_token, "rows": "all"}

        answer = client.post(f"/runs/{run_id}/do/retry", data=data, headers=SAME_ORIGIN)

        assert answer.status_code == 200, Seen(answer.text).text
        assert "Version 2 of the results is being made." in answer.text
        [other] = {
            found["href"]
            for tag, found in Seen(answer.text).elements
            if tag == "a"
            and found["href"] != f"/runs/{run_id}"
            and re.fullmatch("/runs/[a-z0-9-]+", found["href"] or "")
        }
        scene.finish(other.removeprefix("/runs/"))
        assert "Succeeded" in Seen(client.get(other).text).text
        assert client.post(f"{other}/do/pause", data=data, headers=SAME_ORIGIN).status_code == 409


def test_the_report_of_an_ended_run_is_a_file_and_of_another_there_is_none(scene):
    with opened(scene) as client:
        answer = client.get(f"/runs/{scene.hostile}/report")
        assert answer.headers["content-disposition"] == f'attachment; filename="quarry-{scene.hostile}.html"'
        assert answer.content == scene.world.objects.bodies[f"results/{scene.hostile}/_report.html"]
        assert client.get(f"/runs/{scene.moving}/report").status_code == 409


def do_after_its_end(client, scene, run_id):
    data = {"form_token": scene_access(scene).form_token}
    return client.post(f"/runs/{run_id}/do/pause", data=data, headers=SAME_ORIGIN).status_code


# --------------------------------------------------------------------------- pieces


def test_a_bar_shows_the_least_and_stays_within_its_width():
    pieces = shapes.bar([("ok", "ok", 999_999), ("error", "error", 1), ("none", "none", 0)], 1_000_000)
    assert [piece.kind for piece in pieces] == ["ok"]
    pieces = shapes.bar([("error", "error", 1), ("ok", "ok", 999_999)], 1_000_000)
    assert [(piece.kind, piece.width) for piece in pieces] == [("error", 4), ("ok", 996)]
    assert shapes.bar([("ok", "ok", 1)], 0) == []


def test_no_share_is_rounded_to_all_or_to_nothing():
    assert words.percent(999_999, 1_000_000) == "99.9 %"
    assert words.percent(1, 1_000_000) == "0.1 %"
    assert [words.percent(part, 200) for part in (0, 50, 200)] == ["0 %", "25 %", "100 %"]


async def test_many_who_ask_at_once_are_answered_by_one_reading():
    import asyncio

    now = [0.0]
    cache = Cache(lambda: now[0], entries_max=2)
    reads = []

    async def read():
        await asyncio.sleep(0)
        reads.append(now[0])
        return len(reads)

    assert await asyncio.gather(*(cache.get("a", 2, read) for _ in range(20))) == [1] * 20
    now[0] = 2.5
    assert await cache.get("a", 2, read) == 2
    for key in ("b", "c"):
        await cache.get(key, 2, read)
    assert await cache.get("a", 2, read) == 5  # the least used went

    async def fail():
        raise ValueError("once more")

    for _ in range(2):
        with pytest.raises(ValueError, match="once more"):
            await cache.get("d", 2, fail)


def test_the_vendored_script_is_the_one_that_was_published():
    import hashlib

    body = (Path(guard.__file__).parent / "static" / "htmx.min.js").read_bytes()
    assert hashlib.sha256(body).hexdigest() == "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"
