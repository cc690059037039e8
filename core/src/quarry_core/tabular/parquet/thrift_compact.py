"""Reading and writing Thrift's compact protocol, as far as Parquet uses it. Pure.

Structs become dicts by field number, lists become lists, and of texts only the length is kept. Or a struct is taken apart
into its fields as they stand (`raw_fields`), and put together again with others in their place (`write_struct`). Truncated
or impossible data raises IndexError or TypeError. The protocol:
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

DEPTH_MAX = 16
I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12


class RawField(NamedTuple):
    """A field of a struct; `value` as it stands, without the field's head. Of booleans the kind is the value."""

    number: int
    kind: int
    value: bytes


def read_struct(data: bytes, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """The struct that begins at a byte, and the byte behind it."""
    fields: dict[int, Any] = {}
    number = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _zigzag(data, at)
        fields[number], at = _value(data, at, head & 15, depth)
    return fields, at + 1


def struct_fields(data: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """The fields of a struct one by one: number, kind, and the byte at which the value begins."""
    number = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _zigzag(data, at)
        yield number, head & 15, at
        _, at = _value(data, at, head & 15, 0)


def raw_fields(data: bytes, at: int) -> tuple[list[RawField], int]:
    """The fields of the struct that begins at a byte, and the byte behind it."""
    found: list[RawField] = []
    number = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _zigzag(data, at)
        begin = at
        _, at = _value(data, at, head & 15, 0)
        found.append(RawField(number, head & 15, data[begin:at]))
    return found, at + 1


def list_head(data: bytes, at: int) -> tuple[int, int, int]:
    """How many elements a list has, of which kind, and the byte at which the first begins."""
    head = data[at]
    at += 1
    if head >> 4 < 15:
        return head >> 4, head & 15, at
    count, at = read_varint(data, at)
    if count > len(data):
        raise IndexError(count)
    return count, head & 15, at


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned number of up to 64 bits, and the byte behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise TypeError(byte)


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (5, 6, 4):
        return _zigzag(data, at)
    if kind == 8:
        length, at = read_varint(data, at)
        if at + length > len(data):
            raise IndexError(length)
        return length, at + length
    if kind in (1, 2):
        return kind == 1, at
    if kind == 12 and depth < DEPTH_MAX:
        return read_struct(data, at, depth + 1)
    if kind in (9, 10) and depth < DEPTH_MAX:
        count, inner, at = list_head(data, at)
        found = []
        for _ in range(count):
            if inner in (1, 2):
                one, at = data[at] == 1, at + 1
            else:
                one, at = _value(data, at, inner, depth + 1)
            found.append(one)
        return found, at
    if kind == 3:
        return data[at], at + 1
    if kind == 7:
        return None, at + 8
    raise TypeError(kind)


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value, at = read_varint(data, at)
    return value >> 1 ^ -(value & 1), at


# --------------------------------------------------------------------------- writing


def write_struct(fields: Iterable[RawField]) -> bytes:
    """A struct of these fields, whose numbers ascend."""
    out = bytearray()
    before = 0
    for number, kind, value in fields:
        if 0 < number - before < 16:
            out.append((number - before) << 4 | kind)
        else:
            out.append(kind)
            out += write_number(number)
        before = number
        out += value
    out.append(0)
    return bytes(out)


def write_list(kind: int, elements: Iterable[bytes]) -> bytes:
    """A list of elements of one kind, each as it is to stand."""
    written = list(elements)
    head = bytes((len(written) << 4 | kind,)) if len(written) < 15 else bytes((0xF0 | kind,)) + varint(len(written))
    return head + b"".join(written)


def write_number(value: int) -> bytes:
    """Of 16, 32 or 64 bits."""
    return varint(value << 1 ^ value >> 63)


def write_binary(value: bytes) -> bytes:
    return varint(len(value)) + value


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_number(raw: bytes) -> int:
    """The number of a raw field."""
    return _zigzag(raw, 0)[0]
