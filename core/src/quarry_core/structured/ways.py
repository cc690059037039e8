"""By which way a model is asked for JSON, and how its record says so. Pure.

A family's adapter says which ways its models know and in which member of the body (`Family.carriers`); the first is
taken unless the manifest names one by `output_mode`. A run keeps its way from its acceptance to its end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quarry_core.models.family import Carrier, OutputMode
from quarry_core.structured.derive import as_instruction, as_tool, native
from quarry_core.structured.schema import OutputSchema

# Of the format and of the tool.
NAME = "answer"
_DESCRIPTION = "Gives the answer."
_TOOLS: tuple[Carrier, ...] = ("tools", "tool_config", "functions")
_LIMITED = ("output_config", "text_format")


class WayRefused(ValueError):
    """The model does not know the way that is asked for; the text names the field and the remedy."""


def mode_of(carriers: Mapping[OutputMode, Carrier], asked: OutputMode | None, model_id: str) -> OutputMode:
    """The way to take.

    Args:
        carriers: as the model's family names them.
        asked: by the manifest.
        model_id: for the message.

    Raises:
        WayRefused: names what the model knows.
    """
    if not carriers:
        raise WayRefused(f"output_schema: {model_id} does not answer with text: leave output_schema out")
    if asked is None:
        return next(iter(carriers))
    if asked not in carriers:
        known = " or ".join(f'"{mode}"' for mode in carriers)
        raise WayRefused(
            f"output_mode: {model_id} cannot be asked by {asked!r} in a batch: set {known}, or leave it out"
        )
    return asked


def check_sendable(
    schema: OutputSchema, carriers: Mapping[OutputMode, Carrier], mode: OutputMode, inference: Mapping[str, Any]
) -> None:
    """Refuse a schema that cannot be sent this way, or not beside these parameters.

    Raises:
        SchemaError: names the path in the schema.
        WayRefused: names the parameter.
    """
    carrier = carriers[mode]
    if mode == "native":
        native(schema, limited=carrier in _LIMITED)
    thinking = inference.get("thinking")
    if carrier == "tools" and isinstance(thinking, Mapping) and thinking.get("type") == "enabled":
        raise WayRefused(
            "output_mode: a forced tool and thinking exclude each other:"
            ' leave thinking out, or set "output_mode": "instruction"'
        )
    beside = [name for name in ("effort", "additionalModelRequestFields") if name in inference]
    if carrier == "tool_config" and beside:
        raise WayRefused(
            f"output_mode: whether a forced tool goes with {beside[0]} is not known: leave {beside[0]} out,"
            ' or set "output_mode": "instruction"'
        )
    given = [name for name in ("tools", "tool_choice", "response_format", "toolConfig") if name in inference]
    if given:
        raise WayRefused(f"inference: {given[0]} is set by output_schema: leave one of them out")


class Ask:
    """What asks for JSON in each record of a run: a text at the end of the prompt, or members of the body.

    Args:
        schema: the user's.
        mode: how the run asks.
        carrier: in which member of the body.
    """

    def __init__(self, schema: OutputSchema, mode: OutputMode, carrier: Carrier) -> None:
        self._carrier = carrier
        self.instruction = as_instruction(schema) if mode == "instruction" else ""
        self._sent: dict[str, Any] = {}
        if mode == "native":
            self._sent = native(schema, limited=carrier in _LIMITED)
        elif mode == "tool":
            self._sent = as_tool(schema)

    @property
    def beside(self) -> str:
        """What stands in a record beside the prompt, as the text that a model gets of it, as far as is known."""
        if not self._sent:
            return ""
        schema = json.dumps(self._sent, ensure_ascii=False, separators=(",", ":"))
        return f"{NAME}\n{_DESCRIPTION}\n{schema}" if self._carrier in _TOOLS else schema

    def attach(self, body: dict[str, Any]) -> dict[str, Any]:
        """A record's body with what asks for JSON."""
        match self._carrier:
            case "output_config":
                form = {"type": "json_schema", "schema": self._sent}
                return {**body, "output_config": {**body.get("output_config", {}), "format": form}}
            case "response_format":
                # Without `strict` the form's own definition lets a model ignore the schema.
                named = {"name": NAME, "strict": True, "schema": self._sent}
                return {**body, "response_format": {"type": "json_schema", "json_schema": named}}
            case "text_format":
                text = json.dumps(self._sent, ensure_ascii=False, separators=(",", ":"))
                form = {"type": "json_schema", "structure": {"jsonSchema": {"name": NAME, "schema": text}}}
                return {**body, "outputConfig": {**body.get("outputConfig", {}), "textFormat": form}}
            case "tools":
                tool = {"name": NAME, "description": _DESCRIPTION, "input_schema": self._sent}
                return {**body, "tools": [tool], "tool_choice": {"type": "tool", "name": NAME}}
            case "tool_config":
                spec = {"name": NAME, "description": _DESCRIPTION, "inputSchema": {"json": self._sent}}
                config = {"tools": [{"toolSpec": spec}], "toolChoice": {"tool": {"name": NAME}}}
                return {**body, "toolConfig": config}
            case "functions":
                function = {"name": NAME, "description": _DESCRIPTION, "parameters": self._sent}
                chosen = {"type": "function", "function": {"name": NAME}}
                return {**body, "tools": [{"type": "function", "function": function}], "tool_choice": chosen}
            case "prompt":
                return body
