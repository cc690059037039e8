"""What doctor knows of an environment: the variables of clients and services, and names where a variable is not set."""

from __future__ import annotations

from pydantic import Field

from quarry_cli.settings import ClientSettings
from quarry_core.contract import names


class EnvironmentSettings(ClientSettings):
    """Those of the services too, where they are set: what doctor looks at is what the services will use."""

    bedrock_role_arn: str = Field("", description="The role that Bedrock assumes.")
    slices_queue_url: str = Field("", description="Count and slice messages.")
    scheduler_queue_url: str = Field("", description="The scheduler's wake-ups and the sweep.")
    events_queue_url: str = Field("", description="Bedrock's job events.")
    collector_queue_url: str = Field("", description="The collector's wake-ups.")
    on_demand_queue_url: str = Field("", description="Shards that are asked on demand.")
    manifest_dlq_url: str = Field("", description="The manifests' dead-letter queue; and so on.")
    slices_dlq_url: str = ""
    scheduler_dlq_url: str = ""
    events_dlq_url: str = ""
    collector_dlq_url: str = ""
    on_demand_dlq_url: str = ""
    event_target_dlq_url: str = Field("", description="Queue of the events that EventBridge could not deliver.")
    on_demand: bool = Field(True, description="Whether records may be asked on demand.")
    job_quota: int = Field(20, description="Jobs that may be active at once in one pool.")
    max_records_per_job: int | None = Field(
        None, validation_alias="MAX_RECORDS_PER_JOB", description="Default of the manifest's field of that name."
    )

    @property
    def queues(self) -> tuple[str, ...]:
        """Those that the environment needs: one where nothing is asked on demand has no use for the queue of that."""
        return tuple(name for name in names.QUEUES if self.on_demand or name != names.ON_DEMAND_QUEUE)

    def queue_url(self, queue: str) -> str:
        """The URL that the services are given; empty where the variable is not set."""
        field = names.queue_url_variable(queue).removeprefix("QUARRY_").lower()
        return str(getattr(self, field))

    def dead_letter_url(self, queue: str) -> str:
        """Its dead-letter queue's, as the services understand it; empty where neither variable is set."""
        url = self.queue_url(queue)
        field = names.queue_url_variable(queue).removeprefix("QUARRY_").replace("_QUEUE_URL", "_DLQ_URL").lower()
        return str(getattr(self, field)) or (f"{url}-dlq" if url else "")
