"""Every client of AWS says how its calls are repeated, and nothing else has a say in it.

The first part reads the code: whoever makes a client gives it a configuration, and each configuration names mode and
attempts. The conformance tests are left out: they are about the SDK as anyone has it. The second part makes the clients, in a
shell that wants them otherwise.
"""

from __future__ import annotations

import ast
import contextlib
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarry_core.aws.calls import ATTEMPTS_MAX, READ_TIMEOUTS_S, Limits
from quarry_core.aws.client import Aws
from quarry_core.aws.retries import CREDENTIALS_ATTEMPTS_MAX
from quarry_core.aws.s3.objects import s3_client
from quarry_core.aws.threaded import ThreadedAws
from quarry_core.errors import PortError
from quarry_local.clients import Clients
from tests.unit.core.scripted import set_credentials

ROOT = Path(__file__).resolve().parents[2]
READ = ("core", "services", "cli", "local", "tools", "benchmarks", "examples", "tests")
LEFT_OUT = ROOT / "tests" / "conformance"
# A session, as it is written before `.client(` or `.resource(`; what is called otherwise is a wrapper of ours.
SESSION = re.compile(r"boto3|(\w+\.)*_?session(\(.*\))?|(\w+\.)*Session\(.*\)", re.DOTALL)


def sources() -> Iterator[tuple[str, str]]:
    """The code, and the blocks of Python in the pages: where it is, text."""
    for folder in READ:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if LEFT_OUT not in path.parents and not any(
                part.startswith(".venv") for part in path.parts[len(ROOT.parts) :]
            ):
                yield str(path.relative_to(ROOT)), path.read_text()
    for page in [*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/**/*.md")]:
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
            yield str(page.relative_to(ROOT)), block


def calls(source: str) -> Iterator[tuple[int, str, dict[str | None, ast.expr]]]:
    """What makes a client or a configuration: line, `client` or `config`, its keyword arguments."""
    if "boto" not in source:
        return
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")
        given = {each.arg: each.value for each in node.keywords}
        if name[2] in {"Config", "AioConfig"}:
            yield node.lineno, "config", given
        elif name[2] == "create_client" or (name[2] in {"client", "resource"} and SESSION.fullmatch(name[0])):
            yield node.lineno, "client", given


def faults(source: str) -> list[str]:
    found = []
    for line, made, given in calls(source):
        if made == "client" and "config" not in given:
            found.append(f"{line}: a client without a configuration")
        if made == "config" and not names_both(given.get("retries")):
            found.append(f"{line}: a configuration that does not name mode and total_max_attempts")
    return found


def names_both(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Dict):
        return {ast.literal_eval(key) for key in value.keys if key} == {"mode", "total_max_attempts"}
    return isinstance(value, ast.Call) and ast.unparse(value.func) == "retries"


def test_no_client_is_made_whose_retries_are_not_named():
    assert [f"{where}:{fault}" for where, source in sources() for fault in faults(source)] == []


def test_the_places_that_make_clients_are_seen():
    makers = {where for where, source in sources() if any(made == "client" for _, made, _ in calls(source))}
    assert makers >= {
        "core/src/quarry_core/aws/client.py",
        "core/src/quarry_core/aws/s3/objects.py",
        "core/src/quarry_core/aws/threaded.py",
        "local/src/quarry_local/clients.py",
        "local/src/quarry_local/bedrock/aws.py",
        "local/src/quarry_local/bedrock/pytest_plugin.py",
        "benchmarks/simulator.py",
        "examples/send.py",
    }


@pytest.mark.parametrize(
    "source",
    [
        'import boto3\nboto3.client("s3")',
        'import boto3\nboto3.resource("dynamodb")',
        'import boto3\nsession = boto3.Session()\nsession.client("s3", region_name="us-east-1")',
        'import boto3\nboto3.session.Session(region_name="us-east-1").client("s3")',
        'import botocore.session\nbotocore.session.get_session().create_client("s3")',
        'from aiobotocore.session import get_session\nself._session.create_client("sqs")',
        "from botocore.config import Config\nConfig(connect_timeout=5)",
        'from botocore.config import Config\nConfig(retries={"mode": "standard"})',
        'from botocore.config import Config\nConfig(retries={"total_max_attempts": 3})',
        'from botocore.config import Config\nConfig(retries={"mode": "standard", "max_attempts": 3})',
        "import botocore.config\nbotocore.config.Config(**settings)",
        "from aiobotocore.config import AioConfig\nAioConfig()",
    ],
)
def test_a_client_that_leaves_its_retries_open_would_be_found(source):
    assert faults(source)


def test_a_wrapper_of_ours_needs_to_say_nothing():
    assert faults('import boto3\nclients.client("s3")\nuser.stack.clients().client("sqs")') == []


# --------------------------------------------------------------------------- in a shell that wants it otherwise


@pytest.fixture
def shell(monkeypatch, tmp_path):
    """Variables and a profile that name other modes and attempts."""
    set_credentials(monkeypatch)
    file = tmp_path / "config"
    file.write_text("[default]\nretry_mode = adaptive\nmax_attempts = 8\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_RETRY_MODE", "legacy")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "9")
    return monkeypatch


