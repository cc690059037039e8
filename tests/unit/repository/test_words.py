"""One word per idea: old words of Quarry, and words that are not the field's, stay out of code, texts and pages.

`WORDS` says what to write instead. An exception is narrow: it names a word, where it may stand, and why.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[3]
# Decisions are not edited, recorded histories are what an older release wrote, and this file names every word.
SKIPPED = ("docs/decisions/", "docs/pictures/", "LICENSE", "tests/unit/repository/test_words.py")
RECORDED = re.compile(r"tests/histories/\d")
CODE = (".py", ".json", ".yaml", ".yml", ".tf", ".hcl", ".tpl")


class Word(NamedTuple):
    pattern: str
    instead: str


WORDS = (
    Word(r"door-?bells?|bells?", "wake-up"),
    Word(r"rings?|ringing|rung|rang", "wake, send a wake-up"),
    Word(r"heed(?:s|ed|ing)?", "handle"),
    Word(r"bury|buries|buried|burying|burials?", "dead-letter"),
    Word(r"(?<!dead[-_])letters?", "message, dead-letter message"),
    Word(r"(?:give|gives|gave|given|giving)[ _](?:\w+[ _])?back", "return"),
    Word(r"beats?|beaten|beating", "heartbeat"),
    Word(r"stillness|(?:stand|stands|stood|standing) still", "staleness, stale for"),
    Word(r"learn(?:s|ed|ing|er|ers|t)?", "find out, observe, track"),
    Word(r"patients?", "environment"),
    Word(r"examinations?", "check"),
    Word(r"creators?", "scheduler role"),
    Word(r"doors?", "connection, port, interface"),
    Word(r"lives", "lifecycle; is alive, runs"),
    Word(r"couriers?", "dispatch"),
    Word(r"knowledge", "account state"),
    Word(r"houses?", "world"),
    Word(r"mend(?:s|ed|ing)?", "fix, repair"),
    Word(r"heal(?:s|ed|ing)?", "repair, recover"),
    Word(r"quiet(?:ly|er)?", "idle"),
    Word(r"(?:is|are|was|were|all|be|goes) well(?![- _](?:formed|quoted|above|below|within|known|kept))", "healthy"),
)
# As names of metrics, attributes, arguments, keys and fields of logs; in a sentence they are English.
NAMES = (Word(r"told", "reported"), Word(r"says", "message, description"), Word(r"looks", "checks"))


class Exempt(NamedTuple):
    where: str
    line: str
    why: str


EXCEPTIONS = (
    Exempt("cli/src/quarry_cli/page/static/page.css", r"letter-spacing", "a property of CSS"),
    Exempt(
        "",
        r"letters?(?:,| or| and) (?:inner )?(?:digits?|hyphens?)|letters, digits|lower-case letters|upper-case letters",
        "the alphabet, in a rule for names",
    ),
    Exempt("", r"letter(?: by | for |_for_)letter", "compared character by character"),
    Exempt(
        "",
        r"\bLETTER_PX\b|begins with letters|(?:two|three|nine)[ _]letters|first letter|before a letter",
        "the alphabet",
    ),
    Exempt("", r"no letter or digit|more than letters and digits|letters that hardly|by its letters", "the alphabet"),
    Exempt(
        "",
        r"(?:ASCII|Latin|Latin-1|Vietnamese) letters?|[Ll]etters (?:of each|by) script|\bletter_(?:before|after)\b",
        "the alphabet",
    ),
    Exempt("tests/unit/local/test_bedrock_runtime.py", r"Who wrote the letters\?", "a prompt's text"),
    Exempt("", r"\blearned\b|\blearn_limit\b|limit_learned|pool learns a limit", "the limit that a pool learned"),
    Exempt("", r"\b_?[Jj]ob_?[Cc]reator\b", "creates jobs; no role"),
    Exempt("core/src/quarry_core/ledger/rows/shard.py", r'HEARTBEAT_BEFORE = "beat"', "the attribute of release 0.1.0"),
    Exempt(
        "tools/pages/promises.py", r'"dead-letter", words|dead letter\(\?=', "gives the names of tests their hyphen"
    ),
    Exempt("", r"--quiet\b|PIP_QUIET", "an option of pip, apt-get, buildah and uv"),
)


def _split(line: str) -> str:
    """CamelCase as words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", line)


