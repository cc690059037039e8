"""`python -m quarry_scheduler`: one process of the scheduler."""

from __future__ import annotations

import sys

from quarry_core.service.process import main
from quarry_scheduler.handler import QUEUES, build

if __name__ == "__main__":
    sys.exit(main("scheduler", build, QUEUES))
