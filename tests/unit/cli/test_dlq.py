"""`quarry dlq`: looking at dead-letter messages, moving them back, deleting them."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from botocore.exceptions import NoCredentialsError

from quarry_cli.client.dead_letters import acts as dead_letter_acts
from quarry_cli.client.dead_letters import queue as dead_letter_queue
from quarry_cli.client.dead_letters.connections import Book, Post
from quarry_cli.client.dead_letters.settings import source_of
from quarry_cli.main import app
from quarry_core.aws.dead_letters import dead_lettered
from quarry_core.contract.manifest_identity import run_id_of
from quarry_core.contract.message_attributes import apart
from quarry_core.contract.names import QUEUES, dead_letter_queue_name, queue_name, queue_url_variable
from quarry_core.errors import Refused, raise_for
from quarry_core.ledger.ledger import Ledger
from quarry_core.ports import Message
from tests.unit.cli.runner import runner
from tests.world.clock import FakeClock
from tests.world.faults import KINDS, Crash, Faults
from tests.world.queue import FakeQueue
from tests.world.table import FakeTable
from tests.world.world import SimulatedWorld

HOST = "https://sqs.eu-west-1.amazonaws.com/123456789012"
ADA = "arn:aws:sts::123456789012:assumed-role/operators/ada"
EVENT = json.dumps({"source": "aws.bedrock", "detail-type": "Batch Inference Job State Change", "detail": {}})


class Office:
    """The queues of one environment and their dead-letter messages, and the command."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.queues = {name: FakeQueue(name, self.clock) for name in QUEUES}
        self.dead_letters = {
            name: FakeQueue(f"{name}-dlq", self.clock) for name in dead_letter_queue.DEAD_LETTER_QUEUES
        }
        self.opened = 0
        self.ledger = Ledger(FakeTable())

    @contextlib.asynccontextmanager
    async def open(self, _settings):
        self.opened += 1
        book = Book(self.ledger, self.clock, self.ask)
        yield Post(lambda name: self.dead_letters[name], lambda name: self.queues[source_of(name)], book)

    async def ask(self, service, operation, parameters):
        assert (service, operation) == ("sts", "get_caller_identity")
        return {"Arn": ADA}

    @property
    def trail(self) -> list[tuple[str, str, str, str]]:
        """What was written down: action, run, queue and details; the newest first."""
        entries = asyncio.run(self.ledger.audit_entries(self.clock.now().isoformat()[:7]))
        assert {each.by for each in entries} <= {ADA}
        return [(each.action, each.run_id, each.subject, each.what) for each in entries]

    def __call__(self, *args: str, given: str | None = None):
        return runner().invoke(app, ["dlq", *args], obj=self.open, input=given, env={"COLUMNS": "200"})

    def dead_letter(self, queue: str, body: str, reason: str, **attributes: str) -> str:
        """As a consumer does; the message's id."""
        body, reported = dead_lettered(Message(f"id-{body[:8]}", body, "", attributes), reason, "arrive")
        return self.dead_letters[queue].put(body, reported)

    def shown(self, queue: str, *options: str):
        return json.loads(self("show", queue, "--json", *options).stdout)


@pytest.fixture
def office(monkeypatch) -> Office:
    monkeypatch.setenv("QUARRY_REGION", "eu-west-1")
    monkeypatch.setenv("QUARRY_TABLE", "dev-quarry-ledger")
    for name in QUEUES:
        monkeypatch.setenv(queue_url_variable(name), f"{HOST}/{queue_name('dev', name)}")
    monkeypatch.setenv("QUARRY_EVENT_TARGET_DLQ_URL", f"{HOST}/{dead_letter_queue_name('dev', 'event-target')}")
    return Office()


# --------------------------------------------------------------------------- list


