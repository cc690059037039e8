"""How AWS's SDK repeats a call: said here for every client, and by nobody else.

What no client says, others decide: the SDK's own default (five attempts of `legacy` until botocore 1.43, three of `standard`
and four for DynamoDB since 1.44), or before it `AWS_RETRY_MODE`, `AWS_MAX_ATTEMPTS` and the profile in use. But deadlines are
counted in attempts, a call that may be sent once must be, and a shell that holds a variable for another program must not
change either. So every client names mode and attempts, which wins over all of these.

A client's own words do not reach the requests that the SDK makes before the first call, to fetch credentials: clients of STS
or SSO that it creates by itself, of the same session. `pin` says the same to the session.
"""

from __future__ import annotations

from typing import Any

MODE = "standard"
CREDENTIALS_ATTEMPTS_MAX = 3


def retries(attempts_max: int) -> dict[str, Any]:
    """`retries` of a client's `Config`: how often a call is sent at most, the first time included."""
    return {"mode": MODE, "total_max_attempts": attempts_max}


def pin(session: Any) -> Any:
    """Set mode and attempts of what a session of botocore or aiobotocore makes by itself; gives the session back."""
    session.set_config_variable("retry_mode", MODE)
    session.set_config_variable("max_attempts", CREDENTIALS_ATTEMPTS_MAX)
    return session
