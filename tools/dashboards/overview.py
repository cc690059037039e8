"""The overview: how far the work is, when it ends, what it costs, and whether something is wrong."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from tools.dashboards.panels import (
    AMBER,
    BLUE,
    GREEN,
    PURPLE,
    RED,
    YELLOW,
    Figure,
    Lines,
    Row,
    board,
    chosen,
    grown,
    ledger,
    of_pool,
    or_nothing,
)

OPEN = ledger(of_pool("quarry_rows_open"), "pool")
PROCESSED = ledger(of_pool("quarry_rows_processed"), "pool")
HELD = ledger(of_pool("quarry_slots_in_use"), "pool")
LIMIT = ledger(of_pool("quarry_slots_limit"), "pool")
FOREIGN = ledger(of_pool("quarry_slots_foreign"), "pool")
ETA = ledger(of_pool("quarry_eta_timestamp_seconds"), "pool")
OUTCOMES = {"ok": GREEN, "model_error": RED, "missing": AMBER, "not_processed": PURPLE, "none": GREEN}
FIRING = chosen("ALERTS", 'alertname=~"Quarry.*"', 'alertstate="firing"')

PROGRESS = Row(
    "Progress",
    [
        Figure(
            title="Open runs",
            description="Runs that were accepted and have not ended.",
            queries=[(f"sum({ledger(chosen('quarry_runs'), 'state')})", "")],
            unit="short",
            width=3,
            base=BLUE,
        ),
        Figure(
            title="Open rows",
            description="Rows of open runs without an outcome yet.",
            queries=[(or_nothing(f"sum({OPEN})"), "")],
            unit="short",
            width=4,
            base=BLUE,
        ),
        Figure(
            title="Of them, processed by Bedrock",
            description="Open rows whose jobs are still running, although Bedrock reports them as processed.",
            queries=[(or_nothing(f"sum({PROCESSED})"), "")],
            unit="short",
            width=5,
            base=BLUE,
        ),
        Figure(
            title="Last row expected",
            description="At the rate of the last hour, for the slowest pool. Empty while no rate is known.",
            queries=[(f"max({ETA}) * 1000", "")],
            unit="dateTimeFromNow",
            width=4,
            base=BLUE,
        ),
        Figure(
            title="Alerts firing",
            description="Quarry's own alerts, as Prometheus evaluates them.",
            queries=[(or_nothing(f"sum({FIRING})"), "")],
            unit="short",
            width=4,
            steps=[(1, RED)],
        ),
        Figure(
            title="Rows unaccounted for",
            description="Rows of open runs that have neither an outcome nor a place where they wait for one. Must be 0.",
            queries=[(f"sum({ledger(chosen('quarry_rows_unaccounted'))})", "")],
            unit="short",
            width=4,
            steps=[(1, RED)],
            alert="QuarryRowsUnaccounted",
        ),
        Lines(
            title="Open rows",
            description="Rows that are left, and how many of them Bedrock has processed. The stack falls to 0 as runs end.",
            queries=[
                (f"sum({PROCESSED})", "processed by Bedrock, not collected yet"),
                (f"clamp_min(sum({OPEN}) - sum({PROCESSED}), 0)", "waiting"),
            ],
            colours={"processed by Bedrock, not collected yet": GREEN, "waiting": BLUE},
            unit="short",
            width=12,
            stacked=True,
        ),
        Lines(
            title="Rows with an outcome, in ${window:text}",
            description="Rows that got their final outcome: ok, or the error code in the results. All rows of a "
            "shard count at once, when it is settled.",
            queries=[(grown("quarry_rows_finished_total", "outcome"), "{{outcome}}")],
            colours=OUTCOMES,
            unit="short",
            width=12,
            stacked=True,
            decimals=0,
        ),
        Lines(
            title="Time until the last row, by pool",
            description="From records processed in the last hour, so rough in the first minutes of a run. A rising "
            "line means that a pool slows down. The axis is logarithmic.",
            queries=[(f"clamp_min({ETA} - time(), 1)", "{{pool}}")],
            orders=True,
            unit="s",
            width=12,
        ),
        Lines(
            title="Shards of open runs, by state",
            description="PENDING waits for a slot, ADMITTED holds one, SUBMITTED has a job, ENDED waits for the collector, "
            "SETTLED has its results; INVOKING is asked on demand, without a slot. At most 500 ENDED shards per run are counted.",
            queries=[(f"sum by (state) ({ledger(chosen('quarry_shards'), 'state')})", "{{state}}")],
            colours={"PENDING": YELLOW, "ADMITTED": AMBER, "SUBMITTED": BLUE, "ENDED": PURPLE, "SETTLED": GREEN},
            unit="short",
            width=12,
            stacked=True,
            alert="QuarryOldestShardTooOld",
        ),
    ],
)

SLOTS = Row(
    "Slots",
    [
        Lines(
            title="Slots of the chosen pools",
            description="held and free are what Quarry may use now: the quota minus the jobs of others. Held "
            "slots and waiting shards are normal on a busy day.",
            queries=[
                (f"sum({HELD})", "held"),
                (f"sum(clamp_min({LIMIT} - {HELD}, 0))", "free"),
                (or_nothing(f"sum({FOREIGN})"), "foreign jobs"),
            ],
            colours={"held": BLUE, "free": GREEN, "foreign jobs": AMBER},
            unit="short",
            width=12,
            stacked=True,
            decimals=0,
        ),
        Lines(
            title="Share of slots held, by pool",
            description="A pool with work that stays far below 100 % is throttled, shares its quota with others, or has a stuck "
            "slot.",
            queries=[
                (f"{HELD} / ({LIMIT} > 0)", "{{pool}}"),
            ],
            unit="percentunit",
            width=12,
            share=True,
            alert="QuarrySlotStuck",
        ),
    ],
)

ROWS = Row(
    "Rows and their errors",
    [
        Lines(
            title="Share of rows with an error",
            description="Of the rows with an outcome, without those never sent because of what the source holds. The "
            "objective is 1 %; the dashed lines are the thresholds of the two alerts (3 and 14.4 times that).",
            queries=[
                (chosen("quarry:row_errors:ratio5m"), "last 5 minutes"),
                (chosen("quarry:row_errors:ratio1h"), "last hour"),
                (chosen("quarry:row_errors:ratio6h"), "last 6 hours"),
            ],
            unit="percentunit",
            width=8,
            steps=[(0.03, AMBER), (0.144, RED)],
            alert="QuarryRowErrorBurn",
        ),
        Lines(
            title="Rows without an answer, in ${window:text}",
            description=(
                "By outcome, as the results name them. model_error comes from Bedrock; missing had no line in"
                " the output."
            ),
            queries=[
                (
                    or_nothing(grown("quarry_rows_finished_total", "outcome", matchers=['outcome!="ok"']), "outcome"),
                    "{{outcome}}",
                )
            ],
            colours=OUTCOMES,
            unit="short",
            width=8,
            stacked=True,
            decimals=0,
            alert="QuarryRowErrorBurn",
        ),
        Lines(
            title="Records asked again, in ${window:text}",
            description="Records with an error that a later round asks once more, as the manifest's record_errors says. Each is paid for "
            "again.",
            queries=[(or_nothing(f"sum({grown('quarry_records_retried_total')})"), "records")],
            unit="short",
            width=8,
            decimals=0,
        ),
    ],
)

COST = Row(
    "Cost",
    [
        Figure(
            title="Spent in 30 days",
            description="By the shipped, dated price table, what was asked on demand included; an estimate. Updated every minute.",
            queries=[(or_nothing(f"sum({chosen('quarry:cost_dollars:spent30d')})"), "")],
            unit="currencyUSD",
            width=3,
            base=BLUE,
            decimals=2,
            alert="QuarryBudgetAlmostSpent",
        ),
        Figure(
            title="30 days at this week's rate",
            description="At the rate of the last seven days. For information only: batch work comes in lumps.",
            queries=[(or_nothing(f"sum({chosen('quarry:cost_dollars:projected30d')})"), "")],
            unit="currencyUSD",
            width=3,
            base=BLUE,
            decimals=2,
        ),
        Figure(
            title="Budget of 30 days",
            description="QUARRY_BUDGET_DOLLARS. It stops nothing.",
            queries=[(f"sum({chosen('quarry:budget_dollars:max')})", "")],
            unit="currencyUSD",
            width=3,
            base=BLUE,
            decimals=2,
            nothing="none set",
        ),
        Figure(
            title="This month",
            description="What the runs of this calendar month have cost, and the same with what the jobs that run are likely to, which is"
            " held against the budget. From the ledger.",
            queries=[
                (f"sum({ledger(chosen('quarry_month_spent_dollars'))})", "spent"),
                (f"sum({ledger(chosen('quarry_month_projected_dollars'))})", "with jobs that run"),
            ],
            unit="currencyUSD",
            width=3,
            base=BLUE,
            decimals=2,
            alert="QuarryMonthBudgetAlmostSpent",
        ),
        Figure(
            title="Budget of the month",
            description="QUARRY_BUDGET_USD. Nothing is admitted that is likely to pass it.",
            queries=[(f"sum({ledger(chosen('quarry_month_budget_dollars'))})", "")],
            unit="currencyUSD",
            width=3,
            base=BLUE,
            decimals=2,
            nothing="none set",
        ),
        Figure(
            title="In the last hour",
            description="Cost of the shards that were settled in the last hour.",
            queries=[(f"sum({chosen('quarry:cost_dollars:increase1h')})", "")],
            unit="currencyUSD",
            width=3,
            base=BLUE,
            decimals=2,
        ),
        Figure(
            title="Tokens, in ${window:text}",
            description="LLM tokens, input and output together.",
            queries=[(f"sum({grown('quarry_tokens_total', 'direction')})", "")],
            unit="short",
            width=3,
            base=BLUE,
        ),
        Figure(
            title="Answers without a price",
            description="In ${window:text}. Their model is not in the price table, so their cost is not included above.",
            queries=[(or_nothing(f"sum({grown('quarry_price_unknown_total', 'model')})"), "")],
            unit="short",
            width=3,
            steps=[(1, AMBER)],
        ),
        Lines(
            title="Cost by model, in ${window:text}",
            description="Dollars, by canonical base model, as shards are settled.",
            queries=[(grown("quarry_cost_dollars_total", "model"), "{{model}}")],
            unit="currencyUSD",
            width=12,
            stacked=True,
        ),
        Lines(
            title="Tokens, in ${window:text}",
            description="LLM tokens of settled shards, as Bedrock counted them.",
            queries=[(grown("quarry_tokens_total", "model", "direction"), "{{direction}}, {{model}}")],
            unit="short",
            width=12,
            stacked=True,
        ),
    ],
)

QUEUES = Row(
    "Queues",
    [
        Lines(
            title="Waiting messages, by queue",
            description=(
                "Visible messages, approximate, as SQS counts them. A line that rises and does not fall has no reader."
            ),
            queries=[(ledger(chosen("quarry_queue_messages", 'state="visible"'), "queue"), "{{queue}}")],
            unit="short",
            width=8,
            decimals=0,
        ),
        Lines(
            title="Dead-letter messages, by queue",
            description="Messages in the dead-letter queues; the last reading is kept for six hours. Normally there are none.",
            queries=[(chosen("quarry:queue_messages_dead:last6h"), "{{queue}}")],
            unit="short",
            width=8,
            decimals=0,
            steps=[(1, RED)],
            alert="QuarryDeadLetterQueueNotEmpty",
        ),
        Lines(
            title="Notices of ended runs, in ${window:text}",
            description="Tries to tell of an ended run: as an event that another service left, and to the webhook if there is one. "
            "retry comes again; dead is on the collector's dead-letter queue.",
            queries=[
                (or_nothing(grown("quarry_notices_total", "channel", "outcome"), "outcome"), "{{channel}} {{outcome}}")
            ],
            unit="short",
            width=8,
            decimals=0,
            alert="QuarryDeadLetterQueueNotEmpty",
        ),
    ],
)


def build() -> Dashboard:
    description = "Progress, expected end, cost, and whether something is wrong."
    return board("overview", "overview", description, [PROGRESS, SLOTS, ROWS, COST, QUEUES])
