"""How many slots a pool has: what is configured, what AWS allows, what others take, what Bedrock's refusals taught. Pure.

Theory of operation. Jobs that are not ours take their places in the quota of the account, so they are subtracted from
it. Where the quota of the account is not known, what is configured stands for it; but then at least one slot is left,
since what is configured may have been set with others in mind, and Bedrock itself still refuses what is too much.
Another environment's jobs are subtracted only from a quota that is known: each environment is configured with a share
of its own, and two that subtracted each other would both admit nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Limits:
    """All in jobs that are active at once.

    Attributes:
        configured: QUARRY_JOB_QUOTA, or what an operator has set for this pool.
        service_quota: of the account, as Service Quotas tells it; None: not known.
        foreign: active jobs of the pool that no environment of Quarry created.
        siblings: active jobs of the pool that another environment of Quarry created.
        learned: ours that were active when Bedrock last refused one for its quota, a little more with each sweep since.
    """

    configured: int
    service_quota: int | None = None
    foreign: int = 0
    siblings: int = 0
    learned: int | None = None

    @property
    def admit_limit(self) -> int:
        """Jobs of ours that may be active at once."""
        if self.service_quota is None:
            room = max(min(1, self.configured), self.configured - self.foreign)
        else:
            room = max(0, min(self.configured, self.service_quota - self.foreign - self.siblings))
        return room if self.learned is None else min(room, self.learned)

    @property
    def relaxed(self) -> Limits:
        """After a sweep without a refusal: one job more, until what was learned no longer matters."""
        if self.learned is None:
            return self
        more = self.learned + 1
        return replace(self, learned=None if more >= replace(self, learned=None).admit_limit else more)
