"""The local stack through its public interface, `quarry_local.stack.Stack`, on the real emulator with stubs for the rest."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest

from quarry_core.contract import names
from quarry_local import environment, loopback, processes, state
from quarry_local import resources as local_resources
from quarry_local.bedrock.settings import Settings
from quarry_local.settings import LOCAL_WAITS, StackSettings
from quarry_local.stack import Stack, StackError

pytestmark = pytest.mark.slow
STUB = (str(Path(__file__).with_name("stub_service.py")),)
# A module that fails, whatever its environment.
FAILING = ("-c", "import sys; sys.exit('cannot read the ledger')")
EVERY = ("bedrock", "preprocessor", "scheduler", "collector")


@pytest.fixture
def settings(aws, fresh_env):
    """Everything but AWS is a stub; AWS is the session's."""
    return StackSettings(
        env=fresh_env, aws_endpoint=aws.endpoint_url, launch=dict.fromkeys(EVERY, STUB), ready_within_s=20, drain_s=5
    )


@pytest.fixture
def stack_of(tmp_path):
    """Makes stacks, and leaves none up whatever a test does."""
    made = []

    def make(settings=None, directory="stack"):
        made.append(Stack(tmp_path / directory, settings))
        return made[-1]

    yield make
    for stack in made:
        stack.down()


def seen_by(stack, name):
    """What the stub behind a process was given."""
    return loopback.ask_json(stack.process(name).port, "/seen")


def live_pids(stack):
    return {name: process.pid for name, (process, alive) in stack.processes().items() if alive}


def test_up_returns_when_everything_is_ready_and_down_leaves_nothing(stack_of, settings):
    stack = stack_of(dataclasses.replace(settings, aws_endpoint=None))

    variables = stack.up()

    assert set(live_pids(stack)) == {"emulator", *EVERY}
    assert all(stack.ready(name) for name in ("emulator", *EVERY))
    begun = [process for process, _ in stack.processes().values()]
    queue = stack.clients().client("sqs").get_queue_url(QueueName=names.queue_name(settings.env, "manifests"))
    assert queue["QueueUrl"] == variables["QUARRY_MANIFEST_QUEUE_URL"]

    assert stack.down() == []

    assert not any(processes.alive(process) for process in begun)
    assert not any(loopback.ready(process.port, "/readyz") for process in begun)
    assert stack.processes() == {}
    assert stack.down() == []
    assert stack.logs("scheduler")[-1] == "stub is up"  # logs stay


def test_nothing_of_the_stack_listens_beyond_loopback(stack_of, settings):
    stack = stack_of(dataclasses.replace(settings, aws_endpoint=None, services=False))
    stack.up()

    def sockets(pid):
        return {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()}

    if not Path("/proc/net/tcp").exists():
        pytest.skip("needs Linux's /proc")
    emulator = stack.process("emulator")
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets(emulator.pid):
                listening.append(fields[1])

    assert listening == [f"0100007F:{emulator.port:04X}"]


def test_the_environment_holds_what_a_client_needs(stack_of, settings, aws):
    stack = stack_of(settings)

    variables = stack.up()

    bedrock = f"http://127.0.0.1:{stack.process('bedrock').port}"
    assert variables == stack.env()
    assert variables["AWS_ENDPOINT_URL"] == aws.endpoint_url
    for service in ("BEDROCK", "BEDROCK_RUNTIME", "SERVICE_QUOTAS"):
        assert variables[f"AWS_ENDPOINT_URL_{service}"] == bedrock
    assert variables["QUARRY_ENV"] == settings.env
    assert variables["QUARRY_JOB_QUOTA"] == "3"
    assert variables["QUARRY_BEDROCK_ROLE_ARN"].endswith(f":role/{settings.env}-quarry-bedrock")
    assert "127.0.0.1" in variables["NO_PROXY"].split(",")
    for name in names.QUEUES:
        variable = names.queue_url_variable(name)
        assert variables[variable].endswith(names.queue_name(settings.env, name))
        assert variables[variable.replace("_QUEUE_URL", "_DLQ_URL")].endswith(f"{name}-dlq")


