"""What the service model says of each member of each request, as cases: a value within a limit, at it, beyond it.

Everything is read from botocore's model; nothing is restated here. A `Case` names an operation, a member and how its
value stands to the model's limit; `Case.values` makes such values for hypothesis, and `Case.put` places one into a
request. What the model cannot express (a length at which no value fits the pattern) is no case.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.conformance.world import MODEL

OPERATIONS = (
    "CreateModelInvocationJob",
    "GetModelInvocationJob",
    "ListModelInvocationJobs",
    "StopModelInvocationJob",
    "TagResource",
    "UntagResource",
    "ListTagsForResource",
)
Path = tuple[str | int, ...]
WELL_FORMED = frozenset({"within", "at-min", "at-max", "each-enum"})
_MISSING = object()
_OTHERS = " _/é~\t(,"
_PLAIN = 24  # characters of a drawn text: the model's patterns can be slow on long ones that do not match


@dataclass(frozen=True)
class Case:
    operation: str
    path: Path
    kind: str
    shape: Any

    def __str__(self) -> str:
        return f"{self.operation}-{self.member}-{self.kind}"

    @property
    def member(self) -> str:
        return ".".join("member" if isinstance(step, int) else step for step in self.path)

    @property
    def well_formed(self) -> bool:
        """Whether the model has nothing against it."""
        return self.kind in WELL_FORMED

    @property
    def values(self) -> st.SearchStrategy[Any]:
        return _values(self.shape, self.kind)

    def put(self, request: dict[str, Any], value: Any) -> dict[str, Any]:
        """The request with this value in the member's place; what the way there needs is made."""
        made = copy.deepcopy(request)
        at: Any = made
        shape = MODEL.operation_model(self.operation).input_shape
        for step in self.path[:-1]:
            inner = shape.member if isinstance(step, int) else shape.members[step]
            if isinstance(step, int):
                at[:] = at[: step + 1] or [example(inner)]
            elif step not in at:
                at[step] = example(inner)
            at, shape = at[step], inner
        if value is _MISSING:
            at.pop(self.path[-1], None)
        elif isinstance(self.path[-1], int):
            at[:] = [value]
        else:
            at[self.path[-1]] = value
        return made


def cases() -> list[Case]:
    """All cases of all operations, in the model's order."""
    return [
        case
        for operation in OPERATIONS
        for case in _of_structure(operation, MODEL.operation_model(operation).input_shape, ())
    ]


def _of_structure(operation: str, shape: Any, path: Path) -> Iterator[Case]:
    for name, member in shape.members.items():
        at = (*path, name)
        in_path = member.serialization.get("location") == "uri"
        if name in shape.required_members and not in_path:
            yield Case(operation, at, "missing", member)
        yield from _of_value(operation, member, at)


def _of_value(operation: str, shape: Any, path: Path) -> Iterator[Case]:
    for kind in _kinds(shape):
        yield Case(operation, path, kind, shape)
    if shape.type_name == "structure":
        yield from _of_structure(operation, shape, path)
    elif shape.type_name == "list":
        yield from _of_value(operation, shape.member, (*path, 0))


def _kinds(shape: Any) -> Iterator[str]:
    least, most, pattern = (shape.metadata.get(each) for each in ("min", "max", "pattern"))
    on_the_wire = shape.serialization.get("location")
    if shape.type_name == "structure":
        if getattr(shape, "is_tagged_union", False):
            yield "no-member"
            yield "unknown-member"
    elif shape.type_name == "string" and shape.enum:
        yield "each-enum"
        yield "no-enum"
    else:
        yield "within"
        if least is not None and (least or shape.type_name == "list") and _possible(shape, least):
            yield "at-min"
        if least and on_the_wire != "uri":
            yield "under-min"
        if most is not None:
            if _possible(shape, most):
                yield "at-max"
            if _possible(shape, most + 1):
                yield "over-max"
        if pattern and pattern != r"\S*":
            yield "off-pattern"
    if on_the_wire not in {"uri", "querystring"}:
        yield "other-type"
    elif shape.type_name in {"integer", "timestamp"}:
        yield "other-text"


def _possible(shape: Any, size: int) -> bool:
    return shape.type_name != "string" or stretched(shape, size) is not None


