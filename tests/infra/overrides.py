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
VARIABLES: Mapping[str, Any] = {
    "account_id": ACCOUNT,
    "region": REGION,
    "cluster_name": "infra-test",
    "page_token_secret_arn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:quarry-page-AbCdEf",
}
# A plan that policies are read from must know them: what only an apply would tell, the copy says.
KNOWN = {
    "modules/pipeline": f"""
locals {{
  kms_key_arn = var.encryption == "s3" ? null : "arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
}}
""",
    "examples/kms_vpc": """
locals {
  vpc_for_jobs = { subnet_ids = ["subnet-11111111"], security_group_ids = ["sg-11111111"] }
}
""",
}
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


def put(workspace: Workspace, directory: str, **more: Any) -> None:
    """Point a root of the copy at the embedded AWS, and give those of the variables that it declares."""
    place = workspace.sources / directory
    (place / "embedded_override.tf").write_text(PROVIDER)
    declared = workspace.declared(directory)
    given = {name: value for name, value in {**VARIABLES, **more}.items() if name in declared}
    (place / "zz-embedded.auto.tfvars.json").write_text(json.dumps(given, indent=2))


def make_known(workspace: Workspace) -> None:
    """Let every plan in the copy know the policies that it would make."""
    for directory, text in KNOWN.items():
        if (workspace.sources / directory).is_dir():
            (workspace.sources / directory / "known_override.tf").write_text(text)
