"""About how many LLM tokens a text is, without the model's tokenizer. Pure.

Theory of operation. What a tokenizer of byte pairs makes of a text follows from a few counts: letters of each script,
changes inside words, digits in threes, runs of punctuation. So a text is counted once, into `FEATURES`, and its tokens are
a sum of coefficient times count, one column of coefficients for each family of tokenizers. The columns were fitted to
real tokenizers on prose in two dozen languages, code, JSON, numbers and codes; `benchmarks/plan.py` holds them against the
tokenizers again. Measured: within 10 % for most kinds of text, 20 % for the worst; a text's length divided by four is off
by up to seven times.

Nobody publishes the tokenizer of today's Claude models; the one of Claude 2 stands in for them. So an estimate says which
tokenizer it went by, and whether it is the model's own, and is corrected by what a model has counted (`history`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from quarry_core.models.identity import CUSTOM, canonical_model
from quarry_core.planning.estimate import TokenEstimate

# So much is counted at once; a longer text is counted in pieces, and a word that is cut makes no difference.
PIECE_CHARS = 1 << 18

# What is counted, in the order of the columns below.
FEATURES = (
    "ASCII letter",
    "hump",  # aB, a1 or 1a
    "capital",
    "digit triple",  # of each run of digits a third of its length, rounded up
    "punctuation run",
    "blank run",  # a newline, or two or more blanks
    "Latin-1 letter",
    "other Latin letter",
    "Vietnamese letter",
    "Cyrillic",
    "Greek",
    "Hebrew",
    "Arabic",
    "Devanagari",
    "other Indic",
    "Armenian or Georgian",
    "Hangul",
    "Thai",
    "Han",
    "kana",
    "emoji",
    "any other character",
)

# Tokens for one of each feature.
COEFFICIENTS: Mapping[str, tuple[float, ...]] = {
    "claude2": (
        *(0.202, 1.007, 0.090, 0.774, 1.329, 0.059, 3.89, 3.5, 2.27, 0.625, 1.30),
        *(1.06, 1.26, 1.43, 2.21, 1.65, 1.39, 1.815, 0.818, 0.990, 3.3, 1.605),
    ),
    "o200k": (
        *(0.186, 0.911, 0.128, 0.836, 1.329, 0.051, 1.25, 2.08, 0.28, 0.328, 0.415),
        *(0.435, 0.384, 0.379, 0.414, 0.379, 0.725, 0.405, 0.640, 0.703, 1.88, 1.27),
    ),
    "llama3": (
        *(0.185, 0.971, 0.136, 0.795, 1.361, 0.0, 2.82, 1.8, 0.03, 0.364, 0.428),
        *(1.16, 0.463, 0.646, 1.62, 2.01, 0.783, 0.490, 0.674, 0.635, 2.43, 1.22),
    ),
    "tekken": (
        *(0.185, 0.565, 0.258, 2.149, 1.293, 0.196, 1.53, 2.04, 0.11, 0.357, 0.440),
        *(0.508, 0.392, 0.449, 0.509, 0.473, 0.704, 0.551, 1.022, 0.660, 3.5, 0.6),
    ),
}

# By how the id of a model begins; the first that fits. `own`: it is the model's own tokenizer, not the nearest published.
_TOKENIZERS = (
    ("anthropic.", "claude2", False),
    ("openai.gpt-oss", "o200k", True),
    ("meta.llama3", "llama3", True),
    ("meta.", "llama3", False),
    ("mistral.mistral-large-2407", "tekken", False),
    ("mistral.ministral", "tekken", True),
    ("mistral.magistral", "tekken", True),
    ("mistral.pixtral", "tekken", True),
    ("mistral.", "tekken", False),
)
_NEAREST = "o200k"


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """A family of tokenizers; `own` says whether it is the model's."""

    name: str
    own: bool

    def tokens(self, counts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """LLM tokens of each text: of the counts that `count_features` gives."""
        tokens: np.ndarray[Any, Any] = counts @ np.asarray(COEFFICIENTS[self.name])
        return tokens


def tokenizer_of(model_id: str) -> Tokenizer:
    """The tokenizer of a model, or the nearest that is published."""
    model = canonical_model(model_id).removeprefix(CUSTOM)
    for beginning, name, own in _TOKENIZERS:
        if model.startswith(beginning):
            return Tokenizer(name, own)
    return Tokenizer(_NEAREST, own=False)


# --------------------------------------------------------------------------- counting

_LOWER, _UPPER, _DIGIT, _PUNCTUATION, _NEWLINE, _BLANK, _NOTHING = range(7)
_FIRST_SCRIPT = 7  # this class is the sixth feature, and so on
_BEFORE_SCRIPTS = 6
_OTHER = _FIRST_SCRIPT + len(FEATURES) - _BEFORE_SCRIPTS - 1
_CLASSES = _OTHER + 1
_BETWEEN = "\0"  # of the class _NOTHING
_CODES_MAX = 0x30000
_SCRIPTS: tuple[tuple[str, tuple[tuple[int, int], ...]], ...] = (
    ("Latin-1 letter", ((0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0xFF))),
    ("other Latin letter", ((0x100, 0x24F),)),
    ("Vietnamese letter", ((0x1E00, 0x1EFF),)),
    ("Cyrillic", ((0x400, 0x52F),)),
    ("Greek", ((0x370, 0x3FF), (0x1F00, 0x1FFF))),
    ("Hebrew", ((0x590, 0x5FF), (0xFB1D, 0xFB4F))),
    ("Arabic", ((0x600, 0x6FF), (0x750, 0x77F), (0x8A0, 0x8FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC))),
    ("Devanagari", ((0x900, 0x97F),)),
    ("other Indic", ((0x980, 0xDFF),)),
    ("Armenian or Georgian", ((0x530, 0x58F), (0x10A0, 0x10FF))),
    ("Hangul", ((0x1100, 0x11FF), (0x3130, 0x318F), (0xAC00, 0xD7A3))),
    ("Thai", ((0xE00, 0xE7F),)),
    ("Han", ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2FA1F))),
    ("kana", ((0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F))),
    ("emoji", ((0xFE0F, 0xFE0F), (0x1F000, 0x1FAFF))),
)


