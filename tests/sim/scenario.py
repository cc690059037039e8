"""What one trial is: a configuration, the work, and the plan of faults; all of it one line of text.

`plain:0` is the smallest run of two shards at a quota of 1, `asked:0` is asked on demand beside a dry run and a job,
`crowd:0` has two processes of each service race for everything, `rounds:0` asks half of its records again, by a job and
then on demand, `unheard:0` loses every event, in `full:0` the quota is full for three days, `swarm:N` draws everything from
its seed.
`plan=57:stall,80:crash_after,jobs.create#2:lose_reply` says what goes wrong at which call: by its number among all, or
the nth of its name or of its port. A swarm without a plan draws its own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from tests.judge.checker import Asked
from tests.sim.aws import CALM, Bus, JobCourse
from tests.sim.processes import FAULTS, At, Fault

COURSE = JobCourse()
PAIR_FAULTS: tuple[Fault, ...] = ("crash_before", "crash_after")
THREE_DAYS_S = 3 * 86_400.0
SWARM_CALLS_MAX = 700
SWARM_FAULTS = (1, 2, 3, 4, 5, 6, 6)
# Of all calls few are the ones that cost money or move a row, so half of a swarm's faults go by name: among how many
# calls of it, and with what weight.
SWARM_AT: dict[str, tuple[int, int]] = {
    "jobs.create": (6, 4),
    "jobs": (60, 3),
    "table.transact": (80, 4),
    "objects": (120, 3),
    "runtime": (60, 2),
    "queue": (200, 1),
    "bus": (3, 1),
}
# Longer than visibility, than the patience with an admission, and than List may lag; shorter than a token of ten minutes lasts.
STALLS_S = (150.0, 320.0, 560.0)


@dataclass(frozen=True)
class Bedrock:
    """What is not known of Bedrock.

    quota_more: its own quota above ours; negative: it has less room than we think.
    foreign: jobs of others that stand there all the time.
    full_for_s: for so long others fill the whole quota.
    """

    token_memory_s: float | None = None
    refuse_used_names: bool = False
    list_lag_s: float = 0.0
    quota_more: int | None = 5
    foreign: int = 0
    full_for_s: float = 0.0

    @property
    def pays_once(self) -> bool:
        """Whether one of the facts holds on which S2 rests: tokens last ten minutes, or used names are refused."""
        return self.refuse_used_names or self.token_memory_s is None or self.token_memory_s >= 600


@dataclass(frozen=True)
class Work:
    """One manifest. `after_s`: when it is sent."""

    asked: Asked
    after_s: float = 0.0
    shard_rows: int = 120


@dataclass(frozen=True)
class Control:
    """What somebody asks of a run, and when: `cancel`, `pause` or `resume`. In the way of the command, without faults."""

    after_s: float
    run_id: str
    action: str


@dataclass(frozen=True)
class Scenario:
    name: str
    work: tuple[Work, ...]
    plan: dict[At, Fault] = field(default_factory=dict)
    seed: int = 0
    quota: int = 1
    replicas: int = 1
    bedrock: Bedrock = field(default_factory=Bedrock)
    bus: Bus = CALM
    course: JobCourse = COURSE
    poison: tuple[str, ...] = ()
    stall_s: float = STALLS_S[1]
    restart_s: float = 20.0
    skew_s: float = 0.0
    visibility_s: int = 60
    sweep_every_s: float = 60.0
    tick_every_s: float = 45.0
    poll_s: float = 0.0  # at least so long for an idle poll; 0: as SQS has it
    on_demand_concurrency: int = 4
    throttled_share: float = 0.0  # of what models are asked on demand
    denied_after_s: float | None = None  # from then on Bedrock refuses the model
    rolling: bool = False  # each service is restarted once, in order, while it works
    stepped: bool = False  # others may go first at calls of S3
    controls: tuple[Control, ...] = ()

    @property
    def line(self) -> str:
        """What reproduces it."""
        plan = ",".join(sorted(f"{_at(at)}:{fault}" for at, fault in self.plan.items()))
        return f"{self.name} plan={plan or 'none'}"


def rows(run_id: str, count: int) -> list[str]:
    return [f"{run_id} topic {row}" for row in range(count)]


def work(
    run_id: str,
    count: int,
    *,
    after_s: float = 0.0,
    dry_run: bool = False,
    all_answered: bool = True,
    denied: bool = False,
) -> Work:
    values = [] if dry_run else rows(run_id, count)
    return Work(Asked(run_id, values, dry_run=dry_run, all_answered=all_answered, denied=denied), after_s)


def plain() -> Scenario:
    return Scenario("plain:0", (work("plain", 204),))


def asked() -> Scenario:
    return Scenario(
        "asked:0",
        (work("asked", 45), work("dry", 300, dry_run=True), work("job", 110)),
        poison=("no json",),
    )


def crowd() -> Scenario:
    """Two processes of each service, and every message and event twice: whatever can race does."""
    return Scenario(
        "crowd:0",
        (work("one", 310), work("other", 150, after_s=20), work("few", 20, after_s=40)),
        quota=2,
        replicas=2,
        bus=Bus(doubled=1.0, late=0.5, false_ends=0.5, redelivered=0.5, shuffled=True),
        course=JobCourse(lasts_s=(20.0, 60.0), cut_share=0.5, attempts_failing_max=1),
        visibility_s=30,
        sweep_every_s=30.0,
    )


def unheard() -> Scenario:
    """No event arrives, and jobs end in all ways."""
    return Scenario(
        "unheard:0",
        (work("one", 600), work("other", 300, after_s=50)),
        quota=3,
        replicas=2,
        bus=Bus(lost=1.0),
        course=JobCourse(lasts_s=(20.0, 200.0), cut_share=0.8),
    )


def full() -> Scenario:
    """For three days others use all of Bedrock's quota. Ticks and sweeps are rarer than usual, so that it costs seconds."""
    return Scenario(
        "full:0",
        (work("waits", 360), work("comes", 150, after_s=100_000)),
        quota=2,
        bedrock=Bedrock(quota_more=0, full_for_s=THREE_DAYS_S),
        sweep_every_s=600.0,
        tick_every_s=300.0,
        poll_s=3_600.0,
    )


