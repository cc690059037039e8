"""The simulated Hub: its storage's ranges and signatures, its own pages, and what it refuses to serve."""

import http.client
import json
import urllib.error
import urllib.request

import pytest

from quarry_local.hub.__main__ import main
from quarry_local.hub.datasets import BadFolder, Datasets
from quarry_local.hub.faults import Faults, befalls, fate_of
from quarry_local.hub.ranges import NotSatisfiable, asked_range
from tests.unit.local.simulated_hub import folder_of, simulated_hub

BODY = bytes(range(256)) * 100
PATH = "/datasets/o/n/resolve/main/x.parquet"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with simulated_hub(tmp_path_factory.mktemp("hub"), {"o/n": {"x.parquet": BODY, "small.csv": b"a\n1\n"}}) as served:
        yield served


@pytest.fixture(autouse=True)
def calm(hub):
    hub.calm()


def ask(url, path=None, method="GET", **headers):
    """Status, headers and body, without following a redirect."""
    address, _, own = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path or f"/{own}", headers=sent)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def location(hub):
    status, headers, _ = ask(hub.url, PATH)
    assert status == 302
    assert headers["X-Linked-Size"] == str(len(BODY))
    return headers["Location"]


@pytest.mark.parametrize(
    ("asked", "size", "expected"),
    [
        (None, 10, None),
        ("bytes=0-4", 10, (0, 5)),
        ("bytes=5-", 10, (5, 10)),
        ("bytes=5-99", 10, (5, 10)),
        ("bytes=-3", 10, (7, 10)),
        ("bytes=-99", 10, (0, 10)),
        ("bytes=7-3", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("lines=0-4", 10, None),
        ("bytes=-", 10, None),
    ],
)
def test_a_range_is_read_as_http_says(asked, size, expected):
    assert asked_range(asked, size) == expected


@pytest.mark.parametrize(("asked", "size"), [("bytes=10-", 10), ("bytes=0-", 0), ("bytes=-0", 10), ("bytes=-5", 0)])
def test_a_range_behind_the_end_is_told(asked, size):
    if asked == "bytes=-5":
        with pytest.raises(NotSatisfiable):
            asked_range(asked, size)
        return
    with pytest.raises(NotSatisfiable):
        asked_range(asked, size)


def test_the_storage_is_another_origin_and_gives_ranges(hub):
    where = location(hub)
    assert not where.startswith(hub.url)
    status, headers, body = ask(where, Range="bytes=-4")
    assert (status, body) == (206, BODY[-4:])
    assert headers["Content-Range"] == f"bytes {len(BODY) - 4}-{len(BODY) - 1}/{len(BODY)}"
    status, headers, body = ask(where, method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(BODY)), b"")
    assert ask(where, Range=f"bytes={len(BODY)}-")[0] == 416
    assert ask(where)[2] == BODY


def test_an_address_that_was_changed_or_has_run_out_is_denied(hub):
    where = location(hub)
    assert ask(where[:-1] + ("0" if where[-1] != "0" else "1"))[0] == 403
    assert ask(where.replace("Expires=", "Expires=9"))[0] == 403
    hub.faults(location_uses=1)
    where = location(hub)
    assert [ask(where)[0] for _ in range(3)] == [200, 403, 403]
    hub.faults(location_uses=0, location_s=0)
    assert ask(location(hub))[0] == 403


def test_a_token_that_reaches_the_storage_is_told(hub):
    before = hub.stats()["tokens_leaked"]
    ask(location(hub), Authorization="Bearer hf_x")
    assert hub.stats()["tokens_leaked"] == before + 1


def test_it_can_ignore_ranges_give_the_wrong_one_and_cut_bodies_short(hub):
    hub.faults(whole_for_range=True)
    status, _, body = ask(location(hub), Range="bytes=5-9")
    assert (status, body) == (200, BODY)
    hub.faults(whole_for_range=False, wrong_range=True)
    status, headers, body = ask(location(hub), Range="bytes=5-9")
    assert (status, body, headers["Content-Range"]) == (206, BODY[:5], f"bytes 0-4/{len(BODY)}")
    hub.faults(wrong_range=False, cut_first=1)
    with pytest.raises(http.client.IncompleteRead):
        ask(location(hub))
    assert ask(location(hub))[2] == BODY


