"""What turns a root that is meant for AWS into one for the embedded AWS, without a word of it in the root.

An override file in the copy gives the provider keys that open nothing and puts the state beside the root; the endpoint
is a variable of the process. Variables of a root that differ there are written as `*.auto.tfvars.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quarry_local.clients import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from tests.infra.terraform import Workspace

ACCOUNT = "000000000000"
REGION = "us-east-1"
PROVIDER = f"""
terraform {{
  backend "local" {{}}
}}

provider "aws" {{
  region            = "{REGION}"
  access_key        = "{ACCESS_KEY_ID}"
  secret_key        = "{SECRET_ACCESS_KEY}"
  s3_use_path_style = true
}}
"""


def environment(endpoint_url: str) -> dict[str, str]:
    """The variables that send every call of the provider to the embedded AWS."""
    return {"AWS_ENDPOINT_URL": endpoint_url, "AWS_REGION": REGION}


def put(workspace: Workspace, directory: str, variables: Mapping[str, Any]) -> None:
    """Point a root of the copy at the embedded AWS, and give those of the variables that it declares."""
    place = workspace.sources / directory
    (place / "embedded_override.tf").write_text(PROVIDER)
    declared = workspace.declared(directory)
    given = {name: value for name, value in variables.items() if name in declared}
    (place / "zz-embedded.auto.tfvars.json").write_text(json.dumps(given, indent=2))
