"""An environment to be looked at: the whole of Quarry on fakes, with runs in every condition, and answers that mean harm.

The unit tests of the page and those in a real browser look at the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pyarrow as pa
from starlette.applications import Starlette

from quarry_cli.client.connections import Connections
from quarry_cli.client.dead_letters.connections import Book, Post
from quarry_cli.client.dead_letters.queue import DEAD_LETTER_QUEUES
from quarry_cli.client.dead_letters.settings import source_of
from quarry_cli.page.app import Served, build_app
from quarry_cli.page.guard import Access
from quarry_cli.page.links import Links
from quarry_core.aws.dead_letters import dead_lettered
from quarry_core.ledger import keys
from quarry_core.ports import Message
from tests.world.bedrock import answered
from tests.world.queue import FakeQueue
from tests.world.world import BUCKET, CLAUDE, SimulatedWorld

TOKEN = "a-token-of-the-tests-0123456789abcdef"  # nobody's
SCRIPT = "<script>document.body.dataset.taken='yes'</script>"
IMAGE = "<img src=x onerror=\"document.body.dataset.taken='yes'\">"
TERMINAL = "\x1b]0;taken\x07\x1b[31mred\x1b[0m"
TURNED = "safe\u202egpj.exe"
TEMPLATE = "{{ 7 * 191 }}{% raw %}"
HOSTILE = f"{SCRIPT} {IMAGE} {TERMINAL} {TURNED} {TEMPLATE} =cmd|' /C calc'!A0 </td></table><h1>taken</h1> javascript:alert(1)"
LONG = "W" * 1_500  # no place to break it
HEAPED = "a" + "\u0301" * 300
HEBREW = "\u05e9\u05dc\u05d5\u05dd"
JOINED = "\U0001f469\u200d\U0001f4bb"
UNRULY = f"{LONG} {HEAPED} {HEBREW} {JOINED}"
ARN = f"arn:aws:sts::123456789012:assumed-role/{LONG[:64]}/{LONG[:64]}"
SUBJECTS = (
    "a shy lighthouse keeper", "the last train home", "an honest fox", "two left shoes", "a cloud that owes rent",
    "the librarian's parrot", "an umbrella in July", "a polite volcano",
)  # fmt: skip


def hostile(body: dict, invocation_type: str | None) -> dict:
    """An answer that would take over a page, a terminal or a spreadsheet that reads it."""
    found = answered(body, invocation_type)
    found["content"] = [{"type": "text", "text": HOSTILE}]
    found["usage"] = {"input_tokens": 24, "output_tokens": 61}
    return found


def unruly(body: dict, invocation_type: str | None) -> dict:
    """An answer that is too long, too high, or runs the other way."""
    found = answered(body, invocation_type)
    found["content"] = [{"type": "text", "text": UNRULY}]
    found["usage"] = {"input_tokens": 2_400, "output_tokens": 6_100}
    return found


def kind(body: dict, invocation_type: str | None) -> dict:
    found = answered(body, invocation_type)
    subject = body["messages"][0]["content"][0]["text"].rpartition("about ")[2]
    text = f"Why did {subject.split(' in less')[0]} keep a diary? Somebody had to be told how the week went."
    found["content"] = [{"type": "text", "text": text}]
    found["usage"] = {"input_tokens": 24, "output_tokens": 31}
    return found


class Scene:
    """A world, and the page that shows it. `lock`: the world is one thread's at a time."""

    def __init__(self, **changes: object) -> None:
        self.world = SimulatedWorld(**({"job_quota": 8} | changes))
        self.world.bedrock.answerer = kind
        self.dead_letters = {name: FakeQueue(f"{name}-dlq", self.world.clock) for name in DEAD_LETTER_QUEUES}
        self.lock = threading.RLock()
        self.opened = 0

    # ------------------------------------------------------------------ what there is

    def send(self, rows: int, name: str, **changes: object) -> str:
        topics = [f"{SUBJECTS[row % len(SUBJECTS)]}, part {row}" for row in range(rows)]
        return self.send_table(pa.table({"id": list(range(1, rows + 1)), "topic": topics}), name, **changes)

    def send_table(self, table: pa.Table, name: str, **changes: object) -> str:
        uri = self.world.parquet(table, key=f"inputs/{name}.parquet")
        manifest = {"s3_uri": uri, "job_name_prefix": name, "model_id": CLAUDE, "prompt_id": "joke_about_topic"}
        manifest["canary"] = False  # a run begins with all its slots, but where it is held
        return self.world.send(manifest | changes)

    def idle(self) -> None:
        asyncio.run(self.world.idle())

    def finish(self, run_id: str) -> None:
        asyncio.run(self.world.run(run_id))

    def ended(self, rows: int, name: str, **changes: object) -> str:
        run_id = self.send(rows, name, **changes)
        self.finish(run_id)
        return run_id

    def hostile_run(self) -> str:
        """An ended run whose columns, values, prompt and answers mean harm."""
        self.world.bedrock.answerer = hostile
        columns = {"topic": [HOSTILE if row % 2 else None for row in range(240)], f"x{SCRIPT}": [TERMINAL] * 240}
        prompt = {"template": "About {topic}: " + HOSTILE.replace("{", "{{").replace("}", "}}"), "system": SCRIPT}
        run_id = self.send_table(pa.table(columns), "hostile", prompt=prompt, prompt_id=None)
        self.finish(run_id)
        self.world.bedrock.answerer = kind
        return run_id

    def unruly_run(self) -> str:
        """A run that goes on, whose texts are long, heaped up or of another direction, its file's name too; cancelled by a long name."""
        self.world.bedrock.answerer = unruly
        uri = self.world.parquet(
            pa.table({"topic": [UNRULY] * 300, HEBREW + LONG[:80]: [UNRULY] * 300}),
            key=f"inputs/{IMAGE}{LONG[:600]}{TURNED}{HEBREW}.parquet",
        )
        prompt = {"template": "About {topic}: " + UNRULY, "system": UNRULY}
        manifest = {"s3_uri": uri, "job_name_prefix": LONG[:40], "model_id": CLAUDE, "prompt": prompt, "canary": False}
        run_id = self.world.send(manifest | {"max_records_per_job": 100, "tags": {"a": LONG[:200]}})
        self.idle()
        for _ in range(2):
            self.step()
        self.world.bedrock.answerer = kind
        self.write_down(run_id, "job#", message=f"{IMAGE} {UNRULY}")
        self.write_down(run_id, "shard#", message=f"{SCRIPT} {UNRULY}")
        self.write_down(
            run_id, "totals", paused_at="2026-01-01T00:00:00+00:00", paused_by=ARN, fault=UNRULY, fault_code=LONG[:60]
        )
        return run_id

    def picture_run(self) -> str:
        """A run that shows all that a run may have: a history, a budget, some errors, and jobs that come along."""
        self.world.bedrock.refused_share = 0.012
        for month in ("september", "october"):
            self.moving_run(800, f"tickets-{month}", ended=14)
        run_id = self.moving_run(6_000, "support-tickets", ended=24, budget_usd=2)
        self.world.bedrock.refused_share = 0.0
        for place, item in enumerate(self._items(run_id, "job#", status="InProgress")):
            item.update(total_records=100, processed_records=max(0, 88 - 13 * place))
        return run_id

    def _items(self, run_id: str, prefix: str, **having: object) -> list[dict]:
        """Rows of a run in the ledger, to be changed where they are."""
        found = self.world.table.items
        return [
            item
            for (pk, sk), item in sorted(found.items())
            if pk == keys.run_pk(run_id) and sk.startswith(prefix) and having.items() <= item.items()
        ]

    def write_down(self, run_id: str, prefix: str, **attributes: object) -> None:
        for item in self._items(run_id, prefix):
            item.update(attributes)

    def moving_run(self, rows: int = 4_000, name: str = "support-tickets", ended: int = 6, **changes: object) -> str:
        """A run of many shards, of which some have ended."""
        run_id = self.send(rows, name, max_records_per_job=100, **changes)
        self.idle()
        for _ in range(ended):
            self.step()
        return run_id

    def held_run(self, name: str = "reviews", **changes: object) -> str:
        """A run whose canary had nothing but errors, so that it waits to be approved."""
        self.world.bedrock.error_share = 1.0
        run_id = self.send(1_200, name, **({"max_records_per_job": 100, "canary": {}} | changes))
        self.idle()
        for _ in range(4):
            self.step()
        self.world.bedrock.error_share = 0.0
        return run_id

    def step(self) -> None:
        """One job begins to work and one ends, if any is there."""
        with self.lock:
            active = [job for job in self.world.bedrock.active if job.status == "InProgress"]
            for job in active[:1]:
                self.world.bedrock.end(job)
            for job in [job for job in self.world.bedrock.active if job.status != "InProgress"][:4]:
                self.world.bedrock.begin(job)
            self.idle()
            self.world.clock.advance(61)
            asyncio.run(self.world.scheduler.tick_all())
            self.idle()

    def many_shards(self, run_id: str, count: int) -> None:
        """Give a run as many shards, as the ledger would hold them; what runs is left as it is."""
        table = self.world.table
        first = next(
            item for (pk, sk), item in table.items.items() if pk == keys.run_pk(run_id) and sk.startswith("shard#")
        )
        items = [dict(item) for item in table.items.values()]
        standing = {item["sk"] for item in items if item["pk"] == keys.run_pk(run_id)}
        settled, ended, submitted = round(0.614 * count), 5, 0
        failed = 0
        for place in range(count):
            shard = f"{2 * place:05d}"
            if f"shard#{shard}" in standing:
                continue
            behind = place - settled
            state = "SETTLED" if behind < 0 else "ENDED" if behind < ended else "SUBMITTED"
            state = "PENDING" if behind >= ended + submitted else state
            errors = 3 if state == "SETTLED" and place % 41 == 0 else 0
            failed += errors
            done = {"ok": first["rows"] - errors, "error": errors} if state == "SETTLED" else {}
            items.append({**first, "sk": f"shard#{shard}", "shard": shard, "state": state, **done})
        rows = first["rows"]
        for item in items:
            if item["pk"] == keys.run_pk(run_id) and item["sk"] == "totals":
                whole = {"accepted": rows * count, "enlisted": rows * count, "rows_source": rows * count}
                done = {"ok": rows * settled - failed, "error": failed, "open": rows * (count - settled)}
                item.update(whole | done | {"shards_enlisted": count, "shards_settled": settled})
            elif item["sk"] == f"lane#{run_id}":
                running = sum(
                    each["state"] == "SUBMITTED"
                    for each in items
                    if each.get("sk", "").startswith("shard#") and each["pk"] == keys.run_pk(run_id)
                )
                item["waiting"] = count - settled - ended - running
        table.restore(items)

    def dead_letter(self, queue: str, body: str, reason: str, **attributes: str) -> str:
        body, reported = dead_lettered(Message(f"id-{body[:8]}", body, "", attributes), reason, "arrive")
        return self.dead_letters[queue].put(body, reported)

    # ------------------------------------------------------------------ the page

    @contextlib.asynccontextmanager
    async def connect(self):
        self.opened += 1
        world = self.world
        yield Connections(
            table=Locked(world.table, self.lock),
            queue=lambda: world.queues["manifests"],
            objects=lambda: world.objects,
            versions=lambda: world.objects,
            clock=world.clock,
            bucket=BUCKET,
            env="prod",
            region="us-east-1",
        )

    @contextlib.asynccontextmanager
    async def open_queues(self, _settings):
        yield Post(
            lambda name: self.dead_letters[name],
            lambda name: self.world.queues[source_of(name)],
            Book(self.world.ledger, self.world.clock, None),
        )

    def app(self, *, port: int = 80, write: bool = False, hosts: tuple[str, ...] = ("testserver",)) -> Starlette:
        links = Links("us-east-1", "prod", "https://grafana.example/d/quarry?var-run={run_id}")
        access = Access(TOKEN, frozenset(hosts), port)
        return build_app(Served(self.connect, access, "prod", write, links, self.open_queues))


class Locked:
    """The table as another thread sees it: between the moves of the world's, never within one."""

    def __init__(self, table, lock) -> None:
        self._table = table
        self._lock = lock

    def __getattr__(self, name):
        found = getattr(self._table, name)

        async def call(*args, **options):
            with self._lock:
                return await found(*args, **options)

        return call
