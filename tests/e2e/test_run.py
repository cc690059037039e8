"""`quarry run` as somebody calls it who has just cloned the repository: no environment, no stack, one call."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from quarry_local.stack import Stack

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "jokes.csv"
COMMAND_S_MAX = 110


def test_from_a_fresh_clone_one_call_ends_with_joined_rows_tokens_and_dollars(tmp_path):
    shell = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "QUARRY_"))}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "quarry_cli.main", "run", str(EXAMPLE), "--model", "haiku"),
            *("--prompt", "Tell me a joke about {topic}", "-o", "out"),
        ],
        cwd=tmp_path,
        env=shell | {"QUARRY_LOCAL_DIR": str(tmp_path / "stack")},
        capture_output=True,
        text=True,
        timeout=COMMAND_S_MAX,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "no environment is given: starting a local stack" in done.stderr
    assert "us.anthropic.claude-haiku-4-5-20251001-v1:0 (haiku" in done.stdout
    assert "tokens   " in done.stdout
    assert "cost     $0, for Bedrock is simulated here; as many tokens of the real one cost about $" in done.stdout
    rows = pq.read_table(tmp_path / "out")
    assert rows["topic"].to_pylist() == pa_csv.read_csv(EXAMPLE)["topic"].to_pylist()
    assert set(rows["status"].to_pylist()) == {"ok"}
    assert Stack(tmp_path / "stack").processes() == {}
