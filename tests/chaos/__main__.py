"""`python -m tests.chaos`: real processes are killed, stopped and rolled while replies are lost (`make chaos`).

Theory of operation. The embedded AWS and the simulated Bedrock stand untouched. Two processes of each service, as they
are installed from wheels, reach them through a proxy that loses replies; their wall clocks jump; events are lost, doubled and
late. One thread for each process strikes it again and again: SIGKILL, SIGSTOP for longer than messages stay invisible,
or SIGTERM with a fresh process beside the one that drains. Manifests keep coming meanwhile. When all strikes are done
nothing fails any more, and all that was accepted must come to its end in bounded time. Then `tests.judge`, which shares no
code with the product, judges by what S3, the table, the dead-letter queues and Bedrock's List hold.

The exit code is 0 if nothing is wrong and everything that should happen now and then did.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import quarry_core
from quarry_local import environment, loopback
from quarry_local.clients import Clients
from quarry_local.settings import LOCAL_WAITS, StackSettings
from quarry_local.stack import Stack
from tests.chaos import evidence
from tests.chaos.drifting import SKEW
from tests.chaos.proxy import Losses, LossyProxy
from tests.judge.checker import FIGURES, Asked, Verdict, judge

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("preprocessor", "scheduler", "collector")
REPLICAS = 2
QUOTA = 3
ENV = "chaos"
CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
TEMPLATE = "Say one sentence about {topic}."
SHARD_ROWS = 130
VISIBILITY_S = 10  # the least that a service may have
SKEW_S = 3_600.0
REPLY_LOSS, REQUEST_LOSS = 0.02, 0.01
EVENTS = {"events_lost_share": 0.3, "events_doubled_share": 0.3, "events_late_share": 0.3, "events_late_s": 20.0}
# Strikes by weight.
KINDS = {"stop": 8, "kill": 3, "roll": 1}
STOP_S = (VISIBILITY_S + 1.0, VISIBILITY_S + 4.0)
UP_S = (0.3, 6.0)  # how long a process works between two strikes
READY_S = 120.0
DRAIN_S = 30.0
OPEN_RUNS = 4
ROWS = (280, 150, 400, 45)  # of one run after the other; 45 are too few for a job
LIVENESS_S = 600.0
CALM_S = 20.0  # longer than three sweeps and any patience
ENDED = {"SUCCEEDED", "SUCCEEDED_WITH_ERRORS", "FAILED"}
# Words of the services' logs, and what each of them shows.
SOMETIMES = {
    "swept": "the sweep corrected something",
    "taken_over": "an admission was taken over",
    "adopted": "a job was adopted",
    "worker_died_before": "a piece of work was known to have killed or lost its worker",
}


class Chaos:
    """One campaign. `strikes` are counted by kind and service."""

    def __init__(self, stack: Stack, proxies: dict[str, LossyProxy], seed: int, strikes: int, seconds: float) -> None:
        self.stack = stack
        self.seed = seed
        self.wanted = strikes
        self.end = time.monotonic() + seconds
        self.struck = Counter[str]()
        self.asked: list[Asked] = []
        self.failures: list[str] = []
        self.settled_s = 0.0
        self._proxies = proxies
        self._lock = threading.Lock()
        self._begun = 0
        self._stop = threading.Event()
        self._env = stack.env()
        self._clients = stack.clients()
        self._s3, self._sqs, self._dynamodb = (self._clients.client(name) for name in ("s3", "sqs", "dynamodb"))

    # ------------------------------------------------------------------ processes

    def _variables(self, port: int) -> dict[str, str]:
        overrides = {
            "AWS_ENDPOINT_URL": self._proxies["aws"].url,
            **{
                f"AWS_ENDPOINT_URL_{name}": self._proxies["bedrock"].url
                for name in ("BEDROCK", "BEDROCK_RUNTIME", "SERVICE_QUOTAS")
            },
            "QUARRY_VISIBILITY_TIMEOUT_S": str(VISIBILITY_S),
            "QUARRY_DRAIN_S": "5",
            SKEW: str(SKEW_S),
            "PYTHONPATH": str(ROOT),
        }
        return environment.for_service(os.environ, self._env, LOCAL_WAITS, overrides, port)

    def _begin(self, service: str, replica: int) -> tuple[subprocess.Popen[bytes], int]:
        port = loopback.free_port()
        log = self.stack.directory / "logs" / f"{service}.{replica}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.drifting", service],
                env=self._variables(port),
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self.stack.directory,
                start_new_session=True,
            )
        return process, port

    def _wait_ready(self, process: subprocess.Popen[bytes], port: int, what: str) -> None:
        end = time.monotonic() + READY_S
        while not loopback.ready(port, "/readyz"):
            if process.poll() is not None:
                raise RuntimeError(f"{what} ended by itself with {process.returncode}")
            if time.monotonic() > end:
                raise RuntimeError(f"{what} is not ready after {READY_S:g} s")
            time.sleep(0.1)

    def _keep(self, service: str, replica: int) -> None:
        """Keep one process alive, and strike it until all strikes are done; then leave it in peace until the end."""
        chance = random.Random(f"{self.seed} {service} {replica}")
        what = f"{service}.{replica}"
        process, port = self._begin(service, replica)
        try:
            while True:
                self._wait_ready(process, port, what)
                if not self._next():
                    break
                time.sleep(chance.uniform(*UP_S))
                (kind,) = chance.choices(list(KINDS), list(KINDS.values()))
                process, port = self._strike(kind, process, port, service, replica, chance)
                with self._lock:
                    self.struck[f"{kind} {service}"] += 1
            while not self._stop.wait(0.2) and process.poll() is None:
                pass
            if process.poll() is not None:
                self.failures.append(f"{what} ended by itself with {process.returncode}")
            process.terminate()
            process.wait(DRAIN_S)
        except Exception as error:
            self.failures.append(f"{what}: {type(error).__name__}: {error}")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _strike(
        self, kind: str, process: subprocess.Popen[bytes], port: int, service: str, replica: int, chance: random.Random
    ) -> tuple[subprocess.Popen[bytes], int]:
        match kind:
            case "kill":
                process.kill()
                process.wait()
                return self._begin(service, replica)
            case "stop":
                process.send_signal(signal.SIGSTOP)
                time.sleep(chance.uniform(*STOP_S))
                process.send_signal(signal.SIGCONT)
                return process, port
            case _:
                process.terminate()
                fresh = self._begin(service, replica)
                if process.wait(DRAIN_S):
                    self.failures.append(f"{service}.{replica} ended with {process.returncode} when told to stop")
                return fresh

    def _next(self) -> bool:
        with self._lock:
            if self._begun >= self.wanted or time.monotonic() > self.end or self.failures:
                return False
            self._begun += 1
            return True

    # ------------------------------------------------------------------ work

    def _send(self, number: int) -> None:
        run_id = f"chaos{number:04d}"
        values = [f"{run_id} topic {row}" for row in range(ROWS[number % len(ROWS)])]
        key = f"inputs/{run_id}.csv"
        self._s3.put_object(Bucket=self._env["QUARRY_BUCKET"], Key=key, Body="\n".join(["topic", *values, ""]).encode())
        manifest = {
            "s3_uri": f"s3://{self._env['QUARRY_BUCKET']}/{key}",
            "job_name_prefix": "chaos",
            "model_id": CLAUDE,
            "prompt": TEMPLATE,
            "run_id": run_id,
            "max_records_per_job": SHARD_ROWS,
        }
        self._sqs.send_message(QueueUrl=self._env["QUARRY_MANIFEST_QUEUE_URL"], MessageBody=json.dumps(manifest))
        self.asked.append(Asked(run_id, values, answers=[_answer(value) for value in values]))

    def open_runs(self) -> list[str]:
        found = []
        for asked in self.asked:
            key = {"pk": {"S": f"run#{asked.run_id}"}, "sk": {"S": "totals"}}
            answer = self._dynamodb.get_item(TableName=self._env["QUARRY_TABLE"], Key=key, ConsistentRead=True)
            state = answer.get("Item", {}).get("state", {}).get("S", "")
            if state not in ENDED:
                found.append(f"{asked.run_id} {state or 'not accepted'}")
        return found

    # ------------------------------------------------------------------ its course

    def run(self) -> Verdict:
        keepers = [
            threading.Thread(target=self._keep, args=(service, replica))
            for service in SERVICES
            for replica in range(1, REPLICAS + 1)
        ]
        for keeper in keepers:
            keeper.start()
        try:
            while self._begun < self.wanted and time.monotonic() < self.end and not self.failures:
                if len(self.open_runs()) < OPEN_RUNS:
                    self._send(len(self.asked))
                time.sleep(1.0)
            self._wait_struck()
            for proxy in self._proxies.values():
                proxy.losses = Losses()
            self.stack.clear_faults()
            calm_at = time.monotonic()
            while (left := self.open_runs()) and not self.failures:
                if time.monotonic() > calm_at + LIVENESS_S:
                    self.failures.append(f"{LIVENESS_S:g} s after the last strike: {left}")
                    break
                time.sleep(0.5)
            self.settled_s = time.monotonic() - calm_at
            time.sleep(CALM_S)
        finally:
            self._stop.set()
            for keeper in keepers:
                keeper.join()
        where = {
            "bucket": self._env["QUARRY_BUCKET"],
            "table": self._env["QUARRY_TABLE"],
            "env": ENV,
            **{f"dlq {name}": url for name, url in self._env.items() if name.endswith("_DLQ_URL")},
        }
        bedrock = Clients(self._env["AWS_ENDPOINT_URL_BEDROCK"], "us-east-1").client("bedrock")
        verdict = judge(evidence.gathered(self._clients, bedrock, where, self.asked, QUOTA))
        for words in self.failures:
            verdict.say(words)
        return verdict

    def _wait_struck(self) -> None:
        """The last strikes that were begun are done, or something has failed."""
        end = time.monotonic() + READY_S + STOP_S[1] + DRAIN_S
        while self.struck.total() < self._begun and time.monotonic() < end and not self.failures:
            time.sleep(0.2)

    def seen(self) -> Counter[str]:
        """What the logs and proxies tell of where the campaign has been."""
        found = Counter[str]()
        for log in self.stack.directory.glob("logs/*.log"):
            if log.name.split(".")[0] in SERVICES:
                found.update(str(said["event"]) for said in evidence.log_lines(log) if "event" in said)
        for proxy in self._proxies.values():
            found.update(proxy.seen)
        return found


def _answer(value: str) -> str:
    """What the simulated Bedrock's answer to this row holds: the beginning of its prompt's SHA-256."""
    return hashlib.sha256(TEMPLATE.replace("{topic}", value).encode()).hexdigest()[:16]


@contextmanager
def campaign(seed: int, strikes: int, seconds: float, directory: Path) -> Iterator[Chaos]:
    """A stack without services, and proxies before it."""
    settings = StackSettings(
        env=ENV,
        quota=QUOTA,
        services=False,
        simulator={"speed": "3", "seed": str(seed), **{name: str(share) for name, share in EVENTS.items()}},
        overrides={"QUARRY_VISIBILITY_TIMEOUT_S": str(VISIBILITY_S)},
    )
    with ExitStack() as entered:
        stack = entered.enter_context(Stack(directory, settings))
        ports = {
            name: int(stack.env()[variable].rpartition(":")[2])
            for name, variable in (("aws", "AWS_ENDPOINT_URL"), ("bedrock", "AWS_ENDPOINT_URL_BEDROCK"))
        }
        proxies = {
            name: entered.enter_context(LossyProxy(port, Losses(REPLY_LOSS, REQUEST_LOSS), seed))
            for name, port in ports.items()
        }
        yield Chaos(stack, proxies, seed, strikes, seconds)


def report(chaos: Chaos, verdict: Verdict, *, short: bool = False) -> int:
    """Print what came of it; the last line has the form of the simulation's. A short campaign need not have met everything."""
    seen = chaos.seen()
    for words in verdict.why:
        print(words)
    strikes = ", ".join(f"{kind} {count}" for kind, count in sorted(chaos.struck.items()))
    print(f"strikes: {strikes}; replies lost {seen['reply lost']}, requests lost {seen['request lost']}")
    print(f"all was over {chaos.settled_s:.0f} s after the last strike; rows {sum(len(a.values) for a in chaos.asked)}")
    print("sometimes: " + " · ".join(f"{word} {seen[word]}" for word in SOMETIMES))
    never = [what for word, what in SOMETIMES.items() if not seen[word]]
    if never:
        words = "not met by so few strikes" if short else "never happened, so the campaign proves little"
        print(f"{words}: {', '.join(never)}")
    broken = {asked.run_id for asked in chaos.asked for why in verdict.why if asked.run_id in why}
    injected = chaos.struck.total() + seen["reply lost"] + seen["request lost"]
    figures = " ".join(f"{name}={verdict.figures[name]}" for name in _order())
    recovered = sum(seen[word] for word in SOMETIMES)
    print(
        f"trials={len(chaos.asked)} injected={injected} survived={len(chaos.asked) - len(broken)} {figures}"
        f" recovered={recovered}"
    )
    return 0 if verdict.right and (short or not never) else 1


def _order() -> tuple[str, ...]:
    """The figures in the order in which every campaign's last line has them."""
    order = ("lost", "duplicated", "over_quota", "paid_twice", "healthy_in_dlq", "leaked", "unexpected")
    assert set(order) == set(FIGURES)
    return order


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--strikes", type=int, default=500, help="kills, stops and rolls")
    parser.add_argument("--minutes", type=float, default=60.0, help="of striking, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="what happens now and then need not happen")
    parser.add_argument("--keep", action="store_true", help="leave logs where they are")
    asked = parser.parse_args(arguments)
    directory = Path(tempfile.mkdtemp(prefix="quarry-chaos-"))
    installed = "wheels" if "site-packages" in Path(quarry_core.__file__).parts else "the checkout, not from wheels"
    print(f"the services run as they are installed from {installed}")
    code = 1
    try:
        with campaign(asked.seed, asked.strikes, asked.minutes * 60, directory) as chaos:
            verdict = chaos.run()
            code = report(chaos, verdict, short=asked.short)
    finally:
        if code == 0 and not asked.keep:
            shutil.rmtree(directory)
        else:
            print(f"logs: {directory / 'logs'}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
