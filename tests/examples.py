"""How many examples Hypothesis draws: a third in each run of all tests, all of them in `make test-deep`.

What is drawn is drawn anew in each run, so that many short runs see as much as a long one. What was found once stays in
Hypothesis's database, and as an `@example` beside the test.
"""

from __future__ import annotations

import os

from hypothesis import settings

DEEP = os.environ.get("QUARRY_TEST_DEEP") == "1"
SHARE = 3
FEWEST = 20


def drawn(most: int) -> int:
    """Of so many examples in `make test-deep`, those of this run."""
    return most if DEEP else min(most, max(FEWEST, most // SHARE))


def examples(most: int) -> settings:
    """Decorates a test that draws `most` examples in `make test-deep`."""
    return settings(max_examples=drawn(most))
