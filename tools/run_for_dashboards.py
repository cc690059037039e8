"""A real run on the local stack that every panel has something to show of: the dashboards' tests and pictures ask it.

Two text runs and an embedding run wait for few slots while a Prometheus scrapes the services, and a small run is asked
on demand; a share of the records fails, Bedrock throttles some Creates, loses events and jobs, somebody else's job holds
a slot, and one message is no manifest. All is drawn from the simulator's seed, so the same happens each time, though not
at the same second.

    .venv/bin/python tools/run_for_dashboards.py <directory> [--rows N]

prints one line of JSON: where Prometheus answers, and from when to when there was something to see. The stack stays
up: `quarry local down --directory <directory>` stops it. Prometheus is found as `quarry local up --prometheus` finds
it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlencode

from quarry_local import demo, loopback
from quarry_local.programs import PROMETHEUS
from quarry_local.settings import StackSettings
from quarry_local.stack import Stack

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
ROWS = 12_000
FEW_ROWS = 60  # are asked on demand, beside the others
RECORDS_PER_JOB = 500
QUOTA = 4
RUNS_S_MAX = 1_200
# The recording rules count by full minutes: the later runs begin when the longest of them has something to show.
LAST_RULE = "quarry:row_errors:ratio6h"
RULES_S_MAX = 240
LOOK_EVERY_S = 2
# The last scrapes and rules after the end are to be seen too.
AFTERGLOW_S = 30

SIMULATOR = {
    "seed": "7",
    "validating_s": "2",
    "queue_s": "3",
    "seconds_per_1000_records": "40",
    "record_error_share": "0.006",
    "record_error_code": "400",  # not transient: it is not asked again, and stays to be seen
    "line_missing_share": "0.001",
    "job_expired_share": "0.04",
    "job_partial_share": "0.04",
    "throttled_by_operation": json.dumps({"CreateModelInvocationJob": 0.15}),
    "reply_lost_by_operation": json.dumps({"CreateModelInvocationJob": 0.03}),
    "events_lost_share": "0.15",
    "foreign_jobs": json.dumps({HAIKU: 1}),
}
VARIABLES = {
    "QUARRY_GAUGES_EVERY_S": "5",
    "QUARRY_BUDGET_DOLLARS": "5",
    "QUARRY_BUDGET_USD": "500",
    "QUARRY_JOB_QUOTA": str(QUOTA),
}
# What `quarry watch` ends with when a run is over: every row has an answer, or some have an error.
ENDED = (0, 3)


class RunFailed(Exception):
    """A run was not accepted or did not end in time, or the rules tell nothing of it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Where Prometheus answers, and when there was something to see, in seconds since 1970.

    Attributes:
        prometheus: its URL.
        start_s: before the first manifest.
        last_s: when the last manifests were sent.
        over_s: the last run's end.
        end_s: until when that was to be seen.
    """

    prometheus: str
    start_s: float
    last_s: float
    over_s: float
    end_s: float


@contextmanager
def a_run(directory: Path, rows: int = ROWS) -> Iterator[Seen]:
    """The stack with its runs at their end; it is taken down behind them.

    Raises:
        RunFailed: the runs did not end in time.
        StackError: the stack could not be brought up; the message says why.
    """
    stack = Stack(directory, settings())
    try:
        yield drive(stack, rows)
    finally:
        stack.down()


def settings() -> StackSettings:
    return StackSettings(env="demo", quota=QUOTA, prometheus=True, simulator=SIMULATOR, overrides=VARIABLES)


def drive(stack: Stack, rows: int) -> Seen:
    """Bring the stack up and put the runs through it. Raises as `a_run`."""
    variables = stack.up()
    start_s = time.time()
    _send(stack, variables, "no manifest")
    _submit(stack, variables, "seen1", HAIKU, demo.topics(rows // 2), "joke_about_topic")
    _until_the_rules_tell(stack)
    last_s = time.time()
    _submit(stack, variables, "seen2", TITAN, demo.texts(rows // 4), None)
    _submit(stack, variables, "seen3", HAIKU, demo.topics(rows // 4), "joke_about_topic")
    _submit(stack, variables, "seen4", HAIKU, demo.topics(FEW_ROWS), "joke_about_topic")
    for run_id in ("seen1", "seen2", "seen3", "seen4"):
        _wait(variables, run_id, start_s + RUNS_S_MAX - time.time())
    over_s = time.time()
    time.sleep(AFTERGLOW_S)
    return Seen(stack.url(PROMETHEUS), start_s, last_s, over_s, time.time())


def _until_the_rules_tell(stack: Stack) -> None:
    """Raises RunFailed when they do not in time."""
    query = f"/api/v1/query?{urlencode({'query': LAST_RULE})}"
    for _ in range(RULES_S_MAX // LOOK_EVERY_S):
        if loopback.ask_json(stack.process(PROMETHEUS).port, query)["data"]["result"]:
            return
        time.sleep(LOOK_EVERY_S)
    raise RunFailed(f"{LAST_RULE} tells nothing after {RULES_S_MAX} s")


def _submit(
    stack: Stack, variables: Mapping[str, str], run_id: str, model: str, source: bytes, prompt: str | None
) -> None:
    bucket, key = variables["QUARRY_BUCKET"], f"inputs/{run_id}.csv"
    stack.clients().client("s3").put_object(Bucket=bucket, Key=key, Body=source)
    manifest = {
        "s3_uri": f"s3://{bucket}/{key}",
        "job_name_prefix": run_id,
        "model_id": model,
        "prompt_id": prompt,
        "max_records_per_job": RECORDS_PER_JOB,
        "run_id": run_id,
    }
    _send(stack, variables, json.dumps(manifest))


def _send(stack: Stack, variables: Mapping[str, str], body: str) -> None:
    queue = variables["QUARRY_MANIFEST_QUEUE_URL"]
    stack.clients().client("sqs").send_message(QueueUrl=queue, MessageBody=body)


def _wait(variables: Mapping[str, str], run_id: str, timeout_s: float) -> None:
    watch = ["watch", run_id, "--timeout", str(max(1, int(timeout_s)))]
    done = subprocess.run(
        [sys.executable, "-m", "quarry_cli.main", *watch],
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode not in ENDED:
        raise RunFailed(f"`quarry watch {run_id}` ended with exit code {done.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", type=Path, help="where the stack keeps its state and logs")
    parser.add_argument(
        "--rows", type=int, default=ROWS, help=f"rows of the three large runs together (default {ROWS})"
    )
    seen = drive(Stack((arguments := parser.parse_args()).directory, settings()), arguments.rows)
    print(json.dumps(asdict(seen)))


if __name__ == "__main__":
    main()
