"""The emulator's clients: S3 for the files, EventBridge and SQS for events, IAM and STS for names.

The simulator runs beside an emulator and never beside AWS: an address under amazonaws.com is refused, for a job there
would read and write real buckets.
"""

import logging
import os
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from quarry_local.bedrock.settings import Settings

log = logging.getLogger(__name__)

_ATTEMPTS_MAX = 4
_DEFAULT_ACCOUNT = "000000000000"


@cache
def _loader() -> botocore.loaders.Loader:
    """One a process: what it reads of AWS's models is most of the cost of a client, and tests start many servers."""
    return botocore.loaders.Loader()


class NoEmulator(Exception):
    """No address of an emulator is set."""


@dataclass(frozen=True, slots=True)
class Aws:
    s3: Any
    sqs: Any
    events: Any
    iam: Any
    region: str
    account: str

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Clients for the emulator.

        Raises:
            NoEmulator: the address is not set, or is AWS's own.
        """
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        named = {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"} & set(os.environ)
        # Emulators take any key; looking for one on the network would only delay the start.
        keys = {} if named else {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        session = botocore.session.Session()
        session.register_component("data_loader", _loader())
        config = Config(
            connect_timeout=min(settings.aws_timeout_s, 3),
            read_timeout=settings.aws_timeout_s,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS_MAX},
            max_pool_connections=settings.workers + 8,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"},
        )

        def client(name: str) -> Any:
            made = session.create_client(
                name, region_name=region, endpoint_url=settings.aws_endpoint_url, config=config, **keys
            )
            if ".amazonaws.com" in made.meta.endpoint_url:
                raise NoEmulator(f"{name}: set AWS_ENDPOINT_URL to the emulator's address; AWS itself is refused")
            return made

        sts = client("sts")
        try:
            account = str(sts.get_caller_identity()["Account"])
        except (ClientError, BotoCoreError) as wrong:
            log.warning("account not known, taking %s: %s", _DEFAULT_ACCOUNT, wrong)
            account = _DEFAULT_ACCOUNT
        finally:
            sts.close()
        return cls(client("s3"), client("sqs"), client("events"), client("iam"), region, account)

    def close(self) -> None:
        for client in (self.s3, self.sqs, self.events, self.iam):
            client.close()