def test_a_service_gets_the_stack_the_short_waits_and_a_port_of_its_own(stack_of, settings):
    stack = stack_of(dataclasses.replace(settings, overrides={"QUARRY_TICK_EVERY_S": "9", "MAX_TOTAL_RECORDS": "10"}))
    client = stack.up()

    given = seen_by(stack, "scheduler")["environment"]

    assert given.items() >= client.items()
    assert given.items() >= {**LOCAL_WAITS, "QUARRY_TICK_EVERY_S": "9"}.items()
    assert given["MAX_TOTAL_RECORDS"] == "10"
    assert given["QUARRY_METRICS_HOST"] == "127.0.0.1"
    assert given["QUARRY_METRICS_PORT"] == str(stack.process("scheduler").port)
    assert stack.metrics_url("scheduler") == f"http://127.0.0.1:{given['QUARRY_METRICS_PORT']}/metrics"


def test_nothing_of_the_shells_own_aws_reaches_a_service(stack_of, settings, monkeypatch):
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "QUARRY_DRAIN_S", "MAX_RECORDS_PER_JOB"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("AWS_PROFILE", "the-company-account")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "internal.example")

    stack = stack_of(settings)
    stack.up()

    for name in ("scheduler", "bedrock"):
        given = seen_by(stack, name)["environment"]
        assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"} & set(given)
        assert given["AWS_CONFIG_FILE"] == given["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
        assert given["NO_PROXY"].split(",") == ["internal.example", "127.0.0.1", "localhost"]
        assert not {"QUARRY_DRAIN_S", "MAX_RECORDS_PER_JOB"} & set(given)


def test_the_simulator_is_reported_its_port_its_quota_and_its_settings_as_flags(stack_of, settings):
    stack = stack_of(dataclasses.replace(settings, quota=7, services=False, simulator={"events_lost_share": "0.5"}))
    stack.up()

    reported = seen_by(stack, "bedrock")["arguments"]

    assert reported == ["--port", str(stack.process("bedrock").port), "--quota=7", "--events-lost-share=0.5"]
    assert set(live_pids(stack)) == {"bedrock"}
    assert stack.simulator_stats()["pid"] == stack.process("bedrock").pid
    assert stack.set_simulator(speed=100) == {"speed": 100}
    with pytest.raises(ConnectionError, match="422"):
        stack.set_simulator(unknown=1)


def test_up_twice_starts_nothing_twice(stack_of, settings):
    stack = stack_of(settings)
    first, pids = stack.up(), live_pids(stack)

    assert stack_of(settings).up() == first
    assert stack_of().up() == first  # no settings asked for: those that stand
    assert live_pids(stack) == pids


def test_up_starts_a_service_that_died_again_on_its_port_and_leaves_the_others_alone(stack_of, settings):
    stack = stack_of(settings)
    stack.up()
    before = stack.processes()
    stack.kill("collector")
    assert set(live_pids(stack)) == set(EVERY) - {"collector"}

    stack_of(settings).up()

    after = stack.processes()
    assert after["collector"][0].port == before["collector"][0].port
    assert {name for name in EVERY if after[name][0] != before[name][0]} == {"collector"}


def test_up_begins_anew_where_the_emulator_died_for_all_it_held_is_gone(stack_of, settings):
    stack = stack_of(dataclasses.replace(settings, aws_endpoint=None))
    stack.up()
    before = live_pids(stack)
    stack.kill("emulator")

    stack.up()

    assert set(live_pids(stack)) == set(before)
    assert not set(live_pids(stack).values()) & set(before.values())
    stack.clients().client("s3").head_bucket(Bucket=stack.env()["QUARRY_BUCKET"])


def test_other_settings_than_those_that_stand_are_refused(stack_of, settings):
    stack = stack_of(settings)
    stack.up()

    with pytest.raises(StackError, match="other settings is up here: quota is 3 here, and asked for is 5"):
        stack_of(dataclasses.replace(settings, quota=5)).up()

    assert set(live_pids(stack)) == set(EVERY)


def test_an_up_that_fails_says_which_process_with_its_words_and_leaves_nothing(stack_of, settings, tmp_path):
    launch = {**settings.launch, "collector": FAILING}
    stack = stack_of(dataclasses.replace(settings, aws_endpoint=None, launch=launch))

    with pytest.raises(StackError, match=r"(?s)^collector ended before it was ready.*cannot read the ledger"):
        stack.up()

    assert stack.processes() == {}
    with pytest.raises(StackError, match="no stack is up"):
        stack.env()
    assert not processes_of(tmp_path)


def processes_of(directory):
    """Processes that write into a directory: what a stack left running there."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/fd/1"):
        try:
            if entry.readlink().is_relative_to(directory):
                found.append(entry.parent.parent.name)
        except OSError:  # gone in the meantime
            continue
    return found


def test_an_interrupted_up_leaves_nothing_either(stack_of, settings, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(local_resources, "create", interrupted)
    stack = stack_of(dataclasses.replace(settings, aws_endpoint=None))

    with pytest.raises(KeyboardInterrupt):
        stack.up()

    assert stack.processes() == {}
    assert not processes_of(tmp_path)


def test_an_up_that_fails_on_top_of_a_standing_stack_stops_only_what_it_started(stack_of, settings):
    stack = stack_of(settings)
    stack.up()
    stack.kill("collector")
    standing = state.load(stack.directory / "state.json")
    assert standing is not None
    launch = {**settings.launch, "collector": FAILING}
    changed = dataclasses.replace(standing, settings=dataclasses.replace(settings, launch=launch))
    state.save(stack.directory / "state.json", changed)

    with pytest.raises(StackError, match=r"^collector"):
        stack_of().up()

    assert set(live_pids(stack)) == set(EVERY) - {"collector"}


def test_another_program_finds_the_stack_by_its_directory(stack_of, settings):
    stack_of(settings).up()

    found = stack_of()

    assert set(live_pids(found)) == set(EVERY)
    found.down()
    assert stack_of().processes() == {}


def test_down_leaves_a_stranger_alone_that_has_the_pid_of_a_process_of_ours(stack_of, settings, tmp_path):
    stack = stack_of(settings)
    stack.up()
    path = stack.directory / "state.json"
    stranger = processes.spawn(
        "stranger", [sys.executable, "-c", "import signal; signal.pause()"], {}, 0, tmp_path / "stranger.log"
    )
    try:
        held = json.loads(path.read_text())
        processes.kill(stack.process("collector"))
        held["processes"]["collector"]["pid"] = stranger.pid
        path.write_text(json.dumps(held))

        stack.down()

        assert processes.alive(stranger)
    finally:
        processes.kill(stranger)


def test_a_service_that_does_not_stop_in_time_is_killed_and_named(stack_of, settings):
    stack = stack_of(dataclasses.replace(settings, drain_s=0.3))
    stack.up()
    stack.restart("preprocessor", variables={"STUB_STUBBORN": "1"})

    assert stack.down() == ["preprocessor"]


def test_one_process_can_be_killed_and_started_through_another_module(stack_of, settings):
    stack = stack_of(settings)
    stack.up()
    before = stack.process("scheduler")

    now = stack.restart("scheduler", launch=(*STUB, "quarry_scheduler"), variables={"FAIL_AT": "after-create"})

    assert now.pid != before.pid
    assert now.port == before.port
    assert seen_by(stack, "scheduler")["arguments"] == ["quarry_scheduler"]
    assert seen_by(stack, "scheduler")["environment"]["FAIL_AT"] == "after-create"
    stack.restart("scheduler")
    assert "FAIL_AT" not in seen_by(stack, "scheduler")["environment"]


def test_a_second_scheduler_runs_beside_the_first_and_goes_down_with_it(stack_of, settings):
    stack = stack_of(settings)
    stack.up()

    second = stack.start("scheduler.2")

    assert set(live_pids(stack)) == {*EVERY, "scheduler.2"}
    assert second.port != stack.process("scheduler").port
    assert stack.stop("scheduler.2")
    assert not stack.alive("scheduler.2")


@pytest.mark.parametrize(
    ("name", "message"), [("scheduler", "is already running"), ("schduler", "no service"), ("bedrock.2", "no service")]
)
def test_a_process_that_cannot_be_started_is_reported_as_such(stack_of, settings, name, message):
    stack = stack_of(settings)
    stack.up()

    with pytest.raises(StackError, match=message):
        stack.start(name)


def test_a_state_that_is_not_ours_is_reported_as_such_and_not_touched(stack_of):
    stack = stack_of()
    stack.directory.mkdir()
    path = stack.directory / "state.json"
    for text in ('{"version": 99}', "{", '{"version": 1}'):
        path.write_text(text)
        with pytest.raises(StackError):
            stack.down()
        assert path.read_text() == text
    path.unlink()


def test_a_stack_that_is_not_up_is_reported_as_such(stack_of):
    for ask in (Stack.env, Stack.clients, Stack.simulator_stats):
        with pytest.raises(StackError, match="no stack is up"):
            ask(stack_of())
    assert stack_of().processes() == {}
    assert stack_of(directory="never").down() == []


def test_the_directory_keeps_itself_out_of_version_control(stack_of, settings):
    stack = stack_of(dataclasses.replace(settings, services=False))
    stack.up()

    assert (stack.directory / ".gitignore").read_text() == "*\n"


def test_a_with_block_brings_the_stack_up_and_down(tmp_path, settings):
    with Stack(tmp_path / "with", settings) as stack:
        assert set(live_pids(stack)) == set(EVERY)

    assert stack.processes() == {}


def test_settings_of_the_simulator_that_are_switches_are_given_as_switches(stack_of, settings):
    switches = {"check_role": "false", "job_output_early": "true", "speed": "3"}
    stack = stack_of(dataclasses.replace(settings, simulator=switches, services=False, tls_port=18_443))
    stack.up()

    given = seen_by(stack, "bedrock")["arguments"]

    assert {"--no-check-role", "--job-output-early", "--speed=3", "--tls-port=18443"} <= set(given)
    assert f"--tls-directory={stack.directory / 'tls'}" in given
    assert Settings(_cli_parse_args=[word for word in given if word.startswith("--") and word != "--port"])


def test_a_simulated_hub_serves_a_folder_and_its_address_is_all_that_services_know_of_hubs(
    stack_of, settings, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_shell")
    (tmp_path / "hub" / "o" / "n").mkdir(parents=True)
    (tmp_path / "hub" / "o" / "n" / "train.csv").write_text("a\n1\n")
    asked = dataclasses.replace(
        settings, hub=str(tmp_path / "hub"), hub_settings={"seed": "7"}, overrides={"HF_TOKEN": "hf_of_the_stack"}
    )
    stack = stack_of(asked)
    variables = stack.up()
    assert variables["HF_ENDPOINT"] == stack.url("hub")
    assert list(stack.hub_stats()["datasets"]) == ["o/n"]
    assert stack.set_hub_faults(throttled_share=1)["throttled_share"] == 1
    seen = seen_by(stack, "preprocessor")["environment"]
    assert seen["HF_ENDPOINT"] == stack.url("hub")
    assert seen["HF_TOKEN"] == "hf_of_the_stack"
    assert "hub" in live_pids(stack)
    with pytest.raises(StackError, match="--hub-set seed is 7 here, and asked for is 8"):
        stack_of(dataclasses.replace(asked, hub_settings={"seed": "8"})).up()
    stack.down()
    assert not stack.processes()


def test_without_a_simulated_hub_the_services_keep_the_shells_own(stack_of, settings, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_shell")
    stack = stack_of(settings)
    assert "HF_ENDPOINT" not in stack.up()
    assert seen_by(stack, "preprocessor")["environment"]["HF_TOKEN"] == "hf_of_the_shell"
    assert environment.misleading({"HF_TOKEN": "x"}, {"HF_ENDPOINT": "http://127.0.0.1:1"}) == ["HF_TOKEN"]
    assert environment.misleading({"HF_TOKEN": "x"}, {}) == []
