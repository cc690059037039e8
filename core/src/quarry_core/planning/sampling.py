"""The records whose LLM tokens are counted: a few from everywhere, at no more than the cost of one further look.

A dataset may be sorted by anything, by language for one, so a sample must not come from its beginning. `SAMPLE_ROWS` rows
are taken from `SAMPLE_PLACES` places, evenly over the rows of the plan. A text file is entered at its noted offsets; a
Parquet file in which several places lie is read through once, and only the prompt's columns of it. Where the count reads
these columns in any case, and the plan takes all rows, the sample is taken as they come by (`PassingSample`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import pyarrow as pa

from quarry_core.contract.run import Pins
from quarry_core.planning.estimate import TokenEstimate
from quarry_core.planning.tokens import TokenSample, spread_places
from quarry_core.rendering.encoders import ask_of
from quarry_core.rendering.row_encoder import RowEncoder
from quarry_core.tabular.dataset import Dataset

SAMPLE_ROWS = 4_096
SAMPLE_PLACES = 64
# Of all texts looked at; where they are longer, fewer of each place are.
SAMPLE_CHARS_MAX = 32_000_000
# So many places of a Parquet file are each decoded from the beginning of their row group.
ENTERED_MAX = 2


def estimate_tokens(dataset: Dataset, pins: Pins, encoder: RowEncoder, rows: int) -> TokenEstimate:
    """LLM input tokens of a record, from a sample of the first `rows` rows, those of the plan. Blocking.

    Raises:
        SourceError, PortError: as `Dataset.read`.
    """
    tokens = _token_sample(pins)
    for place, batch in _places(dataset, encoder.columns, rows):
        tokens.take(_first_chars(encoder.texts(batch), SAMPLE_CHARS_MAX // SAMPLE_PLACES), place)
    return tokens.estimate(rows)


class PassingSample:
    """The same sample, taken out of batches that are read for another reason.

    Args:
        dataset: all of whose rows are to be sampled.
        pins: of the run.
        encoder: of the run.
    """

    def __init__(self, dataset: Dataset, pins: Pins, encoder: RowEncoder) -> None:
        self._tokens = _token_sample(pins)
        self._encoder = encoder
        self._rows = dataset.count.rows
        self._places = _Ahead(list(spread_places(self._rows, SAMPLE_PLACES, SAMPLE_ROWS // SAMPLE_PLACES)))
        self._missed = dataset.count.selection is not None or bool(dataset.count.file_first)

    def watch(self, batches: Iterable[pa.RecordBatch], first: int) -> Iterator[pa.RecordBatch]:
        """Pass batches on, whose first row is row `first` of the dataset; called in the order of the rows."""
        for batch in batches:
            if not self._missed:
                self._missed = self._places.begin < first
                for place, few in self._places.out_of(batch, first):
                    self._tokens.take(_first_chars(self._encoder.texts(few), SAMPLE_CHARS_MAX // SAMPLE_PLACES), place)
            first += batch.num_rows
            yield batch

    def estimate(self, rows: int) -> TokenEstimate | None:
        """As `estimate_tokens` of so many rows; None if not all places have come by."""
        whole = rows == self._rows and not self._missed and self._places.done
        return self._tokens.estimate(rows) if whole else None


class _Ahead:
    """Places whose rows have not come by yet: (first row, rows), ascending."""

    def __init__(self, places: Sequence[tuple[int, int]]) -> None:
        self._ahead = [(first, first, each) for first, each in reversed(places)]

    @property
    def done(self) -> bool:
        return not self._ahead

    @property
    def begin(self) -> float:
        """The next row that is wanted."""
        return self._ahead[-1][1] if self._ahead else math.inf

    def out_of(self, batch: pa.RecordBatch, at: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """What a batch has of them, whose first row is row `at`: each with the first row of its place."""
        end = at + batch.num_rows
        while self.begin < end:
            place, first, left = self._ahead.pop()
            taken = min(left, end - first)
            yield place, batch.slice(first - at, taken)
            if taken < left:
                self._ahead.append((place, end, left - taken))


def _token_sample(pins: Pins) -> TokenSample:
    system = (pins.prompt.system if pins.prompt else None) or ""
    ask = ask_of(pins)
    return TokenSample(pins.model, system + (ask.beside if ask else ""))


def _first_chars(texts: Iterator[str], most: int) -> Iterator[str]:
    """The first texts up to so many characters, and the one that passes them."""
    taken = 0
    for text in texts:
        yield text
        taken += len(text)
        if taken >= most:
            return


def _places(dataset: Dataset, columns: Sequence[str], rows: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches, each with the first row of its place."""
    by_file: dict[int, list[tuple[int, int]]] = {}
    for first, each in spread_places(rows, SAMPLE_PLACES, SAMPLE_ROWS // SAMPLE_PLACES):
        file = next(dataset.stretches(first, 1))[0]
        by_file.setdefault(file, []).append((first, each))
    for file, places in by_file.items():
        if len(places) > _entered_max(dataset, file):
            yield from _on_the_way(dataset, columns, places)
            continue
        for first, each in _entered(dataset, file, places):
            for batch in dataset.read(first, each, columns):
                yield first, batch


def _entered_max(dataset: Dataset, file: int) -> int:
    """With more places than this it costs less to read a file through: of text, with as many as it has offsets."""
    return ENTERED_MAX if dataset.count.format == "parquet" else len(dataset.count_of(file).offsets)


def _entered(dataset: Dataset, file: int, places: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """The places, each from the noted offset on before which a text file would be read for nothing."""
    count = dataset.count
    if count.format == "parquet" or count.selection is not None or count.file_first:
        return places
    begin, counted = dataset.begin(file), dataset.count_of(file)
    moved = [(begin + counted.noted(first - begin, first - begin + 1)[0][0], each) for first, each in places]
    # Two in one would be one place less. From an offset to the next there may be fewer rows than a place has.
    apart = all(first + each <= behind for (first, each), (behind, _) in pairwise(moved))
    return moved if apart else places


def _on_the_way(
    dataset: Dataset, columns: Sequence[str], places: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Each place's rows, as one pass from the first to the last place comes by."""
    at, until = places[0][0], sum(places[-1])
    ahead = _Ahead(places)
    for batch in dataset.read(at, until - at, columns):
        yield from ahead.out_of(batch, at)
        at += batch.num_rows