@cache
def _classes() -> np.ndarray[Any, Any]:
    """The class of each code point."""
    classes = np.full(_CODES_MAX, _OTHER, np.uint8)
    classes[:128] = _NOTHING
    classes[ord("a") : ord("z") + 1] = _LOWER
    classes[ord("A") : ord("Z") + 1] = _UPPER
    classes[ord("0") : ord("9") + 1] = _DIGIT
    classes[list(b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")] = _PUNCTUATION
    classes[ord("\n")] = _NEWLINE
    classes[list(b" \t")] = _BLANK
    for name, ranges in _SCRIPTS:
        for first, last in ranges:
            classes[first : last + 1] = _FIRST_SCRIPT + FEATURES.index(name) - _BEFORE_SCRIPTS
    return classes


def count_features(texts: Iterable[str]) -> Iterator[np.ndarray[Any, Any]]:
    """How many of each of `FEATURES` each text has: arrays of shape (texts, FEATURES), one for the texts counted at once.

    At once, because a call of numpy's costs more than the characters of a short text do.
    """
    together: list[str] = []
    chars = 0
    for text in texts:
        if together and chars + len(text) > PIECE_CHARS:
            yield _counted(together)
            together, chars = [], 0
        together.append(text)
        chars += len(text)
    if together:
        yield _counted(together)


def _counted(texts: Sequence[str]) -> np.ndarray[Any, Any]:
    """Of texts that are a piece together, or of one that is longer."""
    length = len(texts[0])
    if length > PIECE_CHARS:
        pieces = [texts[0][start : start + PIECE_CHARS] for start in range(0, length, PIECE_CHARS)]
        counts = np.concatenate([_counted([piece]) for piece in pieces])
        counts[0] = counts.sum(axis=0)
        return counts[:1]
    classes = _classes_of(_BETWEEN.join(texts))
    # Where each text ends; what stands between two texts is the first one's, and counts as nothing.
    ends = np.cumsum([len(text) + 1 for text in texts])
    bounds = pairwise([0, *ends.tolist()])
    of_class = np.array([np.bincount(classes[begin:end], minlength=_CLASSES) for begin, end in bounds])

    def of_texts(places: np.ndarray[Any, Any], weights: np.ndarray[Any, Any] | None = None) -> np.ndarray[Any, Any]:
        return np.bincount(np.searchsorted(ends, places, side="right"), weights, len(texts))

    before, after = classes[:-1], classes[1:]
    letter_before, letter_after = before <= _UPPER, after <= _UPPER
    humps = (
        ((before == _LOWER) & (after == _UPPER))
        | (letter_before & (after == _DIGIT))
        | ((before == _DIGIT) & letter_after)
    )
    digits, digit_lengths = _runs(classes == _DIGIT)
    punctuation, _ = _runs(classes == _PUNCTUATION)
    blanks, blank_lengths = _runs(classes == _BLANK)
    counts = np.empty((len(texts), len(FEATURES)), np.int64)
    for column, found in enumerate(
        (
            of_class[:, _LOWER] + of_class[:, _UPPER],
            of_texts(np.flatnonzero(humps)),
            of_class[:, _UPPER],
            of_texts(digits, -(-digit_lengths // 3)),
            of_texts(punctuation),
            of_class[:, _NEWLINE] + of_texts(blanks[blank_lengths > 1]),
        )
    ):
        counts[:, column] = found
    counts[:, _BEFORE_SCRIPTS:] = of_class[:, _FIRST_SCRIPT:]
    return counts


def _classes_of(text: str) -> np.ndarray[Any, Any]:
    """The class of each character."""
    if text.isascii():
        return _classes()[np.frombuffer(text.encode(), np.uint8)]
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return _classes()[np.minimum(codes, _CODES_MAX - 1)]


def _runs(mask: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Where runs of true begin, and their lengths."""
    framed = np.zeros(len(mask) + 2, np.bool_)
    framed[1:-1] = mask
    edges = np.flatnonzero(framed[1:] != framed[:-1])
    return edges[::2], edges[1::2] - edges[::2]


# --------------------------------------------------------------------------- a sample of records


class TokenSample:
    """Adds up a sample, place by place: what stands at one place is alike, so the places tell how sure the mean is.

    Args:
        system: the system prompt, which each record is sent with.
    """

    def __init__(self, model_id: str, system: str = "") -> None:
        self._tokenizer = tokenizer_of(model_id)
        self._system = float(self._tokenizer.tokens(next(count_features([system])))[0])
        self._places: list[tuple[int, float]] = []  # records and tokens of each
        self._place: int | None = None
        self._squares = 0.0
        self.chars = 0
        self._bytes = 0

    @property
    def places(self) -> int:
        return len(self._places)

    def take(self, texts: Iterable[str], place: int | None = None) -> None:
        """Count the prompts of records of one place; of the one before, if it has the same name."""
        records, tokens = 0, 0.0
        texts = list(texts)
        self.chars += sum(map(len, texts))
        self._bytes += sum(len(text) if text.isascii() else len(text.encode("utf-8", "replace")) for text in texts)
        for counts in count_features(texts):
            of_records = self._system + self._tokenizer.tokens(counts)
            records, tokens = records + len(of_records), tokens + float(of_records.sum())
            self._squares += float(of_records @ of_records)
        if records and place is not None and place == self._place:
            before = self._places.pop()
            records, tokens = records + before[0], tokens + before[1]
        if records:
            self._places.append((records, tokens))
            self._place = place

    def estimate(self, rows: int | None = None) -> TokenEstimate:
        """Of what was taken so far, of `rows` in all; of nothing it is the system prompt alone."""
        records = sum(count for count, _ in self._places)
        mean = sum(tokens for _, tokens in self._places) / records if records else self._system
        variance = max(0.0, self._squares / records - mean * mean) if records else 0.0
        return TokenEstimate(
            tokenizer=self._tokenizer.name,
            own=self._tokenizer.own,
            records=records,
            mean=round(mean, 3),
            spread=round(math.sqrt(variance), 3),
            uncertainty=round(self._error(records, mean, variance, rows) / mean, 4) if mean else 0.0,
            byte_tokens=round(max(0.0, mean - self._system) * records / self._bytes, 6) if self._bytes else 0.0,
        )

    def _error(self, records: int, mean: float, variance: float, rows: int | None) -> float:
        """The standard error of the mean.

        Places come in the order of the dataset, so each is compared with its neighbour: where a dataset is sorted, places
        far apart differ, and the sample has its share of both. A sample of everything has no error.
        """
        unseen = 1.0 if rows is None else max(0.0, 1 - records / max(rows, 1))
        places = len(self._places)
        if places > 1:
            off = [tokens - count * mean for count, tokens in self._places]
            jumps = sum((one - other) ** 2 for one, other in pairwise(off)) / (2 * (places - 1))
            return math.sqrt(unseen * places * jumps) / records
        return math.sqrt(unseen * variance / records) if records else 0.0


def spread_places(rows: int, places: int, rows_each: int) -> Iterator[tuple[int, int]]:
    """Up to `places` stretches of up to `rows_each` rows (first row, rows), spread evenly over `rows`; all if they fit."""
    if rows <= places * rows_each:
        for first in range(0, rows, rows_each):
            yield first, min(rows_each, rows - first)
        return
    for place in range(places):
        first = place * rows // places
        yield first, rows_each
