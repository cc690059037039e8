"""Where the dead-letter queues are: the services' variables, and one more for the event rule's target."""

from __future__ import annotations

from quarry_cli.aws.environment_settings import EnvironmentSettings
from quarry_cli.client.dead_letters.queue import DEAD_LETTER_QUEUES, EVENT_TARGET
from quarry_cli.errors import NotConfigured
from quarry_core.contract import names

EVENT_TARGET_VARIABLE = "QUARRY_EVENT_TARGET_DLQ_URL"


class DeadLetterSettings(EnvironmentSettings):
    def dead_letters_url(self, name: str) -> str:
        """Of one of `DEAD_LETTER_QUEUES`; empty where its variable is not set."""
        return self.event_target_dlq_url if name == EVENT_TARGET else self.dead_letter_url(name)

    def source_url(self, name: str) -> str:
        """The queue that its messages go back to: what EventBridge could not deliver is for the events queue."""
        return self.queue_url(source_of(name))

    def known(self) -> list[str]:
        """The dead-letter queues whose URLs are known. Raises NotConfigured if there is none."""
        known = [name for name in DEAD_LETTER_QUEUES if self.dead_letters_url(name)]
        if not known:
            self.require("manifest_queue_url")
        return known

    def require_queue(self, name: str, *, source: bool) -> None:
        """Raises NotConfigured, naming the variable without which the queue, or its source, is not known."""
        if not self.dead_letters_url(name):
            raise NotConfigured(f"{variable_of(name)} is not set; `terraform output` or `quarry local env` prints it")
        if source and not self.source_url(name):
            variable = names.queue_url_variable(source_of(name))
            raise NotConfigured(f"{variable} is not set; `terraform output` or `quarry local env` prints it")


def source_of(name: str) -> str:
    return "events" if name == EVENT_TARGET else name


def variable_of(name: str) -> str:
    """The variable without which a dead-letter queue is not known; of the usual ones, the queue's own is enough."""
    return EVENT_TARGET_VARIABLE if name == EVENT_TARGET else names.queue_url_variable(name)
