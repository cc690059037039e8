"""What every page is made of: tables, code, links."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

Lines = list[str]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Lines:
    cells = [list(head)]
    cells.append(["---"] * len(cells[0]))
    cells += [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return ["| " + " | ".join(row) + " |" for row in cells]


def code(value: object) -> str:
    return f"`{value}`"


def listed(words: Iterable[object]) -> str:
    return ", ".join(code(word) for word in words)


def link(path: Path) -> str:
    return f"[{path.name}](../{path.relative_to(ROOT)})"
