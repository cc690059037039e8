"""What the command and the Python API say when they cannot do what was asked, and the command's exit codes.

The text of an error is for the user: it names what is wrong and what to do.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes; `quarry --help` shows this table."""

    OK = 0
    FAILED = 1  # the run failed or was cancelled, does not exist, or its results do not add up
    USAGE = 2  # a wrong option, a missing variable, a manifest that is refused before it is sent
    WITH_ERRORS = 3  # the run ended, and some of its rows have an error instead of an answer
    STILL_RUNNING = 4  # --timeout passed first
    NO_ANSWER = 5  # AWS did not answer, or refused


class QuarryError(Exception):
    """The root of what this package raises; a `PortError` of AWS may pass through beside it."""

    exit_code = Exit.FAILED


class NotConfigured(QuarryError):
    """A variable is missing: the text names it, and where its value comes from."""

    exit_code = Exit.USAGE


class NoConnection(QuarryError):
    """AWS cannot be asked: no credentials, no endpoint, no permission. The text says what to do."""

    exit_code = Exit.NO_ANSWER


class NotSubmitted(QuarryError):
    """The manifest is refused here, before it was sent."""

    exit_code = Exit.USAGE


class NoSuchRun(QuarryError):
    """The ledger knows no run of that id (yet)."""


class SeveralRuns(QuarryError):
    """The beginning of an id fits several runs: the text names them."""

    exit_code = Exit.USAGE


class NotEnded(QuarryError):
    """The run's results are not whole yet."""


class NoSuchRecord(QuarryError):
    """The run has no such record or row, or it cannot be found any more."""


class NotControlled(QuarryError):
    """The run cannot be cancelled, paused or resumed: it has ended, or is about to."""


class NotRetried(QuarryError):
    """The errors of the run cannot be asked again: the text says why, and what can be done."""


class NotCompacted(QuarryError):
    """The parts of a result cannot be merged: the text says why. What is published stays as it is."""


class NoResults(QuarryError):
    """The run has ended, and left no results."""


class RunFailed(QuarryError):
    """The run that was waited for has failed."""


class Unaccounted(QuarryError):
    """Rows of the run are missing from its results, or doubled."""


class NotWritten(QuarryError):
    """The results cannot be put where, or in the format in which, they were asked for."""

    exit_code = Exit.USAGE


class NotExported(QuarryError):
    """What a table returns is not what was written into it: the text says where."""


class Unreadable(QuarryError):
    """The pyarrow that is installed cannot read the results: the text says why."""


class StillRunning(QuarryError):
    """The time given for waiting has passed; the run goes on."""

    exit_code = Exit.STILL_RUNNING


class BadSetting(QuarryError):
    """What is to be set, or its value, is not known: the text names what is."""

    exit_code = Exit.USAGE


class RunEnded(QuarryError):
    """The run has ended, or nothing of it waits any more: it is too late for this."""


class NotPlanned(QuarryError):
    """The source cannot be counted from here; the services may be able to."""

    exit_code = Exit.NO_ANSWER
