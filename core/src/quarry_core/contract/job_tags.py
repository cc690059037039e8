"""The tags of an environment, which stand on every batch job beside the tags of its run. Pure.

`QUARRY_JOB_TAGS` holds them, as `team=search,cost-center=4711`. They join a manifest's tags when it is accepted and are pinned with
its run, so that all attempts at all of its jobs ask the same of Create, whatever the setting says by then, and one run stands under one
value on the bill. A manifest cannot give one of these keys another value: it is refused, since a tag that is silently
replaced charges somebody who does not know it. Setting that cannot be read: no service starts with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from quarry_core.contract.job_request import USER_TAGS_MAX, check_user_tags
from quarry_core.text import shown_name

VARIABLE = "QUARRY_JOB_TAGS"
NO_TAGS: Mapping[str, str] = MappingProxyType({})


class JobTagsError(ValueError):
    """The setting cannot be read; the text says what to do."""


@lru_cache(maxsize=8)
def read_job_tags(text: str) -> Mapping[str, str]:
    """The environment's tags, key to value. Raises JobTagsError.

    Args:
        text: `key=value`, with commas between them; no tag may contain a comma, and no key here an equals sign.
    """
    found: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        key, equals, value = (each.strip() for each in part.partition("="))
        if not equals:
            raise JobTagsError(f"{VARIABLE}: {shown_name(part)} is no tag; write key=value, with commas between them")
        same = _spelled(key, found)
        if same is not None:
            raise JobTagsError(f"{VARIABLE}: {shown_name(same)} and {shown_name(key)} are one key; give it once")
        found[key] = value
    try:
        check_user_tags(found)
    except ValueError as error:
        raise JobTagsError(f"{VARIABLE}: {error}") from error
    return MappingProxyType(found)


def joined_tags(tags: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """A run's tags, its environment's among them. Of tags without `tag_faults`."""
    return {**environment, **tags}


def tag_faults(tags: Mapping[str, str], environment: Mapping[str, str]) -> list[str]:
    """Why a manifest's tags cannot stand beside its environment's, a sentence each."""
    found = []
    for key, value in tags.items():
        theirs = _spelled(key, environment)
        if theirs is None or (key, value) == (theirs, environment[theirs]):
            continue
        found.append(
            f"tags: {shown_name(key)} is {shown_name(value)}, and every job here has {shown_name(theirs)} ="
            f" {shown_name(environment[theirs])}: leave it out ({VARIABLE})"
        )
    number = len(environment.keys() | tags.keys())
    if not found and number > USER_TAGS_MAX:
        found.append(
            f"tags: there are {len(tags)}, and every job here has {len(environment)} of its environment: give at most"
            f" {USER_TAGS_MAX - len(environment)} more ({VARIABLE})"
        )
    return found


def _spelled(key: str, tags: Mapping[str, str]) -> str | None:
    """How a key stands among these tags. In upper or lower case it is one key: IAM's conditions ignore case, a bill would show two."""
    return next((each for each in tags if each.lower() == key.lower()), None)
