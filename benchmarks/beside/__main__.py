"""`python -m beside`: every way of every work, in turns, each in a process of its own; one table, one JSON file, one last line.

The machine may be shared: wall time means nothing, so a figure is the median of CPU seconds (user and system, all
threads, imports apart) over several rounds, in each of which all ways take their turn; and what counts is the ratio of
two ways in one run. Peak memory is VmHWM.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from beside.others import OTHERS
from beside.work import QUICK, Size, copied_rows, make_grouped, make_joined, make_rows, meaning, shard_digests

WORKS: Mapping[str, Sequence[str]] = {
    "csv": ("quarry", "pandas", "polars", "duckdb"),
    "parquet": ("quarry", "pandas", "polars", "duckdb"),
    "text_join": ("quarry", "pandas", "polars", "duckdb", "simdjson"),
    "embedding_join": ("quarry", "pandas", "polars", "duckdb", "simdjson"),
    "row_group": ("one pass", "preprocessor", "collector"),
}
# The ancestor's way, whose CPU is told beside ours but is no peer's: nobody is fast who takes it.
ANCESTOR = "pandas"
PACKAGES = ("pandas", "polars", "duckdb", "pysimdjson", "pyarrow", "msgspec", "numpy")
MEMORY_TARGETS_MB = {"csv": 160, "parquet": 160, "text_join": 256, "embedding_join": 256}


# --------------------------------------------------------------------------- a child


def way_of(work: str, way: str) -> Callable[[Path, Path, Size], Any]:
    """The way, with what it needs imported."""
    if way in OTHERS:
        other = OTHERS[way]
        other.load()
        if work in ("csv", "parquet"):
            return lambda folder, out, size: other.prepare(folder, out, size, work)
        return lambda folder, out, size: other.join(folder, out, size, work.removesuffix("_join"))
    sys.meta_path.insert(0, _WithoutPandas())
    if work in ("csv", "parquet"):
        from beside.prepare import prepare  # noqa: PLC0415 the others are not to carry it

        return lambda folder, out, size: prepare(folder, out, size, work)
    from beside import ours  # noqa: PLC0415

    match work, way:
        case (("text_join" | "embedding_join"), "prepared"):
            return ours.copy_rows
        case (("text_join" | "embedding_join"), _):
            return lambda folder, out, size: ours.join(folder, out, size, work.removesuffix("_join"))
        case _, "one pass":
            return ours.read_once
        case _, "preprocessor":
            return ours.read_by_preprocessor
        case _, "collector":
            return ours.read_by_collector
        case _:
            return ours.prepare_grouped


class _WithoutPandas:
    """The services' images have no pandas, and pyarrow imports it wherever it finds it."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def child(work: str, way: str, folder: Path, out: Path) -> None:
    run, size = way_of(work, way), Size.read(folder)
    begun, wall = _cpu_s(), time.perf_counter()
    counted = run(folder, out, size)
    cpu_s, wall_s = _cpu_s() - begun, time.perf_counter() - wall
    print(json.dumps({"cpu_s": cpu_s, "wall_s": wall_s, "peak_mb": _peak_mb(), **(counted or {})}))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def apart(work: str, way: str, folder: Path, out: Path) -> dict[str, float]:
    """One way, measured in a process of its own."""
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "beside", "--child", work, way, str(folder), str(out)]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return measured


# --------------------------------------------------------------------------- a work


def measure(work: str, size: Size, rounds: int) -> dict[str, dict[str, Any]]:
    """All ways of one work in turns: their medians."""
    with tempfile.TemporaryDirectory(prefix="quarry-beside-") as temporary:
        folder = Path(temporary)
        size.write(folder)
        shared = _inputs(work, folder, size)
        seen: dict[str, list[dict[str, float]]] = {way: [] for way in WORKS[work]}
        same: dict[str, str] = {}
        for turn in range(rounds):
            for way in WORKS[work]:
                out = shared or folder / f"out-{way}"
                seen[way].append(apart(work, way, folder, out))
                _say(f"{work}, round {turn + 1} of {rounds}: {way} {seen[way][-1]['cpu_s']:.2f} CPU s")
                if turn == 0:
                    same[way] = _checked(work, way, folder, size)
                if not shared and way != "quarry":
                    shutil.rmtree(out)
            if not shared:
                shutil.rmtree(folder / "out-quarry")
    return {way: _medians(found) | {"output": same[way]} for way, found in seen.items()}


def _inputs(work: str, folder: Path, size: Size) -> Path | None:
    """Make what is read; the folder that all ways share, if they do."""
    if work in ("csv", "parquet"):
        make_rows(folder, size)
    elif work == "row_group":
        make_grouped(folder, size)
        shared = folder / "shared"
        apart(work, "prepared", folder, shared)
        return shared
    else:
        make_joined(folder, size, work.removesuffix("_join"))
        apart(work, "prepared", folder, folder / "prepared")
    return None


