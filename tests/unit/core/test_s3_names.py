"""What an s3_uri names, and which keys a pattern means."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract.s3_names import KEY_BYTES_MAX, WILDCARDS_MAX, Pattern, parse_s3_name


@pytest.mark.parametrize(
    ("uri", "kind", "prefix", "root"),
    [
        ("s3://bucket/a/b.csv", "object", "a/b.csv", "a/"),
        ("s3://bucket/b.csv", "object", "b.csv", ""),
        ("s3://bucket/a/b/", "folder", "a/b/", "a/b/"),
        ("s3://bucket/", "folder", "", ""),
        ("s3://bucket/a/b*.csv", "pattern", "a/b", "a/"),
        ("s3://bucket/a/year=*/b.csv", "pattern", "a/year=", "a/"),
        ("s3://bucket/**", "pattern", "", ""),
        ("s3://bucket/a/[x]/b?", "pattern", "a/", "a/"),
        # A bracket that nothing closes is a bracket.
        ("s3://bucket/a[1.csv", "object", "a[1.csv", ""),
    ],
)
def test_a_uri_names_an_object_a_folder_or_a_pattern(uri, kind, prefix, root):
    name = parse_s3_name(uri)
    assert (name.kind, name.prefix, name.root) == (kind, prefix, root)
    assert uri == f"s3://{name.bucket}/{name.key}"


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("https://bucket/key", "'https://bucket/key' is not of the form s3://bucket/key"),
        ("s3://bucket", "is not of the form s3://bucket/key"),
        ("s3://Bucket/key", "'Bucket' is not a bucket name"),
        ("s3://bu*t/key", "'bu*t' is not a bucket name"),
        ("s3://bucket/" + "ä" * 513, f"the key has 1026 bytes, and S3 takes at most {KEY_BYTES_MAX}"),
        ("s3://bucket/a**.csv", "** stands for whole folders and must have slashes around it: write a**/*.csv"),
        ("s3://bucket/[z-a]", "a range goes from the lower character to the higher: [a-z]"),
        ("s3://bucket/" + "*a" * 33, f"has 33 wildcards; at most {WILDCARDS_MAX} are allowed"),
    ],
)
def test_a_uri_that_names_nothing_is_answered_with_the_remedy(uri, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse_s3_name(uri)


@pytest.mark.parametrize(
    ("pattern", "meant", "not_meant"),
    [
        ("a/*.csv", ["a/.csv", "a/b.csv", "a/b.c.csv"], ["a/b/c.csv", "b.csv", "a/b.csvx", "xa/b.csv"]),
        ("*", ["a", ""], ["a/b"]),
        ("a?c", ["abc", "a.c"], ["ac", "a/c", "abbc"]),
        ("[ab-d]x", ["ax", "cx"], ["ex", "-x", "x"]),
        ("[!a-c]x", ["dx", "^x"], ["ax", "/x"]),
        ("[^a]x", ["bx"], ["ax"]),
        ("[*]", ["*"], ["a"]),
        ("[]a]x", ["]x", "ax"], ["bx"]),
        ("[a-]x", ["-x", "ax"], ["bx"]),
        ("a.b+c*", ["a.b+c"], ["axb+c", "a.bbc"]),
        ("**/*.csv", ["a.csv", "a/b.csv", "a/b/c.csv"], ["a.txt", "a/b"]),
        ("a/**/b/*.csv", ["a/b/c.csv", "a/x/b/c.csv", "a/x/y/b/c.csv", "a/b/b/c.csv"], ["a/c.csv", "a/b/x/c.csv"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "ab/c"]),
        ("a/x*/", ["a/x/b", "a/x1/b/c"], ["a/x", "a/y/b"]),
        ("**/x/**/y", ["x/y", "a/x/b/y", "x/x/y/y"], ["x", "y/x"]),
        ("year=*/m=0[1-3]/*", ["year=2024/m=02/p"], ["year=2024/m=04/p", "year=2024/p"]),
        ("a//*", ["a//b"], ["a/b"]),
        ("*a*b*c", ["abc", "xaxbxc", "aabbcc"], ["acb", "ab", "abcx"]),
        ("*ab*", ["aab", "ab"], ["ba"]),
        ("é*", ["ée"], ["e"]),
        ("a*", ["a\nb"], []),
    ],
)
def test_a_pattern_means_these_keys_and_not_those(pattern, meant, not_meant):
    compiled = Pattern(pattern)
    assert [key for key in meant if not compiled.matches(key)] == []
    assert [key for key in not_meant if compiled.matches(key)] == []


NAMES = st.text("ab/*?", min_size=1, max_size=9)


def slow_match(pattern: list[str], key: str) -> bool:
    """By its definition, one character at a time."""
    if not pattern:
        return not key
    head, rest = pattern[0], pattern[1:]
    if head == "*":
        return slow_match(rest, key) or (key[:1] not in ("", "/") and slow_match(pattern, key[1:]))
    if head == "**/":
        return slow_match(rest, key) or ("/" in key and slow_match(pattern, key.split("/", 1)[1]))
    return bool(key) and (key[0] == head if head != "?" else key[0] != "/") and slow_match(rest, key[1:])


@given(NAMES.filter(lambda text: "**" not in text and not text.endswith("/")), st.text("ab/", max_size=7))
def test_a_pattern_without_depth_matches_by_its_definition(pattern, key):
    assert Pattern(pattern).matches(key) is slow_match(list(pattern), key)


@given(st.lists(st.sampled_from(["a", "b", "*", "a*", "?b"]), min_size=1, max_size=4), st.data())
def test_a_pattern_with_depth_matches_by_its_definition(segments, data):
    deep = data.draw(st.lists(st.booleans(), min_size=len(segments), max_size=len(segments)))
    written, tokens = "", []
    for at, (segment, below) in enumerate(zip(segments, deep, strict=True)):
        written += "**/" * below + segment + "/" * (at + 1 < len(segments))
        tokens += ["**/"] * below + list(segment) + ["/"] * (at + 1 < len(segments))
    key = data.draw(st.text("ab/", max_size=7))
    assert Pattern(written).matches(key) is slow_match(tokens, key)


@pytest.mark.parametrize("pattern", ["*a" * 31 + "b", "**/" * 15 + "*b", "*[!b]" * 16 + "b", "**/a*a*a*a*b/" * 5 + "b"])
def test_a_pattern_of_many_wildcards_ends(pattern):
    compiled = Pattern(pattern)
    for key in ("a" * 1_024, "a/" * 512, "aaaaaaa/" * 128):
        assert not compiled.matches(key)  # a matcher that went back would be at it for years


def test_a_pattern_asks_for_what_is_hidden_only_by_naming_it():
    pattern = Pattern("a/_old/.x*/*")
    assert pattern.asks_for("_old")
    assert pattern.asks_for(".xy")
    assert not pattern.asks_for("_new")
    assert not pattern.asks_for(".y")
