#!/bin/sh
# botocore 1.44: with AWS_BEARER_TOKEN_BEDROCK set, a Bedrock client refuses every plain-HTTP endpoint, even when it was
# given an access key and a secret of its own.
#
# Most would expect: credentials that are passed to the client win over a variable of the shell, as they do over
# AWS_ACCESS_KEY_ID; or that the token is sent, as botocore 1.43 did. An emulator on http://127.0.0.1 then works either way.
# Seen instead: the request never leaves. `auth_scheme_preference="sigv4"` in the client's Config brings it back.
#
# Output seen:
#   botocore 1.44.8
#   no token, keys given:             answered, signed with SigV4
#   token in the shell, keys given:   Invalid endpoint configuration: Bearer authorization requires an HTTPS endpoint.
#   the same, and sigv4 preferred:    answered, signed with SigV4
#
# Exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet boto3==1.44.8 botocore==1.44.8
cat > "$folder/ask.py" <<'PYTHON'
import http.server
import os
import sys
import threading

import boto3
import botocore
from botocore.config import Config

signed = []


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        signed.append(self.headers.get("Authorization", ""))
        body = b'{"invocationJobSummaries": []}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()


def ask(**config):
    client = boto3.client(
        "bedrock",
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(proxies={}, **config),
    )
    try:
        client.list_model_invocation_jobs()
    except Exception as error:
        return str(error)
    return "answered, signed with SigV4" if signed[-1].startswith("AWS4-HMAC-SHA256") else f"answered, {signed[-1][:6]}"


for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
print("botocore", botocore.__version__)
without = ask()
print("no token, keys given:            ", without)
os.environ["AWS_BEARER_TOKEN_BEDROCK"] = "token"
refused = ask()
print("token in the shell, keys given:  ", refused)
preferred = ask(auth_scheme_preference="sigv4")
print("the same, and sigv4 preferred:   ", preferred)
as_seen = without == preferred == "answered, signed with SigV4" and "requires an HTTPS endpoint" in refused
sys.exit(0 if as_seen else 1)
PYTHON
"$folder/venv/bin/python" "$folder/ask.py"
