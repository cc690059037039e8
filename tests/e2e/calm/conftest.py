"""One stack without faults, for the tests that do no harm to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quarry_local.settings import StackSettings
from tests.e2e.conftest import a_stack
from tests.e2e.user import User

QUOTA = 3
# More than the services may use: what holds them to QUOTA is then themselves, not a refusal.
BEDROCK_QUOTA = 20


@pytest.fixture(scope="package")
def calm(tmp_path_factory) -> Iterator[User]:
    settings = StackSettings(env="calm", quota=QUOTA, simulator={"quota": str(BEDROCK_QUOTA)})
    with a_stack(tmp_path_factory.mktemp("calm"), settings) as user:
        yield user
