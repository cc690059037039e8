"""The chart's custom resources against the types of KEDA (2.10's CRDs) and of Prometheus' operator.

Kubernetes' schemas do not know them. The types come from the npm registry in pinned versions, and see an object twice:
`crd_types.mjs` runs the CRD's own schema, which finds missing fields, wrong types and patterns; the TypeScript compiler
reads the object as a literal of the type, which finds fields that the type does not have. What both leave open is what
KEDA makes of a trigger's metadata: a map of strings to them.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.charts import ROOT, VARIANTS, Manifest

CACHE = ROOT / ".quarry" / "node-crds"
PACKAGES = ["@kubernetes-models/keda@0.4.2", "@kubernetes-models/prometheus-operator@6.0.0", "typescript@7.0.2"]
MODULES = {
    "keda.sh/v1alpha1": "@kubernetes-models/keda/keda.sh/v1alpha1",
    "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
}
INSTALL_S = 180
SCRIPT = Path(__file__).with_name("crd_types.mjs")


class Types:
    """Node, with the types installed in `CACHE`."""

    def __init__(self, node: str) -> None:
        self._node = node

    def faults(self, objects: list[Manifest]) -> list[str]:
        """What the CRDs' schemas say."""
        script = str(shutil.copy(SCRIPT, CACHE))  # a module is looked for beside the file that imports it
        ran = self._run([self._node, script], json.dumps(objects))
        assert ran.returncode == 0, ran.stderr
        found: list[str] = json.loads(ran.stdout)
        return found

    def unknown_fields(self, objects: list[Manifest], folder: Path) -> list[str]:
        """What the compiler says of the objects as literals; with `folder` to write them into, below `CACHE`."""
        lines = []
        for number, each in enumerate(objects):
            kind, module = each["kind"], MODULES[each["apiVersion"]]
            lines.append(f'import type {{ I{kind} as T{number} }} from "{module}";')
            lines.append(f"export const o{number}: T{number} = {json.dumps(each)};")
        source = folder / "objects.ts"
        source.write_text("\n".join(lines))
        options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--moduleResolution", "nodenext"]
        ran = self._run([self._node, "node_modules/typescript/bin/tsc", *options, str(source)])
        said = [line for line in ran.stdout.splitlines() if "error TS" in line]
        assert bool(said) is (ran.returncode != 0), ran.stdout + ran.stderr
        return said

    @staticmethod
    def _run(command: list[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, input=stdin, cwd=CACHE, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="session")
def types() -> Types:
    """Kept between runs; skipped with the reason where node, npm or the registry do not answer."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("node and npm are not on the PATH")
    stamp = CACHE / ".installed"
    if not stamp.exists() or stamp.read_text() != " ".join(PACKAGES):
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(CACHE), *PACKAGES]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm did not install the types within {INSTALL_S} s")
        if ran.returncode:
            pytest.skip(f"npm did not install the types: {' '.join(ran.stderr.split())[-300:]}")
        stamp.write_text(" ".join(PACKAGES))
    return Types(node)


@pytest.fixture
def folder(tmp_path):
    """A directory of the test's own from which the compiler finds the types."""
    made = CACHE / tmp_path.name
    made.mkdir()
    yield made
    shutil.rmtree(made)


def custom(objects: list[Manifest]) -> list[Manifest]:
    return [each for each in objects if each["apiVersion"] in MODULES]


@pytest.fixture
def every_kind(helm) -> list[Manifest]:
    """One object of each custom kind."""
    objects = custom([*helm.objects(VARIANTS["keda"]), *helm.objects(VARIANTS["servicemonitor"])])
    return list({each["kind"]: each for each in objects}.values())


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_the_crds_take_every_custom_resource(helm, types, name):
    assert types.faults(custom(helm.objects(VARIANTS[name]))) == []


def test_no_custom_resource_has_a_field_that_its_type_does_not_know(helm, types, folder):
    objects = [each for name in sorted(VARIANTS) for each in custom(helm.objects(VARIANTS[name]))]
    assert types.unknown_fields(objects, folder) == []


def test_all_kinds_were_seen(every_kind):
    assert {each["kind"] for each in every_kind} == {
        "ScaledObject",
        "TriggerAuthentication",
        "PodMonitor",
        "ServiceMonitor",
        "PrometheusRule",
    }


# Where a fault is put, what is put there, and who finds it.
WRONG: list[tuple[str, str, Any, str]] = [
    ("ScaledObject", "spec.minReplicaCount", "one", "schema"),
    ("ScaledObject", "spec.triggers.0.metadata.queueLength", 4, "schema"),
    ("ScaledObject", "spec.scaleTargetRef", {}, "schema"),
    ("ScaledObject", "spec.triggers.0.queueUrl", "x", "compiler"),
    ("ScaledObject", "spec.cooldownPeriodSeconds", 3, "compiler"),
    ("TriggerAuthentication", "spec.podIdentity.provider", 1, "schema"),
    ("TriggerAuthentication", "spec.podIdentities", [], "compiler"),
    ("PodMonitor", "spec.podMetricsEndpoints.0.interval", "30", "schema"),
    ("PodMonitor", "spec.podMetricsEndpoints.0.relabelings.0.sourceLabel", ["x"], "compiler"),
    ("ServiceMonitor", "spec.endpoints.0.interval", "soon", "schema"),
    ("ServiceMonitor", "spec.selectors", {}, "compiler"),
    ("PrometheusRule", "spec.groups.0.interval", "x", "schema"),
    ("PrometheusRule", "spec.groups.0.rules.0.annotation", {}, "compiler"),
]


@pytest.mark.parametrize(("kind", "where", "value", "finder"), WRONG)
def test_a_wrong_field_would_be_found(types, every_kind, folder, kind, where, value, finder):
    bent = copy.deepcopy(next(each for each in every_kind if each["kind"] == kind))
    *path, last = [int(part) if re.fullmatch("[0-9]+", part) else part for part in where.split(".")]
    place: Any = bent
    for part in path:
        place = place[part]
    place[last] = value
    found = types.faults([bent]) if finder == "schema" else types.unknown_fields([bent], folder)
    assert found
