"""The table of values in the chart's README: `make docs`; with `--check`: `make check`.

Theory of operation. `values.yaml` tells each value in the comment above its key. A mapping whose first key has a comment
is told key by key; any other value is told as a whole. So every key has a comment, or stands inside a value that has one;
a key without a comment beside keys with one is a fault. The README is prose with one block between two markers,
`<!-- generated: values ... -->` and `<!-- end -->`.

    python tools/chart_docs.py [--check]
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "helm" / "quarry"
BLOCK = re.compile(r"(?P<head><!-- generated: values[^\n]*-->\n).*?(?P<tail><!-- end -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Value:
    """One key: its path with dots, what its comment says, and its default as JSON; None where its keys are told."""

    path: str
    line: int
    comment: str
    default: str | None


def comment_above(lines: list[str], line: int) -> str:
    """The comment that ends right above a line, in one piece; empty if there is none."""
    said: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        said.insert(0, lines[line].lstrip().removeprefix("#").strip())
    return " ".join(said)


def values(text: str) -> list[Value]:
    """Every value that `values.yaml` tells, in its order."""
    lines = text.splitlines()

    def reported(node: yaml.MappingNode, under: str) -> Iterator[Value]:
        for key, value in node.value:
            path, line = f"{under}{key.value}", key.start_mark.line
            within = isinstance(value, yaml.MappingNode) and not value.flow_style and _is_reported(value)
            default = None if within else json.dumps(yaml.safe_load(yaml.serialize(value)))
            yield Value(path, line + 1, comment_above(lines, line), default)
            if within:
                yield from reported(value, f"{path}.")

    def _is_reported(node: yaml.MappingNode) -> bool:
        return bool(comment_above(lines, node.value[0][0].start_mark.line))

    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    return list(reported(root, ""))


def block(found: list[Value]) -> list[str]:
    """The lines of the README's block: a heading for each key of the first level, and a table of what is below it."""
    lines = [""]
    for top in (each for each in found if "." not in each.path):
        default = "" if top.default in {None, "{}"} else f" Default: `{top.default}`"
        lines += [f"### `{top.path}`", "", top.comment + default, ""]
        below = [each for each in found if each.path.startswith(f"{top.path}.")]
        if below:
            lines += ["| Value | Default | What it is |", "| --- | --- | --- |"]
            for each in below:
                cells = (f"`{each.path}`", f"`{each.default}`" if each.default is not None else "", each.comment)
                lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
            lines.append("")
    return lines


def main(arguments: list[str], chart: Path = CHART) -> int:
    """Write the README if it is stale, or with `--check` only say so; the exit code."""
    source, readme = chart / "values.yaml", chart / "README.md"
    found = values(source.read_text())
    wrong = [f"{source.name}:{each.line}: {each.path} has no comment" for each in found if not each.comment]
    text = readme.read_text()
    if len(BLOCK.findall(text)) != 1:
        wrong.append(f"{readme.name}: not one block of values")
    for fault in wrong:
        print(fault)
    filled = BLOCK.sub(lambda at: at["head"] + "\n".join([*block(found), at["tail"]]), text)
    stale = filled != text
    if stale and "--check" in arguments:
        print(f"stale: the chart's {readme.name} (make docs)")
    elif stale:
        readme.write_text(filled)
        print(f"wrote the chart's {readme.name}")
    return 1 if wrong or (stale and "--check" in arguments) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
