"""One environment or example from apply to destroy on an embedded AWS of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quarry_local import emulator
from quarry_local.clients import Clients
from tests.infra import inventory, overrides
from tests.infra.gateway import Gateway
from tests.infra.terraform import Failed, Workspace

APPLY_S = 1_200  # prod takes under two minutes where nothing else runs
# The emulator serves one call at a time.
CALLS_AT_ONCE = "-parallelism=4"
GUARD = "guard.tf"
# What the embedded AWS lacks is left out there: Application Auto Scaling and the saved queries of Logs Insights are no APIs of
# its, and of a security group's rule it forgets the prefix list, upon which the provider's next plan is an error.
WITHOUT_AUTOSCALING = 'module "pipeline" {\n  ecs_autoscaling = null\n  log_queries     = false\n}\n'
WITHOUT_PREFIX_LISTS = 'resource "aws_vpc_security_group_egress_rule" "gateways" {\n  for_each = toset([])\n}\n'
# What the page about destroying tells to set and to apply first.
UNPROTECTED = """
module "pipeline" {
  ecs_autoscaling     = null
  log_queries         = false
  deletion_protection = false
  force_destroy       = true
}
"""


@dataclass
class Life:
    """What happened. `fault` is the first command that failed, and what it said."""

    fault: str = ""
    made: set[str] = field(default_factory=set)
    second_plan: Mapping[str, Any] | None = None
    destroy_refused: str = ""
    destroyed: bool = False
    left: set[str] = field(default_factory=set)
    resent: list[str] = field(default_factory=list)


class Lifecycle:
    """Lifecycle of roots by directory; each has an emulator and a copy of its own."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    def __call__(self, directory: str) -> Life:
        life = Life()
        home = self._scratch / directory.replace("/", "-")
        with emulator.running(home / "emulator", overrides.REGION) as clients, Gateway(clients.endpoint_url) as gateway:
            try:
                _live(life, Workspace(home / "copy", overrides.environment(gateway.url)), directory, clients)
            except Failed as error:
                life.fault = str(error)
            life.resent = gateway.resent
        return life


def _live(life: Life, workspace: Workspace, directory: str, clients: Clients) -> None:
    place = workspace.sources / directory
    for name in sorted(workspace.declared(directory) & {"cluster_name"}):
        clients.client("eks").create_cluster(
            name=overrides.VARIABLES[name],
            roleArn=f"arn:aws:iam::{overrides.ACCOUNT}:role/cluster",
            resourcesVpcConfig={"subnetIds": []},
        )
    before = inventory.standing(clients)
    overrides.put(workspace, directory)
    override = place / "pipeline_override.tf"
    override.write_text(WITHOUT_AUTOSCALING)
    (workspace.sources / "modules" / "network" / "network_override.tf").write_text(WITHOUT_PREFIX_LISTS)
    workspace.init(directory, backend=True)
    _apply(workspace, directory)
    life.made = inventory.standing(clients) - before
    life.second_plan = _plan(workspace, directory)
    if (place / GUARD).exists():
        code, said = workspace.run(directory, "plan", "-destroy", "-no-color", codes=(0, 1))
        life.destroy_refused = said if code else ""
        (place / GUARD).unlink()
        workspace(directory, "state", "rm", "-no-color", "terraform_data.keep_the_data")
    if not _unprotected(place):
        override.write_text(UNPROTECTED)
        _apply(workspace, directory)
    workspace(directory, "destroy", "-auto-approve", "-no-color", CALLS_AT_ONCE, limit_s=APPLY_S)
    life.destroyed = True
    life.left = inventory.standing(clients) - before


def _apply(workspace: Workspace, directory: str) -> None:
    workspace(directory, "apply", "-auto-approve", "-no-color", CALLS_AT_ONCE, limit_s=APPLY_S)


def _plan(workspace: Workspace, directory: str) -> Mapping[str, Any]:
    file = str(workspace.scratch / "second.plan")
    workspace(directory, "plan", "-no-color", f"-out={file}", limit_s=APPLY_S)
    plan: Mapping[str, Any] = json.loads(workspace(directory, "show", "-json", file))
    return plan


def _unprotected(place: Path) -> bool:
    return "force_destroy       = true" in (place / "main.tf").read_text()