def _medians(found: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    return {name: statistics.median(each[name] for each in found) for name in found[0]} | {
        "cpu_s_all": [round(each["cpu_s"], 3) for each in found]
    }


def _checked(work: str, way: str, folder: Path, size: Size) -> str:
    """Hold what a way has written against ours, which came first. Fails where it is not the same work."""
    out, reference = folder / f"out-{way}", folder / "out-quarry"
    if work == "row_group" or way == "quarry":
        return "ours"
    if work in ("csv", "parquet"):
        assert sum(table.num_rows for table in copied_rows(out)) == size.rows, way
        assert len(list((reference / "rows" / "run").glob("*.parquet"))) == size.rows // size.shard_rows, (
            "ours copies too"
        )
        if shard_digests(out) == shard_digests(reference / "batch-input"):
            return "same bytes"
        assert meaning(out) == meaning(reference / "batch-input"), f"{way} wrote other lines"
        return "same JSON"
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    answer = "response" if work == "text_join" else "embedding"
    theirs = pq.read_table(out / "joined.parquet")
    mine = pq.read_table(next((reference / "results").glob("**/part-*.parquet")))
    for column in ("title", "body", "notes"):
        assert theirs[column].cast(pa.string()).equals(mine[column].cast(pa.string())), (way, column)
    if answer == "response":
        assert theirs[answer].cast(pa.string()).equals(mine[answer].cast(pa.string())), way
        return "same columns"
    flat = [pa.chunked_array(each[answer].chunks).combine_chunks().flatten() for each in (theirs, mine)]
    assert flat[0].cast(pa.float32(), safe=False).equals(flat[1].cast(pa.float32(), safe=False)), way
    return "same columns"


# --------------------------------------------------------------------------- the judgement


def ratios(work: str, ways: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """What is judged: `peer` is ours over the fastest peer's, `ancestor` the ancestor's over ours, both in CPU seconds."""
    if work == "row_group":
        once = ways["one pass"]
        found = {
            f"{way} {what}": ways[way][what] / once[what]
            for way in ("preprocessor", "collector")
            for what in ("cpu_s", "bytes")
        }
        return {"peer": max(found.values()), **found}
    mine = ways["quarry"]["cpu_s"]
    peers = {way: one["cpu_s"] for way, one in ways.items() if way not in ("quarry", ANCESTOR)}
    return {"peer": mine / min(peers.values()), "ancestor": ways[ANCESTOR]["cpu_s"] / mine}


def table(results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[str]:
    yield "| Work | Way | CPU s | of ours | Peak MiB | Output |"
    yield "| --- | --- | ---: | ---: | ---: | --- |"
    for work, ways in results.items():
        first = next(iter(ways.values()))["cpu_s"]
        for way, one in ways.items():
            note = f"{one['bytes'] / 1e6:.0f} MB in {one['requests']:.0f} requests" if "bytes" in one else one["output"]
            yield f"| {work} | {way} | {one['cpu_s']:.2f} | {one['cpu_s'] / first:.2f} | {one['peak_mb']:.0f} | {note} |"


def last_line(judged: Mapping[str, Mapping[str, float]]) -> str:
    return "bench: " + " ".join(f"{work}={one['peer']:.2f}" for work, one in judged.items())


def environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": list(os.getloadavg()),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="make bench BENCH='...'", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--quick", action="store_true", help="a fifth of the rows, one round fewer: minutes")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--rounds", type=int, help="how often each way takes its turn (3; 2 with --quick)")
    parser.add_argument("--out", type=Path, default=Path("../build/bench/bench.json"), help="the figures as JSON")
    parser.add_argument("--child", nargs=4, metavar=("WORK", "WAY", "FOLDER", "OUT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        work, way, folder, out = given.child
        child(work, way, Path(folder), Path(out))
        return
    size, rounds = (QUICK, 2) if given.quick else (Size(), 3)
    begun = environment()
    results = {work: measure(work, size, given.rounds or rounds) for work in given.works}
    judged = {work: ratios(work, ways) for work, ways in results.items()}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    body = {"environment": begun, "size": {name: getattr(size, name) for name in size.__slots__}, "load_after": list(os.getloadavg()), "works": results, "ratios": judged}  # fmt: skip
    given.out.write_text(json.dumps(body, indent=1))
    print("\n".join(table(results)))
    for work, found in judged.items():
        most = MEMORY_TARGETS_MB.get(work)
        shown = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
        print(f"{work}: {shown}" + (f", peak {results[work]['quarry']['peak_mb']:.0f} MiB of {most}" if most else ""))
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"load {load} on {os.cpu_count()} cores; figures in {given.out}")
    print(last_line(judged))


if __name__ == "__main__":
    main()
