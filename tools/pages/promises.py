"""The promises, and the tests that bear their marks, found without importing them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tools.pages.text import DOCS, ROOT, Lines, table

PROMISE = re.compile(r"^## (?P<id>[A-Z][0-9]+) · (?P<title>.+)$", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Defence:
    """A test that bears `@pytest.mark.promise`; with `broken`, one that is known to fail, and so defends nothing yet."""

    path: Path
    test: str
    broken: str = ""


@cache
def defences(root: Path) -> dict[str, list[Defence]]:
    """Promise id -> the tests of a checkout that defend it, found without importing them."""
    found: dict[str, set[Defence]] = {}
    for path in sorted((root / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        everywhere = [mark for node in tree.body for mark in module_marks(node)]
        for node in definitions(tree.body):
            ids = [each for decorator in node.decorator_list for each in promise_ids(decorator)]
            if node.name.startswith("test_"):
                ids += everywhere
            for each in ids:
                found.setdefault(each, set()).add(Defence(path, node.name, known_to_fail(node)))
    return {each: sorted(some) for each, some in found.items()}


def definitions(body: Iterable[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Of a module and its classes; what a function defines is no test."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node
        if isinstance(node, ast.ClassDef):
            yield from definitions(node.body)


def module_marks(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign) and any(isinstance(at, ast.Name) and at.id == "pytestmark" for at in node.targets):
        return [each for call in ast.walk(node.value) for each in promise_ids(call)]
    return []


def known_to_fail(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    """Why a test is marked xfail; empty if it is not."""
    for decorator in node.decorator_list:
        if "mark.xfail" in ast.unparse(decorator):
            reasons = [each for each in getattr(decorator, "keywords", []) if each.arg == "reason"]
            return str(ast.literal_eval(reasons[0].value)) if reasons else "no reason is given"
    return ""


def promise_ids(node: ast.AST) -> list[str]:
    if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith("mark.promise"):
        return []
    return [str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)]


def promise_overview() -> Lines:
    """All promises of the page with the number of tests; the page's headings are the list."""
    by = defences(ROOT)
    found = [(match["id"], match["title"]) for match in PROMISE.finditer((DOCS / "promises.md").read_text())]
    rows = []
    for each, title in found:
        tests = by.get(each, [])
        broken = sum(1 for test in tests if test.broken)
        reported = str(len(tests) - broken) if len(tests) > broken else "**none yet**"
        reported += f", and {broken} known to fail" if broken else ""
        rows.append([f"[{each}](#{slug(f'{each} · {title}')})", title, reported])
    return table(("Id", "Promise", "Tests that defend it"), rows)


def tests_of(promise: str) -> Lines:
    tests = defences(ROOT).get(promise, [])
    if not tests:
        return ["No test defends this yet."]
    lines = []
    for path in sorted({each.path for each in tests}):
        lines.append(f"- [{path.relative_to(ROOT)}](../{path.relative_to(ROOT)})")
        lines += [f"  - {sentence(each)}" for each in tests if each.path == path]
    return lines


def sentence(defence: Defence) -> str:
    words = defence.test.removeprefix("test_").replace("_", " ")
    words = re.sub(r"\bdead letter(?=s?\b|ed\b|ing\b)", "dead-letter", words)
    return words + (f" (**known to fail**: {defence.broken})" if defence.broken else "")


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
