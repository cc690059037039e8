"""What is asked before a call is paid for, and what goes on or is refused without a question."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from quarry_cli import errors
from quarry_cli.client.submission.consent import MAX_COST_USD
from tests.unit.cli.test_frames import TABLE, ask
from tests.unit.cli.test_run import PROMPT, elsewhere, sent, services, topics, uploads

__all__ = ["elsewhere"]
NOBODY = "nobody answered, so nothing was sent: --yes goes on without a question, --max-cost DOLLARS up to an amount"

# The runner of click 8.1 answers the end of input by an empty line, which is no; a terminal and a later runner do not.
UNANSWERED = (1, "nothing was sent") if version("click").startswith("8.1.") else (2, NOBODY)


@pytest.fixture
def jokes(quarry, tmp_path):
    """`quarry run` of 120 rows, whose answers may be 1,000 tokens long: at most 120 x 1,000 x $0.625 a million."""
    file = topics(tmp_path / "jokes.csv")

    def call(*more: str, given: str | None = None, model: str = "haiku-3"):
        words = ("run", file, "--model", model, "--prompt", PROMPT, "--max-tokens", "1000", *more)
        return services(quarry)(*words, given=given)

    return call


def test_the_estimate_is_shown_and_yes_goes_on(quarry, jokes):
    result = jokes("-o", "out", given="y\n")

    assert result.exit_code == 0, result.stderr
    assert "rows      120" in result.stderr
    assert "shards    1 in 1 wave over 20 slots, of at most 120 rows" in result.stderr
    assert "cost      $0.0001 to $0.0751, batch, prices of 20" in result.stderr
    assert "the most is what max_tokens allows" in result.stderr
    assert "Send it, and pay for it? [y/N]" in result.stderr
    assert "nothing is missing" in result.stdout
    assert "Send it" not in result.stdout


@pytest.mark.parametrize(("given", "code", "said"), [("n\n", 1, "nothing was sent"), (None, *UNANSWERED)])
def test_no_and_no_answer_send_and_upload_nothing(quarry, jokes, given, code, said):
    result = jokes("-o", "out", given=given)

    assert (result.exit_code, said in result.stderr) == (code, True), result.stderr
    assert (sent(quarry), uploads(quarry)) == ([], [])


def test_yes_asks_nothing_and_a_call_that_goes_on_is_not_asked_again(quarry, jokes):
    first = jokes("-o", "out", "--yes", "--timeout", "0")
    assert (first.exit_code, "cost  " in first.stderr) == (4, False)

    again = jokes("-o", "out")
    assert again.exit_code == 0, again.stderr
    assert len(quarry.client.runs()) == 1
    assert "Send it" not in again.stderr


def test_up_to_an_amount_nothing_is_asked_and_above_it_nothing_is_sent(quarry, jokes):
    refused = jokes("--max-cost", "0.05")

    assert refused.exit_code == 2
    assert (
        "--max-cost: it may cost up to $0.0751 if every answer is as long as max_tokens allows, and $0.0500 is the most that it may"
        in refused.stderr
    )
    assert (sent(quarry), uploads(quarry)) == ([], [])
    assert "up to $0.0751" in jokes("--max-cost", "0.05", "--yes").stderr

    taken = jokes("--max-cost", "0.08")
    assert (taken.exit_code, "Send it" in taken.stderr) == (0, False), taken.stderr


def test_what_nobody_can_price_is_asked_about_and_has_no_amount(quarry, jokes):
    refused = jokes("--max-cost", "5", model="ai21.jamba-1-5-large-v1:0")
    assert (refused.exit_code, sent(quarry)) == (2, [])
    assert "nobody can say what it would cost (the table of prices has no ai21.jamba-1-5-large-v1:0" in refused.stderr
    asked = jokes(model="ai21.jamba-1-5-large-v1:0")
    assert "cost      not known" in asked.stderr
    assert (asked.exit_code, UNANSWERED[1] in asked.stderr, sent(quarry)) == (UNANSWERED[0], True, [])


def test_nothing_is_asked_where_nothing_is_paid_for(quarry, jokes, monkeypatch):
    dry = jokes("--set", "dry_run=true")
    assert "Send it" not in dry.stderr
    assert "is SUCCEEDED: a dry run: nothing was sent to Bedrock" in dry.stderr
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK", "http://127.0.0.1:4566")
    local = jokes()
    assert (local.exit_code, "Send it" in local.stderr) == (0, False), local.stderr


def test_a_call_from_python_is_refused_above_ten_dollars_unless_it_says_otherwise(quarry):
    dear = {"max_tokens": 4_096, "model": "opus-4.5"}
    with pytest.raises(errors.NotSubmitted, match=r"max_cost: it may cost up to \$\S+ if every answer"):
        ask(quarry, TABLE, max_cost=0.5, **dear)
    assert (sent(quarry), uploads(quarry)) == ([], [])
    assert MAX_COST_USD == 10.0
    assert ask(quarry, TABLE).num_rows == 120
    assert ask(quarry, TABLE, max_cost=None, run_id="again").num_rows == 120


def test_a_call_from_python_that_nobody_can_price_needs_to_say_so(quarry):
    with pytest.raises(errors.NotSubmitted, match="nobody can say what it would cost"):
        ask(quarry, TABLE, model="ai21.jamba-1-5-large-v1:0")
