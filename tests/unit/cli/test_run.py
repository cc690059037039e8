"""`quarry run`: files in, joined rows out, in one call; nothing is sent twice, and nothing unasked."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_cli.client import local_stack as local
from quarry_cli.client import place
from quarry_cli.client.submission.uploading import safe_name
from quarry_cli.errors import NotConfigured
from quarry_core.errors import Unknown
from tests.unit.cli.conftest import Command
from tests.world.world import BUCKET

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
PROMPT = "Tell me a joke about {topic}"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (*local.NAMING, "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BEDROCK"):
        monkeypatch.delenv(name, raising=False)


def topics(path: Path, rows: int = 120, word: str = "topic") -> str:
    path.write_text("\n".join(["topic", *(f"{word} number {row}" for row in range(rows))]) + "\n")
    return str(path)


def services(quarry):
    """What the services do while the command waits: the one run of the ledger, to its end."""

    async def work():
        await quarry.world.idle()
        for run in await quarry.world.ledger.open_runs(10):
            await quarry.world.run(run.run_id)

    quarry.steps += [work] * 5
    return quarry


def called(quarry, *args: str, model: str = "haiku-3", prompt: str = PROMPT):
    return services(quarry)("run", *args, "--model", model, "--prompt", prompt, "--yes")


def sent(quarry):
    return [json.loads(body) for body in quarry.world.queues["manifests"].bodies]


def uploads(quarry):
    return [key for key in quarry.world.objects.bodies if key.startswith("inputs/")]


def test_one_call_ends_with_joined_rows_tokens_and_dollars(quarry, tmp_path):
    result = called(quarry, topics(tmp_path / "jokes.csv"), "-o", "out")

    assert result.exit_code == 0, result.stderr
    assert "answer to" in result.stdout
    assert f"model    {MODEL} (haiku-3, by the aliases of 20" in result.stdout
    assert "tokens   " in result.stdout
    assert "cost     about $" in result.stdout
    assert "nothing is missing, nothing is duplicated" in result.stdout
    rows = pq.read_table("out")
    assert rows["topic"].to_pylist() == [f"topic number {row}" for row in range(120)]
    assert set(rows["status"].to_pylist()) == {"ok"}


def test_a_file_is_uploaded_once_whatever_it_is_asked(quarry, tmp_path):
    file = topics(tmp_path / "jokes.csv")

    first = called(quarry, file, "-o", "one")
    create, begun = quarry.world.objects.create, []
    quarry.world.objects.create = lambda key, metadata: begun.append(key) or create(key, metadata)
    second = called(quarry, file, "-o", "two", prompt="Tell me two jokes about {topic}")

    digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    assert uploads(quarry) == [f"inputs/{digest[:32]}/jokes.csv"]
    assert [key for key in begun if key.startswith("inputs/")] == []
    assert "1 file, uploaded" in first.stderr
    assert "1 file, in the bucket already" in second.stderr


def test_several_files_are_one_dataset_in_their_order(quarry, tmp_path):
    files = [topics(tmp_path / f"{name}.csv", 60, name) for name in ("b", "a")]

    result = called(quarry, *files, "-o", "out", "--head", "0")

    assert result.exit_code == 0, result.stderr
    assert pq.read_table("out")["topic"].to_pylist()[::60] == ["b number 0", "a number 0"]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_the_other_formats_work_likewise(quarry, tmp_path, ending):
    file = tmp_path / f"data.{ending}"
    table = pa.table({"topic": [f"topic number {row}" for row in range(120)]})
    if ending == "parquet":
        pq.write_table(table, file)
    else:
        file.write_text("\n".join(map(json.dumps, table.to_pylist())))

    result = called(quarry, str(file), "-o", "out", "--format", "csv")

    assert result.exit_code == 0, result.stderr
    assert len(Path("out/part-00000.csv").read_text().splitlines()) == 121


def test_what_stands_in_s3_is_not_uploaded(quarry):
    uri = quarry.world.csv(120)
    before = uploads(quarry)

    result = called(quarry, uri)

    assert result.exit_code == 0, result.stderr
    assert uploads(quarry) == before
    assert "download the rows with: quarry results" in result.stdout


def test_the_same_call_again_continues_the_same_run(quarry, tmp_path):
    file = topics(tmp_path / "jokes.csv")
    first = called(quarry, file, "-o", "out", "--timeout", "0")
    assert first.exit_code == 4  # it goes on

    second = called(quarry, file, "-o", "out")

    assert second.exit_code == 0, second.stderr
    assert len({manifest["run_id"] for manifest in sent(quarry)}) <= 1
    assert len(asyncio.run(quarry.world.ledger.open_runs(10))) == 0
    assert len(quarry.client.runs()) == 1
    third = called(quarry, file, "-o", "out")
    assert "which was sent before: continued" in third.stderr
    assert "1 part in out, 0 new" in third.stdout


def test_a_call_that_broke_off_before_it_was_sent_is_not_paid_for_twice(quarry, tmp_path):
    """The note of the run stands before the manifest is sent: an answer that got lost is asked for again."""
    file = topics(tmp_path / "jokes.csv")
    queue = quarry.world.queues["manifests"]
    plain = queue.send

    async def lost(*args):
        await plain(*args)
        raise Unknown("the answer is lost")

    queue.send = lost
    assert called(quarry, file, "-o", "out").exit_code == 5
    queue.send = plain

    again = called(quarry, file, "-o", "out")

    assert again.exit_code == 0, again.stderr
    assert len(quarry.client.runs()) == 1


@pytest.mark.parametrize("changed", ["prompt", "file", "model"])
def test_a_directory_of_another_call_is_refused_before_anything_is_sent(quarry, tmp_path, changed):
    file = topics(tmp_path / "jokes.csv")
    assert called(quarry, file, "-o", "out").exit_code == 0
    more = {"prompt": {"prompt": "Another {topic}"}, "model": {"model": "nova-lite"}}.get(changed, {})
    if changed == "file":
        topics(tmp_path / "jokes.csv", 130)
    before = dict(quarry.world.objects.bodies)

    result = called(quarry, file, "-o", "out", **more)

    assert result.exit_code == 2
    assert "for which something else was asked: give another directory" in result.stderr
    assert dict(quarry.world.objects.bodies) == before
    assert len(quarry.client.runs()) == 1


def test_a_directory_with_other_results_is_refused_too(quarry, tmp_path):
    assert quarry("results", quarry.ended(), "-o", "out").exit_code == 0

    result = called(quarry, topics(tmp_path / "jokes.csv"), "-o", "out")

    assert result.exit_code == 2
    assert "out holds the results of another run" in result.stderr


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "cannot be read: No such file"),
        (lambda path: path.mkdir(), "is a directory: name its files"),
        (lambda path: path.write_text(""), "is empty"),
        (lambda path: path.write_text("subject\nx\n"), "the dataset has no column 'topic'"),
        (lambda path: path.write_bytes(gzip.compress(b"")), "is empty (it unpacks to 0 bytes)"),
        (lambda path: path.write_text("sep=,\ntopic\nx\n"), "its first line (sep=,) tells Excel the delimiter"),
    ],
)
def test_a_file_that_cannot_be_a_source_is_refused_by_name(quarry, tmp_path, make, sentence):
    path = tmp_path / "data.csv"
    make(path)

    result = called(quarry, str(path))

    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not sent(quarry)
    assert not uploads(quarry)


def test_a_text_file_gets_the_formats_that_are_read_and_what_to_do(quarry, tmp_path):
    result = called(quarry, topics(tmp_path / "t.txt"))

    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert "t.txt ends in .txt, which may be text of any form. Read are CSV (.csv), JSON lines (.jsonl" in said
    assert 'rename it or give "format": "csv"; if each line is a text of its own, make JSON lines of it: jq -Rc' in said
    assert "inputs/" not in said, "it is named as it was given"
    assert (uploads(quarry), sent(quarry)) == ([], [])
    assert called(quarry, str(tmp_path / "t.txt"), "--set", "format=csv").exit_code == 0


def test_a_wrong_field_is_refused_before_a_byte_is_uploaded(quarry, tmp_path):
    result = called(quarry, topics(tmp_path / "a.csv"), "--set", "max_records_per_jbo=5")

    assert result.exit_code == 2
    assert "did you mean max_records_per_job?" in result.stderr
    assert not uploads(quarry)


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        ("models: ['amazon.*']", f"model_id: {MODEL} is not allowed here; allowed are amazon.* (QUARRY_POLICY)"),
        ("inline_prompts: false", "prompt: a prompt of one's own is not allowed here"),
        ("tags_required: [team]", "tags: team must be given here, and is not (QUARRY_POLICY)"),
        ("sources: ['s3://reviews/']", "is not allowed here; allowed are s3://reviews/ (QUARRY_POLICY)"),
        ("modell: [x]", "QUARRY_POLICY: modell: there is no such field"),
    ],
)
def test_what_the_environment_does_not_allow_is_refused_before_a_byte_is_uploaded(quarry, tmp_path, policy, sentence):
    quarry.connections |= {"region": "us-east-1", "policy": f"version: 1\n{policy}"}

    result = called(quarry, topics(tmp_path / "jokes.csv"), "-o", "out")

    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert (uploads(quarry), sent(quarry)) == ([], [])
    assert not (tmp_path / "out.quarry").exists(), "nothing is begun"


def test_so_is_what_the_store_does_not_have(quarry, tmp_path):
    file = topics(tmp_path / "jokes.csv")

    result = services(quarry)("run", file, "--model", "haiku-3", "--prompt-id", "nowhere", "--yes")

    assert result.exit_code == 2
    assert "prompt_id: " in result.stderr
    assert (uploads(quarry), sent(quarry)) == ([], [])


def test_a_model_that_nobody_knows_gets_the_nearest(quarry, tmp_path):
    result = called(quarry, topics(tmp_path / "a.csv"), model="haiky")

    assert result.exit_code == 2
    assert "did you mean haiku (anthropic.claude-haiku-4-5-20251001-v1:0)" in result.stderr


def test_options_become_fields_of_the_manifest(quarry, tmp_path):
    schema = tmp_path / "schema.json"
    schema.write_text('["kind: good | bad"]')
    options = ["--system", "Be kind.", "--max-tokens", "50", "--schema", str(schema), "--set", 'tags={"team": "a"}']

    result = quarry(
        *("run", topics(tmp_path / "a b'c*.csv"), "--model", "haiku-3", "--prompt", PROMPT, "--timeout", "0", "--yes"),
        *options,
    )

    assert result.exit_code == 4
    manifest = sent(quarry)[0]
    assert manifest["prompt"] == {"template": PROMPT, "system": "Be kind."}
    assert manifest["inference"] == {"max_tokens": 50}
    assert manifest["output_schema"] == ["kind: good | bad"]
    assert manifest["tags"] == {"team": "a"}
    assert manifest["job_name_prefix"] == "a-b-c"
    assert manifest["s3_uri"].startswith(f"s3://{BUCKET}/inputs/")
    assert manifest["s3_uri"].endswith("/a_b_c_.csv")


@pytest.mark.parametrize("given", ["model_id=x", "s3_uri=s3://b/k", "run_id=a", "nothing"])
def test_what_has_an_option_of_its_own_is_not_set_twice(quarry, tmp_path, given):
    result = called(quarry, topics(tmp_path / "a.csv"), "--set", given)

    assert result.exit_code == 2
    assert not sent(quarry)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a\x1b[2Jb.csv", "*?[x].parquet", ".hidden", "ü.jsonl", "x" * 300 + ".csv"]
)
def test_a_files_name_becomes_a_plain_end_of_a_key(name):
    made = safe_name(name)

    assert made
    assert not made.startswith(".")
    assert not set(made) & set("/*?[]\x1b")
    assert len(made) <= 100
    assert made.endswith(name[-4:] if name.isascii() and name[-4] == "." else "")


def test_json_has_the_run_its_tokens_and_where_the_rows_are(quarry, tmp_path):
    result = called(quarry, topics(tmp_path / "jokes.csv"), "-o", "out", "--json")

    reported = json.loads(result.stdout)
    assert (reported["state"], reported["model_id"], reported["alias"]) == ("SUCCEEDED", MODEL, "haiku-3")
    assert reported["rows"]["ok"] == reported["results"]["rows"] == 120
    assert reported["spent"]["dollars"] > 0
    assert reported["results"]["faults"] == []
    assert reported["simulated"] is False


# --------------------------------------------------------------------------- where it works


class Stack:
    """A local stack that only remembers what was asked of it."""

    def __init__(self, standing=None) -> None:
        self.directory = Path("/stack/.quarry")
        self._standing = standing
        self.asked: list[str] = []

    def standing(self):
        return self._standing

    def end_on_sigterm(self):
        """A test's signals are its own."""

    def up(self):
        self.asked.append("up")
        return {"QUARRY_BUCKET": "local", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}

    def down(self):
        self.asked.append("down")

    def down_later(self):
        self.asked.append("down later")

    def misleading(self, shell):
        return [name for name in shell if name == "AWS_PROFILE"]


