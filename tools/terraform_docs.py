"""The tables of variables and outputs in the READMEs under `terraform/`: `make docs`; with `--check`: `make check`.

Theory of operation. A README is prose with one block between two markers, `<!-- generated: inputs-outputs ... -->` and
`<!-- end -->`. The block is made from the `*.tf` files beside it, which are read by a parser of HCL, so that neither
Terraform nor a provider is needed. A type that is too long for a cell is a link to its line, where the comments stand.
A directory with variables and no README, a README without the block, and a variable or output without a description
are faults.

    python tools/terraform_docs.py [--check]
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hcl2
from hcl2 import SerializationOptions

ROOT = Path(__file__).resolve().parent.parent
TERRAFORM = ROOT / "terraform"
KINDS = ("modules", "envs", "examples")
CELL_CHARS_MAX = 60
BLOCK = re.compile(r"(?P<head><!-- generated: inputs-outputs[^\n]*-->\n).*?(?P<tail><!-- end -->)", re.DOTALL)
READ = SerializationOptions(
    with_comments=False, explicit_blocks=False, preserve_heredocs=False, strip_string_quotes=True
)


@dataclass(frozen=True, slots=True)
class Block:
    """A `variable` or an `output`: its name, where it begins, and its attributes as the parser gives them."""

    name: str
    file: str
    line: int
    attributes: Mapping[str, Any]

    @property
    def description(self) -> str:
        return " ".join(str(self.attributes.get("description", "")).split())


def directories() -> list[Path]:
    """Every directory that a person calls or applies: modules, environments, examples."""
    return sorted(
        path for kind in KINDS for path in (TERRAFORM / kind).glob("*") if path.is_dir() and any(path.glob("*.tf"))
    )


def blocks(directory: Path, kind: str) -> list[Block]:
    """The directory's blocks of a kind (`variable`, `output`), in the order of the files and in them."""
    return [
        Block(name, path.name, _line(text, f'{kind} "{name}"'), attributes)
        for path in sorted(directory.glob("*.tf"))
        for text in [path.read_text()]
        for block in hcl2.loads(text, serialization_options=READ).get(kind, [])
        for name, attributes in block.items()
    ]


def _line(text: str, begins: str) -> int:
    """The number of the line that begins so; the parser tells none. Formatted files have no second one."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if line.startswith(begins))


def _expression(value: object) -> str:
    """An expression as it is written: the parser wraps it into `${...}`."""
    text = str(value)
    return text[2:-1] if text.startswith("${") and text.endswith("}") else text


def _cell(block: Block, text: str) -> str:
    if len(text) <= CELL_CHARS_MAX:
        return f"`{text}`"
    return f"[`{text.partition('(')[0]}(…)`]({block.file}#L{block.line})"


def _type(block: Block) -> str:
    return _cell(block, _expression(block.attributes.get("type", "any")))


def _default(block: Block) -> str:
    if "default" not in block.attributes:
        return "**required**"
    value = block.attributes["default"]
    if isinstance(value, str):
        return _cell(block, _expression(value) if value.startswith("${") else f'"{value}"')
    text = json.dumps(value)
    return f"`{text}`" if len(text) <= CELL_CHARS_MAX else f"[a value]({block.file}#L{block.line})"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    names = list(head)
    for cells in (names, ["---"] * len(names), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def tables(directory: Path) -> list[str]:
    """The lines of a directory's block."""
    variables, outputs = blocks(directory, "variable"), blocks(directory, "output")
    lines = [""]
    if variables:
        rows = ([f"`{each.name}`", _type(each), _default(each), each.description] for each in variables)
        lines += [*_table(("Variable", "Type", "Default", "What it is"), rows), ""]
    if outputs:
        lines += [*_table(("Output", "What it is"), ([f"`{each.name}`", each.description] for each in outputs)), ""]
    return lines


def filled(readme: Path) -> str:
    """The README as it should be."""
    lines = tables(readme.parent)
    return BLOCK.sub(lambda found: found["head"] + "\n".join([*lines, found["tail"]]), readme.read_text())


def faults() -> list[str]:
    """What keeps the tables from being whole."""
    found = []
    for directory in directories():
        place, readme = directory.relative_to(ROOT), directory / "README.md"
        if not readme.exists():
            found.append(f"{place}: no README.md")
        elif len(BLOCK.findall(readme.read_text())) != 1:
            found.append(f"{place}/README.md: not one block inputs-outputs")
        found += [
            f"{place}/{each.file}:{each.line}: {kind} {each.name} has no description"
            for kind in ("variable", "output")
            for each in blocks(directory, kind)
            if not each.description
        ]
    return found


def main(arguments: list[str]) -> int:
    """Write the stale READMEs, or with `--check` only name them; the exit code."""
    wrong = faults()
    for fault in wrong:
        print(fault)
    readmes = [path for directory in directories() if (path := directory / "README.md").exists()]
    stale = {path: text for path in readmes if (text := filled(path)) != path.read_text()}
    for path, text in stale.items():
        if "--check" in arguments:
            print(f"stale: {path.relative_to(ROOT)} (make docs)")
        else:
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if wrong or (stale and "--check" in arguments) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
