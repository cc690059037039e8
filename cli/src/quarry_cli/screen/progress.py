"""A run as a small table of requests, tokens, dollars and rate, for who called it from Python: on a terminal or in a notebook.

A notebook is shown HTML that rich made of texts, in which markup is escaped: an answer's or an error's is not read.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.screen import live, wording
from quarry_cli.screen.lines import Lines
from quarry_core.clock import SystemClock

NOTEBOOK_CHARS = 120
_PAGE = '<pre style="white-space:pre;overflow-x:auto;line-height:normal;font-family:monospace">{code}</pre>'


class Progress(Protocol):
    """Where a call shows its run, and says what it has to say."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, view: RunView) -> None: ...

    def note(self, text: str) -> None: ...


def progress_table(view: RunView, *, simulated: bool) -> Table:
    """One row: what of the run is done, what it has taken, how fast it goes."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    cells = {
        "run": view.run_id,
        "state": view.state.value,
        "requests": _requests(view),
        "errors": f"{view.rows.error:,}",
        "tokens in": f"{view.spent.input_tokens:,}" if view.spent else "-",
        "tokens out": f"{view.spent.output_tokens:,}" if view.spent else "-",
        "dollars": _dollars(view, simulated=simulated),
        "rate": wording.pace_of(view) or "-",
        "left": wording.eta_of(view).removesuffix(" left") or "-",
    }
    for name in cells:
        table.add_column(name, justify="left" if name in ("run", "state") else "right")
    style = live.COLOURS.get(view.state, "cyan")
    table.add_row(*(Text(cell, style=style if name == "state" else "") for name, cell in cells.items()))
    if view.error:
        table.caption = Text(wording.plain(view.error, 1_000), style="red")
    elif view.errors:
        table.caption = Text(wording.errors_of(view))
    return table


def _requests(view: RunView) -> str:
    done = view.rows.ok + view.rows.error
    if not view.rows.accepted:
        return "-"
    return f"{done + view.rows.processed:,} of {view.rows.accepted:,}"


def _dollars(view: RunView, *, simulated: bool) -> str:
    if view.spent is None or view.spent.dollars is None:
        return "-"
    return f"{wording.dollars(view.spent.dollars)}{' (simulated)' if simulated else ''}"


def progress_of(wanted: bool | None, *, simulated: bool) -> AbstractContextManager[Progress]:
    """Where a call is shown: nowhere, in the cell of a notebook, on a terminal, or line by line on standard error.

    Args:
        wanted: None decides; False is nowhere.
        simulated: whether its dollars are nobody's.
    """
    if wanted is False:
        return Nowhere()
    display = _notebook()
    if display is not None:
        return Cell(display, simulated=simulated)
    console = Console(stderr=True, highlight=False)
    if live.is_screen(console):
        return Terminal(console, simulated=simulated)
    return Lines(lambda line: print(line, file=sys.stderr), SystemClock())  # noqa: T201 it is what was asked for


def _notebook() -> Callable[..., Any] | None:
    """IPython's `display`, where a cell of a notebook runs; IPython is there then."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display  # noqa: PLC0415 see above

    found: Callable[..., Any] = display
    return found


class Nowhere:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held."""

    def show(self, view: RunView) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


class Terminal:
    """A table that is drawn again at every look."""

    def __init__(self, console: Console, *, simulated: bool) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._simulated = simulated

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, view: RunView) -> None:
        self._live.update(progress_table(view, simulated=self._simulated), refresh=True)

    def note(self, text: str) -> None:
        self._live.update(Text(wording.plain(text, 1_000), style="yellow"), refresh=True)


class Cell:
    """One output of a cell, replaced at every look."""

    def __init__(self, display: Callable[..., Any], *, simulated: bool) -> None:
        self._display = display
        self._handle: Any = None
        self._simulated = simulated

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held."""

    def show(self, view: RunView) -> None:
        self._put(progress_table(view, simulated=self._simulated))

    def note(self, text: str) -> None:
        self._put(Text(wording.plain(text, 1_000)))

    def _put(self, what: Any) -> None:
        console = Console(file=io.StringIO(), record=True, width=NOTEBOOK_CHARS, force_jupyter=False, highlight=False)
        console.print(what)
        bundle = {
            "text/plain": console.export_text(clear=False),
            "text/html": console.export_html(code_format=_PAGE, inline_styles=True),
        }
        if self._handle is None:
            self._handle = self._display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)
