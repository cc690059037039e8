"""What one trial is: a configuration, the work, and the plan of faults; all of it one line of text.

`plain:0` is the smallest run of two shards at a quota of 1, `asked:0` is asked on demand beside a dry run and a job,
`crowd:0` has two processes of each service race for everything, `rounds:0` asks half of its records again, by a job and
then on demand, `unheard:0` loses every event, in `full:0` the quota is full for three days. In `shares:0` runs of three classes
and other weights share two slots, in `overtaken:0` two classes want the only one, in `withdrawn:0` one is
paused and then cancelled, in `limited:0` somebody sets the limit, in `ondemand:0` two schedulers ask on demand, in `late:0` and `denied:0` a Create arrives when its run
has been cancelled, or Bedrock has refused it, long ago. `rolled:0` stops each process once while it works, and in `woken:0` nothing
but a pause keeps two schedulers from asking fast. `swarm:N` draws everything from its seed; `held` and `wide` are of `money.py`, `monthly`
and `capped` of `monthly.py`.
`plan=57:stall,80:crash_after,jobs.create#2:lose_reply` says what goes wrong at which call (`lines.py`): by its number among all, or
the nth of its name or of its port. A swarm without a plan draws its own.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
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
SWARM_CLASSES = ("normal", "normal", "high", "low")
SWARM_WEIGHTS = (1, 2, 4, 100)
CLASSES = ("high", "normal", "low")
# Drawn crashes hit one piece of work again by chance, and would be taken for its own doing.
SWARM_DEATHS_MAX = 20
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
    """One manifest. `after_s`: when it is sent; `more`: further fields of it."""

    asked: Asked
    after_s: float = 0.0
    shard_rows: int = 120
    admission_class: str = "normal"
    weight: int = 1
    more: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Control:
    """What somebody asks of a run, and when: `cancel`, `pause`, `resume`, `set` (class and weight), `budget`, or `retry`.

    In the way of the command, without faults. A retry of every row with an error is begun when the run has ended. Two are of no run: `month`
    deploys the services anew with this budget for the month, and `limit` sets that of the pool, or lets what is configured hold again.
    """

    after_s: float
    run_id: str
    action: str
    admission_class: str | None = None
    weight: int | None = None
    budget_usd: float | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Operator:
    """Who looks after runs that are held, each for so long: some of them go on then, the others are cancelled.

    wakes: what people ask wakes the services; else their timers come to it.
    month_usd: to which the month's budget is raised for a run that is held for it; None: there is none any more.
    """

    held_s: float = 60.0
    lets_go_on: float = 1.0  # of the runs, by chance
    wakes: bool = False
    month_usd: float | None = None


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
    asked_per_minute: int | None = None  # on demand; None: as the services have it by default
    throttled_share: float = 0.0  # of what models are asked on demand
    denied_after_s: float | None = None  # from then on Bedrock refuses the model
    denied_until_s: float | None = None  # and from then on not any more
    deaths_max: int | None = None  # of one piece of work; None: as the services have it by default
    rolling: bool = False  # each service is restarted once, in order, while it works
    stepped: bool = False  # others may go first at calls of S3
    month_usd: float | None = None  # with which the services are started: what a calendar month may cost
    month_ends_s: float | None = None  # after so long; None: not while anything happens
    controls: tuple[Control, ...] = ()
    operator: Operator = field(default_factory=Operator)

    @property
    def line(self) -> str:
        """What reproduces it."""
        plan = ",".join(sorted(f"{at_text(at)}:{fault}" for at, fault in self.plan.items()))
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


def shares() -> Scenario:
    """Two schedulers, two slots and never enough of them; whoever comes later comes first. Then one of them sinks."""
    return Scenario(
        "shares:0",
        (
            replace(work("low", 330), admission_class="low"),
            replace(work("one", 330, after_s=30)),
            replace(work("four", 450, after_s=30), weight=4),
            replace(work("high", 330, after_s=150), admission_class="high"),
        ),
        quota=2,
        replicas=2,
        bus=Bus(doubled=0.5, redelivered=0.3, shuffled=True),
        course=JobCourse(lasts_s=(40.0, 120.0)),
        tick_every_s=20.0,
        sweep_every_s=30.0,
        controls=(
            Control(180, "one", "set", weight=9),
            Control(260, "high", "set", admission_class="low"),
            Control(300, "low", "set", admission_class="high", weight=2),
        ),
    )


def limited() -> Scenario:
    """Somebody sets the pool's limit while it is full and Bedrock has less room than we think: to one, to none, and back."""
    return Scenario(
        "limited:0",
        (work("one", 330), work("other", 330, after_s=20)),
        quota=3,
        replicas=2,
        bedrock=Bedrock(quota_more=-1),
        course=JobCourse(lasts_s=(40.0, 120.0)),
        sweep_every_s=30.0,
        controls=(Control(60, "", "limit", limit=1), Control(200, "", "limit", limit=0), Control(420, "", "limit")),
    )


def ondemand() -> Scenario:
    """Whoever is slow finds its shard taken over, and asks no record more."""
    return Scenario(
        "ondemand:0",
        (work("asked", 58), work("small", 24, after_s=10)),
        replicas=2,
        on_demand_concurrency=2,
        asked_per_minute=12,
        visibility_s=30,
        sweep_every_s=30.0,
    )


