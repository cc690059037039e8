"""What a campaign came to, in figures, and the one line that says so.

Where Bedrock gives no hold (no token that lasts ten minutes, and used names are taken again), a stall between the last
look and the request can pay twice: promise S2 says so. What happens there is counted beside the promise, not in it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.judge.checker import FIGURES

ELSEWHERE = frozenset({"paid_twice", "over_quota"})
# A campaign in which these never happened proves nothing.
SOMETIMES = (
    "crash",
    "slot contended",
    "class first",
    "weights differ",
    "control set",
    "control retry",
    "control canary held",
    "control budget held",
    "control month",
    "control month held",
    "month turned",
    "redelivered",
    "write refused",
    "joiner raced",
    "recovered",
    "swept ended",
    "create adopted",
    "create unknown",
    "create quota",
)
FAULTS_SEEN = ("refuse", "lose_reply", "crash_before", "crash_after", "stall")
PORTS_SEEN = ("queue", "table", "objects", "jobs", "runtime", "bus")


@dataclass(frozen=True)
class Outcome:
    """One trial, in a form that a file can hold."""

    line: str
    injected: int
    pays_once: bool
    figures: dict[str, int]
    why: tuple[str, ...]
    wrong: int
    seen: dict[str, int]
    settled_after_s: float

    @property
    def held(self) -> bool:
        """Every promise held that is made for this model of Bedrock."""
        excused = frozenset() if self.pays_once else ELSEWHERE
        return not self.wrong and not any(self.figures.get(name) for name in FIGURES if name not in excused)


@dataclass
class Tally:
    """Sums of trials whose faults were reached; `idle` are the others."""

    trials: int = 0
    idle: int = 0
    injected: int = 0
    survived: int = 0
    figures: Counter[str] = field(default_factory=Counter)
    elsewhere: Counter[str] = field(default_factory=Counter)
    trials_elsewhere: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    settled_s: list[float] = field(default_factory=list)
    broken: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        if not outcome.held:
            self.broken.append(outcome)
        if not outcome.injected:
            self.idle += 1
            return
        self.trials += 1
        self.injected += outcome.injected
        self.survived += outcome.held
        self.trials_elsewhere += not outcome.pays_once
        for name, count in outcome.figures.items():
            at = self.elsewhere if name in ELSEWHERE and not outcome.pays_once else self.figures
            at[name] += count
        self.seen.update(outcome.seen)
        self.settled_s.append(outcome.settled_after_s)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.trials + other.trials,
            self.idle + other.idle,
            self.injected + other.injected,
            self.survived + other.survived,
            self.figures + other.figures,
            self.elsewhere + other.elsewhere,
            self.trials_elsewhere + other.trials_elsewhere,
            self.seen + other.seen,
            self.settled_s + other.settled_s,
            self.broken + other.broken,
        )

    @property
    def line(self) -> str:
        figures = self.figures
        return (
            f"trials={self.trials} injected={self.injected} survived={self.survived} lost={figures['lost']}"
            f" duplicated={figures['duplicated']} over_quota={figures['over_quota']}"
            f" paid_twice={figures['paid_twice']} healthy_in_dlq={figures['healthy_in_dlq']}"
            f" leaked={figures['leaked']} unexpected={figures['unexpected']} recovered={self.seen['recovered']}"
        )

    @property
    def notes(self) -> list[str]:
        notes = [f"trials whose faults were not reached, and which do not count: {self.idle}"] if self.idle else []
        if self.trials_elsewhere:
            notes.append(
                f"where Bedrock forgets tokens within ten minutes and takes used names again ({self.trials_elsewhere}"
                f" trials): paid_twice={self.elsewhere['paid_twice']} over_quota={self.elsewhere['over_quota']}"
            )
        if self.trials:
            notes.append(f"no failure in {self.trials} trials: below {bound(self.trials):.2g} % at 95 %")
            late = sorted(self.settled_s)[int(len(self.settled_s) * 0.99)]
            notes.append(f"99 of 100 trials were over {late:.0f} virtual seconds after the last fault could strike")
        notes.append("sometimes: " + " · ".join(f"{name} {self.seen[name]}" for name in sometimes()))
        return notes

    @property
    def never(self) -> list[str]:
        """What should have happened now and then, and did not."""
        return [name for name in sometimes() if not self.seen[name]]


def sometimes() -> tuple[str, ...]:
    return (
        *SOMETIMES,
        *(f"fault {name}" for name in FAULTS_SEEN),
        *(f"at {name}" for name in PORTS_SEEN),
    )


def bound(trials: int) -> float:
    """The failure rate, in percent, that so many trials without a failure leave possible at 95 %."""
    return 300.0 / trials
