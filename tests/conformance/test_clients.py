"""Clients that nobody here wrote: plain boto3, the `aws` program, and Node's AWS SDK, from Create to the results.

Node's needs the npm registry: it runs where `QUARRY_TEST_NODE=1` says so (`make conformance`), and is skipped with the
reason where node, npm or the registry do not answer.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import boto3
import pytest

from tests.conformance.world import PATIENCE_S, REGION, TERMINAL, TooLong, questions

SDK = "@aws-sdk/client-bedrock@3.1162.0"
CACHE = Path(__file__).resolve().parents[2] / ".quarry" / "node"
INSTALL_S = 120
CLIENT_S = 60
NODE = """
const { BedrockClient, CreateModelInvocationJobCommand: Create, GetModelInvocationJobCommand: Get,
  ListModelInvocationJobsCommand: List, StopModelInvocationJobCommand: Stop } = require("@aws-sdk/client-bedrock");
const client = new BedrockClient({ endpoint: process.env.URL, region: process.env.REGION,
  credentials: { accessKeyId: "test", secretAccessKey: "test" } });
(async () => {
  const { jobArn } = await client.send(new Create(JSON.parse(process.env.REQUEST)));
  const ends = ["Completed", "PartiallyCompleted", "Failed", "Expired", "Stopped"];
  let job;
  do { job = await client.send(new Get({ jobIdentifier: jobArn })); } while (!ends.includes(job.status));
  const listed = await client.send(new List({ nameContains: job.jobName, submitTimeAfter: new Date(0) }));
  let refused;
  try { await client.send(new Stop({ jobIdentifier: jobArn })); } catch (error) { refused = error; }
  console.log(JSON.stringify({ jobArn, status: job.status, success: job.successRecordCount,
    listed: listed.invocationJobSummaries.length, submitTime: job.submitTime instanceof Date,
    refused: refused.name, http: refused.$metadata.httpStatusCode }));
})().catch((error) => { console.error(error); process.exit(1); });
"""


def _environment(world, **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
    return {**kept, **nothing, **keys, **more}


def _finished(world, arn, expected=100):
    job = world.get(arn)
    assert (job["status"], job["successRecordCount"]) == ("Completed", expected)
    results = world.results(job)
    assert len(results) == expected
    assert all("modelOutput" in line for line in results)


@pytest.mark.conforms("C1.2-route", "C1.3-route", "C1.4-route")
def test_plain_boto3_runs_a_job_from_create_to_results(open_world, monkeypatch):
    world = open_world()
    uri = world.put(questions())
    for name, value in _environment(world, AWS_ENDPOINT_URL_BEDROCK=world.url).items():
        monkeypatch.setenv(name, value)
    bedrock = boto3.Session().client("bedrock")
    arn = bedrock.create_model_invocation_job(**world.request(uri))["jobArn"]
    deadline = time.monotonic() + PATIENCE_S
    while bedrock.get_model_invocation_job(jobIdentifier=arn)["status"] not in TERMINAL:
        if time.monotonic() > deadline:
            raise TooLong(arn)
    listed = bedrock.list_model_invocation_jobs(statusEquals="Completed")["invocationJobSummaries"]
    bedrock.close()
    assert [job["jobArn"] for job in listed] == [arn]
    _finished(world, arn)


def _aws_program():
    program = shutil.which("aws")
    if program is None:
        return None, "the aws program is not on the PATH"
    reported = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)
    if reported.returncode:
        return None, f"aws --version: {reported.stderr.strip()[-200:]}"
    helped = subprocess.run(
        [program, "bedrock", "create-model-invocation-job", "--generate-cli-skeleton"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if helped.returncode:
        return None, f"{reported.stdout.strip()} does not know batch inference"
    return program, ""


@pytest.mark.conforms("C1.2-route", "C1.1-arn-in-path", "C1.1-timestamps")
def test_the_aws_program_runs_a_job_from_create_to_results(open_world):
    program, why_not = _aws_program()
    if program is None:
        pytest.skip(why_not)
    world = open_world()
    request = world.request(world.put(questions()))

    def aws(*arguments):
        # An older version does not read AWS_ENDPOINT_URL_BEDROCK.
        command = [program, "bedrock", *arguments, "--endpoint-url", world.url, "--output", "json"]
        ran = subprocess.run(
            command, env=_environment(world), capture_output=True, text=True, timeout=CLIENT_S, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout or "{}")

    arn = aws("create-model-invocation-job", "--cli-input-json", json.dumps(request))["jobArn"]
    world.wait(arn)
    shown = aws("get-model-invocation-job", "--job-identifier", arn)
    assert (shown["jobArn"], shown["status"]) == (arn, "Completed")
    listed = aws("list-model-invocation-jobs", "--status-equals", "Completed", "--name-contains", request["jobName"])
    assert [job["jobArn"] for job in listed["invocationJobSummaries"]] == [arn]
    _finished(world, arn)


@pytest.fixture(scope="session")
def node_sdk():
    """A directory in which Node finds the pinned SDK; kept between runs."""
    if os.environ.get("QUARRY_TEST_NODE") != "1":
        pytest.skip("needs the npm registry: QUARRY_TEST_NODE=1, as make conformance sets it")
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("node and npm are not on the PATH")
    stamp = CACHE / ".installed"
    if not stamp.exists() or stamp.read_text() != SDK:
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(CACHE), SDK]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm did not install {SDK} within {INSTALL_S} s")
        if ran.returncode:
            pytest.skip(f"npm did not install {SDK}: {ran.stderr.strip()[-300:]}")
        stamp.write_text(SDK)
    return node


@pytest.mark.timeout(INSTALL_S + CLIENT_S + 60)
@pytest.mark.conforms("C1.2-route", "C1.1-arn-in-path", "C1.1-error-header", "C1.1-timestamps", "C1.5-ended")
def test_nodes_sdk_runs_a_job_from_create_to_results(open_world, node_sdk):
    world = open_world()
    request = world.request(world.put(questions()))
    variables = {"URL": world.url, "REGION": REGION, "REQUEST": json.dumps(request)}
    ran = subprocess.run(
        [node_sdk, "-e", NODE],
        cwd=CACHE,
        env=_environment(world, **variables),
        capture_output=True,
        text=True,
        timeout=CLIENT_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    reported = json.loads(ran.stdout)
    arn = reported.pop("jobArn")
    assert reported == {
        "status": "Completed",
        "success": 100,
        "listed": 1,
        "submitTime": True,
        "refused": "ValidationException",
        "http": 400,
    }
    _finished(world, arn)
