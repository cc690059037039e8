#!/bin/sh
# botocore 1.44: the `Config` of a client says nothing about the requests that fetch its credentials. A client that may send a
# request once (`total_max_attempts: 1`) asks STS three times for the role of its web identity, as on EKS; and where the shell
# has AWS_MAX_ATTEMPTS=7, seven times, though the client's own `retries` win over that variable.
#
# Most would expect: what is said to the client bounds all that its first call sends. So a deadline that is counted from the
# client's attempts and timeouts does not hold for the call that has to fetch credentials.
# Seen instead: credentials are the session's. `session.set_config_variable("max_attempts", 1)` (and "retry_mode") reaches
# the client of STS, which botocore makes by itself.
#
# Output seen:
#   botocore 1.44.8
#   client of one attempt:                           STS was asked 3 times
#   client of one attempt, AWS_MAX_ATTEMPTS=7:       STS was asked 7 times
#   the same, and the session told max_attempts=1:   STS was asked 1 times
#
# Exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet boto3==1.44.8 botocore==1.44.8
echo header.claims.signature > "$folder/token"
cat > "$folder/ask.py" <<'PYTHON'
import contextlib
import http.server
import os
import sys
import threading

import botocore
import botocore.session
from botocore.config import Config

asked = []


class Unwell(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        asked.append(self.path)
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unwell)
threading.Thread(target=server.serve_forever, daemon=True).start()
for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
    del os.environ[name]
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
os.environ["AWS_ROLE_ARN"] = "arn:aws:iam::123456789012:role/r"
os.environ["AWS_WEB_IDENTITY_TOKEN_FILE"] = sys.argv[1]
os.environ["AWS_ENDPOINT_URL_STS"] = f"http://127.0.0.1:{server.server_port}"


def ask(attempts_of_session=None):
    asked.clear()
    session = botocore.session.get_session()
    if attempts_of_session:
        session.set_config_variable("max_attempts", attempts_of_session)
    once = Config(retries={"mode": "standard", "total_max_attempts": 1})
    client = session.create_client("sqs", region_name="us-east-1", config=once)
    with contextlib.suppress(botocore.exceptions.ClientError):
        client.list_queues()
    return len(asked)


print("botocore", botocore.__version__)
plain = ask()
print(f"client of one attempt:                           STS was asked {plain} times")
os.environ["AWS_MAX_ATTEMPTS"] = "7"
shell = ask()
print(f"client of one attempt, AWS_MAX_ATTEMPTS=7:       STS was asked {shell} times")
session = ask(1)
print(f"the same, and the session told max_attempts=1:   STS was asked {session} times")
sys.exit(0 if (plain, shell, session) == (3, 7, 1) else 1)
PYTHON
"$folder/venv/bin/python" "$folder/ask.py" "$folder/token"
