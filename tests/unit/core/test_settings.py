"""The environment of a service: what is missing or wrong is told by the variable's own name, without a traceback."""

from __future__ import annotations

import pytest

from quarry_core.service.process import main

WHOLE = {
    "QUARRY_ENV": "dev",
    "QUARRY_REGION": "eu-central-1",
    "QUARRY_TABLE": "t",
    "QUARRY_BUCKET": "b",
    "QUARRY_BEDROCK_ROLE_ARN": "arn:aws:iam::123456789012:role/r",
    "QUARRY_SCHEDULER_QUEUE_URL": "https://sqs/s",
}


@pytest.fixture
def started(monkeypatch, capsys):
    """Start a service in an environment; its exit code and what it said."""

    def start(**changes: str | None) -> tuple[int, list[str]]:
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION", *WHOLE):
            monkeypatch.delenv(name, raising=False)
        for name, value in (WHOLE | changes).items():
            if value is not None:
                monkeypatch.setenv(name, value)
        code = main("scheduler", lambda world: pytest.fail("it was built"), ("scheduler",))
        return code, capsys.readouterr().err.splitlines()

    return start


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize("variable", list(WHOLE))
def test_a_variable_that_is_missing_or_empty_is_named(started, variable, value):
    code, said = started(**{variable: value})

    assert code == 2
    assert any(f"{variable} is not set" in line for line in said)
    assert len(said) <= 2
    assert "pydantic" not in "".join(said)


def test_every_wrong_value_is_named_with_its_variable(started):
    code, said = started(QUARRY_JOB_QUOTA="many", MAX_RECORDS_PER_JOB="0", QUARRY_ENV="Prod")

    assert code == 2
    assert any("QUARRY_JOB_QUOTA is 'many'" in line for line in said)
    assert any("MAX_RECORDS_PER_JOB is '0'" in line for line in said)
    assert any("QUARRY_ENV is 'Prod'" in line for line in said)
