"""Quarry from Python: the client, and results as a DataFrame."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from typing import Literal

import pyarrow as pa
import pytest
from pydantic import BaseModel

from quarry_cli.client.api import Client, results_frame
from quarry_cli.errors import NoResults, NotConfigured, NotEnded, NotSubmitted, Unaccounted
from quarry_core.contract.names import part_key


def test_a_run_from_submit_to_frame(quarry):
    sent = quarry.client.submit(quarry.world.joke(300, max_records_per_job=100))
    quarry.finish(sent.run_id)
    assert quarry.client.wait(sent.run_id).state == "SUCCEEDED"

    frame = results_frame(sent.run_id, client=quarry.client)

    assert len(frame) == 300
    assert list(frame["topic"][:2]) == ["topic number 0", "topic number 1"]
    assert frame["response"][299].startswith("answer to")
    assert list(frame.columns)[-3:] == ["stop_reason", "input_tokens", "output_tokens"]


class Verdict(BaseModel):
    kind: Literal["good", "bad"]
    score: float
    on: date | None = None


@pytest.mark.parametrize("inside", [False, True])
def test_a_pydantic_model_is_an_output_schema(quarry, inside):
    quarry.world.bedrock.answerer = lambda _body, _kind: {
        "content": [{"type": "tool_use", "name": "answer", "input": {"kind": "good", "score": 1, "on": "2026-01-02"}}],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    joke = quarry.world.joke(120)
    if inside:
        sent = quarry.client.submit({**joke, "output_schema": Verdict})
    else:
        sent = quarry.client.submit(joke, output_schema=Verdict)
    quarry.finish(sent.run_id)

    frame = results_frame(sent.run_id, client=quarry.client)

    assert list(frame.columns)[:5] == ["topic", "kind", "score", "on", "response"]
    assert (frame["kind"][0], frame["score"][0], frame["on"][0]) == ("good", 1.0, date(2026, 1, 2))


def test_what_is_no_schema_is_not_submitted(quarry):
    with pytest.raises(NotSubmitted, match="output_schema: no JSON Schema can be made of"):
        quarry.client.submit(quarry.world.joke(120), output_schema=type("Plain", (), {}))
    with pytest.raises(NotSubmitted, match="output_schema: the manifest is text"):
        quarry.client.submit("{}", output_schema=Verdict)
    with pytest.raises(NotSubmitted, match=r"output_schema: 0: 'strng' is not a type; did you mean string"):
        quarry.client.submit(quarry.world.joke(120), output_schema=["kind: strng"])


def test_whole_numbers_with_nulls_stay_whole(quarry):
    source = pa.table({"topic": ["t"] * 120, "number": pa.array([None, *[2**60 + 1] * 119], pa.int64())})
    run_id = quarry.world.send(quarry.world.joke() | {"s3_uri": quarry.world.parquet(source)})
    quarry.finish(run_id)

    frame = results_frame(run_id, client=quarry.client)

    assert int(frame["number"][1]) == 2**60 + 1
    assert frame["number"].isna()[0]


def test_only_the_columns_that_are_asked_for(quarry):
    frame = results_frame(quarry.ended(), columns=["record_id", "response"], client=quarry.client)

    assert list(frame.columns) == ["record_id", "response"]


def test_a_frame_of_a_run_that_goes_on_is_refused_unless_partial(quarry):
    run_id = quarry.world.send(quarry.world.joke(300, max_records_per_job=100))
    quarry.idle()
    with pytest.raises(NoResults):
        results_frame(run_id, partial=True, client=quarry.client)
    quarry.world.bedrock.end(quarry.world.bedrock.active[0])
    quarry.idle()

    with pytest.raises(NotEnded):
        results_frame(run_id, client=quarry.client)
    assert len(results_frame(run_id, partial=True, client=quarry.client)) == 100


@pytest.mark.promise("H1")
def test_a_frame_that_lacks_rows_is_refused(quarry):
    run_id = quarry.ended(300, max_records_per_job=100)
    quarry.world.objects.delete(part_key(run_id, "00002"))

    with pytest.raises(Unaccounted, match="200 rows were read, but there should be 300"):
        results_frame(run_id, client=quarry.client)


def test_without_pandas_the_extra_is_named(quarry, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(NotConfigured, match=r"pip install './cli\[pandas\]'"):
        results_frame("r", client=quarry.client)


async def test_it_works_where_an_event_loop_runs_already(quarry):
    run_id = quarry.world.send(quarry.world.joke())
    await quarry.world.idle()

    assert quarry.client.status(run_id).state == "RUNNING"


def test_a_refused_manifest_raises(quarry):
    with pytest.raises(NotSubmitted, match="model_id"):
        quarry.client.submit({"job_name_prefix": "x"})


def test_results_tell_their_account(quarry, tmp_path):
    reported = []

    found = quarry.client.results(quarry.ended(100), tmp_path, tell=lambda done, of: reported.append((done, of)))

    assert found.account is not None
    assert (found.account.accepted, found.account.ok, found.account.faults) == (100, 100, [])
    assert reported == [(0, 1), (1, 1)]


def test_every_call_opens_a_connection_of_its_own(quarry):
    client = Client(quarry.connect)
    client.runs()
    client.runs()

    assert quarry.connects == 2


@pytest.mark.skipif(not hasattr(pa, "uuid"), reason="pyarrow before 18 has no UUIDs")
def test_a_frame_and_a_table_hold_what_is_nested(quarry):
    uuids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)] * 100, pa.binary(16)))
    lists = pa.ListArray.from_arrays(pa.array(range(101), pa.int32()), uuids)
    kinds = pa.StructArray.from_arrays([pa.array(["x"] * 100).dictionary_encode()], ["kind"])
    source = pa.table({"text": ["x"] * 100, "ids": lists, "kinds": kinds})
    uri = quarry.world.parquet(source, row_group_size=10)
    run_id = quarry.world.send(quarry.world.joke() | {"s3_uri": uri, "prompt_id": None, "prompt": "{text}"})
    quarry.finish(run_id)

    frame = results_frame(run_id, client=quarry.client)

    assert list(frame["ids"][0]) == [bytes(16)]
    assert frame["kinds"][99] == {"kind": "x"}
    assert quarry.client.table(run_id).column("ids").type == lists.type


def test_the_package_offers_its_public_names_and_imports_none_before_it_is_used():
    script = (
        "import sys, quarry_cli\n"
        "assert 'quarry_cli.client.api' not in sys.modules\n"
        "assert set(quarry_cli.__all__) <= set(dir(quarry_cli))\n"
        "from quarry_cli.client.api import Client, results_frame\n"
        "from quarry_cli.errors import QuarryError\n"
        "assert (quarry_cli.Client, quarry_cli.results_frame, quarry_cli.QuarryError) == (Client, results_frame, QuarryError)\n"
        "assert not hasattr(quarry_cli, 'client_of_nobody')\n"
    )

    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60)

    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("before", "now", "name"),
    [
        ("quarry_cli.api", "quarry_cli", "Client"),
        ("quarry_cli.api", "quarry_cli", "results_frame"),
        ("quarry_core.manifest", "quarry_core.contract.manifest", "Manifest"),
        ("quarry_core.manifest", "quarry_core.contract.manifest_reading", "read_manifest"),
        ("quarry_core.manifest", "quarry_core.contract.manifest_identity", "run_id_of"),
    ],
)
def test_an_import_of_the_release_before_still_works_and_warns(before, now, name):
    script = (
        f"import warnings\nfrom {now} import {name} as todays\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        f"    from {before} import {name}\n"
        f"assert {name} is todays\n"
        "assert [each.category for each in seen if '0.2.0' in str(each.message)] == [DeprecationWarning]\n"
    )

    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60)

    assert ended.returncode == 0, ended.stderr