def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z])(?:{pattern})(?![A-Za-z])", re.IGNORECASE)


_WORDS = [(_pattern(word.pattern), word.instead) for word in WORDS]
# What a line must hold at least to be looked at word by word: nearly none does.
_ANY = re.compile(rf"(?<![a-z])(?:{'|'.join(word.pattern for word in WORDS)})(?![a-z])")
_NAMES = [
    (
        re.compile(
            rf'\b{word.pattern}\s?=(?!=)|["\']{word.pattern}["\']\s*[:,\]}})]|\.{word.pattern}\b(?!\s)|\b\w+_{word.pattern}\b\s*[=:]'
        ),
        word.instead,
    )
    for word in NAMES
]


def old_words(path: str, text: str) -> Iterator[str]:
    """`file:line: word -> what to write instead` for each old word of a file."""
    exceptions = [re.compile(one.line) for one in EXCEPTIONS if path.startswith(one.where)]
    split_lines = _split(text).lower().splitlines()
    for number, (line, lower) in enumerate(zip(text.splitlines(), split_lines, strict=True), 1):
        if not _ANY.search(lower) and not any(word.pattern in line for word in NAMES):
            continue
        left = line
        for exception in exceptions:
            left = exception.sub("", left)
        split = _split(left)
        for pattern, instead in _WORDS:
            if found := pattern.search(split):
                yield f"{path}:{number}: {found[0]} -> {instead}"
        if path.endswith(CODE):
            for pattern, instead in _NAMES:
                if found := pattern.search(left):
                    yield f"{path}:{number}: {found[0]} -> {instead}"


def _texts() -> Iterator[tuple[str, str]]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for path in filter(None, listed.split("\0")):
        file = ROOT / path
        if path.startswith(SKIPPED) or RECORDED.match(path) or file.is_symlink() or not file.is_file():
            continue
        try:
            yield path, file.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # a picture, a database


def test_no_old_word_is_left():
    found = [one for path, text in _texts() for one in old_words(path, text)]

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("a doorbell", "doorbell"),
        ("def ring(self):", "ring"),
        ("the message was buried", "buried"),
        ("A letter keeps its origin", "letter"),
        ("two dead letters", "letters"),
        ("moves.give_back(shard)", "give_back"),
        ("gives it back", "gives it back"),
        ("class JobLearner:", "Learner"),
        ("the last beat", "beat"),
        ("it stood still for an hour", "stood still"),
        ("what the sweep mended", "mended"),
        ("all is well", "is well"),
        ("log.info(what, told=why)", "told="),
        ('{"says": why}', '"says":'),
        ("Panel(looks=3)", "looks="),
    ],
)
def test_an_old_word_is_found_with_its_line(line, word):
    assert [found.split(" -> ")[0] for found in old_words("x.py", f"\n{line}\n")] == [f"x.py:2: {word}"]


@pytest.mark.parametrize(
    "line",
    [
        "a dead-letter queue",
        "class DeadLetterQueue:",
        "1 to 63 characters, the first a letter or digit",
        "the heartbeat",
        "during a string",
        "pool.learned",
        "a body that is well formed",
        "is told, and says so",
        "pip install --quiet",
        "class JobCreator:",
    ],
)
def test_the_fields_words_stay(line):
    assert list(old_words("x.py", line)) == []


def test_every_exception_is_needed():
    texts = list(_texts())

    idle = [
        one.line
        for one in EXCEPTIONS
        if not any(path.startswith(one.where) and re.search(one.line, text) for path, text in texts)
    ]

    assert idle == []
