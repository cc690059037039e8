"""PutEvents succeeds even when its only event does not."""

from __future__ import annotations

import pytest

from quarry_core.aws.bus import EventBus
from quarry_core.errors import Refused, Throttled, Unknown
from tests.unit.core.scripted import CUT, Answer, scripted, set_credentials, wrong


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    set_credentials(monkeypatch)


def failed(code):
    return Answer({"FailedEntryCount": 1, "Entries": [{"ErrorCode": code, "ErrorMessage": "as the test says"}]})


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (failed("ThrottlingException"), Throttled),
        (failed("InternalFailure"), Unknown),
        (failed("NotAuthorizedForSourceException"), Refused),
        (Answer({"FailedEntryCount": 1, "Entries": []}), Unknown),
        (wrong("AccessDeniedException"), Refused),
        (wrong("InternalException", 500), Unknown),
        (CUT, Unknown),
    ],
    ids=str,
)
async def test_an_event_that_was_not_taken_is_reported(line, kind):
    async with scripted("events", [line]) as (aws, _):
        with pytest.raises(kind, match="Run Ended"):
            await EventBus(aws, "dev").put("Run Ended", {"run_id": "r1"})


async def test_an_event_bears_the_environment_in_its_source():
    taken = Answer({"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]})
    async with scripted("events", [taken]) as (aws, reported):
        await EventBus(aws, "dev", "own-bus").put("Run Ended", {"run_id": "r1", "note": "é"})
    assert reported.requests[0].body == {
        "Entries": [
            {
                "EventBusName": "own-bus",
                "Source": "quarry.dev",
                "DetailType": "Run Ended",
                "Detail": '{"run_id":"r1","note":"é"}',
            }
        ]
    }
