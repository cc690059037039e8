"""CSV files of other dialects from the manifest to the result, and files that are no CSV."""

from __future__ import annotations

import pytest

from quarry_core.contract.states import RunState
from tests.unit.flow.acts import healthy_dead
from tests.world.world import BUCKET, SimulatedWorld


def planted(world: SimulatedWorld, body: bytes) -> str:
    world.objects.plant("inputs/file.csv", body)
    return f"s3://{BUCKET}/inputs/file.csv"


async def test_a_file_of_another_dialect_comes_back_as_its_cells():
    world = SimulatedWorld()
    topics = [f'caf\u00e9 \\"{row}\\"; {row}' for row in range(100)]
    lines = [f'{row};"{topic}"' for row, topic in enumerate(topics)]
    uri = planted(world, "\r\n".join(lines).encode("utf-16"))
    csv = {"delimiter": ";", "escape": "backslash", "encoding": "utf-16", "header": ["id", "topic"]}

    run_id = world.send(world.joke() | {"s3_uri": uri, "csv": csv})
    totals = await world.run(run_id)

    assert totals.state is RunState.SUCCEEDED
    result = world.result(run_id)
    assert result["id"].to_pylist() == [str(row) for row in range(100)]
    assert result["topic"].to_pylist() == [topic.replace('\\"', '"') for topic in topics]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('50,"Opening line of a poem', "data row 51 (byte 489) has text after the closing quote"),
        ('50,"He said \\"hi\\" ok"', "this looks like Spark's CSV"),
    ],
)
@pytest.mark.promise("S1")
async def test_a_file_that_is_no_csv_is_refused_before_anything_is_paid_for(line, expected):
    world = SimulatedWorld()
    lines = ["id,topic", *(f"{row},row {row}" for row in range(300))]
    lines[51] = line
    lines[81] = '80,"a last line"'

    run_id = world.send(world.joke() | {"s3_uri": planted(world, "\n".join(lines).encode())})
    totals = await world.run(run_id)

    assert totals.state is RunState.FAILED
    assert expected in totals.message
    assert len(world.jobs.all) == 0
    assert healthy_dead(world) == {}
