"""What a run has cost, what it is committed to, and whether its next shard fits into its budget. Pure.

Theory of operation. Money is counted in whole millionths of a dollar, as the ledger adds them. A shard is booked at its
likely cost in the transaction that admits it, and unbooked in the one that settles it, where its real LLM tokens take the
place: so spent + committed holds every shard exactly once, whoever reads it. It is booked twice over, in its run and in the
month of the environment, for each may have a budget. What a record is likely to cost is what this
run's records have cost so far; until one is known, what the plan estimated, for which the answers of a model that has no
history count with all that max_tokens allows. A retry's records are taken to cost what those of the first run did: its rows include what
was carried over, which cost it nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from quarry_core.models.money import dollars_apart
from quarry_core.models.prices import on_demand_price_of, price_of

MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Booking:
    """What a shard is booked at, in millionths of a dollar; 0: at nothing, as where its model has no price.

    Attributes:
        likely: what it is likely to cost.
        month: to which it counts, `yyyy-mm` in UTC; empty: to none.
        most: what the month may be projected to come to with it, in millionths; None: the environment has no budget.
    """

    likely: int = 0
    month: str = ""
    most: int | None = None


NOT_BOOKED = Booking()


@dataclass(frozen=True, slots=True)
class Cost:
    """What a settled shard came to, in millionths of a dollar, and the month in which that is so (`yyyy-mm`, UTC)."""

    micros: int
    month: str


def month_of(moment: datetime) -> str:
    """The month that a shard counts to which is booked now, such as 2026-12. `moment` is in UTC."""
    return moment.strftime("%Y-%m")


def month_after(month: str) -> str:
    """The next one."""
    year, number = int(month[:4]), int(month[5:])
    return f"{year:04d}-{number + 1:02d}" if number < 12 else f"{year + 1:04d}-01"


def cost_micros(
    model_id: str, input_tokens: int, output_tokens: int, *, on_demand: bool = False, tier: str = ""
) -> int:
    """What LLM tokens cost, in millionths of a dollar; 0 where the model has no price.

    Args:
        on_demand: asked so, in the service tier `tier`; empty: the default one.
    """
    price = on_demand_price_of(model_id, tier) if on_demand else price_of(model_id)
    return 0 if price is None else round(price.dollars(input_tokens, output_tokens) * MICRO)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run's settled shards came to.

    Attributes:
        records: with an answer, or an error that the model was paid for.
        input_tokens, output_tokens: LLM tokens; of these `dear_input` and `dear_output` cost the on-demand price.
    """

    records: int
    input_tokens: int
    output_tokens: int
    dear_input: int = 0
    dear_output: int = 0


NOTHING_SPENT = Spent(0, 0, 0)


def spent_dollars(model_id: str, spent: Spent) -> float | None:
    """US dollars; None where the model has no price."""
    price, asked = price_of(model_id), on_demand_price_of(model_id)
    if price is None or asked is None:
        return None
    batch = price.dollars(spent.input_tokens - spent.dear_input, spent.output_tokens - spent.dear_output)
    return batch + asked.dollars(spent.dear_input, spent.dear_output)


def likely_micros(model_id: str, records: int, spent: Spent, record_nanodollars: int, *, on_demand: bool) -> int:
    """What records are likely to cost, in millionths of a dollar; 0 where the model has no price.

    Args:
        records: of the shard.
        spent: what the run's records came to so far.
        record_nanodollars: what one is taken to cost at batch prices before that is known, in billionths; 0: nothing.
        on_demand: they are asked on demand, in the default tier.
    """
    price, asked = price_of(model_id), on_demand_price_of(model_id)
    if price is None or asked is None:
        return 0
    if spent.records and spent.input_tokens:
        each = (asked if on_demand else price).dollars(spent.input_tokens, spent.output_tokens) / spent.records
        return round(each * records * MICRO)
    dear = asked.input / price.input if on_demand and price.input else 1.0
    return round(record_nanodollars * dear * records / 1_000)


def known_nanodollars(model_id: str, spent: Spent, record_nanodollars: int) -> int:
    """What a record of an ended run came to at batch prices, in billionths of a dollar; where none was answered, what its plan estimated."""
    price = price_of(model_id)
    if price is None or not (spent.records and spent.input_tokens):
        return record_nanodollars
    return round(price.dollars(spent.input_tokens, spent.output_tokens) / spent.records * 1_000_000_000)


@dataclass(frozen=True, slots=True)
class Account:
    """A run's money, in millionths of a dollar."""

    budget: int
    spent: int
    committed: int

    @classmethod
    def of(cls, budget: int, spent: int, booked: int, unbooked: int) -> Account:
        """What is committed is what is booked, or more where settled shards came to more than they were booked at.

        Args:
            booked: likely cost of all shards that were admitted.
            unbooked: of these, what the settled ones were booked at, which came to `spent`.
        """
        dearer = max(1.0, spent / unbooked) if unbooked else 1.0
        return cls(budget, spent, round(max(0, booked - unbooked) * dearer))

    def fits(self, likely: int) -> bool:
        """Whether what is spent and committed stays within the budget with so much more."""
        return self.spent + self.committed + likely <= self.budget


def over_budget(account: Account, likely: int, run_id: str) -> str:
    """Why the next shard waits, and what to do."""
    budget, spent, committed, next_one = _amounts(account, likely)
    text = f"the budget of {budget} is not enough for another shard: {spent} spent"
    if account.committed:
        text += f", about {committed} in jobs that run"
    needed = account.spent + account.committed + likely
    return (
        f"{text}, and the next needs about {next_one}; with quarry set {run_id} budget_usd={_more(needed)} it goes on"
    )


def over_month(account: Account, likely: int, month: str) -> str:
    """Likewise, of the month's budget."""
    budget, spent, committed, next_one = _amounts(account, likely)
    text = f"the budget of {month}, {budget} (QUARRY_BUDGET_USD), is not enough for another shard: {spent} spent"
    if account.committed:
        text += f", about {committed} in jobs that run"
    return (
        f"{text}, and the next needs about {next_one}; it goes on when the setting is raised, when jobs cost less"
        f" than was booked, or when {month_after(month)} begins"
    )


def no_month_price(model_id: str) -> str:
    """Why nothing is admitted of a model without a price where the month has a budget."""
    return (
        f"the table of prices has no {model_id}, so nobody can say what it would add to the month's budget"
        " (QUARRY_BUDGET_USD): take a model that has a price (`quarry prices` lists them)"
    )


def _more(micros: int) -> str:
    """At least so much, in cents or, of less than ten cents, in ten-thousandths."""
    unit, digits = (10_000, 2) if micros >= MICRO / 10 else (100, 4)
    return f"{-(-micros // unit) * unit / MICRO:.{digits}f}"


def _amounts(account: Account, likely: int) -> tuple[str, ...]:
    """Budget, spent, committed and the next shard, told apart."""
    micros = (account.budget, account.spent, account.committed, likely)
    return dollars_apart(*(each / MICRO for each in micros))
