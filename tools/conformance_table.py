"""The table of `docs/conformance.md`: each statement of the Bedrock batch contract, how sure it is, and what holds it.

Theory of operation. The statements stand in `tests/conformance/statements.py`; tests name the ones they hold by
`@pytest.mark.conforms("C1.2-job-name")`. Both are read from the source, nothing is imported but the statements and no
test runs: the same code gives the same bytes. A statement *holds* if a test names it that is not known to fail
(`xfail`): that those tests pass is `make test`'s to say. What nothing holds must say why in the statement itself;
`faults()` names what breaks these rules, and both a test and `--check` fail for it.

    python tools/conformance_table.py [--check]
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "conformance.md"
STATEMENTS = Path("tests/conformance/statements.py")

HEAD = """# What the simulator states about Bedrock

<!-- This page is generated: `make docs` from tests/conformance/. Do not edit it. -->

The simulated Bedrock is meant to behave like Amazon Bedrock's batch inference, as far as that is known. This page lists its
statements about Bedrock, how sure each one is, and the tests that check it. `make conformance` runs them.

How sure: **A** read in AWS's service model or run against botocore · **B** AWS's documentation · **C** someone's record of
live behaviour · **D** public code that assumes it · **E** inference, or what the simulator does if nothing is documented.
Nobody has run this table against AWS itself: C, D and E are to be confirmed on the first live run.
"""

SECTIONS = {
    "1.1": "The wire",
    "1.2": "Create",
    "1.3": "Get",
    "1.4": "List",
    "1.5": "Stop",
    "1.6": "Model identifiers",
    "1.7": "Tags and history",
    "2": "States",
    "3": "Events",
    "4.1": "Input",
    "4.2": "Families",
    "4.3": "Output",
    "4.4": "The job's summary",
    "4.5": "Which models",
    "4.6": "The other API",
    "5": "Quotas",
    "12": "What was found later",
}


@dataclass(frozen=True, order=True)
class Test:
    """A test that names a statement; `broken` says why it is known to fail."""

    path: str
    name: str
    broken: str = ""


def statements(root: Path = ROOT) -> tuple[Any, ...]:
    """The statements of a checkout: `id`, `sure`, `text`, `differs`."""
    spec = importlib.util.spec_from_file_location("conformance_statements", root / STATEMENTS)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(root / STATEMENTS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return tuple(module.STATEMENTS)


def defended(root: Path = ROOT) -> dict[str, list[Test]]:
    """Statement id -> the tests that name it."""
    found: dict[str, set[Test]] = {}
    for path in sorted((root / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for each in _marked(node):
                test = Test(path.relative_to(root).as_posix(), node.name, _known_to_fail(node))
                found.setdefault(each, set()).add(test)
    return {each: sorted(some) for each, some in found.items()}


def _marked(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("mark.conforms"):
            for argument in decorator.args:
                yield str(ast.literal_eval(argument))


def _known_to_fail(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    for decorator in node.decorator_list:
        if "mark.xfail" in ast.unparse(decorator):
            reasons = [each for each in getattr(decorator, "keywords", []) if each.arg == "reason"]
            return str(ast.literal_eval(reasons[0].value)) if reasons else "no reason is given"
    return ""


def faults(root: Path = ROOT) -> list[str]:
    """What is wrong with the table: ids twice, unknown or uncovered, sections without a name, reasons too many."""
    stated, held = statements(root), defended(root)
    ids = [statement.id for statement in stated]
    found = [f"{each}: stated twice" for each in sorted({each for each in ids if ids.count(each) > 1})]
    found += [f"{each}: no such statement ({held[each][0].name})" for each in sorted(set(held) - set(ids))]
    for statement in stated:
        if _section(statement.id) not in SECTIONS:
            found.append(f"{statement.id}: of no section")
        if statement.sure not in {"A", "B", "C", "D", "E"}:
            found.append(f"{statement.id}: how sure?")
        if bool(held.get(statement.id)) == bool(statement.differs):
            wrong = "has tests and a reason why none holds it" if statement.differs else "no test holds it"
            found.append(f"{statement.id}: {wrong}")
    return found


def _section(statement_id: str) -> str:
    return statement_id.partition("-")[0].removeprefix("C")


def page(root: Path = ROOT) -> str:
    """The whole page, generated."""
    stated, held = statements(root), defended(root)
    lines = [HEAD]
    verdicts = {statement.id: _verdict(statement, held.get(statement.id, [])) for statement in stated}
    good = sum(1 for verdict in verdicts.values() if verdict == "yes")
    lines.append(f"{len(stated)} statements: {good} hold, {len(stated) - good} do not.\n")
    for section, title in SECTIONS.items():
        of_it = [statement for statement in stated if _section(statement.id) == section]
        if not of_it:
            continue
        lines += [
            f"## {section} {title}\n",
            "| Id | Statement | Sure | Tests | Holds |",
            "| --- | --- | --- | --- | --- |",
        ]
        for each in of_it:
            named = "<br>".join(_link(test) for test in held.get(each.id, [])) or "none"
            cells = (f"`{each.id}`", each.text, each.sure, named, verdicts[each.id])
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _verdict(statement: Any, held: list[Test]) -> str:
    broken = next((test.broken for test in held if test.broken), "")
    if statement.differs or broken or not held:
        return f"**no**: {statement.differs or broken or 'nothing tests it'}"
    return "yes"


def _link(test: Test) -> str:
    return f"[{test.name.removeprefix('test_').replace('_', ' ')}](../{test.path})"


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` only say whether it is stale; the exit code."""
    wrong = faults()
    for fault in wrong:
        print(fault)
    text = page()
    fresh = PAGE.exists() and PAGE.read_text() == text
    if "--check" in arguments:
        if not fresh:
            print(f"stale: {PAGE.relative_to(ROOT)} (make docs)")
        return 0 if fresh and not wrong else 1
    if not fresh:
        PAGE.write_text(text)
        print(f"wrote {PAGE.relative_to(ROOT)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
