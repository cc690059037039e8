"""Generate the pages that can be generated: `make docs`. With `--check`, name the stale ones and exit 1: `make check`.

Theory of operation. A page is prose with blocks between two markers, `<!-- generated: <name> ... -->` and
`<!-- end -->`; what stands between them is made here from the code, everything else is written by hand and left as it
is. One page, the JSON Schema, is generated whole. Nothing depends on time, machine, terminal or order of files, so the
same code gives the same bytes. To add a block: write a function that returns its lines, name it in `BLOCKS`, and put
its markers into a page.

    python tools/generate_docs.py [--check]
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

import typer.main
from prometheus_client import Counter, Gauge, Histogram
from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

import quarry_cli.main
import quarry_collector.handler
import quarry_core.ledger.moves
import quarry_local.commands
import quarry_preprocessor.handler
import quarry_scheduler.handler
import quarry_scheduler.on_demand
from quarry_cli.doctor.report import CHECKS
from quarry_cli.settings import ClientSettings
from quarry_core.contract import messages, names, states
from quarry_core.contract.csv_dialect import Csv
from quarry_core.contract.manifest import Manifest, Vpc, manifest_schema
from quarry_core.contract.manifest_reading import NOT_YET
from quarry_core.contract.prompts import Prompt
from quarry_core.contract.selection import Sample
from quarry_core.models import CONVERSE, FAMILIES, Family, ModelLimits
from quarry_core.settings import Settings
from quarry_core.telemetry import metrics as metrics_of_core
from quarry_local.bedrock.faults.plan import Faults as SimulatorFaults
from quarry_local.bedrock.settings import Settings as SimulatorSettings
from quarry_local.hub.settings import Settings as HubSettings
from quarry_local.settings import LOCAL_WAITS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SCHEMA = DOCS / "manifest.schema.json"
SOURCES = ("core/src", "services/preprocessor/src", "services/scheduler/src", "services/collector/src")
HELP_CHARS_MAX = 100
MADE_BY = "`make docs` from"
BLOCK = re.compile(r"(?P<head><!-- generated: (?P<name>[a-z0-9-]+)[^\n]*-->\n).*?(?P<tail><!-- end -->)", re.DOTALL)
PROMISE = re.compile(r"^## (?P<id>[A-Z][0-9]+) · (?P<title>.+)$", re.MULTILINE)

Lines = list[str]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Lines:
    cells = [list(head)]
    cells.append(["---"] * len(cells[0]))
    cells += [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return ["| " + " | ".join(row) + " |" for row in cells]


def code(value: object) -> str:
    return f"`{value}`"


# --------------------------------------------------------------------------- fields of pydantic models


def limits_of(schema: Mapping[str, Any]) -> str:
    """What a field's JSON Schema allows, in words; empty where it says nothing beyond the type."""
    shapes = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    shape = shapes[0] if shapes else schema
    words = []
    low, high = shape.get("minimum"), shape.get("maximum")
    above, below = shape.get("exclusiveMinimum"), shape.get("exclusiveMaximum")
    if above is not None:
        words.append(f"more than {above:,}")
    if below is not None:
        words.append(f"less than {below:,}")
    if low is not None and high is not None:
        words.append(f"{low:,} to {high:,}")
    elif low is not None:
        words.append(f"at least {low:,}")
    elif high is not None:
        words.append(f"at most {high:,}")
    if "maxLength" in shape:
        words.append(f"{shape.get('minLength', 0)} to {shape['maxLength']:,} characters")
    if "enum" in shape:
        words.append(" or ".join(code("\\t" if each == "\t" else each) for each in shape["enum"]))
    if "pattern" in shape:
        words.append(code(shape["pattern"]))
    return ", ".join(words)


def type_of(schema: Mapping[str, Any]) -> str:
    shapes = schema.get("anyOf", [schema])
    kinds = []
    for shape in shapes:
        if "$ref" in shape:
            kinds.append(shape["$ref"].rsplit("/", 1)[-1].lower())
        elif shape.get("type") == "array":
            kinds.append("list of strings" if shape.get("items", {}).get("type") == "string" else "list of numbers")
        elif shape.get("type") == "object":
            kinds.append("object")
        elif "enum" in shape:
            kinds.append("string")
        else:
            kinds.append(str(shape.get("type", "any")))
    return " or ".join(dict.fromkeys(kinds))


def default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if value is None or value == "":
        return "unset"
    if isinstance(value, tuple):
        return code(",".join(f"{each:g}" for each in value))
    if isinstance(value, dict):
        return code("{}")
    return code(json.dumps(value) if isinstance(value, bool) else value)


