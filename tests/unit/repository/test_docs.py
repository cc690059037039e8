"""The documentation speaks of what is there: links, functions, settings, metrics, codes, commands, examples.

Whether the generated pages are fresh is `make check`'s to say.
"""

from __future__ import annotations

import ast
import csv
import json
import re
import tomllib
from itertools import chain
from pathlib import Path
from typing import get_args

import pytest
import typer.main
from prometheus_client import Counter, Gauge, Histogram
from tools import generate_docs
from tools.pages import messages, promises
from tools.pages import states as states_page

from quarry_cli.main import app
from quarry_collector.settle import ErrorCode
from quarry_core.contract import states
from quarry_core.contract.manifest_reading import read_manifest
from quarry_core.contract.messages import Step
from quarry_core.contract.names import QUEUES, queue_url_variable
from quarry_core.contract.prompts import load_prompt, parse_template
from quarry_core.contract.results import outcome_schema
from quarry_core.settings import Settings
from quarry_core.telemetry import metrics
from quarry_local.commands import app as local_app

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
PAGES = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(DOCS.glob("*.md")),
    *DECISIONS,
    ROOT / "examples" / "README.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "deploy" / "helm" / "quarry" / "README.md",
]
PROMISES = [*(f"S{n}" for n in range(1, 11)), *(f"L{n}" for n in range(1, 10)), *(f"I{n}" for n in range(1, 5)), "H1"]
LINK = re.compile(r"\[(?:[^\]\[]|\[[^\]]*\])*\]\((?P<target>[^)\s]+)\)")
NAMED = re.compile(r"\[`[\w/]+\.py`\]\((?P<target>[^)]+)\)\s·\s(?P<names>`[\w.]+`(?:, `[\w.]+`)*)")
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    return {promises.slug(heading) for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)}


def names_of(module: Path) -> set[str]:
    found = set()
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{inner.name}"
                for inner in node.body
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return found


def first_cells(page: Path, heading: str) -> list[str]:
    """The first column of the table under a heading, as words in backticks."""
    section = page.read_text().split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


# --------------------------------------------------------------------------- what is pointed at


@every_page
def test_every_relative_link_points_to_something_that_is_there(page):
    broken = []
    # A pattern in backticks may look like a link.
    for match in LINK.finditer(re.sub(r"(?<!\[)`[^`\n]+`(?!\])", "", prose(page))):
        target, _, anchor = match["target"].partition("#")
        if "://" in target:
            continue
        there = (page.parent / target).resolve() if target else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(match["target"])
    assert not broken


def pointed_at(page: Path) -> set[Path]:
    """The pages that a page links to; a folder stands for its README, or else for every page in it."""
    found: set[Path] = set()
    for match in LINK.finditer(prose(page)):
        there = (page.parent / match["target"].partition("#")[0]).resolve()
        if there.is_dir():
            readme = there / "README.md"
            found |= {readme} if readme.exists() else set(there.glob("*.md"))
        elif there.suffix == ".md" and there.exists():
            found.add(there)
    return found


def test_every_page_is_reachable_from_the_readme():
    reached: set[Path] = set()
    ahead = {ROOT / "README.md"}
    while ahead:
        page = ahead.pop()
        reached.add(page)
        ahead |= pointed_at(page) - reached
    pages = set(PAGES).union(*((ROOT / tree).rglob("*.md") for tree in ("terraform", "deploy")))
    assert sorted(str(page.relative_to(ROOT)) for page in pages - reached) == []


def test_every_page_of_docs_is_in_the_index():
    index = DOCS / "README.md"
    linked = {(DOCS / match["target"].partition("#")[0]).resolve() for match in LINK.finditer(prose(index))}
    missing = {*DOCS.glob("*.md"), *DOCS.glob("*.json"), DOCS / "decisions"} - linked - {index}
    assert sorted(path.name for path in missing) == []


def test_every_picture_is_shown_on_a_page():
    shown = {(page.parent / match["target"]).resolve() for page in PAGES for match in LINK.finditer(prose(page))}
    assert sorted(path.name for path in set((DOCS / "pictures").iterdir()) - shown) == []


def test_the_tree_in_the_readme_has_every_package_and_every_wing():
    block = (ROOT / "README.md").read_text().split("\n## The tree\n", 1)[1].split("```")[1]
    named = [(line.index(name), name) for line in block.splitlines() for name in re.findall(r"^ *(\S+)/ ", line)]
    tree: set[Path] = set()
    parents: list[tuple[int, Path]] = []
    for indent, name in named:
        parents = [(at, path) for at, path in parents if at < indent]
        here = (parents[-1][1] if parents else ROOT) / name
        assert here.is_dir(), here
        parents.append((indent, here))
        tree.add(here)
    sources = [ROOT / home / "src" / package for home, package in (("core", "quarry_core"), ("cli", "quarry_cli"))]
    wings = {each.parent for source in sources for each in source.glob("*/__init__.py")}
    services = {each for each in (ROOT / "services").iterdir() if each.is_dir()}
    assert sorted(str(path.relative_to(ROOT)) for path in (wings | services) - tree) == []


