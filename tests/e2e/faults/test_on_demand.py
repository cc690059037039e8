"""Too little for a job: asked on demand by real processes, one of which is killed in the middle."""

from __future__ import annotations

import pytest

from quarry_core.contract.on_demand import CHECKPOINT_RECORDS
from quarry_core.models.prices import price_of
from tests.e2e.user import CLAUDE, until

ROWS = 90
CONCURRENCY = 4
RATES = {
    "QUARRY_ON_DEMAND_CONCURRENCY": str(CONCURRENCY),
    "QUARRY_ON_DEMAND_REQUESTS_PER_MINUTE": "6000",
    "QUARRY_ON_DEMAND_TOKENS_PER_MINUTE": "100000000",
}


@pytest.fixture
def asked(user):
    """How many requests on demand the simulated Bedrock has let through since."""

    def count() -> int:
        return sum(each["requests"] for each in user.stack.simulator_stats()["on_demand"].values())

    before = count()
    return lambda: count() - before


def send(user, run_id: str, rows: int) -> None:
    user.send(
        {
            "s3_uri": user.topics(f"inputs/{run_id}.csv", rows),
            "job_name_prefix": "few",
            "model_id": CLAUDE,
            "prompt_id": "joke_about_topic",
            "run_id": run_id,
        }
    )


def check(user, run_id: str, rows: int) -> dict:
    totals = user.ended(run_id, within_s=90)
    assert (totals["state"], totals["ok"], totals["error"], totals["open"]) == ("SUCCEEDED", rows, 0, 0)
    assert user.result(run_id)["topic"].to_pylist() == [f"topic number {row}" for row in range(rows)]
    assert user.jobs(run_id) == []
    assert user.dead() == dict.fromkeys(user.dead(), 0)
    reported = user.report(run_id)
    tokens = reported["llm_tokens"]
    # Twice the price of batch.
    dollars = 2 * price_of(CLAUDE).dollars(tokens["input"], tokens["output"])
    assert reported["cost"]["dollars"] == reported["on_demand"]["dollars"] == pytest.approx(dollars)
    return reported["on_demand"]


@pytest.mark.promise("S3", "L2")
def test_forty_rows_end_without_a_job_and_with_their_price(user, asked, capsys):
    send(user, "forty", 40)

    reported = check(user, "forty", 40)

    with capsys.disabled():
        print(f"\n40 rows: {asked()} requests, {reported}")
    assert asked() == 40
    assert reported["asked_twice_at_most"] == 0


@pytest.mark.timeout(180)
@pytest.mark.promise("L1", "L4", "S2", "S3")
def test_a_killed_scheduler_asks_at_most_a_checkpoint_and_what_is_in_flight_twice(user, asked, capsys):
    user.stack.restart("scheduler", variables=RATES)
    user.stack.set_simulator(invocation_s=1.0)
    try:
        send(user, "killed", ROWS)
        until(lambda: asked() >= CHECKPOINT_RECORDS + 12, 60, user.ends_of_logs)
        user.stack.kill("scheduler")
        before = asked()
    finally:
        user.stack.set_simulator(invocation_s=0.0)
        user.stack.restart("scheduler")

    reported = check(user, "killed", ROWS)

    twice = asked() - ROWS
    with capsys.disabled():
        print(f"\nkilled after {before} of {ROWS} requests: {twice} records asked twice, the report says {reported}")
    assert before < ROWS
    assert 0 < twice <= reported["asked_twice_at_most"] <= CHECKPOINT_RECORDS + CONCURRENCY