@pytest.fixture
def at(monkeypatch):
    """The command where no connection is handed to it: what it takes for its environment."""

    def stand(stack: Stack, quarry: Command | None = None):
        monkeypatch.setattr(place, "local_stack", lambda: stack)
        if quarry is not None:
            monkeypatch.setattr(place, "Client", lambda _connect: quarry.client)
        return stack

    return stand


def run_with(quarry, *args, **env):
    from quarry_cli.main import app
    from tests.unit.cli.runner import runner

    services(quarry)
    return runner().invoke(app, ["run", *args, "--model", "haiku-3", "--prompt", PROMPT], env={"COLUMNS": "200", **env})


def test_without_an_environment_a_local_stack_is_started_said_and_ended(quarry, at, tmp_path):
    stack = at(Stack(), quarry)

    result = run_with(quarry, topics(tmp_path / "jokes.csv"), "-o", "out")

    assert result.exit_code == 0, result.stderr
    assert "no environment is given: starting a local stack in /stack/.quarry" in result.stderr
    assert "nothing is paid for" in result.stderr
    assert "cost     $0, for Bedrock is simulated here" in result.stdout
    assert stack.asked == ["up", "down"]


def test_a_stack_that_is_up_is_used_and_left(quarry, at, tmp_path):
    stack = at(Stack({"QUARRY_BUCKET": "local"}), quarry)

    result = run_with(quarry, topics(tmp_path / "jokes.csv"), "-o", "out")

    assert result.exit_code == 0, result.stderr
    assert "using the local stack in /stack/.quarry" in result.stderr
    assert stack.asked == []


