"""The table of docs/models.md: how each family can be asked, and why it cannot where it cannot. Pure.

What the adapters know is read from them; what only pages know stands here, with its source. The tests run every cell
that says how (`tests/unit/flow/test_family_table.py`), with the models that stand here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from quarry_core.models import CONVERSE, FAMILIES, Family, carriers_of
from quarry_core.models.on_demand import tier_of

COLUMNS = ("InvokeModel", "Converse", "Structured", "Tools", "Images", "On demand")
# One of each form that the family's models have of their own, and of each provider.
MODELS: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    "nova": ("amazon.nova-lite-v1:0",),
    "nova-multimodal-embeddings": ("amazon.nova-2-multimodal-embeddings-v1:0",),
    "titan-text-embeddings-v2": ("amazon.titan-embed-text-v2:0",),
    "titan-text-embeddings-g1": ("amazon.titan-embed-text-v1",),
    "titan-multimodal-embeddings": ("amazon.titan-embed-image-v1:0",),
    "cohere-embed": ("cohere.embed-english-v3", "cohere.embed-v4:0"),
    "llama": ("meta.llama3-1-8b-instruct-v1:0",),
    "mistral": ("mistral.mistral-large-2407-v1:0", "mistral.mistral-small-2402-v1:0"),
    "jamba": ("ai21.jamba-1-5-mini-v1:0",),
    "open-weights-reasoning": ("openai.gpt-oss-20b-1:0", "deepseek.v3.2"),
    "gpt": ("openai.gpt-6-sol",),
    "open-weights": (
        "qwen.qwen3-32b-v1:0",
        "moonshotai.kimi-k2.5",
        "zai.glm-5",
        "minimax.minimax-m2",
        "google.gemma-3-12b-it",
        "nvidia.nemotron-nano-9b-v2",
    ),
    "converse": ("cohere.command-r-v1:0",),
}
# Models whose own form has tools, and those that stand in a list of AWS's of what batch takes.
CALL_TOOLS = frozenset({"anthropic", "nova", "mistral", "jamba", "open-weights-reasoning", "open-weights"})
# Of Mistral the chat form; the text form is one prompt.
NO_TOOLS = frozenset({"mistral.mistral-small-2402-v1:0"})
NO_BATCH_QUOTA = frozenset({"jamba", "converse", "titan-text-embeddings-g1", "cohere-embed"})
NOTES: Mapping[str, str] = {
    "vectors": "embeddings do not converse and give no text: Converse takes chat models alone (Bedrock's user guide, Converse)",
    "one text": "the models' own form is one text, without a field for tools (AWS's pages on Llama's and Mistral's parameters)",
    "text is embedded": "what Quarry embeds is text; ready requests of the model's own form may hold images",
    "text only": "known to take text alone, or some of its models (LiteLLM's table of models 1.110.2 and AWS's): refused on arrival",
    "not listed": "whether a model that no list names sees images, only Bedrock knows: they are sent, and a refusal is an error row"
    " (the simulated Bedrock's Cohere Command R refuses them, as its page on parameters has no field for images)",
    "own form": "no page that was read shows its own form for InvokeModel; Converse asks it, and a batch refuses tools there"
    " (Bedrock's user guide, batch inference)",
    "no quota": "no list that was read has a batch quota for it, so AWS probably refuses its jobs, which `quarry submit` says before"
    " anything is sent; the simulated Bedrock takes it with its setting `batch_models`",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """How a family is asked in a column (the words of the page), and the key of the note that limits or denies it."""

    how: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    family: Family
    models: tuple[str, ...]
    cells: Mapping[str, Cell]


def rows() -> list[Row]:
    """One for each family, in the order of the registry."""
    families = {family.name: family for family in (*FAMILIES.values(), CONVERSE)}
    return [Row(family, MODELS[name], _cells(family, MODELS[name])) for name, family in families.items()]


def _cells(family: Family, models: tuple[str, ...]) -> dict[str, Cell]:
    if family.kind == "embedding":
        none = Cell(note="vectors")
        return {
            "InvokeModel": Cell(("column", "requests")),
            "Converse": none,
            "Structured": none,
            "Tools": none,
            "Images": Cell(note="text is embedded"),
            "On demand": Cell(("default",)),
        }
    by_converse = family.invocation == "Converse"
    tools = Cell(note="own form" if family.name in {"gpt", "converse"} else "one text")
    if family.name in CALL_TOOLS:
        tools = Cell(("requests",), "one text" if NO_TOOLS & set(models) else "")
    return {
        "InvokeModel": Cell(note="own form")
        if family.name == "gpt"
        else Cell(("requests",) if by_converse else ("prompt", "requests")),
        "Converse": Cell(("prompt", "requests") if by_converse else ("requests",)),
        "Structured": Cell(_joined(carriers_of(model) for model in models)),
        "Tools": tools,
        "Images": _images(family, models),
        "On demand": Cell(tuple(dict.fromkeys(tier_of(model) or "default" for model in models))),
    }


def _images(family: Family, models: tuple[str, ...]) -> Cell:
    if family is CONVERSE:
        return Cell(note="not listed")
    seeing = [model for model in models if family.images(model) is not None]
    return Cell(("prompt",) if seeing else (), "" if len(seeing) == len(models) else "text only")


def _joined(found: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """The ways of all, in the order in which they are preferred."""
    known = {way for ways in found for way in ways}
    return tuple(way for way in ("native", "tool", "instruction") if way in known)


def lines() -> list[str]:
    """The table and its notes, as Markdown."""
    made = rows()
    used = [note for row in made for note in _notes_of(row)]
    marks = {note: chr(ord("a") + number) for number, note in enumerate(dict.fromkeys(used))}
    found = [f"| Family | Run with | {' | '.join(COLUMNS)} |", "| --- " * (len(COLUMNS) + 2) + "|"]
    for row in made:
        quota = f" ({marks['no quota']})" if row.family.name in NO_BATCH_QUOTA else ""
        models = ", ".join(f"`{model}`" for model in row.models)
        cells = (_shown(row.cells[column], marks) for column in COLUMNS)
        found.append(f"| {row.family.name}{quota} | {models} | {' | '.join(cells)} |")
    found.append("")
    found += [f"({mark}) {NOTES[note][0].upper()}{NOTES[note][1:]}.\n" for note, mark in marks.items()]
    return "\n".join(found).rstrip("\n").splitlines()


def _notes_of(row: Row) -> list[str]:
    quota = ["no quota"] if row.family.name in NO_BATCH_QUOTA else []
    return [*quota, *(cell.note for column in COLUMNS if (cell := row.cells[column]).note)]


def _shown(cell: Cell, marks: Mapping[str, str]) -> str:
    note = f" ({marks[cell.note]})" if cell.note else ""
    return (", ".join(cell.how) if cell.how else "no") + note
