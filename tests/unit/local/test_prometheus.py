"""`quarry local up --prometheus`, with a stand-in for the program: what it is told, and what is said without it."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from quarry_local import prometheus
from quarry_local.settings import StackSettings
from quarry_local.stack import Stack, StackError

STUB = Path(__file__).with_name("stub_service.py")
SERVICES = ("preprocessor", "scheduler", "collector")
PROGRAM = f"""#!/bin/sh
for word in "$@"; do case "$word" in --web.listen-address=*) port=${{word##*:}} ;; esac; done
exec {sys.executable} {STUB} --port "$port" "$@"
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A program that answers as ready on the port that it is given."""
    path = tmp_path / "a prometheus"
    path.write_text(PROGRAM)
    path.chmod(0o755)
    monkeypatch.setenv("QUARRY_PROMETHEUS", str(path))
    return path


@pytest.fixture
def settings(aws, fresh_env):
    launch = dict.fromkeys(("bedrock", *SERVICES), (str(STUB),))
    return StackSettings(
        env=fresh_env, aws_endpoint=aws.endpoint_url, launch=launch, ready_within_s=20, drain_s=5, prometheus=True
    )


@pytest.fixture
def stack(tmp_path, settings):
    stack = Stack(tmp_path / "stack", settings)
    yield stack
    stack.down()


def targets(stack):
    groups = json.loads((stack.directory / "prometheus" / "targets.json").read_text())
    return {group["labels"]["job"]: group["targets"] for group in groups}


def test_one_can_be_added_to_a_stack_that_is_up_and_stays_when_it_is_not_asked_for_again(stack, settings, program):
    without = Stack(stack.directory, dataclasses.replace(settings, prometheus=False))
    without.up()
    before = {name: process for name, (process, _) in without.processes().items()}

    stack.up()

    assert stack.alive("prometheus")
    assert targets(stack) == {f"quarry-{name}": [f"127.0.0.1:{stack.process(name).port}"] for name in SERVICES}
    assert {name: stack.process(name) for name in before} == before
    Stack(stack.directory).up()
    assert stack.alive("prometheus")


def test_it_watches_each_service_where_that_listens_and_goes_down_with_the_stack(stack, program, fresh_env):
    stack.up()

    reported = json.loads((stack.directory / "prometheus" / "prometheus.yaml").read_text())
    (scrape,) = reported["scrape_configs"]
    assert stack.alive("prometheus")
    assert targets(stack) == {f"quarry-{name}": [f"127.0.0.1:{stack.process(name).port}"] for name in SERVICES}
    assert scrape["file_sd_configs"] == [{"files": [str(stack.directory / "prometheus" / "targets.json")]}]
    assert scrape["relabel_configs"] == [{"target_label": "env", "replacement": fresh_env}]
    assert {path.name for path in Path(reported["rule_files"][0]).parent.glob("*.yaml")} == {
        "alerts.yaml",
        "recording.yaml",
    }
    alerts = (Path(reported["rule_files"][0]).parent / "alerts.yaml").read_text()
    books = {url.partition("#")[0] for url in re.findall(r"runbook_url: (\S+)", alerts)}
    assert {Path(urlsplit(url).path).read_text().partition("\n")[0] for url in books} == {"# Runbook"}

    assert stack.down() == []
    assert not (stack.directory / "prometheus").exists()
    assert stack.logs("prometheus") == ["stub is up"]


def test_a_further_scheduler_becomes_a_target_and_a_dead_one_stays_one(stack, program):
    stack.up()

    second = stack.start("scheduler.2")
    stack.kill("scheduler")

    ports = [stack.process("scheduler").port, second.port]
    assert targets(stack)["quarry-scheduler"] == [f"127.0.0.1:{port}" for port in ports]


def test_without_the_flag_there_is_none(stack, program, tmp_path):
    plain = Stack(tmp_path / "plain", dataclasses.replace(stack._asked, prometheus=False))
    try:
        plain.up()
        assert "prometheus" not in plain.processes()
        assert not (plain.directory / "prometheus").exists()
    finally:
        plain.down()


def test_where_there_is_no_prometheus_up_says_how_to_get_it_and_starts_nothing(stack, tmp_path, monkeypatch):
    monkeypatch.delenv("QUARRY_PROMETHEUS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(StackError, match=r"QUARRY_PROMETHEUS.*tools/fetch_prometheus\.sh"):
        stack.up()

    assert stack.processes() == {}
    assert not (stack.directory / "logs").exists()


def test_a_name_that_is_no_program_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("QUARRY_PROMETHEUS", str(tmp_path))

    with pytest.raises(prometheus.PrometheusUnavailable, match="which is not a program"):
        prometheus.executable()


def test_it_is_found_on_the_path(monkeypatch, program):
    monkeypatch.delenv("QUARRY_PROMETHEUS")
    program.rename(program.with_name("prometheus"))
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    assert prometheus.executable() == program.with_name("prometheus")
