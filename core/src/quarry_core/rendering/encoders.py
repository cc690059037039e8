"""From a run's pins to the encoder of its records."""

from __future__ import annotations

from functools import partial
from typing import Any

import pyarrow as pa

from quarry_core.contract.images import check_image_columns
from quarry_core.contract.prompts import Template, check_columns, columns_of, parse_template, template_of
from quarry_core.contract.requests import BODY_COLUMNS
from quarry_core.contract.run import Pins
from quarry_core.models import BY_INVOKE_MODEL, family_of, image_content_of
from quarry_core.ports import Objects
from quarry_core.rendering.encode import Attach, Encoder, as_it_is
from quarry_core.rendering.image_values import why_no_images
from quarry_core.rendering.images import ImageEncoder, ImageLoader, marked
from quarry_core.rendering.requests import RequestEncoder
from quarry_core.rendering.row_encoder import RowEncoder
from quarry_core.rendering.text import NotEncodable, check_encodable
from quarry_core.structured.schema import read_schema
from quarry_core.structured.ways import Ask
from quarry_core.tabular.counted import DatasetCount

# Which of them a request does not hold itself is the one that is used.
MARKS_MAX = 1_000


def encoder_of(pins: Pins, *, sound: bool = False) -> RowEncoder:
    """What encodes the texts of a run's records; where they show images, `sending_encoder_of` adds these.

    Args:
        pins: of the run.
        sound: whether all texts of its source are known to be UTF-8 (`DatasetCount.sound`).
    """
    if pins.request_format is not None:
        return RequestEncoder(pins.request_format)
    return _texts_of(pins, as_it_is, sound=sound)


def sending_encoder_of(pins: Pins, objects: Objects, *, sound: bool = False) -> RowEncoder:
    """What encodes a run's records as they are sent, as `encoder_of` does; images are read from `objects`."""
    if not pins.images:
        return encoder_of(pins, sound=sound)
    for number in range(MARKS_MAX):
        word = f"<image {number}>"
        mark = b'["%b",' % word.encode()
        texts = _texts_of(pins, partial(marked, mark=word), sound=sound)
        if texts.constant_count(mark) == 1:
            return ImageEncoder(texts, mark, pins.images, loader_of(pins, objects))
    raise ValueError("the request holds every mark that stands for images: change its lists of texts")


def loader_of(pins: Pins, objects: Objects) -> ImageLoader:
    """What reads the images of a run that has some."""
    return ImageLoader(objects, image_content_of(pins.model), pins.source.bucket_owner)


def _texts_of(pins: Pins, put_in: Attach, *, sound: bool) -> Encoder:
    template = parse_template(pins.prompt.template, constant=bool(pins.images)) if pins.prompt else None
    system = pins.prompt.system if pins.prompt else None
    turns = (
        [(said.role, each) for said, each in zip(pins.prompt.messages, pins.prompt.examples, strict=True)]
        if pins.prompt
        else []
    )
    nulls = pins.prompt.nulls if pins.prompt else {}
    ask = ask_of(pins)
    attach: Attach = put_in
    family = family_of(pins.model)
    if ask is not None and template is not None:
        own = pins.output is not None and pins.output.carrier in BY_INVOKE_MODEL
        attach = partial(_attached, ask, put_in, family.own_form if own else as_it_is)
        if ask.instruction:
            template = Template((*template.parts, ask.instruction))
    return Encoder(family, template, system, pins.inference, turns=turns, nulls=nulls, attach=attach, sound=sound)


def _attached(ask: Ask, put_in: Attach, form: Attach, body: dict[str, Any]) -> dict[str, Any]:
    return put_in(ask.attach(form(body)))


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
    check_images(pins, count.schema)
    template = template_of(pins.prompt)
    check_columns(template, count.columns)
    for column in template.placeholders:
        if column in count.no_text:
            raise NotEncodable(f"the column {column!r} {count.no_text[column]}")
    check_encodable(count.schema, template.placeholders)


def check_images(pins: Pins, schema: pa.Schema) -> None:
    """Hold the columns of images against those of the source. Raises as `check_needed`."""
    check_image_columns(pins.images, schema.names)
    for one in pins.images:
        if len(schema.get_all_field_indices(one.column)) > 1:
            raise NotEncodable(f"images: the dataset has more than one column {one.column!r}: rename them")
        kind = schema.field(one.column).type
        if why := why_no_images(kind):
            raise NotEncodable(f"images: the column {one.column!r} is of type {kind}, which {why}")
