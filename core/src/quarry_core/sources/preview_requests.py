"""A look at the beginning of a file of ready requests, for whoever submits: what the count would refuse of it. Pure."""

from __future__ import annotations

import msgspec

from quarry_core.contract.requests import BODY_COLUMNS, FIRST_ROWS, ID_COLUMNS, RequestFormat, first_rows_fault
from quarry_core.models import check_ready
from quarry_core.models.openai_chat import Untranslatable, converse_request
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.requests.lines import NotARequest, read_line
from quarry_core.tabular.requests.rows import BOM
from quarry_core.text import shown_name


def check_first_requests(lines: bytes, key: str, form: RequestFormat, model_id: str) -> tuple[int, bool]:
    """Hold the first lines of a file against what the count asks of all.

    Returns:
        How many requests there are, and whether one of them has members of its own beside id and request.

    Raises:
        SourceError: the file would be refused; the text names the row and the remedy.
    """
    faults: list[str] = []
    rows_of: dict[str, int] = {}
    rows, others = 0, False
    for line in lines.removeprefix(BOM).split(b"\n"):
        if not line or line.isspace():
            continue
        rows += 1
        try:
            found = read_line(line, form)
        except NotARequest as error:
            raise SourceError(f"{key}: data row {rows} {error}") from error
        others = others or found.other is not None
        if found.id is not None and rows_of.setdefault(found.id, rows) != rows:
            raise SourceError(
                f"{key}: data row {rows} has the {ID_COLUMNS[form]} '{shown_name(found.id)}', which {key}: data row"
                f" {rows_of[found.id]} has too; give each request an id of its own"
            )
        if rows <= FIRST_ROWS and (fault := _fault(found.body, form, model_id)):
            faults.append(fault)
    refusal = first_rows_fault(faults, rows)
    if refusal is not None:
        raise SourceError(f"{key}: {refusal}")
    return rows, others


def _fault(body: bytes, form: RequestFormat, model_id: str) -> str:
    try:
        request = msgspec.json.decode(body)
        if form == "openai":
            converse_request(request)
        else:
            check_ready(model_id, request)
    except Untranslatable as error:
        return str(error)
    except (msgspec.MsgspecError, RecursionError):
        return ""
    except ValueError as error:
        return f"{BODY_COLUMNS[form]}.{str(error).removeprefix('inference: ')}"
    return ""
