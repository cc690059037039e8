"""From a run's pins to the encoder of its records."""

from __future__ import annotations

from quarry_core.contract.prompts import Template, check_columns, columns_of, parse_template, template_of
from quarry_core.contract.requests import BODY_COLUMNS
from quarry_core.contract.run import Pins
from quarry_core.models import family_of
from quarry_core.rendering.encode import Attach, Encoder, NotEncodable, RowEncoder, as_it_is, check_encodable
from quarry_core.rendering.requests import RequestEncoder
from quarry_core.structured.schema import read_schema
from quarry_core.structured.ways import Ask
from quarry_core.tabular.counted import DatasetCount


def encoder_of(pins: Pins) -> RowEncoder:
    if pins.request_format is not None:
        return RequestEncoder(pins.request_format)
    template = parse_template(pins.prompt.template) if pins.prompt else None
    system = pins.prompt.system if pins.prompt else None
    turns = (
        [(said.role, each) for said, each in zip(pins.prompt.messages, pins.prompt.examples, strict=True)]
        if pins.prompt
        else []
    )
    nulls = pins.prompt.nulls if pins.prompt else {}
    ask = ask_of(pins)
    attach: Attach = as_it_is
    if ask is not None and template is not None:
        attach = ask.attach
        if ask.instruction:
            template = Template((*template.parts, ask.instruction))
    family = family_of(pins.model_id)
    return Encoder(family, template, system, pins.inference, turns=turns, nulls=nulls, attach=attach)


def ask_of(pins: Pins) -> Ask | None:
    """What asks for JSON in the records of a run with an output schema."""
    return Ask(read_schema(pins.output.text), pins.output.mode, pins.output.carrier) if pins.output else None


def needed_columns(pins: Pins) -> tuple[str, ...]:
    """The columns that go into the records."""
    if pins.request_format is not None:
        return (BODY_COLUMNS[pins.request_format],)
    return columns_of(template_of(pins.prompt))


def check_needed(pins: Pins, count: DatasetCount) -> None:
    """Hold the columns that the prompt needs against those of the source.

    Raises:
        MissingColumn: one is not there; the text names the nearest that is.
        ValueError: one cannot be written as text; the text names it.
    """
    if pins.request_format is not None:
        return  # each line of each file was seen to have its request
    template = template_of(pins.prompt)
    check_columns(template, count.columns)
    for column in template.placeholders:
        if column in count.no_text:
            raise NotEncodable(f"the column {column!r} {count.no_text[column]}")
    check_encodable(count.schema, template.placeholders)