@pytest.mark.parametrize("by", ["variables", "profile"])
async def test_neither_variables_nor_a_profile_change_a_client(shell, by):
    if by == "profile":
        shell.delenv("AWS_RETRY_MODE")
        shell.delenv("AWS_MAX_ATTEMPTS")
    made = {}
    async with Aws(region="us-east-1") as aws, ThreadedAws(region="us-east-1") as threaded:
        for service in READ_TIMEOUTS_S:
            for attempts in (1, ATTEMPTS_MAX):
                limits = Limits(service, attempts)
                made[service, attempts] = (await aws._client(limits)).meta.config.retries
                made[f"{service} of the command", attempts] = threaded._client(limits).meta.config.retries
    for attempts, client in (
        (5, s3_client("us-east-1")),
        (2, s3_client("us-east-1", hasty=True)),
        (5, Clients("http://127.0.0.1:1", "us-east-1").client("sqs")),
        (1, Clients("http://127.0.0.1:1", "us-east-1").client("sqs", attempts_max=1)),
    ):
        made[client, attempts] = client.meta.config.retries
        client.close()
    assert {
        key: reported
        for key, reported in made.items()
        if reported != {"mode": "standard", "total_max_attempts": key[1]}
    } == {}


@contextlib.contextmanager
def unwell_sts() -> Iterator[tuple[str, list[str]]]:
    """A server that answers each request with 500: its address, and what it was sent."""
    asked: list[str] = []

    class Unwell(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(500)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unwell) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("client", [Aws, ThreadedAws, "boto3"])
async def test_nor_do_they_change_the_requests_that_fetch_credentials(shell, tmp_path, client):
    """A service account's role, as on EKS: the SDK asks STS by a client of its own making."""
    token = tmp_path / "token"
    token.write_text("header.claims.signature")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        shell.delenv(name)
    shell.setenv("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/r")
    shell.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    with unwell_sts() as (url, asked):
        shell.setenv("AWS_ENDPOINT_URL_STS", url)
        if client == "boto3":
            s3 = s3_client("us-east-1", "http://127.0.0.1:1")
            with pytest.raises(Exception, match="AssumeRoleWithWebIdentity"):
                s3.head_bucket(Bucket="b")
            s3.close()
        else:
            async with client(region="us-east-1", endpoint_urls={"sqs": "http://127.0.0.1:1"}) as aws:
                with pytest.raises(PortError):
                    await aws.call("sqs", "list_queues", {}, doing="ask", once=True)
    assert len(asked) == CREDENTIALS_ATTEMPTS_MAX
    assert all("AssumeRoleWithWebIdentity" in each for each in asked)
