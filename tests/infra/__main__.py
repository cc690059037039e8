"""Run the infrastructure tests and end with one line: `python -m tests.infra fast|all [pytest's arguments]`."""

from __future__ import annotations

import os
import sys

import pytest

NAMES = {"fast": "infra-fast", "all": "infra"}


def main(part: str, arguments: list[str]) -> int:
    os.environ["QUARRY_TEST_INFRA"] = part
    from tests.infra import terraform
    from tests.infra.summary import SUMMARY

    try:
        terraform.program()
    except terraform.NoTerraform as error:
        print(f"{NAMES[part]}: not run: {error}")
        return 1
    code = int(pytest.main(["tests/infra", *arguments]))
    print(SUMMARY.line(NAMES[part]))
    return code


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
