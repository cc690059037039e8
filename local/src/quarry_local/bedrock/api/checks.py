"""Requests are read and checked by the service model that ships with botocore.

boto3 checks required members, types and minima before it sends; maximum, pattern and enum it leaves to the service
(contract section 1.1), so all of them are checked here, for every member, as the model states them. Rules that the
model does not state stand in `register`.

Live texts of these errors are those of AWS services in general; the code is what a client should look at.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import botocore.session
import msgspec

from quarry_local.bedrock.errors import ApiError, invalid

# The model's pattern for job names backtracks exponentially on hyphens. Within the maximum of 63 characters this one
# accepts the same names: its second half takes hyphens by itself.
_LINEAR = {
    r"[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63}": r"[a-zA-Z0-9][a-zA-Z0-9+\-.]*",
}

Shape = Any  # botocore's shapes carry no types.


@cache
def _service_model(service: str) -> Any:
    return botocore.session.Session().get_service_model(service)


class Checks:
    def __init__(self, service: str = "bedrock") -> None:
        self._model = _service_model(service)
        self._patterns: dict[str, re.Pattern[str]] = {}

    def route(self, operation: str) -> tuple[str, str]:
        """The operation's method and path template."""
        http = self._model.operation_model(operation).http
        return str(http["method"]), str(http["requestUri"])

    def read(self, operation: str, *, path: Mapping[str, str], query: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """The request's members by name, checked; timestamps as seconds since the epoch.

        Raises:
            ApiError: ValidationException, with every breach in its message.
        """
        shape = self._model.operation_model(operation).input_shape
        found: dict[str, Any] = {}
        rest = _json_object(body)
        for name, member in shape.members.items():
            where = member.serialization.get("location")
            wire = member.serialization.get("name", name)
            if where == "uri":
                found[name] = path[wire]
            elif where == "querystring":
                if wire in query:
                    found[name] = _from_text(member, query[wire], name)
            elif rest.get(wire) is not None:
                found[name] = rest[wire]
        breaches: list[str] = []
        checked = self._structure(shape, found, "", breaches)
        if breaches:
            count = f"{len(breaches)} validation error{'s' if len(breaches) > 1 else ''} detected: "
            raise invalid(count + "; ".join(breaches))
        return checked

    def _value(self, shape: Shape, value: Any, at: str, breaches: list[str]) -> Any:
        check = _KINDS[shape.type_name]
        return check(self, shape, value, at, breaches)

    def _structure(self, shape: Shape, value: Any, at: str, breaches: list[str]) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong_type(at, "a structure")
        breaches.extend(
            _breach(None, _join(at, name), "Member must not be null")
            for name in shape.required_members
            if value.get(name) is None
        )
        # Members that the model does not know are ignored, as AWS services do.
        present = {name: value[name] for name in shape.members if value.get(name) is not None}
        if shape.is_tagged_union and len(present) != 1:
            breaches.append(f"Exactly one member must be set at '{at}'")
        return {
            name: self._value(shape.members[name], found, _join(at, name), breaches) for name, found in present.items()
        }

    def _list(self, shape: Shape, value: Any, at: str, breaches: list[str]) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong_type(at, "a list")
        _check_bounds(shape, len(value), value, at, "length", breaches)
        return [
            self._value(shape.member, item, f"{at}.{position}.member", breaches)
            for position, item in enumerate(value, start=1)
        ]

    def _string(self, shape: Shape, value: Any, at: str, breaches: list[str]) -> str:
        if not isinstance(value, str):
            raise _wrong_type(at, "a string")
        if shape.enum:
            if value not in shape.enum:
                breaches.append(_breach(value, at, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"))
            return value
        within = _check_bounds(shape, len(value), value, at, "length", breaches)
        pattern = shape.metadata.get("pattern")
        # A value beyond the maximum is refused already; no pattern need be run over it.
        if pattern and within and not self._compiled(pattern).fullmatch(value):
            breaches.append(_breach(value, at, f"Member must satisfy regular expression pattern: {pattern}"))
        return value

    def _integer(self, shape: Shape, value: Any, at: str, breaches: list[str]) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong_type(at, "an integer")
        _check_bounds(shape, value, value, at, "value", breaches)
        return value

    def _timestamp(self, _shape: Shape, value: Any, at: str, _breaches: list[str]) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise _wrong_type(at, "a timestamp")
        return float(value)

    def _compiled(self, pattern: str) -> re.Pattern[str]:
        if pattern not in self._patterns:
            self._patterns[pattern] = re.compile(_LINEAR.get(pattern, pattern), re.ASCII)
        return self._patterns[pattern]


# The kinds that the job and tagging operations use; another kind is a new operation, and should fail loudly.
_KINDS: dict[str, Callable[[Checks, Shape, Any, str, list[str]], Any]] = {
    "structure": Checks._structure,  # noqa: SLF001 - the table belongs to the class above
    "list": Checks._list,  # noqa: SLF001
    "string": Checks._string,  # noqa: SLF001
    "integer": Checks._integer,  # noqa: SLF001
    "timestamp": Checks._timestamp,  # noqa: SLF001
}


def _json_object(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        raise ApiError("SerializationException", 400, "The request body is not a JSON object") from None


def _from_text(shape: Shape, text: str, name: str) -> Any:
    """A query string's member as JSON would carry it."""
    if shape.type_name == "integer":
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            raise _wrong_type(name, "an integer")
        return int(text)
    if shape.type_name == "timestamp":
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise _wrong_type(name, "a timestamp") from None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        return seconds if math.isfinite(seconds) else None
    return text


def _check_bounds(shape: Shape, size: int, value: Any, at: str, what: str, breaches: list[str]) -> bool:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        breaches.append(_breach(value, at, f"Member must have {what} greater than or equal to {least}"))
        return False
    if most is not None and size > most:
        breaches.append(_breach(value, at, f"Member must have {what} less than or equal to {most}"))
        return False
    return True


def _breach(value: Any, at: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{value!s:.200}'"
    return f"Value {shown} at '{at}' failed to satisfy constraint: {constraint}"


def _join(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _wrong_type(at: str, wanted: str) -> ApiError:
    return invalid(f"Value at '{at}' must be {wanted}")