def unit_of(name: str) -> str:
    words = name.split("_")
    for word, unit in (("s", "seconds"), ("hours", "hours"), ("bytes", "bytes")):
        if word in words[1:]:
            return unit
    return ""


def variables_of(name: str, field: FieldInfo) -> str:
    match field.validation_alias:
        case None:
            return code(f"QUARRY_{name.upper()}")
        case AliasChoices(choices=choices):
            return ", ".join(code(each) for each in choices)
        case alias:
            return code(alias)


def setting_rows(model: type[BaseModel], variables: Callable[[str, FieldInfo], str]) -> Iterator[list[str]]:
    schema = model.model_json_schema(by_alias=False)["properties"]
    for name, field in model.model_fields.items():
        limits = ", ".join(each for each in (unit_of(name), limits_of(schema[name])) if each)
        yield [variables(name, field), default_of(field), limits, field.description or ""]


SETTING_HEAD = ("Variable", "Default", "Unit, limits", "What it is")


def settings_of_services() -> Lines:
    return table(SETTING_HEAD, setting_rows(Settings, variables_of))


def settings_of_the_command() -> Lines:
    return table(SETTING_HEAD, setting_rows(ClientSettings, variables_of))


def settings_of_the_simulator() -> Lines:
    """Those that are no fault: the faults have a page with more room."""
    head = ("`--sim` key", *SETTING_HEAD[1:])
    faults = {code(name) for name in SimulatorFaults.model_fields}
    rows = setting_rows(SimulatorSettings, lambda name, _: code(name))
    return table(head, (row for row in rows if row[0] not in faults))


def faults_of_the_simulator() -> Lines:
    return table(("Fault", *SETTING_HEAD[1:]), setting_rows(SimulatorFaults, lambda name, _: code(name)))


def settings_of_the_hub() -> Lines:
    return table(("`--hub-set` key", *SETTING_HEAD[1:]), setting_rows(HubSettings, lambda name, _: code(name)))


def waits_of_the_local_stack() -> Lines:
    fields = {f"QUARRY_{name.upper()}": field for name, field in Settings.model_fields.items()}
    return table(
        ("Variable", "Local stack", "Otherwise"),
        ([code(name), code(value), default_of(fields[name])] for name, value in LOCAL_WAITS.items()),
    )


# --------------------------------------------------------------------------- states


def writers() -> dict[tuple[str, str], list[str]]:
    """(from, to) -> the functions of `moves.py` whose first line says that they make this move."""
    terminal = [state for state in states.RunState if state.terminal]
    found: dict[tuple[str, str], list[str]] = {}
    for name, function in inspect.getmembers(quarry_core.ledger.moves, inspect.isfunction):
        first = (function.__doc__ or "").split("\n")[0]
        for sources, target in re.findall(r"((?:\(none\)|[A-Z_]+)(?: \| [A-Z_]+)*) -> ([A-Z_]+|terminal)", first):
            for source in sources.split(" | "):
                for each in terminal if target == "terminal" else [target]:
                    found.setdefault((source, str(each)), []).append(name)
    return found


def machine(moves: Mapping[tuple[Any, Any], str], terminal: Iterable[str]) -> Lines:
    by = writers()
    rows = []
    diagram = ["```mermaid", "stateDiagram-v2"]
    for (source, target), when in moves.items():
        start = str(source) if source else "(none)"
        written = ", ".join(code(f"moves.{name}") for name in by.get((start, str(target)), []))
        rows.append([code(start), code(target), when, written])
        diagram.append(f"    {source or '[*]'} --> {target}: {when.replace(':', ',')}")
    diagram += [f"    {state} --> [*]" for state in terminal]
    return [*table(("From", "To", "When", "Written by"), rows), "", *diagram, "```"]


def run_machine() -> Lines:
    return machine(states.RUN_MOVES, [str(state) for state in states.RunState if state.terminal])


def shard_machine() -> Lines:
    return machine(states.SHARD_MOVES, [str(states.ShardState.SETTLED)])


def shard_facts() -> Lines:
    rows = [[code(state), "yes" if state.holds_a_slot else "no"] for state in states.ShardState]
    return table(("State", "Holds a slot"), rows)


def job_statuses() -> Lines:
    rows = [[code(status), "yes" if states.job_ended(status) else "no"] for status in states.JobStatus]
    return [*table(("Status", "Ended"), rows), "", f"Gates of a lane: {listed(states.Gate)}."]


def listed(words: Iterable[object]) -> str:
    return ", ".join(code(word) for word in words)


# --------------------------------------------------------------------------- metrics


