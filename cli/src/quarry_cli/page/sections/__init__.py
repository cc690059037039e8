"""The sections of the page: one file each, with its addresses and what they do.

A new one is a class with `routes`, its template in `templates`, and its line in `SECTIONS`; if people are to find it, also
its line in the navigation of `base.html`, or of `run_base.html` for one that is of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from starlette.routing import Route

from quarry_cli.page.sections.controls import Controls
from quarry_cli.page.sections.dead_letters import DeadLetters
from quarry_cli.page.sections.entry import Entry
from quarry_cli.page.sections.one_run import OneRun
from quarry_cli.page.sections.pools import Pools
from quarry_cli.page.sections.runs import Runs
from quarry_cli.page.site import Site


class Section(Protocol):
    def routes(self) -> Sequence[Route]:
        """Its addresses; those that change something only where the site may."""
        ...


SECTIONS: Sequence[Callable[[Site], Section]] = (Entry, Runs, OneRun, Controls, Pools, DeadLetters)
