"""The main job on the local stack, for people to watch: one text manifest, one embedding manifest.

Everything shown is what a user has: the manifest goes to the queue as plain SQS text, and the `quarry` command shows
the rest. The demo's own part is the data, the order of events, and an exit code that is 0 only if every row came back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from quarry_local.policies import SERVICES
from quarry_local.programs import PROMETHEUS
from quarry_local.settings import StackSettings
from quarry_local.stack import Stack

QUOTA = 3
TOPICS = 3_600
RECORDS_PER_JOB = 300
TEXTS = 1_200
HEAD_ROWS = 5
COMMAND_S_MAX = 600

_THINGS = ("otters", "compilers", "tax forms", "umbrellas", "violins", "queues", "volcanoes", "spreadsheets", "pigeons")
_PLACES = ("in Lisbon", "on a Monday", "under water", "at the dentist", "in space", "before coffee", "in the rain")

Say = Callable[[str], None]


class DemoFailed(Exception):
    """Something did not come out as it must; the text says what."""


def topics(rows: int) -> bytes:
    lines = ["topic,note"]
    lines += [
        f'{_THINGS[row % len(_THINGS)]} {_PLACES[row % len(_PLACES)]} no. {row},"row {row}, with a comma"'
        for row in range(rows)
    ]
    return ("\n".join(lines) + "\n").encode()


def texts(rows: int) -> bytes:
    lines = ["input_text"]
    lines += [f'"{_THINGS[row % len(_THINGS)]} {_PLACES[row % len(_PLACES)]}, item {row}"' for row in range(rows)]
    return ("\n".join(lines) + "\n").encode()


def run(directory: Path | None, say: Say, *, keep: bool, prometheus: bool = False) -> None:
    """Bring the stack up, run both manifests, show what came back, and stop.

    Raises:
        DemoFailed: a run did not succeed, or rows out are not rows in.
        StackError: the stack could not be brought up.
    """
    stack = Stack(directory, StackSettings(quota=QUOTA, prometheus=prometheus))
    say("Starting AWS, Bedrock and the three services on this machine ...")
    try:
        variables = stack.up()
        for name in SERVICES:
            say(f"  {name:<13} metrics at {stack.metrics_url(name)}")
        if prometheus:
            say(f"  {PROMETHEUS:<13} at {stack.url(PROMETHEUS)}/alerts")
        _jokes(stack, variables, say)
        _embeddings(stack, variables, say)
        if keep:
            say('\nThe stack stays up: eval "$(quarry local env)" to use it, quarry local down to stop it.')
    finally:
        if not keep:
            say("\nStopping everything ...")
            stack.down()
            say("Stopped.")


def _jokes(stack: Stack, variables: Mapping[str, str], say: Say) -> None:
    shards = TOPICS // RECORDS_PER_JOB
    say(f"\n1. Text: {TOPICS} rows of CSV, {RECORDS_PER_JOB} records per job: {shards} shards wait for {QUOTA} slots.")
    manifest = {
        "s3_uri": _put(stack, variables, "inputs/jokes/topics.csv", topics(TOPICS)),
        "job_name_prefix": "demo-jokes",
        "model_id": "anthropic.claude-3-haiku-20240307-v1:0",
        "prompt_id": "joke_about_topic",
        "max_records_per_job": RECORDS_PER_JOB,
        "run_id": "demojokes",
    }
    _whole(stack, variables, manifest, TOPICS, say)
    pools = stack.simulator_stats()["pools"]
    for name, pool in pools.items():
        say(f"Most jobs active at once in {name}: {pool['peak_active']} (quota {pool['quota']}).")


def _embeddings(stack: Stack, variables: Mapping[str, str], say: Say) -> None:
    say(f"\n2. Embeddings: {TEXTS} rows, no prompt.")
    manifest = {
        "s3_uri": _put(stack, variables, "inputs/embeddings/texts.csv", texts(TEXTS)),
        "job_name_prefix": "demo-embeddings",
        "model_id": "amazon.titan-embed-text-v2:0",
        "prompt_id": None,
        "run_id": "demoembed",
    }
    _whole(stack, variables, manifest, TEXTS, say)


def _put(stack: Stack, variables: Mapping[str, str], key: str, body: bytes) -> str:
    bucket = variables["QUARRY_BUCKET"]
    stack.clients().client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    return f"s3://{bucket}/{key}"


def _whole(stack: Stack, variables: Mapping[str, str], manifest: Mapping[str, Any], rows: int, say: Say) -> None:
    """Send a manifest as anybody would, watch its run, show its first rows and its account."""
    text = json.dumps(manifest, indent=2)
    say(f"Sending this manifest to {variables['QUARRY_MANIFEST_QUEUE_URL']}:\n{text}")
    stack.clients().client("sqs").send_message(QueueUrl=variables["QUARRY_MANIFEST_QUEUE_URL"], MessageBody=text)
    run_id = str(manifest["run_id"])
    say(f"\n$ quarry watch {run_id}")
    _quarry(variables, "watch", run_id)
    out = stack.directory / "demo" / run_id
    say(f"\n$ quarry results {run_id} -o {os.path.relpath(out)} --head {HEAD_ROWS}")
    _quarry(variables, "results", run_id, "-o", str(out), "--head", str(HEAD_ROWS))
    _check(variables, run_id, rows, say)


def _check(variables: Mapping[str, str], run_id: str, rows: int, say: Say) -> None:
    view = json.loads(_quarry(variables, "status", run_id, "--json", capture=True))
    account = view["rows"]
    if view["state"] != "SUCCEEDED" or account["ok"] != rows or account["accepted"] != rows:
        raise DemoFailed(f"run {run_id} ended {view['state']}: {view['error'] or account}")
    say(f"Run {run_id}: {view['state']}. Rows in {rows} = rows out {account['ok'] + account['error']}.")


def _quarry(variables: Mapping[str, str], *words: str, capture: bool = False) -> str:
    done = subprocess.run(  # noqa: S603 our own program, with words that we chose
        [sys.executable, "-m", "quarry_cli.main", *words],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE if capture else None,
        text=True,
        timeout=COMMAND_S_MAX,
        check=False,
    )
    if done.returncode:
        raise DemoFailed(f"`quarry {' '.join(words)}` ended with exit code {done.returncode}")
    return done.stdout or ""