def _values(shape: Any, kind: str) -> st.SearchStrategy[Any]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    match shape.type_name, kind:
        case _, "missing":
            return st.just(_MISSING)
        case "structure", "no-member":
            return st.sampled_from([{}, dict.fromkeys(shape.members)])
        case "structure", "unknown-member":
            return st.just({"unknownMember": {"s3Uri": "s3://bucket/key.jsonl"}})
        case "string", "other-type":
            return st.sampled_from([7, True, ["text"], {"a": "b"}])
        case _, "other-type":
            return st.sampled_from(
                ["text", [["text"]], 1.5, {"unknown": {}}][: 1 if shape.type_name != "integer" else 3]
            )
        case "integer", "other-text":
            return st.sampled_from(["many", "1.5", "", "0x10", "1e2"])
        case "timestamp", "other-text":
            return st.sampled_from(["yesterday", "2026-13-01T00:00:00Z", "2026-11-20T25:00:00Z"])
        case "timestamp", _:
            return st.datetimes().map(lambda moment: moment.isoformat() + "Z")
        case "string", "each-enum":
            return st.sampled_from(shape.enum)
        case "string", "no-enum":
            return st.sampled_from([f"{value}s" for value in shape.enum] + [shape.enum[0].swapcase(), ""])
        case "integer", _:
            low, high = least or 0, most if most is not None else 1 << 31
            return {
                "within": st.integers(low, high),
                "at-min": st.just(low),
                "at-max": st.just(high),
                "under-min": st.sampled_from([low - 1, 0, -1]) if low > 1 else st.sampled_from([low - 1, -5]),
                "over-max": st.sampled_from([high + 1, high * 1000]),
            }[kind]
        case "list", _:
            sizes = {
                "within": st.integers(least or 0, min(most or 5, 5)),
                "at-min": st.just(least),
                "at-max": st.just(most),
                "under-min": st.just((least or 0) - 1),
                "over-max": st.just((most or 0) + 1),
            }[kind]
            return sizes.map(lambda size: [example(shape.member, number) for number in range(size)])
        case "string", "within":
            return _within(shape)
        case "string", "at-min":
            return st.just(stretched(shape, least))
        case "string", "at-max":
            return st.just(stretched(shape, most))
        case "string", "over-max":
            return st.sampled_from([most + 1, most + 40]).map(lambda size: stretched(shape, size) or "x" * size)
        case "string", "under-min":
            # Every text below a least length of one is the empty one.
            return st.just("x" * (least - 1))
        case "string", "off-pattern":
            return _off_pattern(shape)
    raise AssertionError(f"no values: {shape} {kind}")


def _matches(shape: Any, text: str) -> bool:
    pattern = shape.metadata.get("pattern")
    return pattern is None or re.fullmatch(pattern, text, re.ASCII) is not None


def _within(shape: Any) -> st.SearchStrategy[str]:
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max", 1 << 16)
    pattern = shape.metadata.get("pattern")
    if shape.name in NAMES or pattern is None:
        return st.just(example(shape))
    ascii_only = st.characters(min_codepoint=32, max_codepoint=126)
    drawn = st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True, alphabet=ascii_only)
    return drawn.filter(lambda text: least <= len(text) <= min(most, _PLAIN * 8))


def _off_pattern(shape: Any) -> st.SearchStrategy[str]:
    base = example(shape)
    places = st.integers(0, min(len(base), _PLAIN))
    one_more = st.builds(lambda at, other: base[:at] + other + base[at:], places, st.sampled_from(_OTHERS))
    most = shape.metadata.get("max", 1 << 16)
    return one_more.filter(lambda text: len(text) <= most and not _matches(shape, text))


# What names something that must exist is not drawn.
NAMES = frozenset({"ModelId", "ModelInvocationJobIdentifier", "TaggableResourcesArn", "PaginationToken"})
# A value of each shape that a pattern constrains, from which longer and shorter ones are made; the model judges them.
PLAIN = {
    "ModelInvocationJobName": "a-job.1+2",
    "ModelId": "anthropic.claude-3-haiku-20240307-v1:0",
    "RoleArn": "arn:aws:iam::000000000000:role/a-role",
    "ModelInvocationIdempotencyToken": "a-token1",
    "S3Uri": "s3://a-bucket/in/data.jsonl",
    "AccountId": "000000000000",
    "KmsKeyId": "alias/a-key",
    "SubnetId": "subnet-1",
    "SecurityGroupId": "sg-1",
    "TagKey": "a key",
    "TagValue": "a value",
    "ModelInvocationJobIdentifier": "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/abcdefghijkl",
    "TaggableResourcesArn": "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/abcdefghijkl",
    "PaginationToken": "token",
}


def example(shape: Any, number: int = 0) -> Any:
    """A plain value of the shape; another `number`, another value where the shape has room for it."""
    match shape.type_name:
        case "structure":
            union = getattr(shape, "is_tagged_union", False)
            wanted = list(shape.members)[:1] if union else shape.required_members
            return {name: example(shape.members[name], number) for name in wanted}
        case "list":
            return [example(shape.member, number) for number in range(max(1, shape.metadata.get("min", 0)))]
        case "integer":
            return shape.metadata.get("min", 1)
        case "string":
            if shape.enum:
                return shape.enum[0]
            text = _base(shape)
            return (
                text if not number or shape.name not in {"TagKey", "SubnetId", "SecurityGroupId"} else f"{text}{number}"
            )
    raise AssertionError(f"no example: {shape}")


def _base(shape: Any) -> str:
    if shape.name in PLAIN:
        found = PLAIN[shape.name]
    else:
        found = next((text for text in PLAIN.values() if _matches(shape, text)), "")
    assert _matches(shape, found), f"the model's pattern of {shape.name} takes none of the examples"
    return found


def stretched(shape: Any, size: int) -> str | None:
    """A text of exactly this size that fits the shape's pattern; None where there is none to be found."""
    base = _base(shape)
    if size <= len(base):
        shorter = (base[: len(base) - cut] for cut in (len(base) - size,))
        ends = (base[len(base) - size :], "a" * size, "1" * size)
        return next((text for text in (*shorter, *ends) if _matches(shape, text)), None)
    for at in range(len(base), 0, -1):
        text = base[:at] + "a" * (size - len(base)) + base[at:]
        if _matches(shape, text):
            return text
    # Some patterns repeat a part of bounded size.
    for part in ("/a", "1", ".a"):
        text = base + part * ((size - len(base)) // len(part))
        text += "a" * (size - len(text))
        if _matches(shape, text):
            return text
    return None