@every_page
def test_every_file_that_is_linked_is_called_by_its_name(page):
    """A link's text is the end of its target, so that a file that moves does not keep its old name on a page."""
    links = re.findall(r"\[`([\w./-]+\.py)`\]\(([^)#\s]+)\)", prose(page))
    assert [text for text, target in links if not f"/{(page.parent / target).resolve()}".endswith(f"/{text}")] == []


@every_page
def test_every_function_that_is_named_beside_its_module_exists(page):
    unknown = []
    for match in NAMED.finditer(prose(page)):
        known = names_of((page.parent / match["target"]).resolve())
        unknown += [name for name in re.findall(r"`([^`]+)`", match["names"]) if name not in known]
    assert not unknown


def test_the_walkthrough_names_functions_in_every_service():
    targets = {match["target"] for match in NAMED.finditer(prose(DOCS / "walkthrough.md"))}
    for service in ("preprocessor", "scheduler", "collector"):
        assert any(f"quarry_{service}/" in target for target in targets)


@pytest.mark.parametrize("message", ["manifest", "job event"])
def test_a_message_is_walked_through_in_at_most_five_files(message):
    section = (
        (DOCS / "walkthrough.md").read_text().split(f"\n## One {message}, in five files\n", 1)[1].split("\n## ", 1)[0]
    )
    assert 3 <= len(list(NAMED.finditer(section))) == len(re.findall(r"^\| \d \|", section, re.MULTILINE)) <= 5


@every_page
def test_every_setting_that_is_mentioned_exists(page):
    fields = {f"QUARRY_{name.upper()}" for name in Settings.model_fields}
    elsewhere = set(re.findall(r"`(QUARRY_\w+)`", (DOCS / "settings.md").read_text()))
    known = fields | elsewhere | {queue_url_variable(name) for name in QUEUES}
    assert set(re.findall(r"`(QUARRY_[A-Z_]+[A-Z])`", page.read_text())) <= known


@every_page
def test_every_metric_that_is_mentioned_is_registered(page):
    registered = [each for each in vars(metrics).values() if isinstance(each, Counter | Gauge | Histogram)]
    names = {
        reported.name + ("_total" if reported.type == "counter" else "")
        for metric in registered
        for reported in metric.describe()
    }
    packages = {
        path.name
        for home in ("core", "services/*", "cli", "local", "integrations/*")
        for path in ROOT.glob(f"{home}/src/quarry_*")
    }
    ours = {
        "quarry_run_id",
        "quarry_origin_id",
        "quarry_reason",
        "quarry_step",
        "quarry_body_bytes",
        "quarry_attributes",
    }
    mentioned = set(re.findall(r"(?<![\w/.])quarry_[a-z_]+", prose(page)))
    assert mentioned <= names | packages | ours


@pytest.fixture(scope="module")
def commands() -> tuple[set[str], set[str]]:
    """Of `quarry` and of `quarry local`."""
    return {*typer.main.get_group(app).commands, "local"}, set(typer.main.get_group(local_app).commands)


@every_page
def test_every_command_in_a_code_block_exists(page, commands):
    known, local = commands
    for block in re.findall(r"```\n(.*?)```", page.read_text(), re.DOTALL):
        for command, following in re.findall(r"(?:^|\(|\| )quarry ([a-z]+)(?: ([a-z]+))?", block, re.MULTILINE):
            assert command in known
            assert command != "local" or following in local


# --------------------------------------------------------------------------- what must be complete


@every_page
def test_a_command_for_a_cluster_names_the_namespace(page):
    """Without it, it is about whatever namespace the shell has chosen."""
    text = page.read_text().replace("\\\n", " ")
    commands = re.findall(r"(?:^ *|`)((?:kubectl|helm) +[a-z-]+ [^`\n]*)", text, re.MULTILINE)
    assert [command for command in commands if not re.search(r" (--namespace|-n) ", command)] == []


def test_the_error_codes_that_are_documented_are_all_there_are():
    assert first_cells(DOCS / "results.md", "## Error codes") == [str(code) for code in ErrorCode]


def test_the_result_columns_that_are_documented_are_all_there_are():
    named = first_cells(DOCS / "results.md", "## Columns")
    assert named == ["response", "embedding", *outcome_schema("response").names[1:]]


def test_every_promise_has_its_section_and_every_mark_its_promise():
    page = (DOCS / "promises.md").read_text()
    assert [match["id"] for match in promises.PROMISE.finditer(page)] == PROMISES
    assert set(promises.defences(ROOT)) <= set(PROMISES)
    assert all(f"<!-- generated: tests-{each.lower()} " in page for each in PROMISES)


