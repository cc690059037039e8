"""The directory that `results -o` writes: readers open it, and nobody else is shown or led anything."""

from __future__ import annotations

import fnmatch
import os
import stat
from pathlib import Path

import duckdb
import fastparquet
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest

from quarry_cli.client.results.download import local_name
from quarry_core.contract.names import part_key

READERS = {
    "polars scan": lambda folder: pl.scan_parquet(folder).collect().height,
    "polars read": lambda folder: pl.read_parquet(f"{folder}/").height,
    "pandas": lambda folder: len(pd.read_parquet(folder)),
    "pyarrow.dataset": lambda folder: ds.dataset(folder).count_rows(),
    "duckdb": lambda folder: duckdb.connect().execute(f"select count(*) from '{folder}/*.parquet'").fetchall()[0][0],
    "duckdb, recursive": lambda folder: duckdb.connect().execute(f"from '{folder}/**/*.parquet'").fetchnumpy() and 300,
}


@pytest.fixture
def run_id(quarry):
    return quarry.ended(300, max_records_per_job=100)


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_opens_the_directory_as_it_is(quarry, run_id, tmp_path, reader):
    quarry("results", run_id, "-o", str(tmp_path / "out"))

    assert READERS[reader](tmp_path / "out") == 300


def test_there_is_no_file_but_the_parts_numbered_without_gaps(quarry, run_id, tmp_path):
    """Hugging Face's `data_dir` takes every file below but those of hidden directories, Spark all but `_` and `.`."""
    quarry("results", run_id, "-o", str(tmp_path / "out"))

    there = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*"))
    assert there == [f"part-{number:05d}.parquet" for number in range(3)]
    assert fnmatch.filter(there, "*.parquet") == there
    assert fastparquet.ParquetFile([str(tmp_path / "out" / name) for name in there]).count() == 300


def test_the_half_of_a_split_shard_follows_the_other_half():
    names = [local_name(part_key("r", shard), "parquet") for shard in ("00000", "00002", "00003", "00004")]

    assert names == ["part-00000.parquet", "part-00001.parquet", "part-00001b.parquet", "part-00002.parquet"]
    assert sorted(names) == names


def test_where_the_report_lies_is_said(quarry, run_id, tmp_path):
    result = quarry("results", run_id, "-o", str(tmp_path / "out"))

    assert f"the report: {tmp_path}/out.quarry/report.json" in result.stdout.replace("\n", " ").replace("  ", " ")


def test_the_directory_may_be_the_one_in_which_one_stands(quarry, run_id, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    assert quarry("results", run_id, "-o", ".").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "here.quarry"]


# --------------------------------------------------------------------------- permissions and links


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_results_are_for_their_owner_alone(quarry, run_id, tmp_path, form):
    quarry("results", run_id, "-o", str(tmp_path / "out"), "--format", form)

    made = [path for folder in ("out", "out.quarry") for path in (tmp_path / folder, *(tmp_path / folder).iterdir())]
    assert {mode_of(path) for path in made if path.is_dir()} == {0o700}
    assert {mode_of(path) for path in made if path.is_file()} == {0o600}


@pytest.mark.usefixtures("open_umask")
def test_others_may_read_if_reported(quarry, run_id, tmp_path):
    quarry("results", run_id, "-o", str(tmp_path / "out"), "--mode", "640")

    assert mode_of(tmp_path / "out") == 0o750
    assert {mode_of(path) for path in (tmp_path / "out").iterdir()} == {0o640}


@pytest.mark.parametrize("mode", ["", "6", "0600", "444", "888", "rw-"])
def test_a_mode_that_is_none_is_a_usage_error(quarry, run_id, tmp_path, mode):
    result = quarry("results", run_id, "-o", str(tmp_path / "out"), "--mode", mode)

    assert result.exit_code == 2
    assert "octal" in result.stderr


@pytest.mark.parametrize("name", ["out", "out.quarry"])
def test_a_directory_that_is_a_link_is_refused(quarry, run_id, tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")

    result = quarry("results", run_id, "-o", str(tmp_path / "out"))

    assert result.exit_code == 2
    assert "is a symbolic link" in result.stderr
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("form", ["parquet", "csv"])
@pytest.mark.parametrize(
    "name",
    ["out/part-00001.{form}", "out/.part-00001.fetched", "out/.part-00001.written", "out.quarry/report.json", "out.quarry/.report.json.new", "out.quarry/.download.json.new"],
)  # fmt: skip
def test_a_planted_link_leads_nothing_elsewhere(quarry, run_id, tmp_path, name, form):
    quarry("results", run_id, "-o", str(tmp_path / "out"), "--format", form)
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    link = tmp_path / name.format(form=form)
    link.unlink(missing_ok=True)
    link.symlink_to(victim)

    result = quarry("results", run_id, "-o", str(tmp_path / "out"), "--format", form)

    assert result.exit_code == 0, result.stderr
    assert victim.read_bytes() == b"mine"
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()] or not link.name.startswith("part")
    assert (tmp_path / f"out/part-00001.{form}").is_file()


def test_a_note_that_is_a_link_is_refused(quarry, run_id, tmp_path):
    quarry("results", run_id, "-o", str(tmp_path / "out"))
    note = tmp_path / "out.quarry" / "download.json"
    note.rename(tmp_path / "moved")
    note.symlink_to(tmp_path / "moved")

    result = quarry("results", run_id, "-o", str(tmp_path / "out"))

    assert result.exit_code == 2
    assert "is a symbolic link" in result.stderr
