"""The runbook: a section for each alert, and every command in it is one that its program takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import botocore.session
import pytest
import typer.main
import yaml
from botocore import xform_name

from quarry_cli.main import app
from quarry_collector.settle import ErrorCode
from quarry_core.contract import names

ROOT = Path(__file__).resolve().parents[3]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
ALERTS = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules" / "alerts.yaml").read_text())
PARTS = ("What it means.", "Look first.", "Do.", "Over when")
BLOCKS = re.findall(r"^ *```\n(.*?)^ *```", RUNBOOK, re.MULTILINE | re.DOTALL)
INLINE = re.findall(r"`(quarry [^`]+)`", re.sub(r"```.*?```", "", RUNBOOK, flags=re.DOTALL))
LINES = [line.strip() for block in BLOCKS for line in block.splitlines()]
SERVICES = {"s3api": "s3"}
# The AWS command's own, beside the parameters of the operation.
GLOBAL = {"query", "output"}


def commands(program: str) -> list[str]:
    # A shell's redirections and placeholders are not for the program.
    found = [line for line in [*LINES, *INLINE] if line.startswith(f"{program} ")]
    assert found
    return sorted({re.sub(r"<([\w-]+)>", r"\1", line).split(" | ")[0].split(" > ")[0] for line in found})


def section(heading: str) -> str:
    return RUNBOOK.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0].split("\n# ", 1)[0]


NAMES = sorted({rule["alert"] for group in ALERTS["groups"] for rule in group["rules"]})


@pytest.mark.parametrize("alert", NAMES)
def test_every_alert_has_a_section_with_four_parts(alert):
    text = section(alert)
    at = [text.find(f"**{part}") for part in PARTS]
    assert min(at) >= 0
    assert at == sorted(at)


def test_there_is_no_section_for_an_alert_that_does_not_exist():
    assert re.findall(r"^## (Quarry\w+)$", RUNBOOK, re.MULTILINE) != []
    assert set(re.findall(r"^## (Quarry\w+)$", RUNBOOK, re.MULTILINE)) == set(NAMES)


def test_error_codes_are_ones_that_exist():
    named = re.findall(r"`([A-Z_]+)`", section("QuarryRowErrorBurn"))
    assert named
    assert set(named) <= {str(code) for code in ErrorCode}


@pytest.mark.parametrize("line", commands("quarry"))
def test_quarry_takes_the_command(line):
    command, words = typer.main.get_group(app), shlex.split(line)[1:]
    words = ["manifests" if word == "queue" else word for word in words]
    if words[0] == "local":
        return  # another package's
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    command.make_context(line, words)  # raises what the user would be told


@pytest.mark.parametrize("line", commands("aws"))
def test_aws_takes_the_command(line):
    _, service, operation, *words = shlex.split(line)
    if service == "s3":  # the AWS command's own, which no model describes
        assert operation in {"cp", "sync", "ls"}
        return
    model = botocore.session.get_session().get_service_model(SERVICES.get(service, service))
    names = {xform_name(name, "-"): name for name in model.operation_names}
    assert operation in names
    shape = model.operation_model(names[operation]).input_shape
    assert shape is not None
    members = {xform_name(name, "-"): name for name in shape.members}
    flags = {f"no-{name}": name for name in members} | {name: name for name in members}
    given = {word.removeprefix("--") for word in words if word.startswith("--")}
    assert given <= set(flags) | GLOBAL
    required = {xform_name(name, "-") for name in shape.required_members}
    assert required <= given


def test_rows_that_were_never_sent_for_what_the_source_holds_wake_nobody():
    reported = (ROOT / "docs" / "results.md").read_text()
    never_sent = {code.lower() for code in re.findall(r"^\| `(\w+)` \| no \| Never sent:", reported, re.MULTILINE)}
    assert {"null_input", "bad_value"} <= never_sent
    rules = (ROOT / "deploy" / "prometheus" / "rules" / "recording.yaml").read_text()
    left_out = re.findall(r'\{outcome!~"([^"]+)"\}', rules)
    assert left_out, "the rules leave nothing out?"
    assert [set(codes.split("|")) for codes in left_out] == [never_sent] * len(left_out)
    alerts = " ".join((ROOT / "docs" / "alerts.md").read_text().split())
    assert never_sent == set(re.findall(r"`(\w+)`", re.search(r"for what the source holds \(([^)]+)\)", alerts)[1]))


def test_the_runbook_names_the_jobs_of_one_run_as_they_are_named():
    stop = section("Stop spending now")
    found = re.search(r"the jobs of `([^`]+)` have `([^`]+)` in their names", stop)
    assert found is not None
    assert found[2] in names.job_name("jokes", names.JobName(found[1], "00000", 1, "prod"))


def test_what_a_job_is_looked_for_by_is_what_bedrock_and_the_command_take():
    shape = botocore.session.get_session().get_service_model("bedrock").shape_for("ListModelInvocationJobsRequest")
    allowed = shape.members["nameContains"].metadata["pattern"]
    pages = RUNBOOK + (ROOT / "terraform" / "DESTROY.md").read_text()
    asked = re.findall(r'--name-contains "([^"]+)"', pages)
    asked += re.findall(r"have `([^`]+)` in their names", RUNBOOK)
    assert len(asked) == 3
    for text in asked:
        assert re.fullmatch(allowed, text.replace("$QUARRY_ENV", "prod")), text


def test_no_value_in_the_runbook_looks_like_an_option_to_the_aws_command():
    for line in commands("aws"):
        assert not [word for word in shlex.split(line) if re.match("-[^-]", word)], line