def test_keep_leaves_it_up_and_says_how_to_end_it(quarry, at, tmp_path):
    stack = at(Stack(), quarry)

    result = run_with(quarry, topics(tmp_path / "jokes.csv"), "--keep")

    assert stack.asked == ["up"]
    assert "the local stack stays up, as you asked" in result.stderr
    assert "`quarry local down` to stop it" in result.stderr


def test_a_stack_in_which_a_run_is_open_is_left_up(quarry, at, tmp_path):
    stack = at(Stack(), quarry)
    quarry.world.send(quarry.world.joke())
    quarry.idle()

    result = run_with(quarry, topics(tmp_path / "jokes.csv"), "--timeout", "0")

    assert result.exit_code == 4
    assert stack.asked == ["up"]
    assert "because a run is open" in result.stderr


def test_what_is_refused_ends_the_stack_too(quarry, at, tmp_path):
    stack = at(Stack(), quarry)

    result = run_with(quarry, str(tmp_path / "nothing.csv"))

    assert result.exit_code == 2
    assert stack.asked == ["up", "down"]


@pytest.mark.parametrize("name", local.NAMING)
def test_an_environment_that_is_named_by_halves_is_an_error_and_never_the_local_stack(quarry, at, tmp_path, name):
    stack = at(Stack())

    result = run_with(quarry, topics(tmp_path / "jokes.csv"), **{name: "x"})

    assert result.exit_code == 2
    assert "not set" in result.stderr
    assert stack.asked == []


