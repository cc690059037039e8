"""The judge of `make bench`: every way does the same work, and the last line says what scripts read."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def beside(monkeypatch):
    """The judge, as `python -m beside` finds it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import beside.__main__ as judge

    yield judge
    for name in [name for name in sys.modules if name == "beside" or name.startswith("beside.")]:
        del sys.modules[name]


@pytest.fixture
def small(beside, tmp_path):
    size = beside.Size(rows=400, shard_rows=100, joined=120, dimensions=8, grouped=2_000, grouped_shards=4)
    size.write(tmp_path)
    return size


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_every_way_writes_the_lines_that_ours_writes(beside, small, tmp_path, form):
    beside.make_rows(tmp_path, small)
    said = {}
    for way in beside.WORKS[form]:
        out = tmp_path / f"out-{way}"
        out.mkdir()
        run(beside, form, way, tmp_path, out, small)
        said[way] = beside._checked(form, way, tmp_path, small)
    assert said == {"quarry": "ours", "pandas": "same JSON", "polars": "same bytes", "duckdb": "same bytes"}


@pytest.mark.parametrize("kind", ["text", "embedding"])
def test_every_way_joins_what_ours_joins(beside, small, tmp_path, kind, monkeypatch):
    beside.make_joined(tmp_path, small, kind)
    (tmp_path / "prepared").mkdir()
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])  # ours is to do without pandas, and other tests are not
    beside.way_of(f"{kind}_join", "prepared")(tmp_path, tmp_path / "prepared", small)
    for way in ("quarry", "pandas", "polars", "duckdb"):
        out = tmp_path / f"out-{way}"
        out.mkdir()
        run(beside, f"{kind}_join", way, tmp_path, out, small)
        beside._checked(f"{kind}_join", way, tmp_path, small)


def test_the_others_copy_rows_in_the_compression_that_we_use(beside):
    from beside import others

    from quarry_collector.parts import COMPRESSION
    from quarry_preprocessor.write import COPY_COMPRESSION

    assert others.COMPRESSION == COPY_COMPRESSION == COMPRESSION


def test_other_lines_are_no_same_work(beside, small, tmp_path):
    beside.make_rows(tmp_path, small)
    for way in ("quarry", "pandas"):
        (tmp_path / f"out-{way}").mkdir()
        run(beside, "parquet", way, tmp_path, tmp_path / f"out-{way}", small)
    lines = tmp_path / "out-pandas" / "00000.jsonl"
    lines.write_text(lines.read_text().replace("quick", "slow", 1))
    with pytest.raises(AssertionError, match="other lines"):
        beside._checked("parquet", "pandas", tmp_path, small)


def test_rows_of_one_row_group_are_read_by_every_way_and_their_bytes_are_counted(beside, small, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])  # ours is to do without pandas, and other tests are not
    beside.make_grouped(tmp_path, small)
    shared = tmp_path / "shared"
    shared.mkdir()
    beside.way_of("row_group", "prepared")(tmp_path, shared, small)

    asked = {way: beside.way_of("row_group", way)(tmp_path, shared, small) for way in beside.WORKS["row_group"]}

    assert min(one["bytes"] for one in asked.values()) > 0


def test_the_last_line_has_ours_over_the_fastest_peer_and_the_worst_of_one_row_group(beside):
    joined = {way: {"cpu_s": cpu} for way, cpu in {"quarry": 1.2, "pandas": 0.1, "polars": 2.0, "duckdb": 1.5}.items()}
    grouped = {
        "one pass": {"cpu_s": 2.0, "bytes": 100},
        "preprocessor": {"cpu_s": 2.2, "bytes": 110},
        "collector": {"cpu_s": 2.0, "bytes": 125},
    }
    judged = {"text_join": beside.ratios("text_join", joined), "row_group": beside.ratios("row_group", grouped)}
    assert beside.last_line(judged) == "bench: text_join=0.80 row_group=1.25"
    assert judged["text_join"]["ancestor"] == pytest.approx(0.1 / 1.2)


def run(beside, work, way, folder, out, size):
    if way in beside.OTHERS:
        beside.way_of(work, way)(folder, out, size)
        return
    from beside import ours, prepare

    if work in ("csv", "parquet"):
        prepare.prepare(folder, out, size, work)
    else:
        ours.join(folder, out, size, work.removesuffix("_join"))


def test_the_picture_of_the_docs_is_drawn_from_the_figures():
    from tools.draw_performance import FIGURES, main, picture

    assert main(["--check"]) == 0
    figures = json.loads(FIGURES.read_text())
    figures["works"]["csv"]["polars"]["cpu_s"] *= 2
    assert picture(figures) != picture(json.loads(FIGURES.read_text()))
