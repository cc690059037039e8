"""Look at the page in a real browser: `python -m tests.ui [pytest's arguments]`. Says plainly what is missing."""

from __future__ import annotations

import os
import sys

import pytest


def main(arguments: list[str]) -> int:
    os.environ["QUARRY_TEST_UI"] = "1"
    from tests.ui.needs import missing

    if lacking := missing():
        print(f"test-ui: not run: {'; '.join(lacking)}", file=sys.stderr)
        return 1
    # One browser for all of them.
    return int(pytest.main(["tests/ui", "-q", "-p", "no:cacheprovider", *arguments]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
