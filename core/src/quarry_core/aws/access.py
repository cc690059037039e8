"""Where AWS is and who asks, said by whoever calls, in place of what the process's own variables say.

The command is a process of its own, and takes AWS's variables. A notebook's process has other work as well: to use a local
stack, or a profile, it must not change them. So the few variables that matter are read from a mapping.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import botocore.session

from quarry_core.aws.retries import pin

_URL = "AWS_ENDPOINT_URL"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Access:
    """`variables`: AWS's, by name; what is not in them comes the SDK's usual way."""

    variables: Mapping[str, str] = field(default_factory=dict)

    def endpoint_url(self, service: str) -> str | None:
        """Of a service by its name in botocore, `bedrock-runtime`; None takes the SDK's usual way."""
        own = self.variables.get(f"{_URL}_{service.upper().replace('-', '_')}")
        return own or self.variables.get(_URL) or None

    def options(self, service: str) -> dict[str, Any]:
        """For the SDK's `Config`: no proxy stands between two programs of one machine."""
        url = self.endpoint_url(service)
        return {"proxies": {}} if url is not None and urlsplit(url).hostname in LOOPBACK else {}

    def session(self) -> Any:
        """A new session of botocore."""
        session = pin(botocore.session.get_session())
        key_id, secret = self.variables.get("AWS_ACCESS_KEY_ID"), self.variables.get("AWS_SECRET_ACCESS_KEY")
        if key_id and secret:
            session.set_credentials(key_id, secret, self.variables.get("AWS_SESSION_TOKEN"))
        elif profile := self.variables.get("AWS_PROFILE"):
            session.set_config_variable("profile", profile)
        return session


AS_USUAL = Access()
