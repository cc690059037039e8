"""`quarry.run` from Python: a table in, the same kind of table out, with the answers."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Literal

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

import quarry as quarry_package
from quarry_cli import errors
from quarry_cli.client import place
from quarry_cli.client.local_stack import NAMING
from quarry_cli.frames import run
from quarry_cli.screen.progress import Cell, progress_of, progress_table
from tests.unit.cli.test_run import PROMPT, Stack, services

TOPICS = [f"topic number {row}" for row in range(120)]
TABLE = pa.table({"topic": TOPICS, "n": list(range(120))})


def ask(quarry, data, **more):
    return run(data, **({"model": "haiku-3", "prompt": PROMPT, "client": services(quarry).client} | more))


def test_the_name_of_the_package_is_that_of_the_command():
    assert quarry_package.run is run
    assert {"Client", "QuarryError", "results_frame", "run"} <= set(dir(quarry_package))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = quarry_package.nothing


def test_importing_it_takes_no_sdk_and_no_library_of_tables():
    code = "import sys, quarry; quarry.__doc__; print(sorted({'boto3', 'pandas', 'polars', 'pyarrow', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_pandas_in_pandas_out_with_its_index(quarry):
    frame = pd.DataFrame({"topic": TOPICS}, index=[f"row {n}" for n in range(120)])

    answers = ask(quarry, frame)

    assert isinstance(answers, pd.DataFrame)
    assert list(answers.index) == list(frame.index)
    assert list(answers["topic"]) == TOPICS
    assert answers.loc["row 7", "response"].startswith("answer to")
    assert set(answers["status"]) == {"ok"}


def test_polars_in_polars_out(quarry):
    pl = pytest.importorskip("polars")

    answers = ask(quarry, pl.DataFrame({"topic": TOPICS}))

    assert isinstance(answers, pl.DataFrame)
    assert answers["topic"].to_list() == TOPICS
    assert ask(quarry, pl.DataFrame({"topic": TOPICS}).lazy()).equals(answers.with_columns())


@pytest.mark.parametrize("make", [lambda: TABLE, lambda: TABLE.to_batches()[0]])
def test_arrow_in_arrow_out(quarry, make):
    answers = ask(quarry, make())

    assert isinstance(answers, pa.Table)
    assert answers["n"].to_pylist() == list(range(120))
    assert answers["response"].null_count == 0


def test_a_path_in_pandas_out_unless_another_kind_is_asked_for(quarry, tmp_path):
    pq.write_table(TABLE, tmp_path / "data.parquet")

    assert isinstance(ask(quarry, tmp_path / "data.parquet"), pd.DataFrame)
    assert isinstance(ask(quarry, [str(tmp_path / "data.parquet")], returns="arrow"), pa.Table)


class Verdict(BaseModel):
    kind: Literal["good", "bad"]
    score: float


def test_a_pydantic_model_makes_typed_columns(quarry):
    quarry.world.bedrock.answerer = lambda _body, _kind: {
        "content": [{"type": "tool_use", "name": "answer", "input": {"kind": "good", "score": 1}}],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }

    answers = ask(quarry, TABLE, output_schema=Verdict)

    assert answers["kind"].to_pylist() == ["good"] * 120
    assert answers.schema.field("score").type == pa.float64()


def test_whole_numbers_in_nested_columns_stay_whole_beside_a_null(quarry):
    whole = 2**53 + 1
    nested = {
        "struct": pa.array([{"n": whole}, {"n": None}] * 60),
        "list": pa.array([[whole, None], [3]] * 60),
        "map": pa.array([[("k", whole)], [("k", None)]] * 60, pa.map_(pa.string(), pa.int64())),
    }

    answers = ask(quarry, pa.table({"topic": TOPICS, **nested}), returns="pandas")

    assert [answers["struct"][0], answers["struct"][1]] == [{"n": whole}, {"n": None}]
    assert [list(answers["list"][0]), list(answers["list"][1])] == [[whole, None], [3]]
    assert answers["map"][0] == [("k", whole)]
    assert isinstance(answers["struct"][0]["n"], int)


WITHOUT_FORM = [
    (pa.array([(1, 2, 3)], pa.month_day_nano_interval()), "has no intervals of months"),
    (pa.array([[(1, 2, 3)]], pa.list_(pa.month_day_nano_interval())), "has no intervals of months"),
    (pa.RunEndEncodedArray.from_arrays([1], ["a"]), "has no run-end encoding"),
    (pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]), "has no unions"),
    (pa.array([[{}]], pa.list_(pa.struct([]))), "has no structs without fields"),
]


@pytest.mark.parametrize(("column", "sentence"), WITHOUT_FORM)
def test_a_column_without_a_form_in_parquet_is_named(quarry, column, sentence):
    with pytest.raises(errors.NotSubmitted, match=rf"data: column 'odd' is .*, and Parquet {sentence}.*: cast it"):
        ask(quarry, pa.table({"topic": ["x"], "odd": column}))


@pytest.mark.parametrize("kind", ["Int128", "Object"])
def test_a_polars_column_that_arrow_has_no_values_for_is_named(quarry, kind):
    pl = pytest.importorskip("polars")
    column = pl.Series("odd", [1], dtype=getattr(pl, kind))

    with pytest.raises(errors.NotSubmitted, match=rf"data: column 'odd' is {kind}, "):
        ask(quarry, pl.DataFrame([pl.Series("topic", ["x"]), column]))


def test_a_series_of_polars_is_no_table(quarry):
    pl = pytest.importorskip("polars")

    with pytest.raises(errors.NotSubmitted, match=r"a Series is one column .*data\.to_frame\(\)"):
        ask(quarry, pl.Series("topic", ["x"]))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (TABLE.slice(0, 0), "data: it has no rows"),
        (pd.Series(["x"], name="topic"), r"a Series is one column .*data\.to_frame\(\)"),
        (pd.DataFrame({"topic": ["x"], "n": [2**70]}), "data: column 'n' holds a whole number of more than 64 bits"),
        (5, "data: a builtins.int is no table: give a DataFrame"),
        (pd.DataFrame({1: ["x"]}), r"names of columns must be texts: data\.rename"),
        (pd.DataFrame({"topic": ["x", object()]}), "data: it cannot be read as a table of columns"),
        ("nothing.csv", "cannot be read: No such file"),
    ],
)
def test_what_is_no_table_is_refused_with_the_remedy(quarry, data, sentence):
    with pytest.raises(errors.NotSubmitted, match=sentence):
        ask(quarry, data)
    assert not quarry.world.queues["manifests"].bodies


def test_a_kind_that_cannot_be_made_is_refused_before_anything_is_paid_for(quarry, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)

    with pytest.raises(errors.NotConfigured, match="pip install polars"):
        ask(quarry, TABLE, returns="polars")
    with pytest.raises(errors.NotSubmitted, match="none of pandas, polars and arrow"):
        ask(quarry, TABLE, returns="spark")
    assert not quarry.world.queues["manifests"].bodies


def test_a_run_that_fails_raises(quarry):
    with pytest.raises(errors.RunFailed, match=r"run \w+ failed: "):
        ask(quarry, TABLE, fields={"where": "topic = 'none of them'"}, max_cost=None)


def test_with_a_key_the_same_call_is_paid_for_once(quarry):
    first = ask(quarry, TABLE, run_id="mine")
    second = ask(quarry, TABLE, run_id="mine")

    assert second.equals(first)
    assert len(quarry.client.runs()) == 1


async def test_it_works_in_a_notebook_where_a_loop_runs(quarry):
    answers = ask(quarry, TABLE, progress=False)

    assert answers.num_rows == 120


def test_elsewhere_progress_is_lines_on_standard_error_and_false_is_none(quarry, capsys):
    ask(quarry, TABLE)
    shown = capsys.readouterr()
    ask(quarry, TABLE, progress=False)
    silent = capsys.readouterr()

    assert "SUCCEEDED: 120 of 120 rows; tokens: " in shown.err
    assert "anthropic.claude-3-haiku-20240307-v1:0 (haiku-3)" in shown.err
    assert (shown.out, silent.out, silent.err) == ("", "", "")


class Handle:
    def __init__(self, shown: list) -> None:
        self._shown = shown

    def update(self, bundle, raw):
        self._shown.append(bundle)


def test_in_a_cell_one_output_is_replaced_and_markup_is_text(quarry):
    run_id = quarry.ended(120)
    view = quarry.client.status(run_id)
    shown = []

    def display(bundle, *, raw, display_id):
        shown.append(bundle)
        return Handle(shown)

    cell = Cell(display, simulated=True)
    cell.note("<script>alert(1)</script> [bold]\x1b[2J")
    cell.show(view)

    assert "<script>" not in shown[0]["text/html"]
    assert "&lt;script&gt;" in shown[0]["text/html"]
    assert "[bold]" in shown[0]["text/plain"]
    assert "\x1b" not in shown[0]["text/plain"]
    assert "120 of 120" in shown[1]["text/html"]
    assert "(simulated)" in shown[1]["text/plain"]


def test_the_table_has_requests_tokens_dollars_and_rate(quarry):
    from rich.console import Console

    view = msgspec.structs.replace(quarry.client.status(quarry.ended(120)), elapsed_s=60, rows_per_minute=120.0)
    out = io.StringIO()
    Console(file=out, width=200).print(progress_table(view, simulated=False))

    for part in ("requests", "120 of 120", "tokens in", "dollars", "about $", "rate", "rows/min"):
        assert part in out.getvalue()


def test_false_is_nowhere_and_the_default_here_is_lines():
    from quarry_cli.screen.lines import Lines
    from quarry_cli.screen.progress import Nowhere

    assert isinstance(progress_of(False, simulated=False), Nowhere)
    assert isinstance(progress_of(None, simulated=False), Lines)


def test_without_an_environment_the_local_stack_is_used_and_ended_with_the_process(quarry, monkeypatch, capsys):
    for name in NAMING:
        monkeypatch.delenv(name, raising=False)
    stack, at_exit = Stack(), []
    monkeypatch.setattr(place, "local_stack", lambda: stack)
    monkeypatch.setattr(place, "Client", lambda _connect: services(quarry).client)
    monkeypatch.setattr("atexit.register", at_exit.append)

    run(TABLE, model="haiku-3", prompt=PROMPT)

    assert stack.asked == ["up"]
    assert "no environment is given: starting a local stack" in capsys.readouterr().err
    for work in at_exit:
        work()
    assert stack.asked == ["up", "down later"]