def metrics() -> Lines:
    rows = []
    texts = {path: path.read_text() for source in SOURCES for path in sorted((ROOT / source).rglob("*.py"))}
    for variable, metric in vars(metrics_of_core).items():
        if not isinstance(metric, Counter | Gauge | Histogram):
            continue
        (reported,) = metric.describe()
        name = reported.name + ("_total" if reported.type == "counter" else "")
        # prometheus_client has no public way to ask for the names of the labels.
        labels = listed(metric._labelnames)  # noqa: SLF001
        used = re.compile(rf"\bmetrics\.{variable}\b")
        users = [path for path, text in texts.items() if path.name != "metrics.py" and used.search(text)]
        set_in = ", ".join(link(path) for path in users) or "the AWS adapters' hook"
        rows.append([code(name), reported.type, labels, reported.documentation, set_in])
    return table(("Metric", "Type", "Labels", "What it shows", "Set in"), sorted(rows))


def link(path: Path) -> str:
    return f"[{path.name}](../{path.relative_to(ROOT)})"


# --------------------------------------------------------------------------- manifest


def field_rows(model: type[BaseModel], schema: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, field in model.model_fields.items():
        shape = schema[name]
        description = field.description or ""
        yield [code(name), type_of(shape), default_of(field), limits_of(shape), description]


FIELD_HEAD = ("Field", "Type", "Default", "Limits", "What it is")


def manifest_fields() -> Lines:
    return table(FIELD_HEAD, field_rows(Manifest, manifest_schema()["properties"]))


def prompt_fields() -> Lines:
    return table(FIELD_HEAD, field_rows(Prompt, Prompt.model_json_schema()["properties"]))


def csv_fields() -> Lines:
    return table(FIELD_HEAD, field_rows(Csv, Csv.model_json_schema()["properties"]))


def sample_fields() -> Lines:
    return table(FIELD_HEAD, field_rows(Sample, Sample.model_json_schema()["properties"]))


def vpc_fields() -> Lines:
    return table(FIELD_HEAD, field_rows(Vpc, Vpc.model_json_schema()["properties"]))


def not_yet() -> Lines:
    return table(("Key", "What the answer says"), ([code(key), sentence] for key, sentence in NOT_YET.items()))


def families() -> Lines:
    begun: dict[str, list[str]] = {}
    for beginning, family in FAMILIES.items():
        begun.setdefault(family.name, []).append(code(beginning + "…"))
    begun[CONVERSE.name] = ["any other model that chats"]
    rows = [
        [", ".join(begun[family.name]), family.name, family.kind, family.invocation, code(family.answer_column)]
        for family in _families()
    ]
    return table(("Model ids that begin with", "Family", "Asks for", "By", "Answer column"), rows)


def parameters() -> Lines:
    lines: Lines = []
    for family in _families():
        if not family.rules:
            continue
        others: dict[str, list[str]] = {}
        for alias, name in family.aliases.items():
            others.setdefault(name, []).append(code(alias))
        lines += ["", f"### `{family.name}`", ""]
        rows = ([code(key), ", ".join(others.get(key, ())), rule.words()] for key, rule in family.rules.items())
        lines += table(("Parameter", "Also called", "May be"), rows)
    return lines[1:]


def _families() -> list[Family]:
    """Each once."""
    return list({family.name: family for family in (*FAMILIES.values(), CONVERSE)}.values())


def job_limits() -> Lines:
    usual = ModelLimits()
    return table(
        ("Limit of one job", "Value"),
        ([code(name), f"{getattr(usual, name):,}"] for name in ModelLimits.__dataclass_fields__),
    )


def schema_file() -> str:
    comment = {"$comment": f"Generated by tools/generate_docs.py ({MADE_BY} quarry_core.contract.manifest)."}
    return json.dumps({**comment, **manifest_schema()}, indent=2, ensure_ascii=False) + "\n"


# --------------------------------------------------------------------------- messages


def wakeups() -> Lines:
    """Kinds with their reader, from the sentences of the three handlers that take them."""
    readers = (
        ("preprocessor", "slices", quarry_preprocessor.handler.Preprocessor.on_wakeup),
        ("scheduler", "scheduler", quarry_scheduler.handler.Scheduler.on_wakeup),
        ("scheduler", "on-demand", quarry_scheduler.on_demand.OnDemand.on_wakeup),
        ("collector", "collector", quarry_collector.handler.Collector.on_wakeup),
    )
    reported = {
        kind: (queue, reader, sentence)
        for reader, queue, handler in readers
        for kind, sentence in re.findall(r"`(\w+)`: ([^.]+)\.", handler.__doc__ or "")
    }
    return table(
        ("Step", "Queue", "Reader", "What the reader does"), ([code(k), *reported[k]] for k in get_args(messages.Step))
    )


def wakeup_fields() -> Lines:
    return table(FIELD_HEAD, field_rows(messages.Wakeup, messages.Wakeup.model_json_schema()["properties"]))


def job_event_fields() -> Lines:
    return table(FIELD_HEAD, field_rows(messages.JobEvent, messages.JobEvent.model_json_schema()["properties"]))


def queues() -> Lines:
    rows = [
        [code(name), code(names.queue_name("<env>", name)), code(names.queue_url_variable(name))]
        for name in names.QUEUES
    ]
    return table(("Queue", "Name", "Variable"), rows)


# --------------------------------------------------------------------------- the command


def command_help() -> Lines:
    """The help of every command, without colours and boxes, at a fixed width."""
    # By name: other people's plug-ins, installed here by chance, are not part of the page.
    root = typer.main.get_group(quarry_cli.main.app)
    root.name = "quarry"
    local = typer.main.get_group(quarry_local.commands.app)
    lines: Lines = []
    for command, path in [*walk(root, ("quarry",)), *walk(local, ("quarry", "local"))]:
        lines += [f"### {' '.join(path)}", "", "```text", *help_of(command, path), "```", ""]
    return lines[:-1]


def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    yield command, path
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, (*path, name))


