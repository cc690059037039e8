"""Files of the Hub through the reading half of the port: fewest requests, and nothing believed."""

import dataclasses
import hashlib
import io
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_core.contract.hub_names import hub_bucket
from quarry_core.errors import Changed, Missing, NoRanges, Refused, Throttled, Unknown
from quarry_core.ports import ObjectRef
from quarry_core.sources.hub import reading
from quarry_core.sources.hub.http import ATTEMPTS_MAX, HubHttp, asked_pause_s, meaning_of
from quarry_core.sources.hub.objects import HubObjects
from quarry_core.sources.hub.reading import ENDING_BYTES, RUN_BYTES_MIN
from quarry_core.tabular.parquet.rows import BUFFER_BYTES_MAX, open_parquet
from tests.unit.local.simulated_hub import simulated_hub

LARGE = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(10_000))
SMALL = b"a,b\n1,2\n" * 20_000
TINY = b"a\n1\n"


def parquet(rows=40_000, groups=8, columns=3):
    table = pa.table({f"c{n}": pa.array([f"{n}-{row}" for row in range(rows)]) for n in range(columns)})
    body = io.BytesIO()
    pq.write_table(table, body, row_group_size=rows // groups, compression="none", use_dictionary=False)
    return body.getvalue()


ROWS = parquet()
FILES = {
    "large.bin": LARGE,
    "small.csv": SMALL,
    "tiny.csv": TINY,
    "empty.csv": b"",
    "rows.parquet": ROWS,
    "none.bin": b"",
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    datasets = {"o/n": FILES, "o/private": FILES, "o/gated": FILES}
    tokens = {"hf_mine": ["*"], "hf_other": []}
    with simulated_hub(
        tmp_path_factory.mktemp("hub"), datasets, private=["o/private"], gated=["o/gated"], tokens=tokens
    ) as served:
        yield served


@pytest.fixture(autouse=True)
def calm(hub):
    hub.calm()


class Pauses(list):
    def __call__(self, seconds):
        self.append(seconds)


@pytest.fixture
def pauses():
    return Pauses()


@pytest.fixture
def objects(hub, pauses):
    made = HubObjects(hub.url, pause=pauses)
    yield made
    made.close()


def ref_to(hub, name, dataset="o/n", *, sized=False):
    body = FILES[name]
    lfs = name.endswith((".parquet", ".bin"))
    etag = hashlib.sha256(body).hexdigest() if lfs else hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
    bucket = hub_bucket(dataset, hub.stats()["datasets"][dataset]["main"])
    return ObjectRef(name, bucket, etag, size_bytes=len(body) if sized else None)


class Counted:
    """The requests for a file since this was made."""

    def __init__(self, hub, name, dataset="o/n"):
        self._hub, self._about = hub, f"{dataset}/{name}"
        self._before = hub.counts(self._about)

    def __call__(self):
        now = self._hub.counts(self._about)
        return {
            kind: count - self._before.get(kind, 0) for kind, count in now.items() if count > self._before.get(kind, 0)
        }


@pytest.mark.parametrize("sized", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_a_file_comes_whole_by_range_and_from_an_offset(hub, objects, name, sized):
    ref, body = ref_to(hub, name, sized=sized), FILES[name]
    assert objects.read(ref) == body
    assert objects.read(ref, 3, 5) == body[3:8]
    assert objects.read(ref, len(body), 5) == b""
    assert objects.read(ref, 0, 0) == b""
    with objects.stream(ref) as stream:
        assert stream.read(2) + stream.read() == body
    with objects.stream(ref, 2) as stream:
        assert stream.read() == body[2:]
    with objects.random_access(ref) as file:
        assert file.seek(0, io.SEEK_END) == len(body)
        file.seek(max(len(body) - 4, 0))
        assert file.read() == body[-4:]
        file.seek(1)
        assert file.read(10) == body[1:11]
    info = objects.head(ref)
    assert (info.key, info.size_bytes, info.etag) == (name, len(body), ref.etag)


@pytest.mark.parametrize("sized", [False, True])
def test_a_parquet_files_end_and_its_rows_take_the_fewest_requests(hub, objects, sized):
    ref, counted = ref_to(hub, "rows.parquet", sized=sized), Counted(hub, "rows.parquet")
    with open_parquet(objects, ref) as file:
        file.check_footer()
    assert counted() == {"resolve": 1, "storage": 1}, "its place, and its end"
    with open_parquet(objects, ref) as file:
        rows = sum(batch.num_rows for batch in file.read(0, file.rows))
    assert rows == 40_000
    assert counted() == {"resolve": 1, "storage": 2}, (
        "neither place nor end is asked for again, and all rows are one run"
    )
    with open_parquet(objects, ref) as file:
        rows = sum(batch.num_rows for group in range(8) for batch in file.read_group(group, 0, 5_000, ["c1"]))
    assert rows == 40_000
    assert counted()["storage"] <= 2 + 8


def test_a_small_file_is_its_place_and_its_end_at_once(hub, objects):
    counted = Counted(hub, "tiny.csv")
    with objects.random_access(ref_to(hub, "tiny.csv")) as file:
        assert file.read() == TINY
    assert counted() == {"resolve": 1}


def test_columns_that_are_read_in_turns_share_no_run_and_take_no_request_for_each_piece(hub, objects):
    counted, third = Counted(hub, "large.bin"), len(LARGE) // 3
    ref = ref_to(hub, "large.bin")
    with objects.random_access(ref) as file:
        got = [b"", b"", b""]
        for piece in range(0, third - 5_000, 5_000):
            for column in range(3):
                file.seek(column * third + piece)
                got[column] += file.read(5_000)
    for column in range(3):
        assert got[column] == LARGE[column * third :][: len(got[column])]
    assert counted()["storage"] <= 7


def test_a_kept_address_that_has_run_out_is_asked_for_anew(hub, objects):
    hub.faults(location_uses=2)
    ref, counted = ref_to(hub, "large.bin"), Counted(hub, "large.bin")
    for start in range(0, 60, 10):
        assert objects.read(ref, start, 10) == LARGE[start : start + 10]
    assert counted() == {"resolve": 3, "storage": 6 + 2}
    hub.faults(location_uses=0, location_s=0)
    with pytest.raises(Refused, match="the storage refuses the addresses that the Hub gives for it"):
        HubObjects(hub.url).read(ref, 0, 10)


def test_the_token_goes_to_the_hub_and_to_nobody_else(hub, pauses):
    before = hub.stats()["tokens_leaked"]
    objects = HubObjects(hub.url, "hf_mine", pause=pauses)
    for cached in (False, True):
        hub.faults(resolve_cache=cached)
        for name in ("small.csv", "large.bin"):
            assert objects.read(ref_to(hub, name, "o/private")) == FILES[name]
    assert hub.stats()["tokens_leaked"] == before
    assert "hf_mine" not in repr(objects.http)
    objects.close()


@pytest.mark.parametrize(
    ("dataset", "token", "error", "sentence"),
    [
        ("o/private", "", Refused, "401 RepoNotFound"),
        ("o/private", "hf_other", Missing, "404 RepoNotFound"),
        ("o/private", "hf_wrong", Refused, "401: Invalid credentials"),
        ("o/gated", "", Refused, "401 GatedRepo"),
        ("o/gated", "hf_other", Refused, "403 GatedRepo"),
    ],
)
def test_who_may_not_read_is_told_in_the_ports_words_without_the_token(hub, pauses, dataset, token, error, sentence):
    objects = HubObjects(hub.url, token, pause=pauses)
    with pytest.raises(error) as refused:
        objects.read(ref_to(hub, "large.bin", dataset))
    assert sentence in str(refused.value)
    assert not token or token not in str(refused.value)
    assert not pauses
    objects.close()


def test_what_is_gone_is_missing(hub, objects):
    ref = ref_to(hub, "large.bin")
    with pytest.raises(Missing, match="EntryNotFound"):
        objects.read(ObjectRef("nowhere.csv", ref.bucket))
    with pytest.raises(Missing, match="RevisionNotFound"):
        objects.head(ObjectRef("large.bin", hub_bucket("o/n", "0" * 40)))


def test_an_answer_of_another_commit_or_another_content_is_not_taken(hub, objects):
    ref = ref_to(hub, "large.bin")
    with pytest.raises(Changed, match="was pinned"):
        objects.read(ObjectRef(ref.key, ref.bucket, "0" * 64))
    with pytest.raises(Changed, match="was pinned"):
        objects.read(ObjectRef("small.csv", ref.bucket, "0" * 40))
    for name in ("large.bin", "small.csv"):
        with pytest.raises(Changed, match="were pinned"):
            objects.read(dataclasses.replace(ref_to(hub, name), size_bytes=1))
    hub.faults(other_commit=True)
    for name in ("small.csv", "large.bin"):
        with pytest.raises(Changed, match="the answer is of the commit"):
            HubObjects(hub.url).read(ref_to(hub, name))


def test_a_pinned_commit_is_read_while_its_branch_moves(hub, objects):
    ref = ref_to(hub, "large.bin")
    with objects.random_access(ref) as file:
        begin = file.read(100)
        hub.commit("o/n", {"large.bin": b"other" * 10_000})
        file.seek(ENDING_BYTES * 2)
        assert begin + file.read(10) == LARGE[:100] + LARGE[ENDING_BYTES * 2 :][:10]
    assert objects.read(ref) == LARGE
    hub.commit("o/n", FILES)


@pytest.mark.parametrize("fault", ["whole_for_range", "wrong_range"])
@pytest.mark.parametrize("name", ["large.bin", "small.csv"])
def test_what_is_not_the_range_is_never_taken_for_it(hub, objects, fault, name):
    ref = ref_to(hub, name)
    hub.faults(**{fault: True})
    with pytest.raises(NoRanges):
        objects.read(ref, 1_000, 10)
    with objects.random_access(ref) as file:
        file.seek(1_000)
        with pytest.raises(NoRanges):
            file.read(10)
    assert objects.read(ref) == FILES[name], "all of it is what was asked for"


def test_without_ranges_a_stream_still_comes_to_its_end_and_says_that_there_are_none(hub, objects, pauses):
    ref = ref_to(hub, "large.bin")
    with objects.stream(ref) as stream:
        assert stream.ranged
    hub.faults(whole_for_range=True, cut_first=2)
    with objects.stream(ref) as stream:
        assert not stream.ranged
        assert stream.read() == LARGE
    assert len(pauses) == 2
    with pytest.raises(NoRanges):
        objects.stream(ref, 100)


@pytest.mark.parametrize("name", ["large.bin", "small.csv", "empty.csv", "none.bin"])
def test_what_is_read_whole_is_the_content_that_was_pinned(hub, objects, name, monkeypatch):
    ref = ref_to(hub, name, sized=True)
    monkeypatch.setattr(HubObjects, "_check", lambda *_: None)
    with objects.stream(ref) as stream:
        assert stream.read() == FILES[name]
    wrong = dataclasses.replace(ref, etag=ref.etag[::-1])
    with objects.stream(wrong) as stream, pytest.raises(Changed, match="not the pinned one"):
        stream.read()
    with pytest.raises(Changed, match="not the pinned one"):
        objects.read(wrong)


def test_a_broken_connection_is_resumed_where_it_broke_and_not_for_ever(hub, objects, pauses):
    ref = ref_to(hub, "large.bin")
    hub.faults(cut_first=3)
    assert objects.read(ref) == LARGE
    assert pauses == [0.2, 0.4, pytest.approx(0.6)]
    hub.faults(cut_first=99)
    with pytest.raises(Unknown, match="the connection broke 6 times"):
        objects.read(ref, 0, 200_000)


def test_limits_are_waited_for_as_long_as_is_asked_and_within_bounds(hub, objects, pauses):
    ref = ref_to(hub, "large.bin")
    hub.faults(
        throttled_first={"resolve": 1, "storage": 1}, throttled_s=3, unavailable_first={"resolve": 1}, unavailable_s=2
    )
    assert objects.read(ref, 0, 4) == LARGE[:4]
    assert pauses == [3, 2, 3]
    hub.faults(throttled_first={"storage": 1}, throttled_s=300)
    with pytest.raises(Throttled, match="the Hub asks for a pause of 300 s"):
        objects.read(ref, 0, 4)
    pauses.clear()
    hub.faults(throttled_first={}, unavailable_first={"storage": 99}, unavailable_s=0)
    with pytest.raises(Throttled, match="503"):
        objects.read(ref, 0, 4)
    assert pauses == [0] * (ATTEMPTS_MAX - 1)


def test_a_hub_that_does_not_answer_is_unknown_and_no_address_is_in_the_words(pauses):
    objects = HubObjects("http://127.0.0.1:9", pause=pauses)
    with pytest.raises(Unknown) as unknown:
        objects.read(ObjectRef("x.csv", hub_bucket("o/n", "0" * 40)))
    assert "127.0.0.1:9/datasets/o/n/resolve" in str(unknown.value)
    assert pauses == [0.5, 1.0, 2.0, 4.0]


def test_many_threads_share_one_reader(hub, objects):
    ref, failed = ref_to(hub, "large.bin"), []

    def read(start):
        failed.extend(start for _ in range(5) if objects.read(ref, start, 1_000) != LARGE[start : start + 1_000])

    threads = [threading.Thread(target=read, args=(start * 1_000,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failed


def test_requests_are_observed_with_their_outcome(hub, pauses):
    seen = []
    objects = HubObjects(hub.url, pause=pauses, observe=lambda *call: seen.append(call[:3]))
    hub.faults(throttled_first={"resolve": 1}, throttled_s=0)
    objects.read(ref_to(hub, "large.bin"))
    assert seen == [("hub", "resolve", "throttled"), ("hub", "resolve", "ok"), ("hub", "storage", "ok")]
    objects.close()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"RateLimit": '"api";r=0;t=55'}, 55),
        ({"RateLimit": '"api";r=7;t=55'}, None),
        ({"RateLimit": '"resolvers"; r=0 ; t=9', "Retry-After": "1"}, 9),
        ({"Retry-After": " 120 "}, 120),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"Retry-After": "-5"}, None),
    ],
)
def test_a_pause_is_read_from_either_header(headers, seconds):
    assert asked_pause_s(headers) == seconds