def withdrawn() -> Scenario:
    """Two runs are paused before anything is asked of them; one is cancelled then, the other resumed."""
    return Scenario(
        "withdrawn:0",
        (work("asked", 58), work("job", 130)),
        replicas=2,
        bus=Bus(doubled=1.0, redelivered=0.5),
        visibility_s=30,
        sweep_every_s=30.0,
        controls=(
            Control(0.5, "asked", "pause"),
            Control(0.5, "job", "pause"),
            Control(60, "asked", "cancel"),
            Control(90, "job", "resume"),
        ),
    )


def overtaken() -> Scenario:
    """The only slot is free for two runs of two classes, and each of two schedulers knows of one."""
    return Scenario(
        "overtaken:0",
        (
            replace(work("low", 110), admission_class="low"),
            replace(work("high", 230, after_s=1), admission_class="high"),
        ),
        replicas=2,
        course=JobCourse(lasts_s=(300.0, 500.0)),
        sweep_every_s=300.0,
        tick_every_s=600.0,
    )


def handed() -> Scenario:
    """One run with two processes of each service: what one pauses at or dies of goes to the other."""
    return Scenario("handed:0", (work("handed", 110),), replicas=2, visibility_s=30, deaths_max=SWARM_DEATHS_MAX)


def woken() -> Scenario:
    """One run on demand, asked as fast as may be: whoever pauses finds that another has asked all of it."""
    return Scenario("woken:0", (work("woken", 58),), replicas=2, visibility_s=30, sweep_every_s=30.0)


def rolled() -> Scenario:
    """Each process is told to stop once, one after the other; whoever pauses is past its drain when it wakes."""
    return Scenario(
        "rolled:0",
        (work("rolled", 330),),
        quota=3,
        replicas=2,
        stall_s=STALLS_S[1],
        course=JobCourse(lasts_s=(20.0, 60.0)),
        visibility_s=30,
        deaths_max=SWARM_DEATHS_MAX,
        rolling=True,
        stepped=True,
    )


def late() -> Scenario:
    """A scheduler pauses with the first Create in hand; its run is cancelled, and another takes the only slot."""
    return Scenario(
        "late:0",
        (work("a", 110), work("b", 360, after_s=20)),
        {("jobs.create", 1): "stall"},
        replicas=2,
        stall_s=STALLS_S[1],
        course=JobCourse(lasts_s=(100.0, 160.0)),
        controls=(Control(60, "a", "cancel"),),
    )


def denied() -> Scenario:
    """A scheduler pauses with the first Create in hand; Bedrock refuses the model, and then grants it again."""
    return Scenario(
        "denied:0",
        (
            work("a", 110, all_answered=False, denied=True),
            work("b", 360, after_s=401, all_answered=False),
        ),
        {("jobs.create", 1): "stall"},
        replicas=2,
        stall_s=STALLS_S[2],
        course=JobCourse(lasts_s=(100.0, 160.0)),
        denied_after_s=10,
        denied_until_s=400,
    )


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
    plan = {draw_at(chance): chance.choice(FAULTS) for _ in range(chance.choice(SWARM_FAULTS))}
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
        deaths_max=SWARM_DEATHS_MAX,
        rolling=chance.random() < 0.2,
        stepped=chance.random() < 0.5,
        controls=_controls(seed, [each.asked.run_id for each in every]),
    )
    # Drawn last, so that the rest of a seed stays as it was. No three attempts at all of it are throttled but by chance.
    throttled_share = chance.choice((0.0, 0.0, 0.3, 0.6))
    drawn = _late(seed, _shares(seed, drawn))
    if not throttled_share:
        return drawn
    others = tuple(replace(each, asked=replace(each.asked, all_answered=False)) for each in drawn.work)
    return replace(drawn, work=others, course=replace(drawn.course, throttled_share=throttled_share))


def draw_at(chance: random.Random) -> At:
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


def _shares(seed: int, drawn: Scenario) -> Scenario:
    """In most trials with several runs these are of other classes and weights, and in half of those one is changed."""
    chance = random.Random(f"shares {seed}")
    if len(drawn.work) == 1 or chance.random() < 0.25:
        return drawn
    every = tuple(
        replace(each, admission_class=chance.choice(SWARM_CLASSES), weight=chance.choice(SWARM_WEIGHTS))
        for each in drawn.work
    )
    controls = drawn.controls
    if chance.random() < 0.5:
        to = chance.choice((None, *CLASSES)), chance.choice(SWARM_WEIGHTS)
        controls += (Control(chance.uniform(0, 400), chance.choice(every).asked.run_id, "set", *to),)
    return replace(drawn, work=every, controls=controls)


def _late(seed: int, drawn: Scenario) -> Scenario:
    """Where a model is refused, or a run cancelled, a Create may be on its way for as long as any; and a refusal may end."""
    chance = random.Random(f"late {seed}")
    if drawn.denied_after_s is not None and chance.random() < 0.5:
        drawn = replace(drawn, denied_until_s=drawn.denied_after_s + chance.uniform(60, 600))
    ends = drawn.denied_after_s is not None or any(each.action == "cancel" for each in drawn.controls)
    if not ends or chance.random() < 0.5:
        return drawn
    at: At = ("jobs.create", chance.randrange(1, 4))
    return replace(drawn, plan={**drawn.plan, at: "stall"}, replicas=2)


def at_text(at: At) -> str:
    return str(at) if isinstance(at, int) else f"{at[0]}#{at[1]}"
