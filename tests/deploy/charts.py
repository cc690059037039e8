"""The chart as the tests see it: rendered by Helm's engine, read as objects."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "quarry"
TOOL = Path(__file__).with_name("chart_tool.py")
PYTHON = ROOT / ".venv-deploy" / "bin" / "python"
# What Terraform's output `helm_values` is: Terraform's own tests compare the output with this file.
CONFIG: dict[str, Any] = json.loads((ROOT / "terraform/modules/pipeline/tests/helm_values.json").read_text())
VARIANTS: dict[str, dict[str, Any]] = {
    path.name.removesuffix("-values.yaml"): yaml.safe_load(path.read_text())
    for path in sorted((CHART / "ci").glob("*-values.yaml"))
}
SERVICES = ("preprocessor", "scheduler", "collector")

Manifest = dict[str, Any]


class Refused(Exception):
    """Helm does not take the values; the message is what a person reads."""


class Helm:
    """Asks the tool, which runs as long as the session."""

    def __init__(self) -> None:
        python = os.environ.get("QUARRY_DEPLOY_PYTHON", str(PYTHON))
        self._tool = subprocess.Popen([python, str(TOOL)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, question: str, **arguments: Any) -> Any:
        """The tool's answer. Raises Refused."""
        assert self._tool.stdin is not None
        assert self._tool.stdout is not None
        self._tool.stdin.write(json.dumps({"ask": question, "arguments": arguments}) + "\n")
        self._tool.stdin.flush()
        line = self._tool.stdout.readline()
        assert line, f"the tool ended: {TOOL.name}, {question}"
        answer = json.loads(line)
        if "refused" in answer:
            raise Refused(answer["refused"])
        return answer["answer"]

    def texts(self, values: Mapping[str, Any], *, chart: Path | str = CHART, release: str = "quarry") -> dict[str, str]:
        """The rendered templates by their names. Raises Refused."""
        rendered = self.ask("render", chart=str(chart), values=dict(values), release=release)
        return {name.removeprefix("quarry/templates/"): text for name, text in rendered.items()}

    def objects(
        self, values: Mapping[str, Any], *, chart: Path | str = CHART, release: str = "quarry"
    ) -> list[Manifest]:
        """What would be installed, the test's pod included. Raises Refused."""
        texts = self.texts(values, chart=chart, release=release)
        manifests = (text for name, text in sorted(texts.items()) if name.endswith(".yaml"))
        return [each for text in manifests for each in yaml.load_all(text, _Strict) if each]

    def close(self) -> None:
        assert self._tool.stdin is not None
        assert self._tool.stdout is not None
        self._tool.stdin.close()
        self._tool.wait(timeout=10)
        self._tool.stdout.close()


class _Strict(yaml.SafeLoader):
    """A key that stands twice is an error, not the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"twice in one mapping: {sorted(twice)} {node.start_mark}"
        return super().construct_mapping(node, deep)


def with_config(**values: Any) -> dict[str, Any]:
    """Values on top of what Terraform gives."""
    return {"config": CONFIG, **values}


def of_kind(objects: Iterable[Manifest], *kinds: str) -> list[Manifest]:
    return [each for each in objects if each["kind"] in kinds]


def by_service(objects: Iterable[Manifest], kind: str) -> dict[str, Manifest]:
    """The objects of a kind by the service that their component label names."""
    return {each["metadata"]["labels"]["app.kubernetes.io/component"]: each for each in of_kind(objects, kind)}


def pod_of(manifest: Manifest) -> Manifest:
    """The pod of a Pod, or of a Deployment."""
    return manifest if manifest["kind"] == "Pod" else manifest["spec"]["template"]


def containers(pod: Manifest) -> list[Manifest]:
    return list(itertools.chain(pod["spec"].get("initContainers", []), pod["spec"]["containers"]))


def environment(deployment: Manifest, objects: Iterable[Manifest]) -> dict[str, str]:
    """The variables of a deployment's container, from its ConfigMap and of its own, as Kubernetes puts them together.

    Those from a Secret are left out: their values are not the chart's.
    """
    (container,) = containers(pod_of(deployment))
    maps = {each["metadata"]["name"]: each["data"] for each in of_kind(objects, "ConfigMap")}
    variables: dict[str, str] = {}
    for source in container.get("envFrom", []):
        variables |= maps[source["configMapRef"]["name"]]
    return variables | {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}