@pytest.mark.parametrize(
    ("status", "code", "meaning"),
    [
        (401, "", Refused),
        (403, "GatedRepo", Refused),
        (404, "EntryNotFound", Missing),
        (404, "GatedRepo", Refused),
        (429, "", Throttled),
        (503, "", Throttled),
        (500, "", Unknown),
        (408, "", Unknown),
        (400, "", Refused),
        (410, "", Refused),
    ],
)
def test_an_answer_has_the_meaning_of_its_status(status, code, meaning):
    assert type(meaning_of(status, code, "", "read")) is meaning


def test_a_redirect_out_of_tls_is_not_followed():
    http = HubHttp("https://hub.test/")
    assert http.target("https://hub.test/a", "https://cdn.test/b?Signature=x") == "https://cdn.test/b?Signature=x"
    assert http.target("https://hub.test/a/b", "/c") == "https://hub.test/c"
    for location in ("http://cdn.test/b", "file:///etc/passwd", "ftp://x/y"):
        with pytest.raises(Refused, match="which is not read"):
            http.target("https://hub.test/a", location)


def test_a_run_is_larger_than_what_pyarrow_reads_at_once():
    assert RUN_BYTES_MIN > BUFFER_BYTES_MAX


def test_runs_grow_while_nothing_is_left_out_and_stay_short_where_much_is(monkeypatch, hub, objects):
    monkeypatch.setattr(reading, "RUN_BYTES_MIN", 10_000)
    monkeypatch.setattr(reading, "RUN_BYTES_MAX", 80_000)
    monkeypatch.setattr(reading, "SKIP_BYTES_MAX", 1_000)
    ref, counted = ref_to(hub, "large.bin", sized=True), Counted(hub, "large.bin")
    with objects.random_access(ref) as file:
        assert file.read(200_000) == LARGE[:200_000]
    assert counted()["storage"] == 1, "as long as is asked for at once"
    with objects.random_access(ref) as file:
        assert b"".join(file.read(1_000) for _ in range(200)) == LARGE[:200_000]
    assert counted()["storage"] == 1 + 5, "10, 20, 40, 80 and 80 thousand bytes"
    before = hub.stats()["sent_bytes"]
    with objects.random_access(ref) as file:
        for at in range(0, 200_000, 40_000):
            file.seek(at)
            assert file.read(100) == LARGE[at : at + 100]
    assert hub.stats()["sent_bytes"] - before <= 5 * 10_000
