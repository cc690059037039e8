"""What a Parquet file's own schema says of its columns where Arrow is silent, and how a part gets to say it too.

pyarrow reads an INTERVAL as 12 bytes, a VARIANT as a struct of bytes and TIME WITH TIME ZONE as a time, and writes them
back as just that. The values are untouched; the annotation is gone, and with it the type that DuckDB or Spark see. So
the annotations are read here from the source's footer, and those that pyarrow drops are put into the part's.

The footer is one struct of Thrift's compact protocol; only its list of schema elements is looked at, and of those only
the annotated ones are written anew. Fields and numbers:
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict

MAGIC = b"PAR1"
DEPTH_MAX = 100

# Fields of a SchemaElement.
_TYPE, _TYPE_LENGTH, _NAME, _CHILDREN, _CONVERTED, _SCALE, _PRECISION, _LOGICAL = 1, 2, 4, 5, 6, 7, 8, 10
_I32, _BINARY, _STRUCT = 5, 8, 12
_PHYSICAL = ("BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED")
_LOGICAL_NAMES = {
    1: "STRING", 2: "MAP", 3: "LIST", 4: "ENUM", 5: "DECIMAL", 6: "DATE", 7: "TIME", 8: "TIMESTAMP", 10: "INTEGER",
    11: "UNKNOWN", 12: "JSON", 13: "BSON", 14: "UUID", 15: "FLOAT16", 16: "VARIANT", 17: "GEOMETRY", 18: "GEOGRAPHY",
}  # fmt: skip
_CONVERTED_NAMES = (
    "STRING", "MAP", "MAP_KEY_VALUE", "LIST", "ENUM", "DECIMAL", "DATE", "TIME ms", "TIME us", "TIMESTAMP ms",
    "TIMESTAMP us", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "JSON", "BSON", "INTERVAL",
)  # fmt: skip
_UNITS = {1: "ms", 2: "us", 3: "ns"}
_PLAIN_GROUPS = {"", "MAP", "MAP_KEY_VALUE", "LIST"}


class NotAFooter(ValueError):
    """The bytes are no Parquet footer in the clear."""


class Annotation(BaseModel):
    """An annotation to be put into a part's footer.

    Attributes:
        leaf: which leaf of the tree it belongs to, counted from 0 in the file's order.
        on_group: it belongs to the group around the leaf.
        converted: the number of the old kind of annotation, if there is one.
        logical: the new kind as Thrift writes it, in hex; empty if there is none.
    """

    model_config = ConfigDict(frozen=True)

    leaf: int
    on_group: bool = False
    converted: int | None = None
    logical: str = ""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf of a file's tree.

    Attributes:
        column: the top-level column that it belongs to.
        physical: how its values are stored.
        kind: what they are, in one spelling whichever of the two kinds of annotation the writer took: `INTERVAL`,
            `INT64`, `TIME us utc`. Of times by the old kind nobody knows whether they are `utc` or `local`: `either`.
        group: the annotation of the group around it, where it makes more of it than a struct, a list or a map.
        element, parent: where they stand in the footer.
    """

    column: str
    physical: str
    kind: str
    group: str
    element: SchemaElement
    parent: SchemaElement

    @property
    def converted(self) -> int | None:
        """The number of the old kind of annotation."""
        number: int | None = self.element.fields.get(_CONVERTED)
        return number

    def annotation(self, leaf: int, *, on_group: bool = False) -> Annotation:
        element = self.parent if on_group else self.element
        return Annotation(
            leaf=leaf, on_group=on_group, converted=element.fields.get(_CONVERTED), logical=element.logical.hex()
        )


def leaves_of(file: BinaryIO) -> list[Leaf]:
    """The leaves of a Parquet file. Raises NotAFooter, also for a file whose footer is encrypted."""
    size = file.seek(0, 2)
    file.seek(max(size - 8, 0))
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC or length + 8 > size:
        raise NotAFooter("there is no footer of a Parquet file at its end")
    file.seek(size - 8 - length)
    return _leaves(_elements(file.read(length)))


def annotate(ending: bytes, annotations: Sequence[Annotation]) -> bytes:
    """The ending of a Parquet file (footer, its length, the magic; more in front is let be) with these annotations."""
    length = int.from_bytes(ending[-8:-4], "little")
    footer = ending[-8 - length : -8]
    leaves = _leaves(_elements(footer))
    changes: dict[int, tuple[SchemaElement, Annotation]] = {}
    for each in annotations:
        leaf = leaves[each.leaf]
        element = leaf.parent if each.on_group else leaf.element
        changes[element.start] = (element, each)
    pieces, at = [], 0
    for start, (element, each) in sorted(changes.items(), key=lambda change: change[0]):
        pieces += [footer[at:start], element.written_with(each)]
        at = element.end
    changed = b"".join((*pieces, footer[at:]))
    return ending[: -8 - length] + changed + len(changed).to_bytes(4, "little") + MAGIC


# --------------------------------------------------------------------------- the tree