def rounds() -> Scenario:
    return Scenario("rounds:0", (work("rounds", 240),), quota=2, course=JobCourse(throttled_share=0.5))


def swarm(seed: int) -> Scenario:
    """Everything by chance, limits of 1 among it."""
    chance = random.Random(f"swarm {seed}")
    denied_after_s = chance.uniform(0, 300) if chance.random() < 0.1 else None
    errors = chance.random() < 0.2 or denied_after_s is not None
    how = {"all_answered": not errors, "denied": denied_after_s is not None}
    every = [work("a", chance.choice((1, 2, 3)) * 100 + chance.randrange(60), **how)]
    if chance.random() < 0.5:
        every.append(work("b", chance.randrange(1, 60), after_s=chance.uniform(0, 200), **how))
    if chance.random() < 0.25:
        every.append(work("c", 200, after_s=chance.uniform(0, 300), dry_run=True))
    if chance.random() < 0.25:
        every.append(work("d", 130, after_s=chance.uniform(0, 300), **how))
    plan = {_swarm_at(chance): chance.choice(FAULTS) for _ in range(chance.choice(SWARM_FAULTS))}
    drawn = Scenario(
        f"swarm:{seed}",
        tuple(every),
        plan=plan,
        seed=seed,
        quota=chance.choice((1, 1, 2, 3)),
        replicas=chance.choice((1, 2, 2)),
        bedrock=Bedrock(
            token_memory_s=chance.choice((None, 600.0, 5.0, 0.0)),
            refuse_used_names=chance.random() < 0.3,
            list_lag_s=chance.choice((0.0, 0.0, 60.0)),
            quota_more=chance.choice((None, 5, 5, 0, -1)),
            foreign=chance.choice((0, 0, 1)),
        ),
        bus=Bus(
            lost=chance.choice((0.0, 0.5, 1.0)),
            doubled=chance.choice((0.0, 0.5)),
            late=chance.choice((0.0, 0.5)),
            false_ends=chance.choice((0.0, 0.0, 0.5)),
            redelivered=chance.choice((0.0, 0.0, 0.3)),
            shuffled=chance.random() < 0.5,
        ),
        course=JobCourse(
            lasts_s=chance.choice(((5.0, 30.0), (60.0, 200.0), (100.0, 500.0))),
            cut_share=chance.choice((0.0, 0.0, 0.4)),
            missing_share=0.02 if errors else 0.0,
            error_share=0.02 if errors else 0.0,
        ),
        poison=(f"poison {seed}",) if chance.random() < 0.2 else (),
        stall_s=chance.choice(STALLS_S),
        restart_s=chance.choice((1.0, 20.0, 90.0)),
        skew_s=chance.choice((0.0, 3_600.0)),
        visibility_s=chance.choice((30, 60, 120)),
        sweep_every_s=chance.choice((30.0, 60.0)),
        on_demand_concurrency=chance.choice((1, 4)),
        throttled_share=chance.choice((0.0, 0.1)),
        denied_after_s=denied_after_s,
        rolling=chance.random() < 0.2,
        stepped=chance.random() < 0.5,
        controls=_controls(seed, [each.asked.run_id for each in every]),
    )
    # Drawn last, so that the rest of a seed stays as it was. No three attempts at all of it are throttled but by chance.
    throttled_share = chance.choice((0.0, 0.0, 0.3, 0.6))
    if not throttled_share:
        return drawn
    others = tuple(replace(each, asked=replace(each.asked, all_answered=False)) for each in drawn.work)
    return replace(drawn, work=others, course=replace(drawn.course, throttled_share=throttled_share))


