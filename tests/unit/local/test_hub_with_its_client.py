"""The real `huggingface_hub` against the simulated Hub: what it asks for is answered, and what it insists on is there."""

import hashlib
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.unit.local.simulated_hub import simulated_hub

ROWS = b"PAR1" + bytes(range(256)) * 1_000 + b"PAR1"
SMALL = b"a,b\n1,2\n"
README = b"---\nconfigs: []\n---\n"
FILES = {"README.md": README, "data/train-00000-of-00001.parquet": ROWS, "data/00/deep.csv": SMALL}
PARQUET = "data/train-00000-of-00001.parquet"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    datasets = {
        "o/plain": FILES,
        "o/plain@v1": {"old.csv": SMALL},
        "o/plain@refs%2Fconvert%2Fparquet": {"default/train/0000.parquet": ROWS},
        "o/private": FILES,
        "o/gated": FILES,
    }
    tokens = {"hf_mine": ["*"], "hf_other": []}
    root = tmp_path_factory.mktemp("hub")
    with simulated_hub(root, datasets, private=["o/private"], gated=["o/gated"], tokens=tokens) as served:
        yield served


@pytest.fixture(autouse=True)
def own_session(hub, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    hub.calm()
    yield
    huggingface_hub.close_session()


@pytest.fixture
def api(hub):
    return HfApi(endpoint=hub.url, token=False)


def test_a_dataset_is_described_at_its_commit_with_sizes_and_hashes(api):
    found = api.dataset_info("o/plain", files_metadata=True, timeout=5)
    assert len(found.sha) == 40
    by_name = {each.rfilename: each for each in found.siblings}
    assert sorted(by_name) == sorted(FILES)
    assert by_name[PARQUET].size == len(ROWS)
    assert by_name[PARQUET].lfs.sha256 == hashlib.sha256(ROWS).hexdigest()
    assert by_name["data/00/deep.csv"].lfs is None
    assert by_name["data/00/deep.csv"].blob_id == hashlib.sha1(b"blob %d\0" % len(SMALL) + SMALL).hexdigest()
    assert api.dataset_info("o/plain", revision=found.sha).sha == found.sha
    assert [each.size for each in api.dataset_info("o/plain").siblings] == [None] * 3


def test_branches_are_told_apart_and_the_converted_one_is_asked_for_as_one_piece(api):
    refs = api.list_repo_refs("o/plain", repo_type="dataset")
    assert {each.name for each in refs.branches} == {"main", "v1"}
    assert [each.ref for each in refs.converts] == ["refs/convert/parquet"]
    converted = api.dataset_info("o/plain", revision="refs/convert/parquet")
    assert converted.sha == refs.converts[0].target_commit
    assert [each.rfilename for each in converted.siblings] == ["default/train/0000.parquet"]


def test_a_tree_comes_in_pages_with_its_folders(hub, api):
    hub.faults(tree_page=2)
    found = list(api.list_repo_tree("o/plain", recursive=True, repo_type="dataset"))
    assert [each.path for each in found] == ["README.md", "data", "data/00", "data/00/deep.csv", PARQUET]
    shallow = list(api.list_repo_tree("o/plain", "data", repo_type="dataset"))
    assert [each.path for each in shallow] == ["data/00", PARQUET]
    assert [each.path for each in api.list_repo_tree("o/plain", "data/00", repo_type="dataset")] == ["data/00/deep.csv"]
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree("o/plain", "nowhere", repo_type="dataset"))
    paths = api.get_paths_info("o/plain", [PARQUET, "nowhere"], repo_type="dataset")
    assert [(each.path, each.size) for each in paths] == [(PARQUET, len(ROWS))]


@pytest.mark.parametrize("cached", [False, True])
def test_files_are_downloaded_and_no_token_reaches_the_storage(hub, tmp_path, cached):
    hub.faults(resolve_cache=cached)
    for name, body in FILES.items():
        path = hf_hub_download(
            "o/plain", name, repo_type="dataset", endpoint=hub.url, token="hf_mine", cache_dir=tmp_path / "cache"
        )
        assert Path(path).read_bytes() == body
    assert hub.stats()["tokens_leaked"] == 0