def help_of(command: Any, path: tuple[str, ...]) -> Lines:
    command.rich_markup_mode = None
    # click keeps the lines of a paragraph that begins so.
    command.help = "\n\n".join("\b\n" + text if "\n" in text else text for text in (command.help or "").split("\n\n"))
    context = command.context_class(command, info_name=" ".join(path), terminal_width=HELP_CHARS_MAX)
    return [line.rstrip() for line in command.get_help(context).splitlines()]


# --------------------------------------------------------------------------- doctor


def doctor_checks() -> Lines:
    rows = ([code(check.name), check.asks, check.finds] for check in CHECKS)
    return table(("Check", "What it asks", "What you see when it fails"), rows)


def doctor_policy() -> Lines:
    """One statement with every action that looking takes; none of them writes, and AWS knows few resources for them."""
    actions = sorted({action for check in CHECKS for action in check.reads})
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=2)
    return ["```json", *policy.splitlines(), "```"]


# --------------------------------------------------------------------------- promises


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
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            ids = [each for decorator in node.decorator_list for each in promise_ids(decorator)]
            if node.name.startswith("test_"):
                ids += everywhere
            for each in ids:
                found.setdefault(each, set()).add(Defence(path, node.name, known_to_fail(node)))
    return {each: sorted(some) for each, some in found.items()}


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


# --------------------------------------------------------------------------- pages

BLOCKS: Mapping[str, Callable[[], Lines]] = {
    "settings": settings_of_services,
    "settings-command": settings_of_the_command,
    "settings-simulator": settings_of_the_simulator,
    "faults-simulator": faults_of_the_simulator,
    "settings-hub": settings_of_the_hub,
    "local-waits": waits_of_the_local_stack,
    "run-machine": run_machine,
    "shard-machine": shard_machine,
    "shard-facts": shard_facts,
    "job-statuses": job_statuses,
    "metrics": metrics,
    "manifest": manifest_fields,
    "manifest-prompt": prompt_fields,
    "manifest-csv": csv_fields,
    "manifest-sample": sample_fields,
    "manifest-vpc": vpc_fields,
    "manifest-not-yet": not_yet,
    "families": families,
    "parameters": parameters,
    "job-limits": job_limits,
    "wakeups": wakeups,
    "wakeup-fields": wakeup_fields,
    "job-event-fields": job_event_fields,
    "queues": queues,
    "cli": command_help,
    "doctor-checks": doctor_checks,
    "doctor-policy": doctor_policy,
    "promises": promise_overview,
}


def block(name: str) -> Lines:
    """The lines of a block. Raises KeyError for a name that nothing here makes."""
    if name.startswith("tests-"):
        return tests_of(name.removeprefix("tests-").upper())
    return BLOCKS[name]()


def filled(page: str) -> str:
    return BLOCK.sub(lambda found: found["head"] + "\n".join(["", *block(found["name"]), "", found["tail"]]), page)


def pages() -> dict[Path, str]:
    """Every page that has something generated, as it should be."""
    found = {path: filled(path.read_text()) for path in sorted(DOCS.glob("*.md")) if BLOCK.search(path.read_text())}
    return {**found, SCHEMA: schema_file()}


def main(arguments: list[str]) -> int:
    """Write the stale pages, or with `--check` only name them; the exit code."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in stale:
            print(f"stale: {path.relative_to(ROOT)} (make docs)")
        return 1 if stale else 0
    for path, text in pages().items():
        if path in stale:
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
