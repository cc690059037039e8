"""What terraform says of one directory: is it valid, do its own tests pass, and of a root, what it would make."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.infra import overrides
from tests.infra.terraform import Failed, Workspace

COUNTS = re.compile(r"(\d+) passed, (\d+) failed")
SAID_SUCCESS = "Success! The configuration is valid"


@dataclass
class Checked:
    """Of one directory. Each field that says why not is empty when it passes."""

    not_valid: str = ""
    tests_said: str = ""
    runs_passed: int = 0
    runs_failed: int = 0
    not_planned: str = ""
    plan: Mapping[str, Any] = field(default_factory=dict)


class Checks:
    """Checks directories of one copy; `endpoint_url` is an embedded AWS for plans, which read the account's number."""

    def __init__(self, scratch: Path, endpoint_url: str) -> None:
        self._modules = Workspace(scratch / "modules")
        self._roots = Workspace(scratch / "roots", overrides.environment(endpoint_url))
        overrides.make_known(self._roots)

    def __call__(self, directory: str) -> Checked:
        checked = Checked()
        checked.not_valid = _why_not(lambda: self._validate(directory))
        if not checked.not_valid:
            if any((self._modules.sources / directory / "tests").glob("*.tftest.hcl")):
                self._test(directory, checked)
            if not directory.startswith("modules/"):
                checked.not_planned = _why_not(lambda: self._plan(directory, checked))
        return checked

    def _validate(self, directory: str) -> None:
        self._modules.init(directory)
        said = self._modules(directory, "validate", "-no-color")
        if SAID_SUCCESS not in said or "Warning:" in said:
            raise Failed(said)

    def _test(self, directory: str, checked: Checked) -> None:
        try:
            code, said = self._modules.run(directory, "test", "-no-color", codes=(0, 1))
        except Failed as error:
            code, said = 1, str(error)
        counts = COUNTS.findall(said)
        checked.runs_passed, checked.runs_failed = map(int, counts[-1]) if counts else (0, 1)
        if code or checked.runs_failed or not checked.runs_passed:
            checked.tests_said = said

    def _plan(self, directory: str, checked: Checked) -> None:
        overrides.put(self._roots, directory)
        self._roots.init(directory, backend=True)
        file = f"{self._roots.scratch}/{directory.replace('/', '-')}.plan"
        self._roots(directory, "plan", "-no-color", "-lock=false", f"-out={file}")
        checked.plan = json.loads(self._roots(directory, "show", "-json", file))


def _why_not(step: Callable[[], None]) -> str:
    try:
        step()
    except Failed as error:
        return str(error)
    return ""
