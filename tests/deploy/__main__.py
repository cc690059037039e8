"""Run the tests of what is deployed and end with one line: `python -m tests.deploy [pytest's arguments]`."""

from __future__ import annotations

import os
import sys

import pytest

NAME = "deploy-check"


def main(arguments: list[str]) -> int:
    os.environ["QUARRY_TEST_DEPLOY"] = "1"
    from tests.deploy.summary import SUMMARY, allowed

    code = int(pytest.main(["tests/deploy", *arguments]))
    excused = [] if os.environ.get("QUARRY_TEST_MUST_RUN") == "1" else allowed()
    print(SUMMARY.line(NAME, excused))
    return code or int(bool(SUMMARY.unforeseen(excused)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
