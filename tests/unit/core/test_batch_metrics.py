"""CloudWatch's metrics of batch jobs, read without trust in their names."""

from __future__ import annotations

import pytest

from quarry_core.aws.batch_metrics import CloudWatchBatchMetrics
from quarry_core.aws.calls import Calls
from quarry_core.ports import BatchLoad

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"


class Answers(Calls):
    """Answers a page at a time, and notes what it was asked."""

    def __init__(self, *pages):
        super().__init__()
        self.pages = list(pages)
        self.asked = []

    async def _answer(self, limits, operation, parameters):
        assert (limits.service, operation) == ("cloudwatch", "get_metric_data")
        self.asked.append(parameters)
        number = int(parameters.get("NextToken", "0"))
        more = {"NextToken": str(number + 1)} if number + 1 < len(self.pages) else {}
        return {"MetricDataResults": self.pages[number], **more}


def result(name, model, *values, other=""):
    return {"Id": name, "Label": f"{model}|{other}", "Values": list(values), "Timestamps": [None] * len(values)}


async def read(*pages):
    return await CloudWatchBatchMetrics(Answers(*pages)).by_model()


async def test_the_newest_value_of_each_metric_is_read_over_pages():
    found = await read(
        [result("records_pending", HAIKU, 500.0, 900.0), result("input_tokens_per_minute", HAIKU, 6e4)],
        [result("output_tokens_per_minute", HAIKU, 2e4), result("tokens_pending", HAIKU, 1e6)],
    )

    assert found == {HAIKU: BatchLoad(500.0, 1e6, 6e4, 2e4)}


async def test_it_asks_for_no_more_than_twenty_minutes_and_by_search_alone():
    answers = Answers([])
    await CloudWatchBatchMetrics(answers).by_model()

    [asked] = answers.asked
    assert (asked["EndTime"] - asked["StartTime"]).total_seconds() == 1_200
    assert all(
        query["Expression"].startswith('SEARCH(\'Namespace="AWS/Bedrock/Batch"') for query in asked["MetricDataQueries"]
    )
    assert all("MetricStat" not in query for query in asked["MetricDataQueries"])


async def test_profiles_of_one_model_add_up_and_either_spelling_of_the_dimension_does():
    found = await read(
        [
            result("records_pending", f"us.{HAIKU}", 100.0),
            result("records_pending", "--", 50.0, other=HAIKU),
            result("records_pending", HAIKU, 7.0),
        ]
    )

    assert found == {HAIKU: BatchLoad(157.0)}


@pytest.mark.parametrize(
    "odd",
    [
        result("records_pending", "", 5.0),
        result("records_pending", "--", 5.0, other="--"),
        result("records_pending", HAIKU),
        result("records_pending", HAIKU, float("nan")),
        result("records_pending", HAIKU, -1.0),
        result("something_else", HAIKU, 5.0),
        {"Id": "records_pending"},
        {},
    ],
)
async def test_what_cannot_be_placed_is_left_out(odd):
    assert await read([odd]) == {}


async def test_pages_without_end_are_given_up():
    answers = Answers(*([result("records_pending", HAIKU, 1.0)] for _ in range(50)))
    await CloudWatchBatchMetrics(answers).by_model()

    assert len(answers.asked) == 10
