"""Answers for the chart's tests what needs Helm's engine or Kubernetes' schemas; runs in `.venv-deploy`.

One request a line on standard input, one answer a line on standard output, both JSON. An answer is `{"answer": ...}`, or
`{"refused": message}` where Helm refuses the chart or its values.
"""

from __future__ import annotations

import functools
import json
import sys
from typing import Any

import crd_types
import helm_python
import kubernetes_validate
from kubernetes_validate import utils

CUSTOM = functools.cache(crd_types.installed)
# Each object would load the whole of its version's schemas again.
utils.schema_contents = functools.lru_cache(maxsize=None)(utils.schema_contents)


def render(chart: str, values: dict[str, Any], release: str) -> dict[str, str]:
    """Template to text, NOTES.txt and the test's pod included; the values meet the schema first."""
    with helm_python.Chart.load(chart) as loaded:
        return loaded.render(values, name=release, namespace="quarry")


def lint(chart: str, values: dict[str, Any], version: str) -> list[str]:
    """What `helm lint --strict` says for a version of Kubernetes, without what it only remarks."""
    report = helm_python.lint(chart, values, strict=True, kube_version=f"v{version}.0")
    return [f"{each['path']}: {each['error']}" for each in report["messages"] if each["severity"] > 1] + report[
        "errors"
    ]


def metadata(chart: str) -> dict[str, Any]:
    with helm_python.Chart.load(chart) as loaded:
        return loaded.metadata


def files(chart: str) -> dict[str, str]:
    """The files that templates may read: name to text. `chart` may be a package."""
    with helm_python.Chart.load(chart) as loaded:
        return {each["name"]: each["data"] for each in loaded.files}


def package(chart: str, destination: str) -> str:
    return helm_python.package(chart, destination=destination)


def set_json(expression: str) -> dict[str, Any]:
    """The values that `--set-json <expression>` gives."""
    return helm_python.parse_set_json(expression)


def validate(objects: list[dict[str, Any]], version: str) -> dict[str, list[str]]:
    """`faults` against a version's strict schemas, and the kinds that it does not know."""
    faults, unknown = [], []
    for each in objects:
        try:
            kubernetes_validate.validate(each, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            where = ".".join(str(part) for part in error.path)
            faults.append(f"{each['kind']} {each['metadata']['name']}: {where}: {error.message}")
        except utils.SchemaNotFoundError:
            unknown.append(f"{each['apiVersion']} {each['kind']}")
    return {"faults": faults, "unknown": sorted(set(unknown))}


def validate_custom(objects: list[dict[str, Any]]) -> list[str]:
    """What the types of custom resources find wrong; an object of another kind is wrong."""
    return [fault for each in objects for fault in crd_types.faults(CUSTOM(), each)]


def helm_version() -> str:
    return helm_python.helm_sdk_version()


ANSWERS = (render, lint, metadata, files, package, set_json, validate, validate_custom, helm_version)
QUESTIONS = {each.__name__: each for each in ANSWERS}


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer: dict[str, Any] = {"answer": QUESTIONS[request["ask"]](**request["arguments"])}
        except helm_python.HelmError as error:
            answer = {"refused": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
