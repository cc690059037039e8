"""Service Quotas, read page by page and matched to models by name."""

from __future__ import annotations

from quarry_core.aws.calls import Calls
from quarry_core.aws.quotas import ServiceQuotas

JOBS = "Sum of in-progress and submitted batch inference jobs using a base model for "


class Answers(Calls):
    """Answers as AWS does, a quota a page."""

    def __init__(self, lists, models):
        super().__init__()
        self._lists = lists
        self._models = models

    async def _answer(self, limits, operation, parameters):
        if operation == "list_foundation_models":
            assert limits.service == "bedrock"
            return {"modelSummaries": [{"modelId": model, "modelName": name} for model, name in self._models]}
        assert (limits.service, parameters["ServiceCode"]) == ("service-quotas", "bedrock")
        page = int(parameters.get("NextToken", "0"))
        listed = self._lists[operation]
        more = {"NextToken": str(page + 1)} if page + 1 < len(listed) else {}
        return {"Quotas": listed[page : page + 1], **more}


def quota(name, value):
    return {"QuotaName": name, "QuotaCode": "L-1", "Value": value, "Adjustable": True}


async def test_what_the_account_has_goes_over_awss_defaults_and_models_are_known_by_their_names():
    aws = Answers(
        {
            "list_aws_default_service_quotas": [
                quota(JOBS + "Claude 3 Haiku", 20.0),
                quota(JOBS + "Nova Lite V1", 20.0),
                quota("Records per batch inference job for Claude 3 Haiku", 50_000.0),
            ],
            "list_service_quotas": [quota(JOBS + "Claude 3 Haiku", 35.0)],
        },
        [
            ("anthropic.claude-3-haiku-20240307-v1:0", "Claude 3 Haiku"),
            ("anthropic.claude-3-haiku-20240307-v1:0:48k", "Claude 3 Haiku"),
            ("amazon.nova-lite-v1:0", "Nova Lite"),
            ("mistral.mistral-7b-instruct-v0:2", "Mistral 7B"),
        ],
    )

    found = await ServiceQuotas(aws).jobs_at_once()

    assert found == {"anthropic.claude-3-haiku-20240307-v1:0": 35, "amazon.nova-lite-v1:0": 20}
