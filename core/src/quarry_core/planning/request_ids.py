"""The ids of ready requests, held against each other while their files are counted.

Files that were counted before, by a worker that came to an end, are not read again for their rows; then the ids are
taken in a second pass, over all files.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import pyarrow as pa

from quarry_core.contract.requests import ID_COLUMNS, RequestFormat
from quarry_core.planning.unique_ids import TooManyIds, UniqueIds
from quarry_core.tabular.dataset import Dataset
from quarry_core.tabular.errors import SourceError
from quarry_core.text import shown_name


class RequestIds:
    """Takes the ids of all rows, in their order. Of a source without requests it takes none.

    Args:
        form: of the requests; None where there are none.
    """

    def __init__(self, form: RequestFormat | None) -> None:
        self._form = form
        self._stack = ExitStack()
        self._seen = self._stack.enter_context(UniqueIds()) if form is not None else None
        self._all = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def take(self, ids: Sequence[str | None]) -> None:
        """The ids of the next rows."""
        if self._seen is not None and self._all:
            try:
                self._seen.add(pa.array(ids, pa.string()))
            except TooManyIds as error:
                raise SourceError(str(error)) from error

    def miss(self) -> None:
        """Files were not read: the ids seen are not all of them."""
        self._all = False

    def check(self, dataset: Dataset) -> None:
        """Refuse an id that two rows have.

        Raises:
            SourceError: naming it and both rows.
            PortError: as `Dataset.read` does.
        """
        if self._form is None or self._seen is None:
            return
        # Of a slice of the files' rows all were seen.
        if not self._all or self._seen.rows != dataset.count.rows:
            self._seen = self._stack.enter_context(UniqueIds())
            self._all = True
            for batch in dataset.read(0, dataset.count.rows, [ID_COLUMNS[self._form]]):
                self.take(batch.column(ID_COLUMNS[self._form]).to_pylist())
        try:
            found = self._seen.repeated()
        except TooManyIds as error:
            raise SourceError(str(error)) from error
        if found is not None:
            (batch,) = dataset.read(found.again, 1)
            value = str(batch.column(ID_COLUMNS[self._form])[0])
            raise SourceError(
                f"{_place(dataset, found.again)} has the {ID_COLUMNS[self._form]} '{shown_name(value)}', which"
                f" {_place(dataset, found.first)} has too; give each request an id of its own"
            )


def _place(dataset: Dataset, row: int) -> str:
    file, number = dataset.locate(row)
    return f"{dataset.listing.files[file].key}: data row {number + 1}"
