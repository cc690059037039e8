"""What an `s3_uri` names: one object, a folder, or a pattern over keys. Pure.

Keys are S3's, and no paths of any file system: `/` is a character like others, `.` and `..` mean nothing, case counts.
Only the pattern's wildcards know of segments, the pieces between slashes:

| In a pattern | stands for |
| --- | --- |
| `*` | any characters of one segment, or none |
| `?` | one character of a segment |
| `[abc]`, `[a-z]`, `[!abc]` | one character of these, or none of these; `[*]` is the asterisk itself |
| `**`, a segment of its own | any segments, or none; at the end, everything below |

A key of many characters against a pattern of many wildcards takes time like the product of both lengths and never more:
what a wildcard has taken is not tried again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from quarry_core.text import shown_name

# S3's own limit, in bytes of UTF-8.
KEY_BYTES_MAX = 1_024
# Nobody needs more; each costs time at every key that is listed.
WILDCARDS_MAX = 32
# Each may cost a request of its own, before anything is accepted.
URIS_MAX = 1_000

S3Kind = Literal["object", "folder", "pattern"]

_URI = re.compile(r"s3://([a-z0-9][-.a-z0-9]{1,61}[a-z0-9])/(.*)", re.DOTALL)
_SHAPED = re.compile("s3://([^/]+)/.*", re.DOTALL)
_CLASS = re.compile(r"\[([!^]?)(\]?[^\]/]*)\]")
_WILDCARD = re.compile(rf"[*?]|{_CLASS.pattern}")
_BELOW = "**"


@dataclass(frozen=True)
class S3Name:
    """One URI of a manifest.

    Attributes:
        uri: as it was written.
        key: what follows the bucket: a key, a folder with its slash, a pattern. Empty is the whole bucket.
    """

    uri: str
    bucket: str
    key: str

    @property
    def kind(self) -> S3Kind:
        """`object` may turn out to be a folder that was named without its slash."""
        if _WILDCARD.search(self.key):
            return "pattern"
        return "folder" if self.key.endswith("/") or not self.key else "object"

    @property
    def prefix(self) -> str:
        """With which every key begins that it names."""
        found = _WILDCARD.search(self.key)
        return self.key[: found.start()] if found else self.key

    @property
    def root(self) -> str:
        """The folder that was named literally, with its slash: what it is called says nothing of the rows."""
        return self.prefix[: self.prefix.rfind("/") + 1]


def parse_s3_name(uri: str) -> S3Name:
    """Read a URI of the form s3://bucket/… . Raises ValueError with the remedy."""
    match = _URI.fullmatch(uri)
    if match is None:
        shaped = _SHAPED.fullmatch(uri)
        if shaped is not None:
            raise ValueError(
                f"{shown_name(shaped[1])!r} is not a bucket name: bucket names have 3 to 63 of a-z, 0-9, '-' and '.'"
            )
        raise ValueError(f"{shown_name(uri)!r} is not of the form s3://bucket/key")
    name = S3Name(uri, match[1], match[2])
    size_bytes = len(name.key.encode(errors="surrogatepass"))
    if size_bytes > KEY_BYTES_MAX:
        raise ValueError(f"the key has {size_bytes} bytes, and S3 takes at most {KEY_BYTES_MAX}")
    if name.kind == "pattern":
        Pattern(name.key)
    return name


@dataclass(frozen=True)
class Pattern:
    """A pattern over keys. Raises ValueError: it is none that can be followed."""

    key: str
    _segments: tuple[re.Pattern[str] | None, ...] = field(init=False, repr=False)  # None is `**`

    def __post_init__(self) -> None:
        wildcards = sum(1 for _ in _WILDCARD.finditer(self.key))
        if wildcards > WILDCARDS_MAX:
            raise ValueError(
                f"{shown_name(self.key)!r} has {wildcards} wildcards; at most {WILDCARDS_MAX} are allowed: name the"
                " folders, in a list if they are several"
            )
        names = self.key.split("/")
        if not names[-1]:
            names[-1] = _BELOW
        if names[-1] == _BELOW:
            names.append("*")  # an object below is meant, and not the folder's own name
        segments = tuple(None if name == _BELOW else re.compile(_translated(name), re.DOTALL) for name in names)
        object.__setattr__(self, "_segments", segments)

    def matches(self, key: str) -> bool:
        """Whether the whole key is meant."""
        names, segments = key.split("/"), self._segments
        at = here = 0
        retry: tuple[int, int] | None = None  # where the last `**` stands, and up to which name it has taken
        while at < len(names):
            segment = segments[here] if here < len(segments) else _NEVER
            if segment is None:
                retry = (here, at)
                here += 1
            elif segment.fullmatch(names[at]):
                at, here = at + 1, here + 1
            elif retry is not None:
                # Only the last one takes more: what an earlier one took is not tried again.
                retry = (retry[0], retry[1] + 1)
                here, at = retry[0] + 1, retry[1]
            else:
                return False
        return all(segment is None for segment in segments[here:])

    @cached_property
    def _asked_for(self) -> tuple[re.Pattern[str], ...]:
        names = (name for name in self.key.split("/") if name[:1] in ("_", "."))
        return tuple(re.compile(_translated(name), re.DOTALL) for name in names)

    def asks_for(self, segment: str) -> bool:
        """Whether the pattern itself names a segment that is hidden otherwise: `_old` or `.part*`."""
        return any(each.fullmatch(segment) for each in self._asked_for)


_NEVER = re.compile(r"(?!)")


def _translated(name: str) -> str:
    """The regular expression of one segment.

    Between two asterisks stands a piece of fixed length; it is looked for from the left, and where it was found is
    final (an atomic group). The last piece ends the segment.
    """
    if _BELOW in name:
        raise ValueError(
            f"{shown_name(name)!r}: ** stands for whole folders and must have slashes around it: write"
            f" {name.replace(_BELOW, '**/*', 1)}"
        )
    pieces = [""]
    at = 0
    while at < len(name):
        found = _WILDCARD.match(name, at)
        if found is None:
            pieces[-1] += re.escape(name[at])
            at += 1
            continue
        if found[0] == "*":
            pieces.append("")
        else:
            pieces[-1] += "." if found[0] == "?" else _class(found[0])
        at = found.end()
    if len(pieces) == 1:
        return pieces[0]
    first, *middle, last = pieces
    return first + "".join(f"(?>.*?{piece})" for piece in middle if piece) + f".*{last}"


def _class(text: str) -> str:
    match = _CLASS.fullmatch(text)
    assert match is not None
    written = ""
    members, at = match[2], 0
    while at < len(members):
        low = members[at]
        high = members[at + 2] if members[at + 1 : at + 2] == "-" and at + 2 < len(members) else ""
        if high and low > high:
            raise ValueError(
                f"{shown_name(text)!r}: a range goes from the lower character to the higher: [{high}-{low}]"
            )
        written += f"{re.escape(low)}-{re.escape(high)}" if high else re.escape(low)
        at += 3 if high else 1
    return f"[{'^' if match[1] else ''}{written}]"