def test_every_queue_is_listed_with_its_depth_and_the_oldest_reason(office):
    office.dead_letter("manifests", "one", "not JSON")
    office.clock.advance(60)
    office.dead_letter("manifests", "two", "a later reason")
    office.dead_letters["event-target"].put(
        EVENT, {"ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "the queue's policy"}
    )

    listed = {each["queue"]: each for each in json.loads(office("list", "--json").stdout)}

    assert list(listed) == [*QUEUES, "event-target"]
    assert (listed["manifests"]["visible"], listed["manifests"]["oldest"]["reason"]) == (2, "not JSON")
    assert listed["event-target"]["oldest"]["reason"] == "NO_PERMISSIONS: the queue's policy"
    assert (listed["slices"]["visible"], listed["slices"]["oldest"]) == (0, None)
    people = office("list")
    assert people.exit_code == 0
    assert "not JSON" in people.stdout


def test_a_queue_that_does_not_answer_is_reported_and_hides_no_other(office):
    office.dead_letters["slices"]._faults = Faults({1: "refuse"})
    office.dead_letter("collector", "one", "a bug")

    result = office("list", "--json")

    listed = {each["queue"]: each for each in json.loads(result.stdout)}
    assert result.exit_code == 5
    assert "Throttled" in listed["slices"]["error"]
    assert listed["collector"]["visible"] == 1


class Unsigned(FakeQueue):
    """A queue that nobody without credentials can read."""

    async def depth(self):
        raise_for(NoCredentialsError(), "counting messages")


def test_without_credentials_the_list_says_what_to_do_and_no_table(office):
    office.dead_letters["slices"] = Unsigned("slices-dlq", office.clock)

    result = office("list")

    assert result.exit_code == 5
    assert "no AWS credentials found: sign in" in result.stderr
    assert result.stdout == ""


def test_a_queue_that_is_not_known_is_left_out_and_named(office, monkeypatch):
    monkeypatch.delenv("QUARRY_EVENT_TARGET_DLQ_URL")
    monkeypatch.delenv("QUARRY_SLICES_QUEUE_URL")

    result = office("list", "--json")

    assert [each["queue"] for each in json.loads(result.stdout)] == [
        "manifests",
        "scheduler",
        "events",
        "collector",
        "on-demand",
    ]
    assert "event-target is skipped: QUARRY_EVENT_TARGET_DLQ_URL is not set" in result.stderr
    assert "slices is skipped: QUARRY_SLICES_QUEUE_URL is not set" in result.stderr


@pytest.mark.parametrize("command", ["list", "show manifests", "redrive manifests --yes", "purge manifests --yes"])
def test_without_a_variable_it_is_named_and_nothing_is_opened(office, monkeypatch, command):
    for name in QUEUES:
        monkeypatch.delenv(queue_url_variable(name))
    monkeypatch.delenv("QUARRY_EVENT_TARGET_DLQ_URL")

    result = office(*command.split())

    assert result.exit_code == 2
    assert "QUARRY_MANIFEST_QUEUE_URL is not set" in result.stderr
    assert office.opened == 0


# --------------------------------------------------------------------------- show


def test_a_dead_letter_message_is_shown_with_all_that_is_known_and_stays(office):
    manifest = {"s3_uri": "s3://b/k.csv"}
    office.dead_letter(
        "manifests", json.dumps(manifest), "run_id belongs to another manifest", quarry_origin_id="first-id"
    )

    (dead_letter,) = office.shown("manifests")

    assert dead_letter["reason"] == "run_id belongs to another manifest"
    assert (dead_letter["step"], dead_letter["origin_id"]) == ("arrive", "first-id")
    assert dead_letter["run_id"] == run_id_of(manifest, "first-id")
    assert (dead_letter["body"], dead_letter["whole"], dead_letter["receive_count"]) == (json.dumps(manifest), True, 1)
    assert dead_letter["sent_at"].startswith("2026-01-01T")
    assert office.shown("manifests")[0]["receive_count"] == 2, "it was not made visible again"


def test_a_dead_letter_message_that_sqs_moved_by_itself_has_its_own_id_as_origin_and_says_that_there_is_no_reason(
    office,
):
    ident = office.dead_letters["slices"].put('{"v": 2, "step": "slice", "run_id": "r1", "slice": 3}')

    (dead_letter,) = office.shown("slices")

    assert (dead_letter["reason"], dead_letter["origin_id"], dead_letter["run_id"]) == ("", ident, "r1")
    assert "received too often" in office("show", "slices").stdout


def test_a_long_body_is_cut_and_its_length_reported(office):
    office.dead_letter("manifests", "x" * 5_000, "not JSON")
    office.dead_letters["manifests"].put("y" * 10, {"quarry_body_bytes": "900000", "quarry_reason": "not JSON"})

    first, second = sorted(office.shown("manifests"), key=lambda dead_letter: dead_letter["body_bytes"])

    assert (len(first["body"]), first["body_bytes"], first["whole"]) == (2_000, 5_000, True)
    assert (second["body_bytes"], second["whole"]) == (900_000, False)


@pytest.mark.parametrize("reported", ["many", "-1", "9" * 5_000])
def test_an_attribute_that_only_looks_like_ours_stands_in_nobodys_way(office, reported):
    """Whoever may send a manifest may give it any attribute."""
    office.dead_letters["manifests"].put("one", {"quarry_body_bytes": reported})

    [dead_letter] = office.shown("manifests")
    assert (dead_letter["whole"], dead_letter["body_bytes"]) == (True, 3)
    assert office("list").exit_code == 0
    assert office("redrive", "manifests", "--yes").exit_code == 0


def test_a_message_that_is_dead_lettered_whole_is_whole_whatever_it_brought_along(office):
    office.dead_letter("manifests", "one", "no run", quarry_body_bytes="400000")

    [dead_letter] = office.shown("manifests")
    assert (dead_letter["whole"], dead_letter["body_bytes"]) == (True, 3)


def test_a_variable_that_cannot_be_read_is_named(office, monkeypatch):
    monkeypatch.setenv("QUARRY_JOB_QUOTA", "many")

    refused = office("list")

    assert (refused.exit_code, office.opened) == (2, 0)
    assert refused.stderr.startswith("quarry: QUARRY_JOB_QUOTA is 'many'")


def test_no_control_character_of_a_dead_letter_message_reaches_a_terminal(office):
    office.dead_letters["manifests"].put("\x1b[2Jbody", {"quarry_reason": "\x1b]0;owned\x07"})

    assert "\x1b" not in office("show", "manifests").stdout + office("list").stdout


def test_only_dead_letter_messages_with_a_reason_are_shown_and_no_more_than_asked_for(office):
    for number in range(25):
        office.dead_letter("manifests", f"{number}", "not JSON" if number % 5 else "run_id belongs to another")

    assert len(office.shown("manifests", "--reason", "BELONGS", "--limit", "100")) == 5
    assert len(office.shown("manifests", "--limit", "3")) == 3
    assert len(office.shown("manifests", "--limit", "100")) == 25


def test_a_body_that_is_no_object_names_no_run(office):
    for body in ("not json", "[1]", '"text"', "[" * 100_000, EVENT):
        office.dead_letters["manifests"].put(body)

    assert {dead_letter["run_id"] for dead_letter in office.shown("manifests")} == {""}


def test_where_there_is_no_dead_letter_message_that_is_said(office):
    result = office("show", "events")

    assert result.exit_code == 0
    assert "no such message" in result.stderr


# --------------------------------------------------------------------------- redrive


def test_dead_letter_messages_go_back_with_their_origin_and_without_their_reason(office):
    office.dead_letter("manifests", "one", "not JSON", quarry_origin_id="first-id", mine="kept")
    ident = office.dead_letters["manifests"].put("two", {"mine": "too"})

    result = office("redrive", "manifests", "--yes")

    assert result.exit_code == 0, result.output
    assert "2 moved back" in result.stdout
    back = asyncio.run(received(office.queues["manifests"]))
    assert {each.body: dict(each.attributes) for each in back} == {
        "one": {"mine": "kept", "quarry_origin_id": "first-id"},
        "two": {"mine": "too", "quarry_origin_id": ident},
    }
    assert office.dead_letters["manifests"].bodies == ()


def test_a_dead_letter_message_with_ten_attributes_keeps_its_origin_and_all_ten():
    theirs = {f"a{number}": "v" for number in range(10)}
    message = Message("the-id", "body", "", theirs)

    attributes = dead_letter_queue.restored(message)

    assert attributes["quarry_origin_id"] == "the-id"
    assert len(attributes) <= 10
    assert apart(attributes) == {**theirs, "quarry_origin_id": "the-id"}


def test_what_was_dead_lettered_with_ten_attributes_goes_back_with_all_ten():
    theirs = {f"a{number}": f"v{number}" for number in range(10)}
    body, attributes = dead_lettered(Message("the-id", "body", "", theirs), "why", "arrive")

    assert len(attributes) <= 10
    back = dead_letter_queue.restored(Message("dead_letter", body, "", attributes))
    assert apart(back) == {**theirs, "quarry_origin_id": "the-id"}


def test_what_eventbridge_could_not_deliver_goes_to_the_events_queue(office):
    office.dead_letters["event-target"].put(EVENT, {"ERROR_CODE": "NO_PERMISSIONS"})

    office("redrive", "event-target", "--yes")

    assert office.queues["events"].bodies == (EVENT,)


def test_only_those_with_the_reason_and_no_more_than_the_limit_are_moved(office):
    for number in range(25):
        office.dead_letter("slices", f"{number}", "KeyError: pins" if number % 2 else "Refused: access")

    result = office("redrive", "slices", "--reason", "keyerror", "--limit", "7", "--yes")

    assert "7 moved back" in result.stdout
    assert len(office.queues["slices"].bodies) == 7
    assert all(int(body) % 2 for body in office.queues["slices"].bodies)
    assert len(office.shown("slices", "--limit", "100")) == 18, "the others were not made visible again"


def test_a_dry_run_and_a_no_move_nothing(office):
    office.dead_letter("slices", "one", "a bug")

    dry = office("redrive", "slices", "--dry-run")
    refused = office("redrive", "slices", given="n\n")

    assert (dry.exit_code, refused.exit_code) == (0, 1)
    assert "1: a bug" in dry.stdout
    assert office.queues["slices"].bodies == ()
    assert len(office.shown("slices")) == 1
    assert "1 moved back" in office("redrive", "slices", given="y\n").stdout


def test_a_dead_letter_message_whose_body_was_cut_stays_and_says_why(office):
    office.dead_letters["manifests"].put("half", {"quarry_body_bytes": "900000", "quarry_reason": "not JSON"})

    result = office("redrive", "manifests", "--yes")

    assert result.exit_code == 1
    assert "its body was truncated" in result.stderr
    assert office.queues["manifests"].bodies == ()
    assert len(office.shown("manifests")) == 1


def test_a_dead_letter_message_that_is_dead_lettered_again_meanwhile_is_not_moved_in_circles(office):
    office.dead_letter("slices", "poison", "a bug")
    send = office.queues["slices"].send

    async def straight_back(body, attributes=None, delay_s=0, **group):
        sent = await send(body, attributes, delay_s, **group)
        office.dead_letters["slices"].put(body, attributes)
        return sent

    office.queues["slices"].send = straight_back

    assert "1 moved back" in office("redrive", "slices", "--yes").stdout
    assert len(office.queues["slices"].bodies) == 1
    assert len(office.shown("slices")) == 1


@pytest.mark.promise("I4", "S6")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", range(1, 8))
def test_whatever_fails_between_no_dead_letter_message_is_lost(office, kind, call):
    ids = [office.dead_letter("slices", f"{number}", "a bug") for number in range(2)]
    faults = Faults({call: kind})
    dead_letters, source = office.dead_letters["slices"], office.queues["slices"]

    with contextlib.suppress(Crash, dead_letter_queue.PortError):
        asyncio.run(dead_letter_queue.redrive(dead_letters.for_worker(faults), source.for_worker(faults), ids))

    assert {*dead_letters.bodies, *source.bodies} == {"0", "1"}
    office.clock.advance(31)  # what a crash left in hand comes back by itself
    outcome = asyncio.run(
        dead_letter_queue.redrive(
            dead_letters,
            source,
            [dead_letter.id for dead_letter in asyncio.run(dead_letter_queue.look(dead_letters, most=9))],
        )
    )
    assert outcome.left == {}
    assert (set(source.bodies), dead_letters.bodies) == ({"0", "1"}, ())


@pytest.mark.parametrize("call", ["send", "ack"])
def test_what_is_not_moved_is_reported_with_its_reason(office, call):
    office.dead_letter("slices", "one", "a bug")
    where = office.queues["slices"] if call == "send" else office.dead_letters["slices"]

    async def refused(*_, **__):
        raise Refused(f"no {call} for you")

    setattr(where, call, refused)

    result = office("redrive", "slices", "--yes")

    assert result.exit_code == 1
    assert f"no {call} for you" in result.stderr
    assert "0 moved back" in result.stdout
    assert len(office.shown("slices")) == 1


def test_without_the_right_to_make_messages_visible_that_is_said(office):
    office.dead_letter("slices", "one", "a bug")

    async def refused(*_):
        raise Refused("sqs:ChangeMessageVisibility is not allowed")

    office.dead_letters["slices"].extend = refused

    result = office("show", "slices")

    assert result.exit_code == 5
    assert "ChangeMessageVisibility" in result.stderr


def test_a_dead_letter_message_that_somebody_else_took_meanwhile_is_reported(office):
    office.dead_letter("slices", "one", "a bug")

    outcome = asyncio.run(
        dead_letter_queue.redrive(office.dead_letters["slices"], office.queues["slices"], ["another-id"])
    )

    assert outcome.done == 0
    assert "not found again" in outcome.left["another-id"]
    assert len(office.shown("slices")) == 1


@pytest.mark.promise("I4")
def test_a_manifest_that_died_of_an_outage_is_the_same_run_when_it_comes_back():
    world, clock = SimulatedWorld(), FakeClock()
    dead_letters = FakeQueue("manifests-dlq", clock)
    queue = world.queues["manifests"]
    run_id = world.send(world.joke(120))
    (taken,) = asyncio.run(received(queue))
    asyncio.run(queue.ack(taken))
    # As SQS moves it: the same id, nothing added.
    dead_letters.deliver_again(taken)

    (dead_letter,) = asyncio.run(dead_letter_queue.look(dead_letters, most=1))
    asyncio.run(dead_letter_queue.redrive(dead_letters, queue, [dead_letter.id]))

    assert dead_letter.run_id == run_id
    assert asyncio.run(world.run(run_id)).ok == 120


# --------------------------------------------------------------------------- purge


def test_dead_letter_messages_are_deleted_when_their_number_is_typed(office):
    for number in range(12):
        office.dead_letter("events", f"{number}", "no event")

    wrong = office("purge", "events", given="11\n")
    right = office("purge", "events", given="12\n")

    assert (wrong.exit_code, right.exit_code) == (1, 0)
    assert "nothing was deleted" in wrong.stderr
    assert "12 deleted" in right.stdout
    assert office.dead_letters["events"].bodies == ()


def test_purge_keeps_to_reason_and_limit(office):
    for number in range(12):
        office.dead_letter("events", f"{number}", "this" if number % 2 else "that")

    assert "4 deleted" in office("purge", "events", "--reason", "this", "--limit", "4", "--yes").stdout
    assert len(office.shown("events", "--limit", "100")) == 8
    assert len(office.shown("events", "--limit", "100", "--reason", "that")) == 6


def test_purging_nothing_asks_nothing(office):
    result = office("purge", "events")

    assert result.exit_code == 0
    assert "nothing to do" in result.stderr


# --------------------------------------------------------------------------- who did it


def wakeup(run_id: str, number: int = 0) -> str:
    return json.dumps({"kind": "slice", "run_id": run_id, "number": number})


def test_who_moved_or_deleted_which_messages_is_written_down(office):
    moved = [office.dead_letter("slices", f"{number}", "a bug") for number in range(7)]
    deleted = office.dead_letter("events", "one", "no event")

    assert office("redrive", "slices", "--yes").exit_code == 0
    office.clock.advance(1)
    assert office("purge", "events", "--yes").exit_code == 0

    (purged, redriven) = office.trail
    assert purged == ("purge", "", "events-dlq", f"1 message of events-dlq: {deleted}")
    assert redriven[:3] == ("redrive", "", "slices-dlq")
    assert redriven[3] == f"7 messages of slices-dlq: {', '.join(moved[:5])} and 2 more"


def test_each_run_that_messages_speak_of_has_an_entry_of_its_own(office):
    manifests = [json.dumps({"run_id": run_id}) for run_id in ("one", "two", "two")]
    for body in (*manifests, "not json"):
        office.dead_letter("manifests", body, "a bug")

    office("redrive", "manifests", "--yes")

    assert sorted((run_id, what.partition(" of ")[0]) for _, run_id, _, what in office.trail) == [
        ("", "1 message"),
        ("one", "1 message"),
        ("two", "2 messages"),
    ]


def test_of_many_runs_the_rest_stands_in_one_entry(office):
    for number in range(30):
        office.dead_letter("manifests", json.dumps({"run_id": f"run-{number:02d}"}), "a bug")

    office("redrive", "manifests", "--yes")

    counts = {run_id: what.partition(" of ")[0] for _, run_id, _, what in office.trail}
    assert len(counts) == 21
    assert counts[""] == "10 messages"
    assert len(office.queues["manifests"].bodies) == 30


def test_the_trail_has_neither_what_a_message_holds_nor_why_it_was_there(office):
    office.dead_letter("slices", wakeup("\x1b[2J; drop everything"), "ValueError: a row with a secret")
    office.dead_letter("manifests", '{"prompt": "a secret"}', "")

    office("redrive", "slices", "--yes")
    office("purge", "manifests", "--yes")

    kept = str(office.trail)
    assert len(office.trail) == 2
    assert not any(word in kept for word in ("secret", "drop", "\x1b", "ValueError"))


def test_what_is_only_looked_at_or_refused_is_not_written_down(office):
    office.dead_letter("slices", "one", "a bug")

    for words, given in (
        (("list",), None),
        (("show", "slices"), None),
        (("redrive", "slices", "--dry-run"), None),
        (("redrive", "slices"), "n\n"),
        (("purge", "slices"), "5\n"),
        (("redrive", "slices", "--reason", "another", "--yes"), None),
    ):
        office(*words, given=given)

    assert office.trail == []


@pytest.mark.parametrize("command", ["redrive", "purge"])
def test_what_cannot_be_written_down_is_not_done(office, command):
    office.dead_letter("slices", "one", "a bug")

    async def refused(_):
        raise Refused("dynamodb:PutItem is not allowed", "AccessDeniedException")

    office.ledger.apply = refused

    result = office(command, "slices", "--yes")

    assert result.exit_code == 5
    assert "dynamodb:PutItem" in result.stderr
    assert office.queues["slices"].bodies == ()
    assert len(office.shown("slices")) == 1


@pytest.mark.parametrize("command", ["redrive", "purge"])
def test_without_the_ledgers_name_nothing_is_done_but_looking(office, command, monkeypatch):
    monkeypatch.delenv("QUARRY_TABLE")
    office.dead_letter("slices", "one", "a bug")

    result = office(command, "slices", "--yes")

    assert result.exit_code == 2
    assert "QUARRY_TABLE" in result.stderr
    assert len(office.shown("slices")) == 1
    assert office("redrive", "slices", "--dry-run").exit_code == 0


def test_where_some_messages_stay_the_trail_says_how_many(office):
    office.dead_letter("slices", "one", "a bug")
    office.dead_letters["slices"].put("half", {"quarry_body_bytes": "900000"})

    assert office("redrive", "slices", "--yes").exit_code == 1

    assert {what.partition(":")[0] for *_, what in office.trail} == {
        "2 messages of slices-dlq",
        "1 of 2 messages of slices-dlq stayed",
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", range(1, 8))
def test_whatever_fails_between_nothing_is_moved_that_is_not_in_the_trail(office, kind, call):
    for number in range(2):
        office.dead_letter("slices", f"{number}", "a bug")
    chosen = asyncio.run(dead_letter_queue.look(office.dead_letters["slices"], most=9))
    faults = Faults({call: kind})
    table, dead_letters, source = FakeTable(), office.dead_letters["slices"], office.queues["slices"]
    book = Book(Ledger(table.for_worker(faults)), office.clock, office.ask)

    with contextlib.suppress(Crash, dead_letter_queue.PortError):
        asyncio.run(
            dead_letter_acts.redrive(book, "slices", dead_letters.for_worker(faults), source.for_worker(faults), chosen)
        )

    kept = asyncio.run(Ledger(table).audit_entries(office.clock.now().isoformat()[:7]))
    assert kept or source.bodies == ()
    assert {*dead_letters.bodies, *source.bodies} == {"0", "1"}


# --------------------------------------------------------------------------- pieces


async def received(queue):
    return await queue.receive(10, 0)
