"""The report as a page: beside the results when a run has ended, and by `quarry report`."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pyarrow as pa
import pytest

from quarry_core.contract import report_page
from quarry_core.contract.names import report_key, report_page_key
from quarry_core.contract.report_page import JobSpan, SomeRows, build_page
from tests.world.bedrock import answered

SCRIPT = "<script>alert(1)</script>"
TERMINAL = "\x1b]0;taken\x07\x1b[31mred\x1b[0m"
HOSTILE = f"=cmd|' /C calc'!A0 {SCRIPT} <img src=x onerror=alert(1)> </style></title> {TERMINAL} safe\u202egpj.exe"
BEGUN = datetime(2026, 11, 30, 8, tzinfo=UTC)


class Seen(HTMLParser):
    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(body.decode())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def harmless(body: bytes) -> Seen:
    """What the page is, which asks for nothing and runs nothing."""
    page = Seen(body)
    assert not {tag for tag, _ in page.elements} & {"script", "img", "link", "iframe", "object", "a", "form", "base"}
    assert not [
        name for _, found in page.elements for name in found if name.startswith("on") or name in ("src", "href")
    ]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", body.decode())
    assert b"url(" not in body
    assert b"@import" not in body
    [policy] = [
        found["content"] for tag, found in page.elements if found.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'")
    return page


def span(number: int, minutes: int, status: str = "Completed", lasts: int = 30) -> JobSpan:
    begun = BEGUN + timedelta(minutes=minutes)
    return JobSpan(f"{2 * number:05d}", 1, status, begun.isoformat(), (begun + timedelta(minutes=lasts)).isoformat())


def facts(**changes) -> dict:
    return {
        "version": 1,
        "run_id": "r1",
        "state": "SUCCEEDED_WITH_ERRORS",
        "reason": "",
        "code": "",
        "model_id": "anthropic.claude-3-haiku-20240307-v1:0",
        "source": "s3://data/in.parquet",
        "accepted_at": BEGUN.isoformat(),
        "ended_at": (BEGUN + timedelta(hours=3)).isoformat(),
        "results_uri": "s3://quarry/results/r1/",
        "rows": {"source": 120, "left_out": 20, "accepted": 100, "ok": 97, "error": 3, "unread": 0},
        "llm_tokens": {"input": 1_000_000, "output": 2_000},
        "cost": {"dollars": 1.25, "prices_as_of": "2026-11-01"},
        "errors": {"MODEL_ERROR": {"rows": 3, "examples": [{"record_id": "00000000001", "message": HOSTILE}]}},
        "parts": [{}],
        "shards": [],
    } | changes


def test_the_page_of_a_retry_names_the_version_and_whose_dataset_it_is():
    of = {"run_id": HOSTILE, "version": 1_002, "carried_from": "r1-v1001"}
    text = harmless(build_page(facts(run_id="r1-v1002", dataset=of), [])).text
    assert "Run r1-v1002 · version 1,002 of the dataset of =cmd|" in text
    assert "carried over from r1-v1001" in text
    first = {"run_id": "r1", "version": 1, "carried_from": None}
    for dataset in (first, None):
        assert "version" not in harmless(build_page(facts(dataset=dataset), [])).text


def test_the_page_says_what_the_report_says():
    text = " ".join(harmless(build_page(facts(), [span(0, 0), span(1, 10)], name="jokes")).text.split())

    for each in (
        "jokes",
        "Succeeded with errors",
        "97",
        "1,000,000",
        "$1.25",
        "3 h",
        "MODEL_ERROR",
        "s3://data/in.parquet",
    ):
        assert each in text
    assert "20 rows of the source were left out" in text
    assert "2 jobs, at most 2 at once" in text


def test_what_means_harm_is_text_wherever_it_stands():
    everywhere = facts(
        state="FAILED",
        reason=HOSTILE,
        code=HOSTILE,
        model_id=HOSTILE,
        source=HOSTILE,
        results_uri=HOSTILE,
        accepted_at=BEGUN.isoformat(),
        errors={HOSTILE: {"rows": 1, "examples": [{"record_id": HOSTILE, "message": HOSTILE}]}},
        shards=[{"shard": HOSTILE, "attempts": 2, "status": HOSTILE, "message": HOSTILE}],
        cost={"dollars": None, "prices_as_of": HOSTILE},
    )
    jobs = [JobSpan(HOSTILE, 1, HOSTILE, BEGUN.isoformat(), "")]
    rows = SomeRows([HOSTILE], [[HOSTILE], [None]])

    page = harmless(build_page(everywhere, jobs, name=HOSTILE, prompt=HOSTILE, rows=rows))

    assert page.text.count(SCRIPT) >= 9
    assert "\N{REPLACEMENT CHARACTER}[31mred" in page.text


def test_the_largest_page_is_within_its_limit_and_says_what_it_leaves_out():
    long = "\N{FIRE}" * 5_000
    errors = {
        f"CODE_{number}_{long}": {"rows": 1, "examples": [{"record_id": long, "message": long}] * 9}
        for number in range(200)
    }
    shards = [
        {"shard": f"{number:05d}", "attempts": 3, "status": "Failed", "message": long} for number in range(20_000)
    ]
    jobs = [span(number, number % 997, status="Failed") for number in range(20_000)]
    rows = SomeRows([long] * 400, [[long] * 400] * 400)

    body = build_page(
        facts(errors=errors, shards=shards, reason=long, source=long), jobs, name=long, prompt=long * 9, rows=rows
    )

    assert len(body) < report_page.PAGE_BYTES_MAX
    text = " ".join(harmless(body).text.split())
    assert "of 20,000 jobs are drawn" in text
    assert "and 170 other codes" in text
    assert "and 19,970 others" in text
    assert "388 columns are not shown" in text


def test_jobs_share_a_lane_only_if_one_is_over_when_the_other_begins():
    body = build_page(facts(), [span(0, 0, lasts=30), span(1, 10, lasts=30), span(2, 31, lasts=10)])

    drawn = [found for tag, found in Seen(body).elements if tag == "rect" and "y" in found]
    assert [found["y"] for found in drawn] == ["0", "9", "0"]
    first, second = float(drawn[0]["x"]), float(drawn[2]["x"])
    assert second >= first + float(drawn[0]["width"])


def test_a_report_of_what_little_is_known_is_a_page_too():
    short = facts(
        state="CANCELLED", model_id=None, source=None, llm_tokens=None, cost=None, errors={}, accepted_at="", shards=[]
    )
    assert "Cancelled" in harmless(build_page(short, [])).text


def hostile(body, invocation_type):
    found = answered(body, invocation_type)
    found["content"] = [{"type": "text", "text": HOSTILE}]
    return found


@pytest.fixture
def ended(quarry):
    """A run whose values, prompt and answers mean harm."""
    quarry.world.bedrock.answerer = hostile
    table = pa.table({"topic": [HOSTILE if row % 2 else None for row in range(200)]})
    prompt = {"template": "About {topic}: " + SCRIPT}
    manifest = quarry.world.joke() | {"s3_uri": quarry.world.parquet(table), "prompt": prompt, "prompt_id": None}
    run_id = quarry.world.send(manifest)
    quarry.finish(run_id)
    return run_id


def test_the_collector_leaves_the_page_beside_the_results_without_rows_and_prompt(quarry, ended):
    body = quarry.world.objects.bodies[report_page_key(ended)]

    page = harmless(body)
    assert "100" in page.text
    assert "NULL_INPUT" in page.text
    assert "About {topic}" not in page.text
    assert "First rows" not in page.text
    assert "2 jobs" in page.text or "1 jobs" in page.text
    # Readers of the folder skip it, and whoever checks the results expects it.
    assert quarry("verify", ended).exit_code == 0
    assert report_page_key(ended).rpartition("/")[2].startswith("_")


def test_a_page_that_cannot_be_made_keeps_no_run_open(quarry, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("a bug")

    monkeypatch.setattr("quarry_collector.report_page.build_page", fail)
    run_id = quarry.ended(200)

    assert quarry.status(run_id)["state"] == "SUCCEEDED"
    assert report_key(run_id) in quarry.world.objects.bodies
    assert report_page_key(run_id) not in quarry.world.objects.bodies


def test_quarry_report_adds_rows_and_prompt_for_who_asks(quarry, ended, tmp_path):
    out = tmp_path / "report.html"

    result = quarry("report", ended, "-o", str(out), "--rows", "2", "--prompt")

    assert (result.exit_code, result.stdout.strip()) == (0, f"the report is in {out}")
    page = harmless(out.read_bytes())
    assert "About {topic}: " + SCRIPT in page.text
    assert "First rows" in page.text
    assert page.text.count(SCRIPT) >= 3
    assert out.read_bytes() != quarry.world.objects.bodies[report_page_key(ended)]

    bare = quarry("report", ended, "-o", str(out), "--json")
    assert json.loads(bare.stdout) == {"file": str(out), "size_bytes": len(out.read_bytes())}
    assert out.read_bytes() == quarry.world.objects.bodies[report_page_key(ended)]


def test_a_run_that_goes_on_has_no_report(quarry, tmp_path):
    run_id = quarry.world.send(quarry.world.joke())
    quarry.idle()

    result = quarry("report", run_id, "-o", str(tmp_path / "x.html"))

    assert result.exit_code == 1
    assert "it has a report when it has ended" in result.stderr
    assert not (tmp_path / "x.html").exists()
    assert quarry("report", "nothing", "-o", str(tmp_path / "x.html")).exit_code == 1


def test_answers_that_mean_harm_are_text_in_a_terminal_and_in_csv(quarry, ended, tmp_path):
    for arguments in (
        ("results", ended, "-o", str(tmp_path / "rows"), "--head", "3"),
        ("errors", ended),
        ("why", ended, "1"),
        ("status", ended),
        ("runs",),
    ):
        result = quarry(*arguments)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", result.stdout + result.stderr), arguments
    quarry("results", ended, "-o", str(tmp_path / "csv"), "--format", "csv", "--safe-cells")
    rows = [row for path in (tmp_path / "csv").glob("*.csv") for row in csv.reader(io.StringIO(path.read_text()))]
    cells = [cell for row in rows[1:] for cell in row]
    assert [cell for cell in cells if cell.startswith("'=cmd")]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]