def test_every_dependency_earns_its_place_in_a_sentence():
    lines = [
        line
        for file in ROOT.glob("**/pyproject.toml")
        if ".venv" not in file.parts[len(ROOT.parts)]
        for project in [tomllib.loads(file.read_text()).get("project", {})]
        for line in [*project.get("dependencies", []), *chain(*project.get("optional-dependencies", {}).values())]
    ]
    lines += [line for file in (ROOT / "requirements").glob("*.in") for line in file.read_text().splitlines()]
    wanted = {re.split(r"[=><\[]", line)[0] for line in lines if line and not line.startswith(("#", "quarry-"))}
    said = re.findall(r"^\| (`.+?) \|", (DOCS / "dependencies.md").read_text(), re.MULTILINE)
    assert wanted == {name for cell in said for name in re.findall(r"`([^`]+)`", cell)}


def test_decisions_are_numbered_without_gaps_and_have_three_parts():
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))
    for path in DECISIONS:
        text = path.read_text()
        assert text.startswith(f"# {path.name[:4]} ")
        for part in ("Context", "Decision", "Consequences"):
            assert f"**{part}.**" in text, path.name


def test_contributing_names_every_make_target_and_no_other():
    makefile, page = (ROOT / "Makefile").read_text(), (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`make ([a-z-]+)", page))
    assert named <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)) - named == {"help"}


# --------------------------------------------------------------------------- the generator


def test_every_move_of_the_tables_has_a_writer_and_every_wakeup_a_reader():
    written = set(states_page.writers())
    tables = [*states.RUN_MOVES, *states.SHARD_MOVES]
    assert {(str(source or "(none)"), str(target)) for source, target in tables} <= written
    assert len(messages.wakeups()) == 2 + len(get_args(Step))


def test_a_page_that_is_filled_stays_as_it_is_when_it_is_filled_again():
    for path, text in generate_docs.pages().items():
        if path.suffix == ".md":
            assert generate_docs.filled(text) == text


def test_check_names_the_stale_page_and_writes_nothing(tmp_path, monkeypatch, capsys):
    page = tmp_path / "docs" / "states.md"
    page.parent.mkdir()
    stale = "# States\n\n<!-- generated: shard-facts (by hand) -->\n<!-- end -->\n"
    page.write_text(stale)
    monkeypatch.setattr(generate_docs, "ROOT", tmp_path)
    monkeypatch.setattr(generate_docs, "DOCS", page.parent)
    monkeypatch.setattr(generate_docs, "SCHEMA", page.parent / "manifest.schema.json")

    assert generate_docs.main(["--check"]) == 1
    assert "stale: docs/states.md" in capsys.readouterr().out
    assert page.read_text() == stale

    assert generate_docs.main([]) == 0
    assert "| `ADMITTED` | yes |" in page.read_text()
    assert generate_docs.main(["--check"]) == 0


def test_a_test_that_is_known_to_fail_defends_nothing(tmp_path):
    tests = tmp_path / "tests"
    tests.mkdir()
    mark = '@pytest.mark.promise("S1", "S2")\n'
    xfail = '@pytest.mark.xfail(reason="not fixed yet")\n'
    (tests / "test_some.py").write_text(f"{mark}def test_a():\n    ...\n\n\n{mark}{xfail}def test_b():\n    ...\n")

    found = promises.defences(tmp_path)

    assert sorted(found) == ["S1", "S2"]
    assert [promises.sentence(each) for each in found["S1"]] == ["a", "b (**known to fail**: not fixed yet)"]


def test_an_unknown_block_is_an_error():
    with pytest.raises(KeyError):
        generate_docs.filled("<!-- generated: nonsense -->\n<!-- end -->")


# --------------------------------------------------------------------------- the examples


def test_the_example_with_photos_is_accepted():
    text = (ROOT / "examples" / "photos.json").read_text().replace("YOUR_BUCKET", "some-bucket")
    manifest = read_manifest(json.loads(text))
    assert [one.column for one in manifest.images] == ["photo"]


@pytest.mark.parametrize(("name", "dataset"), [("jokes", "jokes.csv"), ("embeddings", "sentences.csv")])
def test_the_example_manifests_are_accepted_and_their_data_fits(name, dataset):
    text = (ROOT / "examples" / f"{name}.json").read_text().replace("YOUR_BUCKET", "some-bucket")
    manifest = read_manifest(json.loads(text))
    assert manifest.s3_uri == f"s3://some-bucket/inputs/{dataset}"
    with (ROOT / "examples" / dataset).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 120
    needed = {"input_text"}
    if manifest.prompt_id:
        shipped = ROOT / "core" / "src" / "quarry_core" / "shipped_prompts" / f"{manifest.prompt_id}.yaml"
        needed = set(parse_template(load_prompt(shipped.read_bytes(), manifest.prompt_id).template).placeholders)
    assert needed <= set(rows[0])
    assert all(row[column] for row in rows for column in needed)
