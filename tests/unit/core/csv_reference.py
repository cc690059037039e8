"""CSV read one character after the other: slow, plain, and written from the rules alone, to hold the fast way against."""

from __future__ import annotations


class NoCsv(ValueError):
    """The text is no CSV of this dialect."""


def parse(text: str, delimiter: str = ",", escape: str = "double") -> list[tuple[int, list[str]]]:
    """The records of a text: where each begins, in characters, and its cells. Raises NoCsv."""
    records: list[tuple[int, list[str]]] = []
    cells: list[str] = []
    cell, state, begin, at = "", "start", 0, 0

    while at < len(text):
        here, following = text[at], text[at + 1 : at + 2]
        at += 1
        if state == "quoted":
            if escape == "backslash" and here == "\\" and following in {'"', "\\"} and following:
                cell, at = cell + following, at + 1
            elif escape == "double" and here == '"' and following == '"':
                cell, at = cell + '"', at + 1
            elif here == '"':
                state = "closed"
            else:
                cell += here
        elif here == delimiter:
            cells, cell, state = [*cells, cell], "", "start"
        elif here in "\r\n":
            if cells or state != "start":
                records.append((begin, [*cells, cell]))
            cells, cell, state, begin = [], "", "start", at
        elif state == "start" and here == '"':
            state = "quoted"
        elif here == '"' or state == "closed":
            raise NoCsv
        else:
            cell, state = cell + here, "plain"
    if state == "quoted":
        raise NoCsv
    if cells or state != "start":
        records.append((begin, [*cells, cell]))
    return records
