"""One stack without faults, for the tests that do no harm to it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quarry_local.settings import StackSettings
from tests.e2e.conftest import a_stack
from tests.e2e.user import User

QUOTA = 3
# More than the services may use: what holds them to QUOTA is then themselves, not a refusal.
BEDROCK_QUOTA = 20


# On the simulated Hub.
MINE = "hf_the_environments_token"
SIMPLE_COT = [
    {"source": f"Question {row}: why?", "rationale": f"Because of {row}.", "target": f"{row:04d}"}
    for row in range(1_200)
]
TWO = {
    config: [{"source": f"{word} {row}", "id": f"{row:05d}"} for row in range(rows)]
    for config, word, rows in (("en", "question", 700), ("fr", "demande", 300))
}
PRIVATE = [{"source": f"secret {row}", "id": f"{row:05d}"} for row in range(250)]


def parquet(rows: list[dict[str, str]]) -> bytes:
    body = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), body, row_group_size=200, use_dictionary=False, compression="none")
    return body.getvalue()


def two_configs(en: list[dict[str, str]], fr: list[dict[str, str]]) -> dict[str, bytes]:
    """Two configs in three files."""
    readme = "---\nconfigs:\n- {config_name: en, data_files: 'en/*'}\n- {config_name: fr, data_files: 'fr/*'}\n---\n"
    return {
        "README.md": readme.encode(),
        "en/0.parquet": parquet(en[:-200]),
        "en/1.parquet": parquet(en[-200:]),
        "fr/0.parquet": parquet(fr),
    }


def written(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return folder


def hub_of(folder: Path) -> dict[str, Any]:
    """Datasets of a simulated Hub, and the settings of a stack that serves them."""
    written(
        folder / "w601sxs" / "simpleCoT",
        {
            "README.md": b"---\nlicense: mit\n---\n",
            "data/train-00000-of-00002.parquet": parquet(SIMPLE_COT[:800]),
            "data/train-00001-of-00002.parquet": parquet(SIMPLE_COT[800:]),
        },
    )
    written(folder / "o" / "two", two_configs(TWO["en"], TWO["fr"]))
    written(folder / "o" / "private", {"train.parquet": parquet(PRIVATE)})
    written(folder / "o" / "gated", {"train.parquet": parquet(PRIVATE)})
    access = {"private": '["o/private"]', "gated": '["o/gated"]', "tokens": json.dumps({MINE: ["o/private"]})}
    return {"hub": str(folder), "hub_settings": access, "overrides": {"HF_TOKEN": MINE}}


@pytest.fixture(scope="package")
def calm(tmp_path_factory, warm) -> Iterator[User]:
    hub = hub_of(tmp_path_factory.mktemp("hub"))
    settings = StackSettings(env="calm", quota=QUOTA, simulator={"quota": str(BEDROCK_QUOTA)}, **hub)
    with a_stack(tmp_path_factory.mktemp("calm"), settings, warm, plainly=True) as user:
        yield user
