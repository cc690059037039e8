"""What is said when the environment is not named."""

from __future__ import annotations

import os

import pytest

from quarry_cli.errors import NotConfigured
from quarry_cli.main import app
from quarry_cli.settings import ClientSettings
from tests.unit.cli.runner import runner


@pytest.fixture(autouse=True)
def _bare(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith(("QUARRY_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_every_missing_variable_is_named_with_where_to_get_it(monkeypatch):
    monkeypatch.setenv("QUARRY_TABLE", "t")

    result = runner().invoke(app, ["status", "r"])

    assert result.exit_code == 2
    assert "QUARRY_REGION and QUARRY_BUCKET are not set" in result.stderr
    assert "QUARRY_TABLE" not in result.stderr
    assert "terraform output" in result.stderr
    assert 'eval "$(quarry local env)"' in result.stderr


def test_a_local_stack_in_this_directory_is_pointed_out_and_not_used(tmp_path):
    (tmp_path / ".quarry").mkdir()
    (tmp_path / ".quarry" / "state.json").write_text("{}")

    result = runner().invoke(app, ["runs"])

    assert result.exit_code == 2
    assert ".quarry/state.json" in result.stderr


def test_the_region_may_come_from_awss_own_variables(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert ClientSettings().region == "eu-west-1"
    monkeypatch.setenv("QUARRY_REGION", "us-east-1")
    assert ClientSettings().region == "us-east-1"


def test_an_empty_variable_counts_as_not_set(monkeypatch):
    monkeypatch.setenv("QUARRY_TABLE", "")

    with pytest.raises(NotConfigured, match="QUARRY_TABLE is not set"):
        ClientSettings().require("table")


def test_the_queue_is_needed_only_to_submit(monkeypatch):
    monkeypatch.setenv("QUARRY_MANIFEST_QUEUE_URL", "")

    with pytest.raises(NotConfigured, match="QUARRY_MANIFEST_QUEUE_URL is not set"):
        ClientSettings().require("manifest_queue_url")
