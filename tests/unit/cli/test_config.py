"""Profiles: filled by Terraform's outputs, chosen by --env, weaker than the shell, and every value says where it is from."""

from __future__ import annotations

import json
import os
import stat

import pytest

from quarry_cli import profiles
from quarry_cli.client.connections import variables_of
from quarry_cli.errors import NotConfigured
from quarry_cli.main import app
from tests.unit.cli.runner import runner

PROD = {
    "QUARRY_ENV": "prod",
    "QUARRY_REGION": "eu-central-1",
    "QUARRY_TABLE": "prod-quarry-ledger",
    "QUARRY_BUCKET": "prod-quarry-123456789012",
    "QUARRY_MANIFEST_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/prod-quarry-manifests",
    "QUARRY_JOB_QUOTA": "20",
}


def outputs(**changes) -> str:
    environment = {"sensitive": False, "type": ["map", "string"], "value": PROD | changes}
    return json.dumps({"environment": environment, "role_arns": {"sensitive": False, "value": {}}})


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in (*PROD, "QUARRY_PROFILE", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "config" / "quarry" / "config.toml"


def quarry(*args, given=None, obj=None, **env):
    return runner().invoke(app, list(args), input=given, env={"COLUMNS": "240", **env}, obj=obj)


def imported(name="prod", given=None, *more):
    result = quarry("config", "import", "--name", name, *more, given=given or outputs())
    assert result.exit_code == 0, result.output
    return result


def shown(*args, **env):
    result = quarry("config", "show", "--json", *args, **env)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    return found, {value["variable"]: value for value in found["values"]}


def test_terraforms_outputs_become_a_profile_that_only_its_owner_reads(home):
    result = imported("prod", None, "--aws-profile", "work")

    assert "profile prod, 7 values" in result.stdout
    assert profiles.read_profiles(home) == {"prod": PROD | {"AWS_PROFILE": "work"}}
    assert stat.S_IMODE(home.stat().st_mode) == 0o600
    assert [path.name for path in home.parent.iterdir()] == ["config.toml"]


def test_one_output_alone_and_a_file_work_too(tmp_path):
    (tmp_path / "out.json").write_text(json.dumps(PROD))

    result = quarry("config", "import", "--name", "prod", str(tmp_path / "out.json"))

    assert result.exit_code == 0, result.output


def test_a_second_import_replaces_the_profile_and_leaves_others_and_comments(home):
    home.parent.mkdir(parents=True)
    home.write_text(
        '# mine\n[profiles.dev]\nQUARRY_TABLE = "dev" # a table\n\n[profiles."prod"]\nQUARRY_TABLE = "old"\n'
    )

    result = imported()

    text = home.read_text()
    assert "# mine" in text
    assert "# a table" in text
    assert profiles.read_profiles(home) == {"dev": {"QUARRY_TABLE": "dev"}, "prod": PROD}
    assert "changed: QUARRY_BUCKET" in result.stdout
    assert "changed" not in imported().stdout


def test_a_file_that_cannot_be_changed_safely_is_left(home):
    home.parent.mkdir(parents=True)
    text = "profiles = {prod = {QUARRY_TABLE = 'inline'}}\n"
    home.write_text(text)

    result = quarry("config", "import", "--name", "prod", given=outputs())

    assert result.exit_code == 2
    assert home.read_text() == text


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("", "not the JSON of `terraform output -json`"),
        ("{}", "no output 'environment' with Quarry's variables is in it (it is empty)"),
        ('{"vpc": {"value": 1}}', "(it has vpc)"),
        (outputs(QUARRY_TABLE=""), "without QUARRY_TABLE the profile would lead nowhere"),
        (outputs(QUARRY_HF_TOKEN="x"), "QUARRY_HF_TOKEN is a secret"),
        (outputs(PATH="/bin"), "PATH is none of the variables"),
        (outputs(QUARRY_ENV="a\x1b[2Jb"), "QUARRY_ENV must be printable"),
        (outputs(QUARRY_ENV=["x"]), "QUARRY_ENV must be a text or a number"),
    ],
)
def test_what_is_no_environment_is_refused_and_nothing_is_written(home, given, sentence):
    result = quarry("config", "import", "--name", "prod", given=given)

    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not home.exists()