def test_a_small_file_is_answered_at_once_or_from_another_path(hub):
    small = "/datasets/o/n/resolve/main/small.csv"
    status, headers, body = ask(hub.url, small)
    assert (status, body) == (200, b"a\n1\n")
    assert headers["X-Repo-Commit"] == hub.stats()["datasets"]["o/n"]["main"]
    hub.faults(resolve_cache=True)
    status, headers, _ = ask(hub.url, small)
    assert status == 307
    assert headers["Location"].startswith("/api/resolve-cache/datasets/o/n/")
    assert ask(hub.url, headers["Location"], Range="bytes=2-")[2] == b"1\n"


def test_a_file_that_was_changed_under_a_commit_is_not_served(hub, tmp_path):
    with simulated_hub(tmp_path, {"o/n": {"small.csv": b"a\n1\n"}}) as other:
        (tmp_path / "datasets" / "o" / "n" / "small.csv").write_bytes(b"a\n1\n2\n")
        status, _, body = ask(other.url, "/datasets/o/n/resolve/main/small.csv")
        assert status == 500
        assert b"was changed" in body


@pytest.mark.parametrize("page", ["/_quarry/stats", "/_quarry/faults"])
def test_its_own_pages_are_for_this_machine(hub, page):
    assert ask(hub.url, page)[0] == 200
    assert ask(hub.url, page, Host="example.com")[0] == 403
    assert ask(hub.url, "/_quarry/faults", "PUT", Content_Type="text/plain")[0] == 415


@pytest.mark.parametrize(
    ("page", "body"),
    [
        ("faults", {"throttled_share": 2}),
        ("faults", {"unknown": 1}),
        ("commits", {"dataset": "o/n"}),
        ("commits", {"dataset": "../n", "folder": "/tmp"}),
        ("commits", {"dataset": "o/n", "folder": "/nowhere/at/all"}),
    ],
)
def test_what_its_own_pages_cannot_take_is_refused(hub, page, body):
    method = "PUT" if page == "faults" else "POST"
    request = urllib.request.Request(
        f"{hub.url}/_quarry/{page}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        method=method,
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    with refused.value as answer:
        assert answer.status == 400
        assert json.load(answer)["message"]


def test_no_folder_and_no_dataset_end_the_program_with_a_sentence(tmp_path, capsys):
    assert main(["--folder", str(tmp_path)]) == 1
    assert "holds no dataset" in capsys.readouterr().err
    with pytest.raises(BadFolder, match="is not a dataset's name"):
        Datasets().commit("o/..", folder_of(tmp_path / "x", {"a": b""}))


def test_the_same_folder_is_the_same_commit_and_a_changed_byte_another(tmp_path):
    datasets = Datasets()
    first = datasets.commit("o/n", folder_of(tmp_path / "1", {"a.csv": b"1", "b/c.csv": b"2"}))
    again = datasets.commit("o/n", folder_of(tmp_path / "2", {"b/c.csv": b"2", "a.csv": b"1"}))
    other = datasets.commit("o/n", folder_of(tmp_path / "3", {"a.csv": b"1", "b/c.csv": b"3"}))
    assert first == again != other
    assert datasets.get("o/n").at("refs/heads/main").sha == other


def test_a_share_befalls_that_share_and_always_the_same():
    drawn = [befalls(7, f"x/{number}", 0.25) for number in range(2_000)]
    assert 400 < sum(drawn) < 600
    assert drawn == [befalls(7, f"x/{number}", 0.25) for number in range(2_000)]
    faults = Faults(throttled_first={"resolve": 1}, unavailable_first={"resolve": 1})
    assert [fate_of("resolve", "x", before, faults).status for before in range(3)] == [429, 503, 0]
    assert fate_of("info", "x", 0, faults).status == 0
