"""The range of bytes that a request asks for (RFC 9110, section 14). Pure; one range, as every client here sends."""

import re

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class NotSatisfiable(Exception):
    """The range begins behind the end."""


def asked_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """[start, end) of what is asked for; None for the whole file, also if the header cannot be read.

    Raises:
        NotSatisfiable: as its name says; an empty file has no range at all.
    """
    found = _RANGE.fullmatch((header or "").strip())
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        start, end = max(size_bytes - int(last), 0), size_bytes
        if not int(last):
            raise NotSatisfiable
    else:
        start, end = int(first), min(int(last) + 1, size_bytes) if last else size_bytes
        if last and int(last) < start:
            return None
    if start >= size_bytes:
        raise NotSatisfiable
    return start, end