def test_a_snapshot_of_a_commit_is_what_its_folder_holds(hub, api, tmp_path):
    sha = api.dataset_info("o/plain").sha
    folder = snapshot_download(
        "o/plain", repo_type="dataset", revision=sha, endpoint=hub.url, token=False, cache_dir=tmp_path, max_workers=1
    )
    for name, body in FILES.items():
        assert Path(folder, name).read_bytes() == body


def test_a_file_system_reads_ranges(hub):
    fs = HfFileSystem(endpoint=hub.url, token=False, skip_instance_cache=True)
    assert fs.exists(f"datasets/o/plain/{PARQUET}")
    assert not fs.exists("datasets/o/plain/nowhere/x.parquet")
    with fs.open(f"datasets/o/plain/{PARQUET}", "rb", cache_type="none") as file:
        file.seek(-4, 2)
        assert file.read() == b"PAR1"
        file.seek(1_000)
        assert file.read(10) == ROWS[1_000:1_010]


@pytest.mark.parametrize(
    ("dataset", "token", "refused"),
    [
        ("o/nothing", "hf_mine", RepositoryNotFoundError),
        ("o/private", "hf_other", RepositoryNotFoundError),
        ("o/private", False, RepositoryNotFoundError),
        ("o/plain", "hf_wrong", HfHubHTTPError),
        ("o/private", "hf_mine", None),
        ("o/gated", False, None),  # its description is for everybody
    ],
)
def test_who_may_not_see_a_dataset_is_told_what_the_hub_tells(hub, dataset, token, refused):
    api = HfApi(endpoint=hub.url, token=token)
    if refused is None:
        assert api.dataset_info(dataset).id == dataset
    else:
        with pytest.raises(refused):
            api.dataset_info(dataset)


def test_a_gated_datasets_files_are_for_those_who_were_granted_access(hub, tmp_path):
    def get(name, token):
        cache = tmp_path / str(token)
        return hf_hub_download("o/gated", name, repo_type="dataset", endpoint=hub.url, token=token, cache_dir=cache)

    for token in (False, "hf_other"):
        with pytest.raises(GatedRepoError):
            get(PARQUET, token)
        assert get("README.md", token)
    assert get(PARQUET, "hf_mine")


def test_what_is_not_there_is_told_apart(hub, api, tmp_path):
    with pytest.raises(RevisionNotFoundError):
        api.dataset_info("o/plain", revision="nowhere")
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("o/plain", "no.csv", repo_type="dataset", endpoint=hub.url, token=False, cache_dir=tmp_path)


def test_a_branch_moves_and_the_earlier_commit_stays(hub, api):
    before = api.dataset_info("o/plain").sha
    after = hub.commit("o/plain", {"new.csv": b"x\n1\n"})
    assert api.dataset_info("o/plain").sha == after != before
    assert [each.rfilename for each in api.dataset_info("o/plain", revision="main").siblings] == ["new.csv"]
    assert len(api.dataset_info("o/plain", revision=before).siblings) == 3
    hub.commit("o/plain", FILES)
    assert api.dataset_info("o/plain").sha == before, "the same files are the same commit"


def test_a_commit_may_land_behind_further_requests(hub, api):
    before = api.dataset_info("o/plain").sha
    hub.commit("o/plain", {"new.csv": b"x\n1\n"}, kind="info", after=2)
    assert api.dataset_info("o/plain").sha == before
    assert api.dataset_info("o/plain").sha != before
    hub.commit("o/plain", FILES)


def test_requests_are_throttled_and_unavailable_as_often_as_was_set(hub, api):
    hub.faults(throttled_first={"tree": 1}, throttled_s=0, unavailable_first={"tree": 1}, unavailable_s=0)
    before = hub.counts("o/plain").get("tree", 0)
    assert list(api.list_repo_tree("o/plain", repo_type="dataset"))
    assert hub.counts("o/plain")["tree"] - before == 3
    hub.faults(throttled_first={"info": 1}, throttled_s=30)
    with pytest.raises(HfHubHTTPError, match="Retry after 30 seconds"):
        api.dataset_info("o/plain")