def test_local_takes_the_stack_whatever_is_named(quarry, at, tmp_path):
    stack = at(Stack(), quarry)

    result = run_with(quarry, topics(tmp_path / "jokes.csv"), "--local", QUARRY_BUCKET="production")

    assert result.exit_code == 0, result.stderr
    assert stack.asked == ["up", "down"]


def test_the_shells_variables_are_as_they_were(quarry, at, tmp_path, monkeypatch):
    import os

    monkeypatch.setenv("AWS_PROFILE", "work")
    at(Stack(), quarry)

    run_with(quarry, topics(tmp_path / "jokes.csv"))

    assert os.environ["AWS_PROFILE"] == "work"
    assert "QUARRY_BUCKET" not in os.environ


def test_in_the_stacks_variables_nothing_leads_elsewhere():
    made = local.with_local(
        {"QUARRY_BUCKET": "b"}, Stack(), {"AWS_PROFILE": "work", "HOME": "/h", "QUARRY_BUCKET": "a"}
    )

    assert made == {"HOME": "/h", "QUARRY_BUCKET": "b"}


def test_without_the_plug_in_the_remedy_is_named():
    with pytest.raises(NotConfigured, match="install quarry-batch-local"):
        local.local_stack(plugins=[])


@pytest.mark.parametrize(
    ("variables", "here"),
    [
        ({}, False),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}, True),
        ({"AWS_ENDPOINT_URL_BEDROCK": "https://bedrock.us-east-1.amazonaws.com"}, False),
    ],
)
def test_a_simulated_bedrock_is_one_on_this_machine(variables, here):
    assert local.simulated(variables) is here