def _swarm_at(chance: random.Random) -> At:
    if chance.random() < 0.5:
        return chance.randrange(1, SWARM_CALLS_MAX)
    (name,) = chance.choices(list(SWARM_AT), [weight for _, weight in SWARM_AT.values()])
    return name, chance.randrange(1, SWARM_AT[name][0] + 1)


def _controls(seed: int, run_ids: list[str]) -> tuple[Control, ...]:
    """In every fifth trial somebody cancels a run, in every fifth somebody pauses and resumes one, at any moment."""
    chance = random.Random(f"controls {seed}")
    found: list[Control] = []
    if chance.random() < 0.2:
        run_id, at_s = chance.choice(run_ids), chance.uniform(0, 500)
        found += [Control(at_s, run_id, "pause"), Control(at_s + chance.uniform(1, 900), run_id, "resume")]
    if chance.random() < 0.2:
        at_s = chance.choice((chance.uniform(0, 40), chance.uniform(0, 900)))
        found.append(Control(at_s, chance.choice(run_ids), "cancel"))
    return tuple(found)


NAMED = {"plain": plain, "asked": asked, "crowd": crowd, "unheard": unheard, "full": full, "rounds": rounds}


def read(text: str) -> Scenario:
    """A scenario from its line. Raises ValueError."""
    name, *options = text.split()
    kind, _, seed = name.partition(":")
    scenario = swarm(int(seed)) if kind == "swarm" else NAMED[kind]()
    for option in options:
        key, _, value = option.partition("=")
        if key != "plan":
            raise ValueError(f"{key!r} is none of a scenario's options: plan")
        scenario = replace(scenario, plan=read_plan(value))
    return scenario


def read_plan(text: str) -> dict[At, Fault]:
    plan: dict[At, Fault] = {}
    for entry in text.split(",") if text not in ("", "none") else ():
        at, _, fault = entry.partition(":")
        if fault not in FAULTS:
            raise ValueError(f"{fault!r} is no fault; there are {', '.join(FAULTS)}")
        name, nth, number = at.rpartition("#")
        plan[(name, int(number)) if nth else int(number)] = fault
    return plan


def _at(at: At) -> str:
    return str(at) if isinstance(at, int) else f"{at[0]}#{at[1]}"
