"""Lint IAM policies with parliament, in the environment that has it: JSON from stdin to stdout.

In: `{name: policy}`. Out: `{name: [[issue, detail], ...]}`, of those in which something was found. parliament expects a
resource in every statement; the trust policy of a role has none, so the caller names the role there.
"""

from __future__ import annotations

import json
import sys
import warnings

warnings.simplefilter("ignore")  # parliament's own, about the age of its imports

from parliament import analyze_policy_string  # noqa: E402 - after the warnings are off


def findings(policy: object) -> list[tuple[str, str]]:
    found = analyze_policy_string(json.dumps(policy), include_community_auditors=False).findings
    return sorted({(one.issue, f"{json.dumps(one.detail)} {one.location.get('string', '')}") for one in found})


if __name__ == "__main__":
    said = {name: findings(policy) for name, policy in json.load(sys.stdin).items()}
    json.dump({name: found for name, found in said.items() if found}, sys.stdout)
