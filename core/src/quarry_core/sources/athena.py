"""The list of the files that a query of Athena's has written, `<query id>-manifest.csv`: one URI a line. Pure."""

from __future__ import annotations

from quarry_core.contract.listing import FILES_MAX
from quarry_core.contract.manifest import ManifestError
from quarry_core.contract.s3_names import S3Name, parse_s3_name
from quarry_core.sources.folders import shown_key

ATHENA_LIST_BYTES_MAX = 16 * 1024 * 1024


def named_in_list(body: bytes, name: S3Name) -> list[S3Name]:
    """The objects of a list, in its order.

    Raises:
        ManifestError: it is no such list, or too long.
    """
    uri = shown_key(name.uri)
    if len(body) > ATHENA_LIST_BYTES_MAX:
        raise ManifestError(f"s3_uri: {uri} has more than {ATHENA_LIST_BYTES_MAX} bytes: name the folder instead")
    try:
        lines = [line.strip().strip('"') for line in body.decode().splitlines()]
        named = [_literal(parse_s3_name(line)) for line in lines if line]
    except ValueError as error:
        raise ManifestError(
            f"s3_uri: {uri} is called like Athena's list of a query's files, and is none ({error}): rename it if it is"
            " data, or name the folder of the files"
        ) from error
    if not named:
        raise ManifestError(f"s3_uri: {uri} lists no files: the query has written no rows")
    if len(named) > FILES_MAX:
        raise ManifestError(f"s3_uri: {uri} lists more than {FILES_MAX:,} files, which is the most of one source")
    if any(each.bucket != name.bucket for each in named):
        raise ManifestError(f"s3_uri: {uri} lists files in another bucket: name their folder instead")
    return named


def _literal(name: S3Name) -> S3Name:
    if name.kind != "object":
        raise ValueError(f"{name.uri!r} is no object")
    return name
