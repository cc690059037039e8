"""Real Airflow, the real common.ai provider, and a real local stack: `make test-airflow`.

The stack is started by the development environment, in which the services are installed; Airflow has one of its own. Airflow's
database is a file of SQLite that is made for the session, and DAGs run in this process (`dag.test()`).
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DAGS = Path(__file__).resolve().parent / "dags"
QUARRY = Path(os.environ.get("QUARRY_TEST_COMMAND", ROOT / ".venv" / "bin" / "quarry"))


def pytest_configure() -> None:
    """Before anything imports Airflow, which reads its variables once."""
    import tempfile

    home = Path(tempfile.mkdtemp(prefix="quarry-airflow-"))
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW_CONN_QUARRY": '{"conn_type": "quarry"}',
    }
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True, timeout=240)


def pytest_unconfigure() -> None:
    import shutil

    shutil.rmtree(os.environ["AIRFLOW_HOME"], ignore_errors=True)


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """A local stack; its variables are this process's."""
    directory = tmp_path_factory.mktemp("stack")

    def run(*command: str) -> str:
        done = subprocess.run(
            [QUARRY, "local", *command], cwd=directory, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("up")
    try:
        variables = {}
        for line in run("env").splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            variables[name] = shlex.split(value)[0] if value else ""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            yield directory
    finally:
        run("down")


@pytest.fixture
def ran(stack):
    """Runs a DAG of `dags` to its end, in this process."""

    def run(name: str, **conf: str):
        from airflow.dag_processing.dagbag import DagBag

        bag = DagBag(dag_folder=DAGS)
        assert not bag.import_errors, bag.import_errors
        return bag.dags[name].test(run_conf=conf)

    return run


@pytest.fixture
def client(stack):
    from quarry_cli import Client

    return Client()


@pytest.fixture
def rows(stack, client, tmp_path):
    """Uploads so many rows, and gives their URI."""

    def upload(count: int) -> str:
        from quarry_cli.client.connections import connect
        from quarry_cli.client.submission.uploading import bring, look_at
        from quarry_core.contract.names import s3_uri

        file = tmp_path / f"topics-{count}.csv"
        file.write_text("topic\n" + "".join(f"topic {row}\n" for row in range(count)))

        async def work() -> str:
            async with connect() as connections:
                found = look_at([file])
                bring(connections.objects(), connections.bucket, found)
                return s3_uri(connections.bucket, found[0].key)

        import asyncio

        return asyncio.run(work())

    return upload