@dataclass(slots=True, eq=False)
class SchemaElement:
    """A SchemaElement, and where it lies in the footer."""

    start: int
    end: int = 0
    fields: dict[int, Any] = field(default_factory=dict)
    logical: bytes = b""

    @property
    def annotation(self) -> str:
        reported = self.fields.get(_LOGICAL)
        if reported:
            return _logical_name(reported)
        converted = self.fields.get(_CONVERTED)
        if converted is None:
            return ""
        name = _CONVERTED_NAMES[converted]
        if name == "DECIMAL":
            return f"DECIMAL({self.fields[_PRECISION]}, {self.fields.get(_SCALE, 0)})"
        return f"{name} either" if name.startswith("TIME") else name

    @property
    def physical(self) -> str:
        name = _PHYSICAL[self.fields[_TYPE]]
        return f"FIXED({self.fields.get(_TYPE_LENGTH, 0)})" if name == "FIXED" else name

    def written_with(self, annotation: Annotation) -> bytes:
        """The element as Thrift writes it, with another annotation."""
        fields = {**self.fields, _CONVERTED: annotation.converted, _LOGICAL: bytes.fromhex(annotation.logical) or None}
        out, before = bytearray(), 0
        for number, value in sorted(fields.items()):
            if value is None:
                continue
            kind = {_NAME: _BINARY, _LOGICAL: _STRUCT}.get(number, _I32)
            out.append((number - before) << 4 | kind)
            before = number
            if kind == _I32:
                out += _varint(value << 1 ^ value >> 31)
            elif kind == _BINARY:
                out += _varint(len(value)) + value
            else:
                out += value
        return bytes(out) + b"\0"


def _logical_name(reported: dict[int, Any]) -> str:
    (number, inner), *_ = reported.items()
    name = _LOGICAL_NAMES.get(number, f"of an unknown kind ({number})")
    match name:
        case "TIME" | "TIMESTAMP":
            return f"{name} {_UNITS.get(next(iter(inner[2])), '?')} {'utc' if inner[1] else 'local'}"
        case "DECIMAL":
            return f"DECIMAL({inner[2]}, {inner[1]})"
        case "INTEGER":
            return f"{'' if inner[2] else 'U'}INT{inner[1]}"
    return name


def _elements(footer: bytes) -> list[SchemaElement]:
    try:
        return _Thrift(footer).schema_elements()
    except IndexError as error:
        raise NotAFooter("the footer is cut short") from error


def _leaves(elements: Sequence[SchemaElement]) -> list[Leaf]:
    rest = iter(elements)

    def under(parent: SchemaElement, column: str | None, depth: int) -> Iterator[Leaf]:
        if depth > DEPTH_MAX:
            raise NotAFooter(f"columns are nested more than {DEPTH_MAX} deep")
        for _ in range(parent.fields.get(_CHILDREN) or 0):
            element = next(rest)
            name = column if column is not None else element.fields[_NAME].decode()
            if _TYPE not in element.fields:
                yield from under(element, name, depth + 1)
                continue
            group = parent.annotation
            yield Leaf(
                column=name,
                physical=element.physical,
                kind=element.annotation or element.physical,
                group="" if group in _PLAIN_GROUPS else group,
                element=element,
                parent=parent,
            )

    try:
        return list(under(next(rest), None, 0))
    except NotAFooter:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, StopIteration, RuntimeError) as error:
        raise NotAFooter(f"the footer's schema is inconsistent: {type(error).__name__}") from error


# --------------------------------------------------------------------------- Thrift's compact protocol


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


class _Thrift:
    """Reads values; structs become dicts by field number."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def schema_elements(self) -> list[SchemaElement]:
        """Field 2 of FileMetaData."""
        for number, kind in self._fields():
            if number == 2 and kind == 9:
                count, _ = self._list_head()
                return [self._element() for _ in range(count)]
            self._value(kind, 0)
        raise NotAFooter("there is no schema in the footer")

    def _element(self) -> SchemaElement:
        element = SchemaElement(self._at)
        for number, kind in self._fields():
            begin = self._at
            element.fields[number] = self._value(kind, 0)
            if number == _LOGICAL:
                element.logical = self._data[begin : self._at]
        element.end = self._at
        return element

    def _fields(self) -> Iterator[tuple[int, int]]:
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            yield number, head & 15

    def _value(self, kind: int, depth: int, *, in_list: bool = False) -> Any:
        if depth > DEPTH_MAX:
            raise NotAFooter("the footer is nested too deep")
        match kind:
            case 1 | 2:
                return (self._byte() if in_list else kind) == 1
            case 3:
                return int.from_bytes(self._bytes(1), "little", signed=True)
            case 4 | 5 | 6:
                return self._zigzag()
            case 7:
                return self._bytes(8)
            case 8:
                return self._bytes(self._number())
            case 9 | 10:
                count, inner = self._list_head()
                return [self._value(inner, depth + 1, in_list=True) for _ in range(count)]
            case 12:
                return {number: self._value(inner, depth + 1) for number, inner in self._fields()}
            case _:
                raise NotAFooter(f"the footer has a value of unknown kind {kind}")

    def _list_head(self) -> tuple[int, int]:
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._number()
        if count > len(self._data):
            raise NotAFooter("a list in the footer is longer than the footer")
        return count, head & 15

    def _byte(self) -> int:
        byte = self._data[self._at]
        self._at += 1
        return byte

    def _bytes(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) != count:
            raise NotAFooter("the footer is cut short")
        self._at += count
        return taken

    def _number(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise NotAFooter("a number in the footer has more than 64 bits")

    def _zigzag(self) -> int:
        value = self._number()
        return value >> 1 ^ -(value & 1)
