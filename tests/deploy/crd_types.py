"""The types of the chart's custom resources: KEDA's and those of Prometheus' operator.

Kubernetes' schemas do not know them. The types come from `cloudcoil-models-*`, which are generated from the CRDs of the
release that the package is named after, with every bound, pattern and choice. The packages themselves want Python 3.14 and a
client of Kubernetes, which the project does not. What they say of a kind, though, is a class with annotated fields, in syntax
that Python 3.11 reads. So the classes of the kinds that the chart makes, and the classes that these name, are read from the
file and built here: without their methods, and on a base that takes no unknown field and turns nothing into another type.

The rest of a CRD is not in the types: what is said in CEL, which is one rule (`minReplicaCount` at most `maxReplicaCount`;
the chart itself refuses it, in `templates/checks.yaml`), and what KEDA makes of a trigger's metadata, a map of strings to them.

Runs in `.venv-deploy`, asked by `chart_tool`.
"""

from __future__ import annotations

import ast
import re
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, RootModel, ValidationError

# Where the types of a version of an API are, below site-packages.
FILES = {
    "keda.sh/v1alpha1": "cloudcoil/models/keda/v1alpha1.py",
    "monitoring.coreos.com/v1": "cloudcoil/models/prometheus_operator/v1.py",
}
CLASS = re.compile(r"^class (\w+)\(", re.MULTILINE)
FAULTS_MAX = 20


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ObjectMeta(Strict):
    """What the chart gives its objects."""

    name: str
    namespace: str
    labels: dict[str, str]
    annotations: dict[str, str] | None = None


class Unknown(Exception):
    """There is no such kind."""


class Types:
    """The kinds of one file, each built when it is first asked for."""

    def __init__(self, text: str) -> None:
        starts = [(match[1], match.start()) for match in CLASS.finditer(text)]
        ends = [start for _, start in starts[1:]] + [len(text)]
        # The files have hundreds of classes and megabytes of methods: only those that are wanted are parsed.
        self._sources = {name: text[start:end] for (name, start), end in zip(starts, ends, strict=True)}
        self._built: dict[str, Any] = {
            "Annotated": Annotated,
            "Any": Any,
            "AwareDatetime": AwareDatetime,
            "BaseModel": Strict,
            "ClassVar": ClassVar,
            "ConfigDict": ConfigDict,
            "Field": Field,
            "Literal": Literal,
            "ObjectMeta": ObjectMeta,
            "Resource": Strict,
            "RootModel": RootModel,
        }

    def model(self, name: str) -> type[BaseModel]:
        """Raises Unknown."""
        if name not in self._built:
            if name not in self._sources:
                raise Unknown(name)
            (made,) = ast.parse(self._sources[name]).body
            assert isinstance(made, ast.ClassDef)
            made.body = [each for each in made.body if isinstance(each, ast.AnnAssign | ast.Assign)] or [ast.Pass()]
            made.decorator_list = []
            for each in ast.walk(made):
                if isinstance(each, ast.Name) and each.id in self._sources:
                    self.model(each.id)
            exec(compile(ast.Module([made], []), f"<{name}>", "exec", dont_inherit=True), self._built)
        model: type[BaseModel] = self._built[name]
        return model


def load(site: Path) -> dict[str, Types]:
    return {version: Types((site / file).read_text()) for version, file in FILES.items()}


def faults(types: Mapping[str, Types], one: Mapping[str, Any]) -> list[str]:
    """What is wrong with one object, its kind being none that is known included."""
    where = f"{one['kind']} {one['metadata'].get('name')}"
    try:
        types[one["apiVersion"]].model(one["kind"]).model_validate(one)
    except (KeyError, Unknown):
        return [f"{where}: no type {one['apiVersion']} {one['kind']}"]
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        return [f"{where}: {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found[:FAULTS_MAX]]
    return []


def installed() -> dict[str, Types]:
    return load(Path(sysconfig.get_path("purelib")))
