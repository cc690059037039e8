"""What all calls to AWS's APIs have in common: explicit limits, errors in Quarry's words, an observer.

Two subclasses make the calls: `client.Aws` for the services, on aiobotocore, and `threaded.ThreadedAws` for the command,
on boto3 alone. Every call ends: there are connect and read timeouts, an explicit number of attempts, and a deadline over
all of them, because the timeouts of the HTTP client cover neither name resolution nor the wait for a free connection.
Region, endpoints and credentials come from AWS's own environment variables unless given.

The SDK may send a call again, so an operation that must not happen twice carries a name or a token. Where a second
attempt must be the caller's own decision, `once=True` takes a client with a single attempt.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from quarry_core import __version__
from quarry_core.clock import SystemClock
from quarry_core.errors import PortError, raise_for
from quarry_core.ports import Clock

Observe = Callable[[str, str, str, float], None]

CONNECT_TIMEOUT_S = 5
# SQS answers a long poll after at most 20 s; its read timeout must be longer.
READ_TIMEOUTS_S: Mapping[str, int] = {
    "dynamodb": 10,
    "sqs": 35,
    "bedrock": 30,
    # A model may think for minutes, and the tier that costs half lets its callers wait.
    "bedrock-runtime": 300,
    "events": 10,
    # The scheduler asks it for the account's quotas, now and then.
    "service-quotas": 10,
    # The scheduler asks it how much all batch jobs of the account have before them, if it is let.
    "cloudwatch": 10,
    # The services of Quarry never ask these; `quarry doctor` and `quarry models` do.
    "iam": 10,
    "kms": 10,
    "logs": 10,
    "s3": 10,
    # `quarry export --to s3-vectors` puts up to 20 MiB at once.
    "s3vectors": 60,
    "scheduler": 10,
    "sts": 10,
}
ATTEMPTS_MAX = 3
CONNECTIONS_MAX = 50
# The SDK pauses at most 20 s between two attempts.
BACKOFF_ALLOWANCE_S = 20
USER_AGENT = f"quarry/{__version__}"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a client: one for each service and number of attempts."""

    service: str
    attempts_max: int

    @property
    def read_timeout_s(self) -> int:
        return READ_TIMEOUTS_S[self.service]

    @property
    def deadline_s(self) -> int:
        """Seconds after which a call ends, whatever it is waiting for."""
        sendings = self.attempts_max * (CONNECT_TIMEOUT_S + self.read_timeout_s)
        return sendings + (self.attempts_max - 1) * BACKOFF_ALLOWANCE_S

    def options(self) -> dict[str, Any]:
        """For the SDK's `Config`, beside its `retries`."""
        return {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": self.read_timeout_s,
            "max_pool_connections": CONNECTIONS_MAX,
            "user_agent_extra": USER_AGENT,
        }


class Calls(ABC):
    """Calls are made inside its `async with`.

    Args:
        clock: times the calls; the adapters take their time and randomness from it too.
        region: a region name; None takes AWS's environment.
        endpoint_urls: endpoint by service (`dynamodb`, `sqs`, `bedrock`, `events`); others take AWS's environment.
        observe: called after every call with (service, operation, outcome, seconds); outcome is `ok`, the name of
            the port error in lower case, or `aborted` when the caller was cancelled.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        region: str | None = None,
        endpoint_urls: Mapping[str, str] | None = None,
        observe: Observe | None = None,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self._region = region
        self._endpoint_urls = dict(endpoint_urls or {})
        self._observe = observe

    @abstractmethod
    async def _answer(self, limits: Limits, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Make one call and return the SDK's answer. Raises what the SDK raises."""

    async def call(
        self, service: str, operation: str, parameters: Mapping[str, Any], *, doing: str, once: bool = False
    ) -> dict[str, Any]:
        """Make one API call and return its answer.

        Args:
            service: a key of `READ_TIMEOUTS_S`.
            operation: the client's method, `transact_write_items`.
            parameters: the operation's own, in AWS's spelling.
            doing: what is being done, for messages.
            once: a single attempt; the SDK does not retry.

        Raises:
            PortError: by `errors.raise_for`; the exception of botocore is its cause.
        """
        limits = Limits(service, 1 if once else ATTEMPTS_MAX)
        begun = self.clock.monotonic()
        outcome = "aborted"
        try:
            answer = await self._send(limits, operation, parameters, doing)
            outcome = "ok"
        except PortError as error:
            outcome = type(error).__name__.lower()
            raise
        finally:
            if self._observe is not None:
                self._observe(service, operation, outcome, self.clock.monotonic() - begun)
        return answer

    async def _send(self, limits: Limits, operation: str, parameters: Mapping[str, Any], doing: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(limits.deadline_s):
                return await self._answer(limits, operation, parameters)
        except PortError:
            raise
        except Exception as error:  # also a fault of the SDK's own in reading a reply: what was done is not known
            raise_for(error, doing)
