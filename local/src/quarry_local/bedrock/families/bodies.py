"""Reading a record's body against its family's form, and saying what is wrong in the words of Bedrock's schema check.

The outer words ("Malformed input request: ..., please reformat your input and try again.") are those that on-demand
calls give for most families; what stands between them imitates the same check. Claude has a validator of its own.

Which families refuse unknown fields is known for Claude only (contract section 7). A form that forbids them here has
a closed list of parameters on AWS's page of the model; a form that does not is an open one (OpenAI's).
"""

import binascii
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec

from quarry_local.bedrock.families.answers import Refused

T = TypeVar("T")

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Tokens = Annotated[int, msgspec.Meta(ge=1)]

_KNOWN = (
    (re.compile(r"Object missing required field `(.+)`"), "required key [{}] not found"),
    (re.compile(r"Object contains unknown field `(.+)`"), "extraneous key [{}] is not permitted"),
    (re.compile(r"Expected `(\w+)`, got `(\w+)`"), "expected type: {}, found: {}"),
    (re.compile(r"Invalid enum value (.+)"), "{} is not a valid enum value"),
    (re.compile(r"Expected `\w+` (>=|<=|>|<) (\S+)"), "the value is not {} {}"),
    (re.compile(r"Expected `(\w+)` of length (\S+ \S+)"), "expected {} of length {}"),
)


def malformed(why: str) -> Refused:
    return Refused(400, f"Malformed input request: {why}, please reformat your input and try again.")


def unsupported(field: str) -> Refused:
    """For what batch inference is documented not to do; how a live record fails then is not (contract section 4.1)."""
    return Refused(400, f"{field} is not supported in batch inference")


def reader(form: type[T]) -> Callable[[bytes | msgspec.Raw], T]:
    """What decodes a body into `form`, or raises Refused."""
    decode = msgspec.json.Decoder(form).decode

    def read(body: bytes | msgspec.Raw) -> T:
        try:
            return decode(body)
        except msgspec.ValidationError as wrong:
            raise diagnose(wrong) from None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise malformed("#: the body is not valid JSON") from None

    return read


def converted(found: Any, form: Any, at: str) -> Any:
    """A part of a body that is already decoded, as `form`.

    Raises:
        Refused: it has another form; `at` is where in the body it stands.
    """
    try:
        return msgspec.convert(found, form)
    except msgspec.ValidationError as wrong:
        raise diagnose(wrong, at) from None


def diagnose(wrong: msgspec.ValidationError, within: str = "#") -> Refused:
    """A breach of a form, in the schema check's words: `#/messages/0: required key [role] not found`."""
    reported, _, at = str(wrong).partition(" - at `$")
    pointer = re.sub(r"[.\[]+", "/", at.rstrip("`").replace("]", ""))
    for pattern, words in _KNOWN:
        if found := pattern.fullmatch(reported):
            return malformed(f"{within}{pointer}: {words.format(*found.groups())}")
    return malformed(f"{within}{pointer}: {reported}")


class Located(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    uri: str
    bucketOwner: str | None = None  # noqa: N815 - the API's name


class Source(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Bytes in base64, or an object in S3."""

    bytes: str | None = None
    s3Location: Located | None = None  # noqa: N815 - the API's name


def check_source(source: Source, at: str) -> None:
    """Exactly one of both, and readable: what lies behind an S3 address is not looked at.

    Raises:
        Refused: the record cannot be read.
    """
    if (source.bytes is None) == (source.s3Location is None):
        raise malformed(f"{at}/source: exactly one of [bytes, s3Location] is expected")
    if source.bytes is not None:
        check_base64(source.bytes, f"{at}/source/bytes")
    elif source.s3Location is not None and not source.s3Location.uri.startswith("s3://"):
        raise malformed(f"{at}/source/s3Location/uri: the value is not an S3 URI")


def check_base64(text: str, at: str) -> None:
    """Whether `text` is base64 and not empty.

    Raises:
        Refused: it is not.
    """
    try:
        found = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        found = b""
    if not found:
        raise malformed(f"{at}: the value is not base64")


def only_one(block: msgspec.Struct, at: str) -> str:
    """The one member that a block of content has.

    Raises:
        Refused: it has none or several.
    """
    fields = [name for name in block.__struct_fields__ if getattr(block, name) is not None]
    if len(fields) != 1:
        raise malformed(f"{at}: exactly one of [{', '.join(block.__struct_fields__)}] is expected")
    return fields[0]


AnyObject = dict[str, Any]