@pytest.mark.parametrize("name", ["", "local", "a b", "../x", "x" * 40])
def test_a_name_that_is_none_is_refused(name):
    result = quarry("config", "import", "--name", name, given=outputs())

    assert result.exit_code == 2


def test_a_command_works_in_the_environment_that_is_named_and_puts_the_shell_back(monkeypatch):
    imported()
    seen = {}

    def connect():
        seen.update(os.environ)
        raise NotConfigured("seen")

    quarry("runs", "--env", "prod", obj=connect)

    assert {name: seen[name] for name in PROD} == PROD
    assert "QUARRY_TABLE" not in os.environ


def test_variables_of_the_shell_win_one_by_one_and_that_is_said():
    imported()

    result = quarry("config", "show", "--env", "prod", QUARRY_TABLE="mine")
    found, values = shown("--env", "prod", QUARRY_TABLE="mine", QUARRY_REGION="")

    assert "note: QUARRY_TABLE of the shell wins over the profile prod" in result.stderr
    assert found["profile"] == "prod"
    table = values["QUARRY_TABLE"]
    assert (table["value"], table["source"], table["overrides"]) == ("mine", "variable", "prod-quarry-ledger")
    assert (values["QUARRY_BUCKET"]["value"], values["QUARRY_BUCKET"]["source"]) == (PROD["QUARRY_BUCKET"], "profile")
    assert values["QUARRY_REGION"]["source"] == "profile"  # what is set to nothing is not set


def test_without_a_profile_every_value_is_the_shells_a_default_or_not_set():
    found, values = shown(AWS_REGION="us-west-2", HF_TOKEN="hf_secret")

    assert found["profile"] is None
    assert values["AWS_REGION"]["source"] == "variable"
    assert values["QUARRY_TABLE"]["source"] == "not set"
    assert values["HF_ENDPOINT"]["source"] == "default"
    assert values["HF_TOKEN"]["value"] == "(set)"
    assert "hf_secret" not in json.dumps(found)


def test_the_variable_names_the_profile_and_the_option_wins():
    imported()
    imported("dev", outputs(QUARRY_TABLE="dev"))

    assert shown(QUARRY_PROFILE="dev")[1]["QUARRY_TABLE"]["value"] == "dev"
    assert shown("--env", "prod", QUARRY_PROFILE="dev")[1]["QUARRY_TABLE"]["value"] == PROD["QUARRY_TABLE"]


def test_a_profile_that_is_not_there_names_those_that_are():
    imported()

    result = quarry("runs", "--env", "pord")

    assert result.exit_code == 2
    assert "there is no profile 'pord'" in result.stderr
    assert "(there are: prod)" in result.stderr


def test_the_python_api_takes_a_profile_and_leaves_the_process_alone(monkeypatch):
    imported()
    monkeypatch.setenv("QUARRY_TABLE", "mine")

    variables = variables_of("prod")

    assert (variables["QUARRY_TABLE"], variables["QUARRY_BUCKET"]) == ("mine", PROD["QUARRY_BUCKET"])
    assert "QUARRY_BUCKET" not in os.environ


@pytest.mark.parametrize("text", ["[", "x = 1", "[profiles]\nprod = 1", "[profiles.prod]\nQUARRY_TABLE = [1]", "\x00"])
def test_a_file_that_is_none_is_named(home, text):
    home.parent.mkdir(parents=True)
    home.write_text(text)

    result = quarry("config", "show")

    assert result.exit_code == 2
    assert str(home) in result.stderr


def test_xdg_is_honoured_and_a_relative_one_is_not(tmp_path):
    assert (
        profiles.config_path({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}).as_posix()
        == "/h/.config/quarry/config.toml"
    )
    assert profiles.config_path({"HOME": "/h"}).as_posix() == "/h/.config/quarry/config.toml"


def test_with_json_an_error_is_one_object_and_the_sentence_stays_on_standard_error():
    result = quarry("config", "show", "--json", "--env", "nothing")

    assert result.exit_code == 2
    reported = json.loads(result.stdout)["error"]
    assert (reported["code"], reported["exit_code"]) == ("NotConfigured", 2)
    assert reported["message"] in result.stderr


def test_every_command_takes_an_environment():
    for group in (app, *(each.typer_instance for each in app.registered_groups)):
        for command in group.registered_commands:
            assert "env" in command.callback.__signature__.parameters, command.callback
